// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A byte-level BPE tokenizer made from texts: the most frequent pair of neighbours within words becomes a
// token, again and again. Any text can be read: there is a token for every byte, and digits stay alone.
//   write("tokenizer.json", trained_bpe(texts, {.vocabulary = 1024, .special = {"<|im_start|>"}}));
#pragma once

#include <map>
#include <string>
#include <vector>

#include <hyperblocks/text/pre_tokenizers.hpp>

namespace hyperblocks {

struct BpeOptions {
  std::size_t vocabulary = 1024;          ///< tokens at most, the special ones with them
  std::vector<std::string> special = {};  ///< found in texts as they are, never cut; their ids come first
};

namespace detail {
using TokenPair = std::pair<std::string, std::string>;

/// A word in tokens, and how often it occurs.
struct CountedWord {
  std::vector<std::string> tokens;
  std::size_t count = 0;
};

inline nlohmann::json bpe_pre_tokenizer() {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Digits"}, {"individual_digits", true}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
}

inline std::vector<CountedWord> counted_words(std::span<const std::string> texts) {
  const nlohmann::json rules = bpe_pre_tokenizer();
  const PreTokenizer cut = read_pre_tokenizer(JsonElement(rules, "trained_bpe"));
  std::map<std::string, std::size_t> counts;
  for (const std::string& text : texts) {
    Words words(valid_utf8(text), true);
    cut(words);
    words.each([&](std::string_view word) { ++counts[std::string(word)]; });
  }
  std::vector<CountedWord> result;
  for (const auto& [word, count] : counts) {
    CountedWord& counted = result.emplace_back();
    counted.count = count;
    each_character(word, [&](char32_t, std::string_view bytes) { counted.tokens.emplace_back(bytes); });
  }
  return result;
}

/// The most frequent pair, of equal ones the first by its letters; nothing where no pair occurs twice.
inline std::optional<TokenPair> most_frequent(const std::vector<CountedWord>& words) {
  std::map<TokenPair, std::size_t> counts;
  for (const CountedWord& word : words)
    for (std::size_t i = 1; i < word.tokens.size(); ++i)
      counts[{word.tokens[i - 1], word.tokens[i]}] += word.count;
  const auto most =
      std::ranges::max_element(counts, [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == counts.end() || most->second < 2) return std::nullopt;
  return most->first;
}

inline void merge_pair(std::vector<CountedWord>& words, const TokenPair& pair) {
  for (CountedWord& word : words)
    for (std::size_t i = 1; i < word.tokens.size(); ++i)
      if (word.tokens[i - 1] == pair.first && word.tokens[i] == pair.second) {
        word.tokens[i - 1] += word.tokens[i];
        word.tokens.erase(word.tokens.begin() + static_cast<Index>(i));
      }
}
}  // namespace detail

/// The text of a tokenizer.json.
inline std::string trained_bpe(std::span<const std::string> texts, const BpeOptions& options) {
  check(options.vocabulary >= options.special.size() + 256, [&] {
    return Error("a vocabulary that does not hold all bytes", "trained_bpe",
                 std::to_string(options.special.size() + 256) + " tokens or more",
                 std::to_string(options.vocabulary));
  });
  nlohmann::ordered_json vocabulary = nlohmann::ordered_json::object(),
                         added = nlohmann::ordered_json::array(), merges = nlohmann::ordered_json::array();
  for (const std::string& token : options.special) {
    added.push_back({{"id", vocabulary.size()},
                     {"content", token},
                     {"special", true},
                     {"normalized", false},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false}});
    vocabulary[token] = vocabulary.size();
  }
  for (int byte = 0; byte < 256; ++byte)
    vocabulary[detail::to_byte_level(std::string(1, static_cast<char>(byte)))] = vocabulary.size();
  auto words = detail::counted_words(texts);
  while (vocabulary.size() < options.vocabulary) {
    const auto pair = detail::most_frequent(words);
    if (!pair) break;
    detail::merge_pair(words, *pair);
    merges.push_back({pair->first, pair->second});
    vocabulary[pair->first + pair->second] = vocabulary.size();
  }
  const nlohmann::ordered_json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", detail::bpe_pre_tokenizer()},
      {"post_processor", nullptr},
      {"decoder",
       {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model", {{"type", "BPE"}, {"unk_token", nullptr}, {"vocab", vocabulary}, {"merges", merges}}}};
  return tokenizer.dump(1) + "\n";
}

}  // namespace hyperblocks
