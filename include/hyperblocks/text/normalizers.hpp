// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Normalizers of tokenizer.json: what is done to a text before it is cut. Each is a function on the text.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <hyperblocks/text/byte_level.hpp>
#include <hyperblocks/text/regex.hpp>
#include <hyperblocks/text/sequence.hpp>

namespace hyperblocks::detail {

using Normalizer = std::function<void(std::string&)>;

/// {"String": "..."} or {"Regex": "..."}.
inline Regex read_pattern(const JsonElement& element) {
  if (element.has("String"))
    return Regex::literal(element.at("String").string(), element.where() + "/String");
  if (element.has("Regex")) return {element.at("Regex").string(), element.where() + "/Regex"};
  throw element.error("a String or a Regex");
}

struct Replace {
  Regex pattern;
  std::string content, where;

  explicit Replace(const JsonElement& element)
      : pattern(read_pattern(element.at("pattern"))),
        content(element.at("content").string()),
        where(element.where()) {}

  void operator()(std::string& text) const {
    std::string result;
    std::size_t end = 0;
    pattern.each_match(text, [&](Regex::Match match) {
      result.append(text, end, match.begin - end).append(content);
      end = match.end;
      check_growth(text.size(), result.size(), where);
    });
    if (end != 0 || !result.empty()) text = result.append(text, end);
  }
};

/// The characters of which `keep` holds.
template <class F>
std::string filtered(std::string_view text, F keep) {
  std::string result;
  result.reserve(text.size());
  each_character(text, [&](char32_t c, std::string_view bytes) {
    if (keep(c)) result += bytes;
  });
  return result;
}

/// Without white space at the ends asked for.
inline std::string stripped(std::string_view text, bool left, bool right) {
  std::size_t begin = text.size(), end = 0, at = 0;
  each_character(text, [&](char32_t c, std::string_view bytes) {
    if (!is_white_space(c)) begin = std::min(begin, at), end = at + bytes.size();
    at += bytes.size();
  });
  if (!left) begin = 0;
  if (!right) end = text.size();
  return std::string(text.substr(std::min(begin, end), end - std::min(begin, end)));
}

/// The blocks of Chinese characters that BERT knows; the gap before 2B920 is its own.
constexpr bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

struct BertNormalizer {
  bool clean = true, chinese = true, strip_accents = true, lowercase = true;

  void operator()(std::string& text) const {
    if (clean || chinese) text = spaced(text);
    if (strip_accents)
      text = filtered(normal_form(text, NormalForm::nfd), [](char32_t c) { return !is_nonspacing_mark(c); });
    if (lowercase) text = lower_case(text);
  }

 private:
  std::string spaced(std::string_view text) const {
    std::string result;
    each_character(text, [&](char32_t c, std::string_view bytes) {
      if (clean && (c == 0xFFFD || (is_other(c) && c != '\t' && c != '\n' && c != '\r'))) return;
      if (clean && is_white_space(c))
        result += ' ';
      else if (chinese && is_chinese(c))
        result.append(" ").append(bytes).append(" ");
      else
        result += bytes;
    });
    return result;
  }
};

inline Normalizer read_bert_normalizer(const JsonElement& element) {
  const bool lowercase = element.boolean_or("lowercase", true);
  return BertNormalizer{.clean = element.boolean_or("clean_text", true),
                        .chinese = element.boolean_or("handle_chinese_chars", true),
                        .strip_accents = element.boolean_or("strip_accents", lowercase),
                        .lowercase = lowercase};
}

inline Normalizer read_normalizer(const JsonElement& element) {
  const std::string type = element.type();
  const auto form = [](NormalForm which) {
    return [which](std::string& text) { text = normal_form(text, which); };
  };
  if (type == "Sequence") return read_sequence<std::string>(element.at("normalizers"), read_normalizer);
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "BertNormalizer") return read_bert_normalizer(element);
  if (type == "Lowercase") return [](std::string& text) { text = lower_case(text); };
  if (type == "ByteLevel") return [](std::string& text) { text = to_byte_level(text); };
  if (type == "StripAccents")
    return [](std::string& text) { text = filtered(text, [](char32_t c) { return !is_mark(c); }); };
  if (type == "Strip")
    return [left = element.boolean_or("strip_left", true), right = element.boolean_or("strip_right", true)](
               std::string& text) { text = stripped(text, left, right); };
  if (type == "Prepend")
    return [prefix = element.at("prepend").string()](std::string& text) {
      if (!text.empty()) text.insert(0, prefix);
    };
  if (type == "Replace") return Replace(element);
  throw element.unsupported("a normalizer");
}

}  // namespace hyperblocks::detail
