// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The public models by name: Decoder<specs::smollm2_135m, float, Cpu>. Any other model's spec is written by
// hyperblocks_add_base() from its config.json or GGUF file.
#pragma once

#include <hyperblocks/models/decoder_spec.hpp>

namespace hyperblocks::specs {

namespace detail {
constexpr DecoderSpec qwen3(Index hidden, Index layers, Index heads, Index inner, bool tied) {
  return {.vocabulary = 151936,
          .hidden = hidden,
          .layers = layers,
          .heads = heads,
          .kv_heads = 8,
          .head_width = 128,
          .inner = inner,
          .positions = 40960,
          .head_norm = true,
          .tied = tied,
          .rope_base = 1e6};
}

constexpr DecoderSpec smollm2(Index hidden, Index layers, Index heads, Index kv_heads, Index inner,
                              double rope_base) {
  return {.vocabulary = 49152,
          .hidden = hidden,
          .layers = layers,
          .heads = heads,
          .kv_heads = kv_heads,
          .inner = inner,
          .positions = 8192,
          .epsilon = 1e-5,
          .tied = true,
          .rope_base = rope_base};
}
}  // namespace detail

inline constexpr DecoderSpec qwen3_0_6b = detail::qwen3(1024, 28, 16, 3072, true);
inline constexpr DecoderSpec qwen3_1_7b = detail::qwen3(2048, 28, 16, 6144, true);
inline constexpr DecoderSpec qwen3_4b = detail::qwen3(2560, 36, 32, 9728, true);
inline constexpr DecoderSpec qwen3_8b = detail::qwen3(4096, 36, 32, 12288, false);

inline constexpr DecoderSpec smollm2_135m = detail::smollm2(576, 30, 9, 3, 1536, 1e5);
inline constexpr DecoderSpec smollm2_360m = detail::smollm2(960, 32, 15, 5, 2560, 1e5);
inline constexpr DecoderSpec smollm2_1_7b = detail::smollm2(2048, 24, 32, 32, 8192, 130000);

/// Also Llama-3.1-8B-Instruct.
inline constexpr DecoderSpec llama3_1_8b{.vocabulary = 128256,
                                         .hidden = 4096,
                                         .layers = 32,
                                         .heads = 32,
                                         .kv_heads = 8,
                                         .inner = 14336,
                                         .positions = 131072,
                                         .epsilon = 1e-5,
                                         .rope_base = 5e5,
                                         .rope_scaling = {.kind = RopeScaling::Kind::llama3,
                                                          .factor = 8,
                                                          .low_frequency_factor = 1,
                                                          .high_frequency_factor = 4,
                                                          .original_positions = 8192}};

inline constexpr DecoderSpec mistral_7b_instruct_v0_2{.vocabulary = 32000,
                                                      .hidden = 4096,
                                                      .layers = 32,
                                                      .heads = 32,
                                                      .kv_heads = 8,
                                                      .inner = 14336,
                                                      .positions = 32768,
                                                      .epsilon = 1e-5,
                                                      .rope_base = 1e6};

inline constexpr DecoderSpec gemma2_2b{.vocabulary = 256000,
                                       .hidden = 2304,
                                       .layers = 26,
                                       .heads = 8,
                                       .kv_heads = 4,
                                       .head_width = 256,
                                       .inner = 9216,
                                       .positions = 8192,
                                       .activation = Activation::gelu_tanh,
                                       .norm_shift = 1,
                                       .output_norms = true,
                                       .tied = true,
                                       .embedding_scale = 48,
                                       .attention_soft_cap = 50,
                                       .logit_soft_cap = 30,
                                       .window = 4096,
                                       .full_every = 2};

inline constexpr DecoderSpec gemma3_270m{.vocabulary = 262144,
                                         .hidden = 640,
                                         .layers = 18,
                                         .heads = 4,
                                         .kv_heads = 1,
                                         .head_width = 256,
                                         .inner = 2048,
                                         .positions = 32768,
                                         .activation = Activation::gelu_tanh,
                                         .norm_shift = 1,
                                         .output_norms = true,
                                         .head_norm = true,
                                         .tied = true,
                                         .embedding_scale = 25.298221281347036,  // sqrt(hidden)
                                         .window = 512,
                                         .full_every = 6,
                                         .rope_base = 1e6,
                                         .window_rope_base = 1e4};

}  // namespace hyperblocks::specs
