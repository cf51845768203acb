// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Unicode for tokenizers, by utf8proc: characters of UTF-8, their properties, normal forms, lower case. All
// functions but valid_utf8 take valid UTF-8.
#pragma once

#include <utf8proc.h>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/text/older_unicode.hpp>

namespace hyperblocks::detail {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

/// The length of the character that begins with this byte.
constexpr std::size_t character_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character at `at`, which is moved behind it.
inline char32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t length = character_length(text[at]);
  char32_t value = byte(0);
  if (length > 1) {
    value &= 0x3Fu >> (length - 1);
    for (std::size_t i = 1; i < length; ++i) value = value << 6 | (byte(i) & 0x3Fu);
  }
  at += length;
  return value;
}

inline void append_character(std::string& text, char32_t character) {
  if (character < 0x80) {
    text += static_cast<char>(character);
    return;
  }
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

/// How far the bytes at `at` go as one character (Unicode's table of well-formed sequences): the size, and
/// whether it is complete.
struct Sequence {
  std::size_t size = 1;
  bool complete = false;
};
inline Sequence sequence_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {1, true};
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const std::size_t length = character_length(text[at]);
  for (std::size_t i = 1; i < length; ++i) {
    const int low = i > 1 ? 0x80 : first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const int high = i > 1 ? 0xBF : first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at + i >= text.size() || byte(at + i) < low || byte(at + i) > high) return {i, false};
  }
  return {length, true};
}

/// Where the first byte stands that is not part of a whole character.
inline std::size_t valid_size(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Sequence sequence = sequence_at(text, at);
    if (!sequence.complete) return at;
    at += sequence.size;
  }
  return at;
}

/// Pieces as one text. (g++ 12 warns, wrongly, of a literal + a std::string that is inlined.)
inline std::string concatenated(std::initializer_list<std::string_view> pieces) {
  std::string text;
  for (const std::string_view piece : pieces) text.append(piece);
  return text;
}
inline std::string in_quotes(std::string_view text) { return concatenated({"'", text, "'"}); }

/// Broken UTF-8 made whole: each longest beginning of a character, or single byte, that is none becomes
/// U+FFFD, as in Unicode's recommendation, Python's errors="replace" and Rust's from_utf8_lossy.
inline std::string valid_utf8(std::string_view text) {
  std::string whole(text.substr(0, valid_size(text)));
  for (std::size_t at = whole.size(); at < text.size();) {
    const Sequence sequence = sequence_at(text, at);
    whole += sequence.complete ? text.substr(at, sequence.size) : replacement_character;
    at += sequence.size;
  }
  return whole;
}

/// Calls f(character, its bytes) for each character.
template <class F>
void each_character(std::string_view text, F f) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t character = next_character(text, at);
    f(character, text.substr(begin, at - begin));
  }
}

inline std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

inline utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

/// Unicode's property White_Space.
constexpr bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

inline bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

/// Punctuation and, in ASCII, symbols.
inline bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  const auto kind = category(c);
  if (kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO) return !contains(newer_punctuation, c);
  return c == 0x166D || c == 0x111C9;  // they were
}

inline bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  const auto kind = category(c);
  if (kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME) return !contains(newer_marks, c);
  return c == 0x1CF2 || c == 0x1CF3;  // they were
}

inline bool is_nonspacing_mark(char32_t c) {
  if (c < 0x300) return false;
  if (category(c) == UTF8PROC_CATEGORY_MN) return !contains(newer_nonspacing_marks, c);
  return c == 0x1734;  // it was
}

/// Control, format and private use: what a BERT tokenizer throws away.
inline bool is_other(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CO ||
         (kind == UTF8PROC_CATEGORY_CF && !contains(newer_format, c));
}

/// A character of a word: alphabetic, mark, decimal digit, connector or joiner. The alphabetic symbols are
/// those that no category tells.
inline bool is_word(char32_t c) {
  if (c < 0x80) return (c | 32) - U'a' < 26u || (c >= '0' && c <= '9') || c == '_';
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) || kind == UTF8PROC_CATEGORY_PC ||
         c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

/// Lower case, each character by itself; only U+0130 has two characters there.
inline std::string lower_case(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  each_character(text, [&](char32_t c, std::string_view) {
    if (c == 0x130)
      lower += "i\xCC\x87";
    else
      append_character(lower, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  });
  return lower;
}

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// The characters of a text that are, each by itself, left as they are; what lies between is normalised.
inline bool is_never_normalised(char32_t c, NormalForm form) {
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  return contains(never_composed, c) || (compatible && contains(never_compatible, c));
}

inline void append_normalised(std::string& result, std::string_view text, NormalForm form) {
  const bool composed = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const int options = UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                      (compatible ? UTF8PROC_COMPAT : 0);
  utf8proc_uint8_t* bytes = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &bytes,
                                 static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, &std::free);
  if (size == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  check(size >= 0, [&] { return Error("cannot normalise", "text", "UTF-8", utf8proc_errmsg(size)); });
  result.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

inline std::string normal_form(std::string_view text, NormalForm form) {
  const char32_t first_changed = form == NormalForm::nfc ? 0x300 : 0xA0;  // nothing below ever is
  std::string result;
  std::size_t at = 0, done = 0;
  bool changes = false;
  each_character(text, [&](char32_t c, std::string_view bytes) {
    changes |= c >= first_changed;
    if (c >= 0x300 && is_never_normalised(c, form)) {
      append_normalised(result, text.substr(done, at - done), form);
      result += bytes;
      done = at + bytes.size();
    }
    at += bytes.size();
  });
  if (!changes) return std::string(text);
  append_normalised(result, text.substr(done), form);
  return result;
}

}  // namespace hyperblocks::detail
