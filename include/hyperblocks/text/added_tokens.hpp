// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Added tokens: found in a text as they stand, before anything else happens to it.
#pragma once

#include <unordered_set>

#include <hyperblocks/text/normalizers.hpp>
#include <hyperblocks/text/vocabulary.hpp>

namespace hyperblocks::detail {

struct AddedToken {
  std::string content;
  std::string shown = {};  ///< when decoding: the content as it is looked for
  std::int32_t id = 0;
  bool single_word = false;                      ///< not within a word
  bool strip_left = false, strip_right = false;  ///< takes the white space beside it
  bool normalized = false;                       ///< is looked for, normalised, in the normalised text
  bool special = false;                          ///< may be left out when decoding
};

class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer) : tokens_(std::move(tokens)) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      AddedToken& token = tokens_[i];
      token.shown = token.content;
      if (token.normalized && normalizer) normalizer(token.shown);
      (token.normalized ? normalized_ : raw_).add(token.shown, static_cast<std::int32_t>(i));
      by_id_[token.id] = i;
      by_content_[token.content] = i;
      if (token.special) special_.insert(token.content);
    }
    raw_.finish();
    normalized_.finish();
  }

  /// Calls text(piece) for what is no added token and token(id) for what is one, in order.
  template <class OnText, class OnToken>
  void cut(std::string_view text, bool normalized, OnText on_text, OnToken on_token) const {
    const PrefixSet& set = normalized ? normalized_ : raw_;
    std::size_t done = 0, from = 0;
    while (const auto found = set.empty() ? std::nullopt : set.find(text, from)) {
      std::size_t begin = found->begin, end = begin + found->size;
      from = end;
      const AddedToken& token = tokens_[static_cast<std::size_t>(found->number)];
      if (token.single_word && within_word(text, begin, end)) continue;
      if (token.strip_left) begin = std::max(done, white_space_before(text, begin));
      if (token.strip_right) end = white_space_behind(text, end);
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(token.id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

  const AddedToken* of(std::int32_t id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : &tokens_[found->second];
  }
  const AddedToken* named(const std::string& content) const {
    const auto found = by_content_.find(content);
    return found == by_content_.end() ? nullptr : &tokens_[found->second];
  }
  bool is_special(const std::string& token) const { return special_.contains(token); }

 private:
  static std::size_t previous_character(std::string_view text, std::size_t at) {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    return at;
  }
  static char32_t character_at(std::string_view text, std::size_t at) { return next_character(text, at); }

  static bool within_word(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin > 0 && is_word(character_at(text, previous_character(text, begin)))) ||
           (end < text.size() && is_word(character_at(text, end)));
  }
  static std::size_t white_space_before(std::string_view text, std::size_t at) {
    while (at > 0 && is_white_space(character_at(text, previous_character(text, at))))
      at = previous_character(text, at);
    return at;
  }
  static std::size_t white_space_behind(std::string_view text, std::size_t at) {
    while (at < text.size() && is_white_space(character_at(text, at))) next_character(text, at);
    return at;
  }

  std::vector<AddedToken> tokens_;
  PrefixSet raw_, normalized_;
  std::unordered_map<std::int32_t, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::unordered_set<std::string> special_;
};

/// The file's list. A token of the model keeps the model's id; another one has the id the file gives it.
inline std::vector<AddedToken> read_added_tokens(const JsonElement& element, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  for (const JsonElement& one : element.elements()) {
    AddedToken token{.content = one.at("content").string(),
                     .id = one.at("id").id(),
                     .single_word = one.boolean_or("single_word", false),
                     .strip_left = one.boolean_or("lstrip", false),
                     .strip_right = one.boolean_or("rstrip", false),
                     .normalized = one.boolean_or("normalized", true),
                     .special = one.boolean_or("special", false)};
    if (token.content.empty()) continue;
    if (const auto id = vocabulary.id_of(token.content)) {
      token.id = *id;
    } else if (const std::string* const owner = vocabulary.token_of(token.id)) {
      throw one.error("an id of its own, not that of '" + *owner + "'");
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace hyperblocks::detail
