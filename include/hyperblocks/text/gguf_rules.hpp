// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The tokenizers that GGUF files carry, made of the same parts: "gpt2", byte-level BPE with a splitting rule
// by name, and "llama", SentencePiece's BPE by scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <hyperblocks/text/added_tokens.hpp>
#include <hyperblocks/text/bpe.hpp>
#include <hyperblocks/text/decoders.hpp>
#include <hyperblocks/text/gguf_vocabulary.hpp>
#include <hyperblocks/text/post_processors.hpp>

namespace hyperblocks::detail {

struct GgufRules {
  std::shared_ptr<const TokenModel> model;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  Surround surround;
  std::vector<AddedToken> added;
  bool space_prefix = false;
};

/// A splitting rule: expressions one after the other, and whether a whole word that is a token is not merged.
struct SplittingRule {
  std::vector<std::string_view> patterns;
  bool ignore_merges = false, add_bos = false;
};

inline SplittingRule splitting_rule(const GgufVocabulary& parts) {
  constexpr std::string_view llama3 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                                      R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view qwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                                     R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr std::string_view tekken =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
      R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
      R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string& pre = parts.pre;
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), pre) != names.end();
  };
  if (is({"", "default"})) return {{R"([\p{P}\$\+<=>\^~\|]+)", gpt2_pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}};
  if (is({"gpt-2", "phi-2", "mpt", "olmo", "jais"})) return {{gpt2_pattern}};
  if (is({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}))
    return {{R"(\p{N})", gpt2_pattern}};
  if (is({"qwen2", "deepseek-r1-qwen", "stablelm2"})) return {{qwen2}};
  if (is({"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"})) return {{llama3}, true, true};
  if (is({"dbrx", "smaug-bpe"})) return {{llama3}};
  if (is({"tekken"})) return {{tekken}, true, true};
  throw Error("a splitting rule that is not known", parts.file + ": tokenizer.ggml.pre",
              "default, gpt-2, smollm, qwen2, llama-bpe, tekken or a name for one of their rules",
              "'" + pre + "'");
}

/// Tokens that are matched in the text as they stand.
inline std::vector<AddedToken> gguf_added(const GgufVocabulary& parts) {
  std::vector<AddedToken> added;
  for (std::size_t i = 0; i < parts.token_types.size(); ++i) {
    const auto type = static_cast<GgufTokenType>(parts.token_types[i]);
    const bool special = type == GgufTokenType::control || type == GgufTokenType::unknown;
    if ((special || type == GgufTokenType::user_defined) && !parts.tokens[i].empty())
      added.push_back({.content = parts.tokens[i], .id = static_cast<std::int32_t>(i), .special = special});
  }
  return added;
}

inline Vocabulary gguf_tokens(const GgufVocabulary& parts) {
  const std::string where = parts.file + ": tokenizer.ggml.tokens";
  const std::size_t count = parts.tokens.size();
  check(count > 0 && count < 0x7FFFFFFF,
        [&] { return Error("malformed file", where, "tokens", std::to_string(count)); });
  Vocabulary vocabulary;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& token = parts.tokens[i];
    check(valid_size(token) == token.size(), [&] {
      return Error("malformed file", where + "/" + std::to_string(i), "UTF-8", in_quotes(valid_utf8(token)));
    });
    vocabulary.add(token, static_cast<std::int32_t>(i), where);
  }
  return vocabulary;
}

inline void check_gguf(const GgufVocabulary& parts) {
  const auto one_each = [&](const std::string& key, std::size_t size) {
    check(size == 0 || size == parts.tokens.size(), [&] {
      return Error("malformed file", parts.file + ": tokenizer.ggml." + key,
                   std::to_string(parts.tokens.size()) + " as tokens", std::to_string(size));
    });
  };
  one_each("token_type", parts.token_types.size());
  one_each("scores", parts.scores.size());
  const auto in_range = [&](const std::string& key, std::optional<std::int32_t> id) {
    check(!id || (*id >= 0 && static_cast<std::size_t>(*id) < parts.tokens.size()), [&] {
      return Error("malformed file", parts.file + ": tokenizer.ggml." + key + "_token_id",
                   "an id below " + std::to_string(parts.tokens.size()), std::to_string(*id));
    });
  };
  in_range("bos", parts.bos);
  in_range("eos", parts.eos);
  in_range("unknown", parts.unknown);
  in_range("padding", parts.padding);
}

inline void use_gpt2(const GgufVocabulary& parts, const SplittingRule& rule, GgufRules& rules) {
  Bpe::Pairs merges;
  for (std::size_t i = 0; i < parts.merges.size(); ++i) {
    const std::string& merge = parts.merges[i];
    const std::size_t space = merge.find(' ', 1);  // a token may begin with one
    check(space != merge.npos, [&] {
      return Error("malformed file", parts.file + ": tokenizer.ggml.merges/" + std::to_string(i),
                   "two tokens, one space between", in_quotes(valid_utf8(merge)));
    });
    merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  const std::string where = parts.file + ": tokenizer.ggml";
  rules.model = std::make_shared<Bpe>(
      gguf_tokens(parts), merges,
      BpeOptions{.unknown = {}, .prefix = {}, .suffix = {}, .ignore_merges = rule.ignore_merges}, where);
  std::vector<Regex> patterns;
  patterns.reserve(rule.patterns.size());
  for (const std::string_view pattern : rule.patterns) patterns.emplace_back(pattern, where + ".pre");
  rules.pre_tokenizer = [patterns = std::move(patterns)](Words& words) {
    for (const Regex& pattern : patterns) words.split(matches_of(pattern), Behavior::isolated);
    words.rewrite([](std::string_view word, bool) { return to_byte_level(word); });
  };
  rules.decoder = decode_byte_level;
}

inline void use_llama(const GgufVocabulary& parts, GgufRules& rules) {
  check(parts.scores.size() == parts.tokens.size(), [&] {
    return Error("malformed file", parts.file + ": tokenizer.ggml.scores", "one a token",
                 std::to_string(parts.scores.size()));
  });
  check(std::none_of(parts.scores.begin(), parts.scores.end(), [](float score) { return std::isnan(score); }),
        [&] { return Error("malformed file", parts.file + ": tokenizer.ggml.scores", "numbers", "NaN"); });
  rules.model = std::make_shared<ScoredBpe>(gguf_tokens(parts), parts.scores, parts.unknown);
  rules.space_prefix = parts.add_space_prefix.value_or(true);
  const Metaspace metaspace{.prepend = Metaspace::Prepend::never, .split = false};
  rules.pre_tokenizer = metaspace;
  rules.decoder = [strip = rules.space_prefix, metaspace](Texts& tokens) {
    MetaspaceDecoder{metaspace}(tokens);
    decode_byte_fallback(tokens);
    tokens = {joined(tokens)};
    if (strip) StripDecoder{.start = 1}(tokens);
  };
}

inline GgufRules gguf_rules(const GgufVocabulary& parts) {
  check_gguf(parts);
  GgufRules rules;
  bool add_bos = true;
  if (parts.model == "gpt2") {
    const SplittingRule rule = splitting_rule(parts);
    add_bos = rule.add_bos;
    use_gpt2(parts, rule, rules);
  } else if (parts.model == "llama") {
    use_llama(parts, rules);
  } else {
    throw Error("a tokenizer that is not supported", parts.file + ": tokenizer.ggml.model", "gpt2 or llama",
                "'" + parts.model + "'");
  }
  rules.added = gguf_added(parts);
  const auto own = [&](bool wanted, std::optional<std::int32_t> id, const std::string& key, Ids& ids) {
    if (!wanted) return;
    check(id.has_value(), [&] {
      return Error("malformed file", parts.file + ": tokenizer.ggml." + key, "an id, as it is to be added",
                   "none");
    });
    ids.push_back(*id);
  };
  own(parts.add_bos.value_or(add_bos), parts.bos, "bos_token_id", rules.surround.before);
  own(parts.add_eos.value_or(false), parts.eos, "eos_token_id", rules.surround.after);
  return rules;
}

}  // namespace hyperblocks::detail
