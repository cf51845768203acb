// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextEncoderSpec: in what the encoders of the BERT family differ: BERT and MiniLM with learned positions,
// gte v1.5 with rotary ones and gated MLPs.
#pragma once

#include <hyperblocks/ops/activation.hpp>
#include <hyperblocks/ops/rope.hpp>

namespace hyperblocks {

struct TextEncoderSpec {
  Index vocabulary = 0;
  Index hidden = 0;
  Index layers = 0;
  Index heads = 0;
  Index inner = 0;
  Index positions = 512;  ///< the longest text
  Index token_types = 2;  ///< rows of the table of token types, of which the first is used; 0: no table
  Activation activation = Activation::gelu_exact;
  double epsilon = 1e-12;
  bool gated = false;    ///< gated MLPs
  double rope_base = 0;  ///< rotary positions; 0: a learned table
  RopeScaling rope_scaling = {};

  friend constexpr bool operator==(const TextEncoderSpec&, const TextEncoderSpec&) = default;
};

/// f(name, value) for every field, in order, of one spec or (name, first, second) of two.
template <class F, class... Specs>
requires(std::same_as<Specs, TextEncoderSpec>&&...) constexpr void each_field(F f, const Specs&... specs) {
  f("vocabulary", specs.vocabulary...);
  f("hidden", specs.hidden...);
  f("layers", specs.layers...);
  f("heads", specs.heads...);
  f("inner", specs.inner...);
  f("positions", specs.positions...);
  f("token_types", specs.token_types...);
  f("activation", specs.activation...);
  f("epsilon", specs.epsilon...);
  f("gated", specs.gated...);
  f("rope_base", specs.rope_base...);
  f("rope_scaling.kind", specs.rope_scaling.kind...);
  f("rope_scaling.factor", specs.rope_scaling.factor...);
}

}  // namespace hyperblocks
