// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention and the blocks around it, over a table of types: gradients in double against finite differences
// (inputs, contexts, parameters, low-rank updates), bits and memory in float.
#include <hyperblocks/blocks/decoder_block.hpp>
#include <hyperblocks/blocks/encoder_block.hpp>
#include <hyperblocks/blocks/perceiver.hpp>

#include "../support/block_check.hpp"

namespace hb = hyperblocks;
using hb::Activation, hb::Cpu;

namespace {

template <class S>
using SelfTable = std::tuple<
    hb::Attention<hb::AttentionSpec{.hidden = 12, .heads = 3}, S, Cpu>,
    hb::Attention<hb::AttentionSpec{.hidden = 10,
                                    .heads = 4,
                                    .kv_heads = 2,
                                    .head_width = 6,
                                    .bias = true,
                                    .output_bias = true,
                                    .causal = true,
                                    .rotated = 4,
                                    .layout = hb::RopeLayout::interleaved},
                  S, Cpu>,
    hb::EncoderBlock<hb::EncoderBlockSpec{.hidden = 8, .heads = 2, .inner = 12}, S, Cpu>,
    hb::EncoderBlock<hb::EncoderBlockSpec{.hidden = 12,
                                          .heads = 2,
                                          .inner = 9,
                                          .activation = Activation::silu,
                                          .placement = hb::NormPlacement::pre,
                                          .bias = false},
                     S, Cpu>,
    hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 12, .heads = 3, .kv_heads = 1, .inner = 20}, S, Cpu>,
    hb::DecoderBlock<
        hb::DecoderBlockSpec{
            .hidden = 8, .heads = 4, .kv_heads = 2, .head_width = 6, .inner = 10, .head_norm = true},
        S, Cpu>,
    hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 8,
                                          .heads = 2,
                                          .kv_heads = 1,
                                          .head_width = 4,
                                          .inner = 10,
                                          .activation = Activation::gelu_tanh,
                                          .norm_shift = 1,
                                          .output_norms = true,
                                          .attention_scale = 0.3,
                                          .attention_soft_cap = 2,
                                          .window = 3},
                     S, Cpu>>;

template <class S>
using CrossTable = std::tuple<
    hb::Attention<hb::AttentionSpec{.hidden = 12, .heads = 4, .kv_heads = 2, .context = 7}, S, Cpu>,
    hb::PerceiverLayer<
        hb::PerceiverLayerSpec{
            .hidden = 6, .context = 9, .heads = 4, .kv_heads = 2, .head_width = 5, .inner = 11},
        S, Cpu>>;

constexpr hb::PerceiverLayerSpec layer{.hidden = 8, .context = 6, .heads = 2, .kv_heads = 1, .inner = 9};

template <class S>
using ResamplerTable = std::tuple<
    hb::Resampler<hb::ResamplerSpec{.latents = 3, .blocks = 2, .layer = layer}, S, Cpu>,
    hb::Resampler<hb::ResamplerSpec{
                      .latents = 2, .blocks = 3, .self_layers = 2, .shares_weights = true, .layer = layer},
                  S, Cpu>>;

}  // namespace

TEST_CASE("gradients of self attention agree with finite differences") {
  hb::test::for_every_block<SelfTable<double>>([]<class B>(std::type_identity<B>) {
    hb::test::check_gradients<B>({.count = 1, .length = 1});
    hb::test::check_gradients<B>({.count = 2, .length = 5, .masked = true});
    hb::test::check_gradients<B>({.count = 3, .length = 4, .interleaved = true, .updated = true});
  });
}

TEST_CASE("gradients of cross attention agree with finite differences") {
  hb::test::for_every_block<CrossTable<double>>([]<class B>(std::type_identity<B>) {
    hb::test::check_gradients<B>({.count = 2, .length = 3, .masked = true, .updated = true});
  });
}

TEST_CASE("gradients of resamplers agree with finite differences") {
  hb::test::for_every_block<ResamplerTable<double>>([]<class B>(std::type_identity<B>) {
    hb::test::check_gradients<B>({.count = 2, .length = 5, .masked = true});
  });
}

TEST_CASE("bits do not depend on threads or on the tape, and memory stays once warm") {
  const auto check = []<class B>(std::type_identity<B>) {
    hb::test::check_bits_and_memory<B>({.count = 3, .length = 21, .masked = true, .updated = true});
  };
  hb::test::for_every_block<SelfTable<float>>(check);
  hb::test::for_every_block<CrossTable<float>>(check);
  hb::test::for_every_block<ResamplerTable<float>>(check);
}
