// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a GGUF file says about its tokenizer (keys tokenizer.ggml.* and tokenizer.chat_template).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hyperblocks {

struct GgufVocabulary {
  std::string file;                       ///< stands in errors
  std::string model;                      ///< "gpt2" or "llama"
  std::string pre;                        ///< which splitting rule "gpt2" uses; empty: none given
  std::vector<std::string> tokens;        ///< the id is the index
  std::vector<float> scores;              ///< "llama": one a token
  std::vector<std::int32_t> token_types;  ///< empty, or one a token: see GgufTokenType
  std::vector<std::string> merges;        ///< "gpt2": "left right", the first merges first
  std::optional<std::int32_t> bos, eos, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix;  ///< none: as is usual for the model
  std::string chat_template;
};

enum class GgufTokenType : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

}  // namespace hyperblocks
