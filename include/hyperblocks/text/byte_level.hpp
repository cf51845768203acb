// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The byte-level alphabet: every byte is a printable character, so that a vocabulary of texts is one of
// bytes. A byte that is a printable character of Latin-1 is itself; the other 68 are U+0100, U+0101, ... in
// order.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include <hyperblocks/text/unicode.hpp>

namespace hyperblocks::detail {

struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::array<int, 0x144> byte{};  ///< -1: no character of the alphabet

  constexpr ByteAlphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = itself ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }
};
inline constexpr ByteAlphabet byte_alphabet;

inline std::string to_byte_level(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 2);
  for (const char byte : bytes)
    append_character(text, byte_alphabet.character[static_cast<unsigned char>(byte)]);
  return text;
}

/// The bytes that a token of the alphabet stands for; any other token's bytes are its own.
inline std::string from_byte_level(std::string_view token) {
  std::string bytes;
  bool all = true;
  each_character(token, [&](char32_t c, std::string_view) {
    const int byte = c < byte_alphabet.byte.size() ? byte_alphabet.byte[c] : -1;
    all &= byte >= 0;
    bytes += static_cast<char>(byte);
  });
  return all ? bytes : std::string(token);
}

}  // namespace hyperblocks::detail
