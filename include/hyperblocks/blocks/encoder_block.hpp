// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// EncoderBlock: the classic encoder layer: self attention without positions, MLP with biases, LayerNorms,
// behind each residual (post, the default) or before each branch (pre). The axis that it attends along is a
// choice of sequences at the call.
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
};

template <EncoderBlockSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
using EncoderBlock = TransformerBlock<
    Attention<AttentionSpec{
                  .hidden = spec.hidden, .heads = spec.heads, .bias = spec.bias, .output_bias = spec.bias},
              Scalar, Device, Weights>,
    Mlp<MlpSpec{spec.hidden, spec.inner, spec.hidden, spec.activation, spec.bias}, Scalar, Device, Weights>,
    LayerNorm<LayerNormSpec{spec.hidden, spec.epsilon}, Scalar, Device, Weights>, spec.placement>;

}  // namespace hyperblocks
