// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What Text-to-LoRA's encoders read for the description of a task: its rules for the text and its tokens.
//   const auto ids = task_tokens(tokenizer, "Solve riddles", TaskStyle::sentence);   // of "Solve riddles."
#pragma once

#include <hyperblocks/text/tokenizer.hpp>

namespace hyperblocks {

/// A sentence, for gte and for the base model itself; an instruction with a query, for SFR's encoder.
enum class TaskStyle : std::uint8_t { sentence, query };

namespace detail {
/// What Python's strip() takes away.
constexpr bool is_stripped(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

/// Of valid UTF-8, without white space around it.
inline std::string_view stripped(std::string_view text) {
  std::size_t at = 0, begin = text.size(), end = 0;
  each_character(text, [&](char32_t c, std::string_view bytes) {
    if (!is_stripped(c)) begin = std::min(begin, at), end = at + bytes.size();
    at += bytes.size();
  });
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

inline bool is_letter(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
}  // namespace detail

/// The text without white space around it. A sentence that ends in a letter of any script gets a full stop.
inline std::string task_text(std::string_view description, TaskStyle style) {
  const std::string whole = detail::valid_utf8(description);
  const std::string text(detail::stripped(whole));
  check(!text.empty(),
        [] { return Error("an empty task description", "task_text", "one word or more", "white space"); });
  char32_t last = 0;
  detail::each_character(text, [&](char32_t c, std::string_view) { last = c; });
  if (style == TaskStyle::query) return "Instruct: Retrieve semantically similar text.\nQuery: " + text;
  return detail::is_letter(last) ? text + "." : text;
}

/// Its ids with the model's own around them. Text-to-LoRA cuts at 8192; an encoder may read less.
inline std::vector<std::int32_t> task_tokens(const Tokenizer& tokenizer, std::string_view description,
                                             TaskStyle style, std::size_t most = 8192) {
  return tokenizer.encode(task_text(description, style), true, most);
}

}  // namespace hyperblocks
