// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ByteCursor: goes through the bytes of a file, never beyond their end; its errors name file and offset.
#pragma once

#include <string_view>
#include <utility>

#include <hyperblocks/io/stored_tensor.hpp>

namespace hyperblocks::detail {

class ByteCursor {
 public:
  ByteCursor(std::string file, std::span<const std::byte> bytes) : file_(std::move(file)), bytes_(bytes) {}

  std::uint64_t offset() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }
  const std::string& file() const { return file_; }
  std::string where() const { return file_ + ": offset " + std::to_string(at_); }

  /// Goes on from an offset of the file.
  void seek(std::uint64_t offset, const char* what) {
    check(offset <= bytes_.size(), [&] {
      return Error("an offset beyond its place", file_,
                   std::string(what) + " before offset " + std::to_string(bytes_.size()),
                   "offset " + std::to_string(offset));
    });
    at_ = offset;
  }

  std::span<const std::byte> take(std::uint64_t size, const char* what) {
    check(size <= left(), [&] {
      return Error("truncated file", where(), std::to_string(size) + " bytes of " + what,
                   std::to_string(left()) + " left");
    });
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }

  /// The bytes passed over since an offset.
  std::span<const std::byte> since(std::uint64_t offset) const {
    return bytes_.subspan(offset, at_ - offset);
  }

  template <class Number>
  Number number(const char* what) {
    return number_at<Number>(take(sizeof(Number), what).data());
  }

  std::string_view text(std::uint64_t size, const char* what) {
    const auto bytes = take(size, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// Up to the next newline, which is passed over.
  std::string_view line(const char* what) {
    const std::uint64_t start = at_;
    const auto rest = bytes_.subspan(start);
    const auto* const end = rest.empty() ? nullptr : std::memchr(rest.data(), '\n', rest.size());
    check(end != nullptr, [&] {
      return Error("truncated file", where(), std::string(what) + " and a newline", "no newline");
    });
    const std::string_view line =
        text(static_cast<std::uint64_t>(static_cast<const std::byte*>(end) - rest.data()), what);
    ++at_;
    return line;
  }

 private:
  std::string file_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

}  // namespace hyperblocks::detail
