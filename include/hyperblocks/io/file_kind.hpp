// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a file is that should have been another, by its first bytes: what errors say of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace hyperblocks::detail {

inline constexpr std::string_view kind_of_gguf = "a GGUF file";

/// Of the kinds that are taken for a model most often; empty if it is none of them.
inline std::string_view kind_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "an empty file";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("GGUF")) return kind_of_gguf;
  if (text.starts_with("version https://git-lfs"))
    return "a Git LFS pointer, in place of the file that it stands for";
  if (text.starts_with("PK\x03\x04")) return "a zip archive, as PyTorch writes";
  if (text.starts_with('<')) return "an HTML page";
  std::uint64_t length = 0;  // of a safetensors header
  if (text.size() > sizeof length) std::memcpy(&length, text.data(), sizeof length);
  if (length > 0 && length <= text.size() - sizeof length && text[sizeof length] == '{')
    return "a safetensors file";
  const auto begin = text.substr(0, 64);
  const bool prints = std::all_of(begin.begin(), begin.end(),
                                  [](char c) { return (c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r'); });
  return prints ? "text" : "";
}

}  // namespace hyperblocks::detail
