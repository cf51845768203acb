// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// EncoderBlock: the classic encoder layer: self attention, without positions or with rotary ones, MLP,
// LayerNorms, behind each residual (post, the default) or before each branch (pre). The axis that it attends
// along is a choice of sequences at the call.
#pragma once

#include <hyperblocks/blocks/transformer_block.hpp>

namespace hyperblocks {

struct EncoderBlockSpec {
  Index hidden = 0;
  Index heads = 0;
  Index inner = 0;
  Activation activation = Activation::gelu_exact;
  NormPlacement placement = NormPlacement::post;
  double epsilon = 1e-5;
  bool bias = true;
  bool rotary = false;  ///< rotary positions, whose tables come with the input
  bool gated = false;   ///< the MLP is down(activation(gate x) * up x), with a bias of down alone
};

namespace detail {
/// A struct around the alias: g++ 12 crashes on aliases whose spec still depends on a template argument.
template <EncoderBlockSpec spec, RealScalar Scalar, class Device, class Weights>
struct EncoderBlockOf {
  using PlainMlp =
      Mlp<MlpSpec{spec.hidden, spec.inner, spec.hidden, spec.activation, spec.bias}, Scalar, Device, Weights>;
  using GatedMlp = GluMlp<
      GluMlpSpec{
          .hidden = spec.hidden, .inner = spec.inner, .activation = spec.activation, .down_bias = spec.bias},
      Scalar, Device, Weights>;
  using Type = TransformerBlock<
      Attention<AttentionSpec{.hidden = spec.hidden,
                              .heads = spec.heads,
                              .bias = spec.bias,
                              .output_bias = spec.bias,
                              .rotated = spec.rotary ? spec.hidden / std::max<Index>(spec.heads, 1) : 0},
                Scalar, Device, Weights>,
      std::conditional_t<spec.gated, GatedMlp, PlainMlp>,
      LayerNorm<LayerNormSpec{spec.hidden, spec.epsilon}, Scalar, Device, Weights>, spec.placement>;
};
}  // namespace detail

template <EncoderBlockSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
using EncoderBlock = typename detail::EncoderBlockOf<spec, Scalar, Device, Weights>::Type;

}  // namespace hyperblocks
