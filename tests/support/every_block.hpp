// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A table of small blocks that together hold every kind of block and most of their options, for tests that
// must hold for all of them: of any scalar, trainable or frozen. Rows are a multiple of two.
#pragma once

#include <tuple>
#include <utility>

#include <hyperblocks/hyperblocks.hpp>

namespace hyperblocks::test {

template <class S, class W = Trainable>
using RowBlocks =
    std::tuple<Linear<LinearSpec{.in = 40, .out = 33}, S, Cpu, W>,
               RmsNorm<RmsNormSpec{.width = 20}, S, Cpu, W>, LayerNorm<LayerNormSpec{.width = 17}, S, Cpu, W>,
               Mlp<MlpSpec{.in = 6, .inner = 37, .out = 9}, S, Cpu, W>,
               Residual<GluMlp<GluMlpSpec{.hidden = 10, .inner = 35}, S, Cpu, W>>,
               Chain<Linear<LinearSpec{.in = 4, .out = 6, .bias = false}, S, Cpu, W>,
                     LayerNorm<LayerNormSpec{.width = 6}, S, Cpu, W>>,
               ResidualMlp<ResidualMlpSpec{.width = 7, .inner = 12, .layers = 2}, S, Cpu, W>,
               Embedding<EmbeddingSpec{.vocabulary = 7, .width = 5, .scale = 3}, S, Cpu, W>>;

template <class S, class W = Trainable>
using TransformerBlocks =
    std::tuple<EncoderBlock<EncoderBlockSpec{.hidden = 8, .heads = 2, .inner = 12}, S, Cpu, W>,
               DecoderBlock<DecoderBlockSpec{.hidden = 12,
                                             .heads = 4,
                                             .kv_heads = 2,
                                             .head_width = 6,
                                             .inner = 20,
                                             .output_norms = true,
                                             .head_norm = true,
                                             .attention_soft_cap = 5,
                                             .window = 4},
                            S, Cpu, W>>;

template <class S, class W = Trainable>
using SelfBlocks = decltype(std::tuple_cat(
    std::declval<std::tuple<
        Attention<AttentionSpec{.hidden = 12, .heads = 3, .bias = true, .output_bias = true}, S, Cpu, W>>>(),
    std::declval<TransformerBlocks<S, W>>()));

inline constexpr PerceiverLayerSpec perceiver_layer{.hidden = 8, .context = 6, .heads = 2, .inner = 9};

template <class S, class W = Trainable>
using ContextBlocks =
    std::tuple<Attention<AttentionSpec{.hidden = 12, .heads = 4, .kv_heads = 2, .context = 7}, S, Cpu, W>,
               PerceiverLayer<perceiver_layer, S, Cpu, W>>;

template <class S, class W = Trainable>
using Resamplers = std::tuple<Resampler<
    ResamplerSpec{
        .latents = 3, .blocks = 2, .self_layers = 1, .shares_weights = true, .layer = perceiver_layer},
    S, Cpu, W>>;

template <class S, class W = Trainable>
using EveryBlock =
    decltype(std::tuple_cat(std::declval<RowBlocks<S, W>>(), std::declval<SelfBlocks<S, W>>(),
                            std::declval<ContextBlocks<S, W>>(), std::declval<Resamplers<S, W>>()));

/// Those that hold all the others, where compile time counts.
template <class S, class W = Trainable>
using LargestBlocks = decltype(std::tuple_cat(
    std::declval<std::tuple<ResidualMlp<ResidualMlpSpec{.width = 37, .inner = 40, .layers = 2}, S, Cpu, W>,
                            Embedding<EmbeddingSpec{.vocabulary = 7, .width = 5, .scale = 3}, S, Cpu, W>>>(),
    std::declval<TransformerBlocks<S, W>>(), std::declval<Resamplers<S, W>>()));

}  // namespace hyperblocks::test
