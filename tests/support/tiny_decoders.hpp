// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Decoders in tests/fixtures/models.
#pragma once

#include <hyperblocks/models/decoder.hpp>

namespace hyperblocks::test {

inline constexpr DecoderSpec tiny_llama{.vocabulary = 40,
                                        .hidden = 16,
                                        .layers = 3,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .inner = 24,
                                        .positions = 64,
                                        .epsilon = 1e-5};
inline constexpr DecoderSpec tiny_qwen2 = [] {
  DecoderSpec spec = tiny_llama;
  spec.epsilon = 1e-6, spec.bias = spec.tied = true;
  return spec;
}();

inline constexpr DecoderSpec tiny_qwen3_biased = [] {
  DecoderSpec spec = tiny_llama;
  spec.epsilon = 1e-6, spec.head_norm = spec.bias = spec.output_bias = true;
  return spec;
}();

/// Where one of them lies.
constexpr const char* folder_of(const DecoderSpec& spec) {
  return spec.output_bias ? "qwen3_biased" : spec.bias ? "qwen2" : "llama";
}

}  // namespace hyperblocks::test
