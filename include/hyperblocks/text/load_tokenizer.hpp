// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What comes with a model, a folder or a GGUF file: its tokenizer (also a tokenizer.json alone), its chat
// template, and the tokens that end an answer.
#pragma once

#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/text/chat_template.hpp>
#include <hyperblocks/text/tokenizer.hpp>

namespace hyperblocks {

/// What a GGUF file says of its tokenizer.
inline GgufVocabulary gguf_vocabulary(const GgufFile& file) {
  const auto id = [&](const char* key) {
    return file.find<std::int32_t>(std::string("tokenizer.ggml.") + key);
  };
  const auto flag = [&](const char* key) { return file.find<bool>(std::string("tokenizer.ggml.") + key); };
  const auto text = [&](const char* key) {
    return std::string(file.find<std::string_view>(key).value_or(""));
  };
  const auto texts = [&](const char* key) {
    const auto views =
        file.find<std::vector<std::string_view>>(key).value_or(std::vector<std::string_view>());
    return std::vector<std::string>(views.begin(), views.end());
  };
  GgufVocabulary parts;
  parts.file = file.name();
  parts.model = file.get<std::string_view>("tokenizer.ggml.model");
  parts.pre = text("tokenizer.ggml.pre");
  parts.tokens = texts("tokenizer.ggml.tokens");
  parts.merges = texts("tokenizer.ggml.merges");
  parts.scores = file.find<std::vector<float>>("tokenizer.ggml.scores").value_or(std::vector<float>());
  parts.token_types =
      file.find<std::vector<std::int32_t>>("tokenizer.ggml.token_type").value_or(std::vector<std::int32_t>());
  parts.bos = id("bos_token_id"), parts.eos = id("eos_token_id");
  parts.unknown = id("unknown_token_id"), parts.padding = id("padding_token_id");
  parts.add_bos = flag("add_bos_token"), parts.add_eos = flag("add_eos_token");
  parts.add_space_prefix = flag("add_space_prefix");
  parts.chat_template = text("tokenizer.chat_template");
  return parts;
}

inline Tokenizer load_tokenizer(const std::filesystem::path& path) {
  if (detail::is_gguf(path)) return Tokenizer::from_gguf_parts(gguf_vocabulary(GgufFile(path)));
  return Tokenizer::from_json_file(path);
}

inline ChatTemplate load_chat_template(const std::filesystem::path& path) {
  if (!detail::is_gguf(path)) return ChatTemplate::from_directory(path);
  const GgufFile file(path);
  const auto text = file.find<std::string_view>("tokenizer.chat_template");
  if (!text)
    throw Error("no chat template", path.string(), "the key 'tokenizer.chat_template'", "no such key");
  return ChatTemplate::recognise(*text, path.string());
}

/// The model's own end of text, the ends of a turn of the known chat families, and the eos_token_id, one or
/// several, of a folder's generation_config.json.
inline std::vector<std::int32_t> end_tokens(const Tokenizer& tokenizer,
                                            const std::filesystem::path& model = {}) {
  std::vector<std::int32_t> ends;
  if (const auto eos = tokenizer.eos()) ends.push_back(*eos);
  for (const char* token :
       {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>"})
    if (const auto id = tokenizer.id_of(token)) ends.push_back(*id);
  const auto file = model / "generation_config.json";
  if (model.empty() || !is_there(file)) return ends;
  const JsonObject config(read_json(file), file.string());
  const std::string key = "eos_token_id";
  if (config.contains(key) && config.fields().at(key).is_array()) {
    const auto several = config.get<std::vector<std::int32_t>>(key);
    ends.insert(ends.end(), several.begin(), several.end());
  } else if (const auto one = config.find<std::int32_t>(key)) {
    ends.push_back(*one);
  }
  return ends;
}

}  // namespace hyperblocks
