// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DecoderBlock: a layer of a language model: causal self attention with rotary positions, gated MLP,
// RMSNorms. What differs between Llama, Qwen3 (norms of q's and k's heads) and Gemma (norms behind each
// branch, soft cap, 1 + weight) is a field of the spec. Its rotary tables come with the input (ops/rope.hpp):
//   DecoderBlock::forward(cpu, params, {.x = x, .setup = {.rotary = tables}}, y);
#pragma once

#include <hyperblocks/blocks/transformer_block.hpp>

namespace hyperblocks {

struct DecoderBlockSpec {
  Index hidden = 0;
  Index heads = 0;
  Index kv_heads = 0;    ///< 0: as many as heads
  Index head_width = 0;  ///< 0: hidden / heads
  Index inner = 0;
  Activation activation = Activation::silu;
  double epsilon = 1e-6;
  double norm_shift = 0;          ///< Gemma: 1
  bool output_norms = false;      ///< Gemma: a norm behind attention and MLP
  bool head_norm = false;         ///< Qwen3, Gemma 3
  bool bias = false;              ///< of q, k and v: Qwen2
  bool output_bias = false;       ///< of o
  double attention_scale = 0;     ///< 0: 1 / sqrt(head_width)
  double attention_soft_cap = 0;  ///< Gemma 2: 50
  Index window = 0;               ///< sliding window; 0: none
  RopeLayout layout = RopeLayout::half_split;

  constexpr Index width() const { return head_width != 0 || heads == 0 ? head_width : hidden / heads; }
};

namespace detail {
/// A struct around the alias: g++ 12 crashes on aliases whose spec still depends on a template argument.
template <DecoderBlockSpec spec, RealScalar Scalar, class Device, class Weights>
struct DecoderBlockOf {
  using Type = TransformerBlock<
      Attention<AttentionSpec{.hidden = spec.hidden,
                              .heads = spec.heads,
                              .kv_heads = spec.kv_heads,
                              .head_width = spec.head_width,
                              .bias = spec.bias,
                              .output_bias = spec.output_bias,
                              .causal = true,
                              .window = spec.window,
                              .rotated = spec.width(),
                              .scale = spec.attention_scale,
                              .soft_cap = spec.attention_soft_cap,
                              .layout = spec.layout,
                              .head_norm = spec.head_norm,
                              .epsilon = spec.epsilon,
                              .shift = spec.norm_shift},
                Scalar, Device, Weights>,
      GluMlp<GluMlpSpec{.hidden = spec.hidden, .inner = spec.inner, .activation = spec.activation}, Scalar,
             Device, Weights>,
      RmsNorm<RmsNormSpec{spec.hidden, spec.epsilon, spec.norm_shift}, Scalar, Device, Weights>,
      spec.output_norms ? NormPlacement::sandwich : NormPlacement::pre>;
};
}  // namespace detail

template <DecoderBlockSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
using DecoderBlock = typename detail::DecoderBlockOf<spec, Scalar, Device, Weights>::Type;

}  // namespace hyperblocks
