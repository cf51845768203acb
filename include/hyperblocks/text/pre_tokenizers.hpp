// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Pre-tokenizers of tokenizer.json: where a text is cut into the words that the model sees one by one.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hyperblocks/text/normalizers.hpp>

namespace hyperblocks::detail {

inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A stretch of a text, and whether a pattern matched it.
struct Stretch {
  std::size_t begin = 0, end = 0;
  bool matched = false;
};

/// What becomes of the stretches that match.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// The words of a text, in order; splitting cuts them, rewriting replaces their text.
class Words {
 public:
  /// `at_start`: the text stands at the beginning of the whole.
  Words(std::string text, bool at_start) : text_(std::move(text)), at_start_(at_start) {
    if (!text_.empty()) words_.push_back({0, text_.size()});
  }

  std::size_t bytes() const { return text_.size(); }

  template <class F>
  void each(F f) const {
    for (const auto& [begin, end] : words_) f(std::string_view(text_).substr(begin, end - begin));
  }

  /// find(word, stretches) tiles each word with stretches.
  template <class F>
  void split(const F& find, Behavior behavior) {
    std::vector<std::pair<std::size_t, std::size_t>> words;
    std::vector<Stretch> stretches;
    for (const auto& [begin, end] : words_) {
      stretches.clear();
      find(std::string_view(text_).substr(begin, end - begin), stretches);
      merge(stretches, behavior);
      for (const Stretch& stretch : stretches)
        if (stretch.begin < stretch.end && !(behavior == Behavior::removed && stretch.matched))
          words.emplace_back(begin + stretch.begin, begin + stretch.end);
    }
    words_ = std::move(words);
  }

  /// rewritten(word, whether it is the first of the whole text) replaces each word.
  template <class F>
  void rewrite(F rewritten) {
    std::string text;
    text.reserve(text_.size() + text_.size() / 2);
    at_start_ = at_start_ && !words_.empty() && words_.front().first == 0;
    for (auto& [begin, end] : words_) {
      const bool first = at_start_ && &begin == &words_.front().first;
      const std::string word = rewritten(std::string_view(text_).substr(begin, end - begin), first);
      begin = text.size();
      text += word;
      end = text.size();
    }
    text_ = std::move(text);
  }

 private:
  static void merge(std::vector<Stretch>& stretches, Behavior behavior) {
    if (behavior == Behavior::removed || behavior == Behavior::isolated) return;
    const bool backward = behavior == Behavior::merged_with_next;
    if (backward) std::reverse(stretches.begin(), stretches.end());
    std::vector<Stretch> merged;
    bool previous = false;
    for (const Stretch& stretch : stretches) {
      const bool joins =
          behavior == Behavior::contiguous ? stretch.matched == previous : stretch.matched && !previous;
      previous = stretch.matched;
      if (!joins || merged.empty())
        merged.push_back(stretch);
      else if (backward)
        merged.back().begin = stretch.begin;
      else
        merged.back().end = stretch.end;
    }
    if (backward) std::reverse(merged.begin(), merged.end());
    stretches = std::move(merged);
  }

  std::string text_;
  bool at_start_;
  std::vector<std::pair<std::size_t, std::size_t>> words_;
};

inline std::size_t bytes_of(const Words& words) { return words.bytes(); }

using PreTokenizer = std::function<void(Words&)>;

/// Matches of a regular expression and what lies between.
inline auto matches_of(Regex pattern, bool invert = false) {
  return [pattern = std::move(pattern), invert](std::string_view word, std::vector<Stretch>& stretches) {
    std::size_t end = 0;
    pattern.each_match(word, [&](Regex::Match match) {
      if (end != match.begin) stretches.push_back({end, match.begin, invert});
      stretches.push_back({match.begin, match.end, !invert});
      end = match.end;
    });
    if (end != word.size()) stretches.push_back({end, word.size(), invert});
  };
}

/// Every character of which `matches` holds by itself, and what lies between.
template <class F>
auto characters_of(F matches) {
  return [matches](std::string_view word, std::vector<Stretch>& stretches) {
    std::size_t at = 0, end = 0;
    each_character(word, [&](char32_t c, std::string_view bytes) {
      if (matches(c)) {
        if (end != at) stretches.push_back({end, at, false});
        end = at + bytes.size();
        stretches.push_back({at, end, true});
      }
      at += bytes.size();
    });
    if (end != at) stretches.push_back({end, at, false});
  };
}

/// Runs of characters of a word, runs of others, no white space.
inline void words_and_symbols(std::string_view word, std::vector<Stretch>& stretches) {
  int previous = -1;
  std::size_t at = 0;
  each_character(word, [&](char32_t c, std::string_view bytes) {
    const int kind = is_word(c) ? 0 : is_white_space(c) ? 1 : 2;
    if (kind != previous) stretches.push_back({at, at, kind == 1});
    at += bytes.size();
    stretches.back().end = at;
    previous = kind;
  });
}

/// Spaces become `replacement`, which may also be put in front; words begin at each.
struct Metaspace {
  enum class Prepend { always, first, never };
  std::string replacement = "\xE2\x96\x81";  // U+2581
  Prepend prepend = Prepend::always;
  bool split = true;

  void operator()(Words& words) const {
    words.rewrite([&](std::string_view word, bool first) {
      std::string text;
      for (const char c : word) c == ' ' ? text += replacement : text += c;
      if ((prepend == Prepend::always || (prepend == Prepend::first && first)) &&
          !text.starts_with(replacement))
        text.insert(0, replacement);
      return text;
    });
    std::size_t at = 0;
    const char32_t mark = next_character(replacement, at);
    if (split)
      words.split(characters_of([mark](char32_t c) { return c == mark; }), Behavior::merged_with_next);
  }
};

inline Metaspace read_metaspace(const JsonElement& element) {
  Metaspace metaspace;
  if (element.has("replacement")) {
    metaspace.replacement.clear();
    append_character(metaspace.replacement, element.at("replacement").character());
  }
  if (!element.boolean_or("add_prefix_space", true)) metaspace.prepend = Metaspace::Prepend::never;
  if (element.has("prepend_scheme")) {
    const std::string scheme = element.at("prepend_scheme").string();
    check(scheme == "always" || scheme == "first" || scheme == "never",
          [&] { return element.at("prepend_scheme").error("always, first or never"); });
    metaspace.prepend = scheme == "always"  ? Metaspace::Prepend::always
                        : scheme == "first" ? Metaspace::Prepend::first
                                            : Metaspace::Prepend::never;
  }
  metaspace.split = element.boolean_or("split", true);
  return metaspace;
}

struct ByteLevel {
  bool add_prefix_space = true;
  std::optional<Regex> pattern;

  void operator()(Words& words) const {
    if (add_prefix_space)
      words.rewrite([](std::string_view word, bool) {
        return concatenated({word.starts_with(' ') ? "" : " ", word});
      });
    if (pattern) words.split(matches_of(*pattern), Behavior::isolated);
    words.rewrite([](std::string_view word, bool) { return to_byte_level(word); });
  }
};

inline Behavior read_behavior(const JsonElement& element) {
  constexpr std::string_view names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
  for (int i = 0; i < 5; ++i)
    if (element.string() == names[i]) return static_cast<Behavior>(i);
  throw element.error("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

template <class F>
PreTokenizer splitter(F find, Behavior behavior) {
  return [find = std::move(find), behavior](Words& words) { words.split(find, behavior); };
}

inline PreTokenizer read_pre_tokenizer(const JsonElement& element) {
  const std::string type = element.type();
  if (type == "Sequence") return read_sequence<Words>(element.at("pretokenizers"), read_pre_tokenizer);
  if (type == "Split")
    return splitter(matches_of(read_pattern(element.at("pattern")), element.boolean_or("invert", false)),
                    read_behavior(element.at("behavior")));
  if (type == "Digits")
    return splitter(characters_of(is_number), element.boolean_or("individual_digits", false)
                                                  ? Behavior::isolated
                                                  : Behavior::contiguous);
  if (type == "ByteLevel") {
    ByteLevel byte_level{.add_prefix_space = element.boolean_or("add_prefix_space", true), .pattern = {}};
    if (element.boolean_or("use_regex", true)) byte_level.pattern.emplace(gpt2_pattern, element.where());
    return byte_level;
  }
  if (type == "Metaspace") return read_metaspace(element);
  if (type == "BertPreTokenizer")
    return [](Words& words) {
      words.split(characters_of(is_white_space), Behavior::removed);
      words.split(characters_of(is_punctuation), Behavior::isolated);
    };
  if (type == "Whitespace") return splitter(words_and_symbols, Behavior::removed);
  if (type == "WhitespaceSplit") return splitter(characters_of(is_white_space), Behavior::removed);
  if (type == "Punctuation")
    return splitter(characters_of(is_punctuation),
                    element.has("behavior") ? read_behavior(element.at("behavior")) : Behavior::isolated);
  if (type == "CharDelimiterSplit")
    return splitter(characters_of([delimiter = element.at("delimiter").character()](char32_t c) {
                      return c == delimiter;
                    }),
                    Behavior::removed);
  throw element.unsupported("a pre-tokenizer");
}

}  // namespace hyperblocks::detail
