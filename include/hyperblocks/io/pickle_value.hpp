// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What Python's pickles hold, as inert data. Nothing is imported or called: what would have been an object
// stays the name of its class, its arguments and its state. Python's own dicts and sets are told apart by
// their names. Values refer to each other as the file says, so that a shared one exists once, and one that
// holds itself is no harm.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace hyperblocks {

struct PickleValue;
using PickleRef = const PickleValue*;
/// What dicts are asked for by; Python's other keys are kept, but not found.
using PickleKey = std::variant<std::int64_t, std::string_view>;

struct PickleNone {};

/// An integer beyond 64 bits: two's complement, little-endian.
struct PickleBigInteger {
  std::span<const std::byte> bytes;
};

struct PickleList {
  std::vector<PickleRef> elements;
};

struct PickleTuple {
  std::vector<PickleRef> elements;
};

struct PickleSet {
  PickleRef elements;  ///< a list
};

/// A dict or an OrderedDict, in the file's order.
struct PickleDict {
  std::vector<std::pair<PickleRef, PickleRef>> items;
  std::map<PickleKey, std::size_t> places;  ///< in `items`
  PickleRef state = nullptr;                ///< attributes of an OrderedDict
};

/// What would have been made by a call, or the name alone of a class or function.
struct PickleObject {
  std::string_view module, name;
  PickleRef arguments = nullptr;      ///< a tuple; none if the name was not called
  PickleRef state = nullptr;          ///< what the object would have been given then
  std::vector<PickleRef> added = {};  ///< to a list's kind elements, to a dict's kind keys and values in turn
};

/// Something outside the pickle: of PyTorch a storage.
struct PicklePersistent {
  PickleRef id;
};

struct PickleValue {
  std::variant<PickleNone, bool, std::int64_t, PickleBigInteger, double, std::string_view, PickleList,
               PickleTuple, PickleSet, PickleDict, PickleObject, PicklePersistent>
      is;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&is);
  }
};

/// In decimal.
inline std::string to_string(const PickleBigInteger& number) {
  std::vector<std::uint32_t> digits;  // of base 2^8, the least first, of the number's amount
  const bool negative = !number.bytes.empty() && (std::to_integer<unsigned>(number.bytes.back()) & 0x80) != 0;
  std::uint32_t carry = negative ? 1 : 0;
  for (const std::byte byte : number.bytes) {
    carry += std::to_integer<std::uint32_t>(negative ? ~byte : byte);
    digits.push_back(carry & 0xff);
    carry >>= 8;
  }
  std::string text;
  while (!digits.empty()) {
    std::uint32_t rest = 0;
    for (std::size_t i = digits.size(); i-- > 0;) {
      rest = rest << 8 | digits[i];
      digits[i] = rest / 10;
      rest %= 10;
    }
    text.insert(text.begin(), static_cast<char>('0' + rest));
    while (!digits.empty() && digits.back() == 0) digits.pop_back();
  }
  return (negative ? "-" : "") + text;
}

namespace detail {

/// What a dict can be asked for by, if the value is that.
inline std::optional<PickleKey> key_of(const PickleValue& value) {
  if (const auto* const number = value.as<std::int64_t>()) return *number;
  if (const auto* const text = value.as<std::string_view>()) return *text;
  return std::nullopt;
}

inline std::string to_string(const PickleKey& key) {
  const auto* const number = std::get_if<std::int64_t>(&key);
  return number != nullptr ? std::to_string(*number) : std::string(std::get<std::string_view>(key));
}

}  // namespace detail
}  // namespace hyperblocks
