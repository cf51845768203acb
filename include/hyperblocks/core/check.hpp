// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Errors: one exception type that always says what went wrong, where, what was expected and what was found.
// The library never exits, aborts or silently ignores a mistake.
#pragma once

#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace hyperblocks {

/// Thrown for every mistake that only run time can see: shapes, files, devices.
class Error : public std::runtime_error {
 public:
  Error(std::string what, std::string where, std::string expected, std::string found)
      : std::runtime_error(sentence(what, where, expected, found)),
        what_(std::move(what)),
        where_(std::move(where)),
        expected_(std::move(expected)),
        found_(std::move(found)) {}

  const std::string& problem() const noexcept { return what_; }  ///< "the tensors' shapes differ"
  const std::string& where() const noexcept { return where_; }   ///< a function, a file and key or offset
  const std::string& expected() const noexcept { return expected_; }  ///< what would have been right
  const std::string& found() const noexcept { return found_; }        ///< what stood there instead

 private:
  static std::string sentence(std::string_view what, std::string_view where, std::string_view expected,
                              std::string_view found) {
    std::string text = "hyperblocks: ";
    text.append(what).append(" (");
    append_visible(text, where);
    append_visible(text.append("): expected "), expected);
    append_visible(text.append(", found "), found);
    return text;
  }

  /// A message is one line, whatever it quotes from a file or a command line: control characters are named.
  static void append_visible(std::string& text, std::string_view quoted) {
    constexpr char digits[] = "0123456789abcdef";
    for (const char c : quoted) {
      const auto code = static_cast<unsigned char>(c);
      if (code >= 0x20 && code != 0x7f)
        text += c;
      else
        text.append("\\x").append({digits[code / 16], digits[code % 16]});
    }
  }

  std::string what_, where_, expected_, found_;
};

/// Throws when `holds` is false; the texts are built by `make`, so that the good path builds none.
template <std::invocable Make>
constexpr void check(bool holds, Make&& make) {
  if (!holds) [[unlikely]]
    throw std::forward<Make>(make)();
}

}  // namespace hyperblocks
