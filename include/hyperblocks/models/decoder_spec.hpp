// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DecoderSpec: everything in which the decoders of Llama, SmolLM2, Qwen, Mistral and Gemma differ; a template
// argument of Decoder, and what a reader finds in config.json or a GGUF file. Named specs: decoders.hpp.
#pragma once

#include <hyperblocks/ops/activation.hpp>
#include <hyperblocks/ops/rope.hpp>

namespace hyperblocks {

struct DecoderSpec {
  Index vocabulary = 0;
  Index hidden = 0;
  Index layers = 0;
  Index heads = 0;
  Index kv_heads = 0;    ///< 0: as many as heads
  Index head_width = 0;  ///< 0: hidden / heads
  Index inner = 0;       ///< of the gated MLP
  Index positions = 0;   ///< the longest sequence that the model was trained for
  Activation activation = Activation::silu;
  double epsilon = 1e-6;
  double norm_shift = 0;          ///< Gemma: 1, its norms multiply by 1 + weight
  bool output_norms = false;      ///< Gemma: a norm behind attention and MLP
  bool head_norm = false;         ///< Qwen3, Gemma 3: norms of q's and k's heads
  bool bias = false;              ///< of q, k and v: Qwen2
  bool output_bias = false;       ///< of o, where a config.json says attention_bias
  bool tied = false;              ///< the logits come from the embedding's matrix
  double embedding_scale = 1;     ///< Gemma: sqrt(hidden)
  double attention_scale = 0;     ///< 0: 1 / sqrt(head_width)
  double attention_soft_cap = 0;  ///< Gemma 2: 50; 0: none
  double logit_soft_cap = 0;      ///< Gemma 2: 30; 0: none
  Index window = 0;               ///< sliding window: how many keys a query sees; 0: all
  Index full_every = 0;           ///< with a window: layers n - 1, 2 n - 1 ... have none; 0: all have it
  double rope_base = 10000;
  RopeScaling rope_scaling = {};
  double window_rope_base =
      0;  ///< Gemma 3: layers with a window have this base and no scaling; 0: as the others

  constexpr Index key_heads() const { return kv_heads != 0 ? kv_heads : heads; }
  constexpr Index width() const { return head_width != 0 || heads == 0 ? head_width : hidden / heads; }
  /// Whether a layer's queries see a window only.
  constexpr bool slides(Index layer) const {
    return window > 0 && (full_every == 0 || (layer + 1) % full_every != 0);
  }
  friend constexpr bool operator==(const DecoderSpec&, const DecoderSpec&) = default;
};

/// f(name, value) for every field, in order, of one spec or (name, first, second) of two.
template <class F, class... Specs>
requires(std::same_as<Specs, DecoderSpec>&&...) constexpr void each_field(F f, const Specs&... specs) {
  f("vocabulary", specs.vocabulary...);
  f("hidden", specs.hidden...);
  f("layers", specs.layers...);
  f("heads", specs.heads...);
  f("kv_heads", specs.kv_heads...);
  f("head_width", specs.head_width...);
  f("inner", specs.inner...);
  f("positions", specs.positions...);
  f("activation", specs.activation...);
  f("epsilon", specs.epsilon...);
  f("norm_shift", specs.norm_shift...);
  f("output_norms", specs.output_norms...);
  f("head_norm", specs.head_norm...);
  f("bias", specs.bias...);
  f("output_bias", specs.output_bias...);
  f("tied", specs.tied...);
  f("embedding_scale", specs.embedding_scale...);
  f("attention_scale", specs.attention_scale...);
  f("attention_soft_cap", specs.attention_soft_cap...);
  f("logit_soft_cap", specs.logit_soft_cap...);
  f("window", specs.window...);
  f("full_every", specs.full_every...);
  f("rope_base", specs.rope_base...);
  f("rope_scaling.kind", specs.rope_scaling.kind...);
  f("rope_scaling.factor", specs.rope_scaling.factor...);
  f("rope_scaling.low_frequency_factor", specs.rope_scaling.low_frequency_factor...);
  f("rope_scaling.high_frequency_factor", specs.rope_scaling.high_frequency_factor...);
  f("rope_scaling.original_positions", specs.rope_scaling.original_positions...);
  f("window_rope_base", specs.window_rope_base...);
}

}  // namespace hyperblocks
