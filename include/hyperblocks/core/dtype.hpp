// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Scalars: float and double compute; bf16 and half store, and are rounded to nearest even (scalar_cast).
// Every sum over stored 16-bit numbers is kept in float (Accumulator).
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace hyperblocks {

/// The upper half of a float: 8 bits of exponent, 7 of mantissa.
struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  explicit constexpr bf16(float value) : bits(rounded(value)) {}
  explicit constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  static constexpr bf16 from_bits(std::uint16_t bits) { return std::bit_cast<bf16>(bits); }

 private:
  static constexpr std::uint16_t rounded(float value) {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    if ((raw & 0x7fffffffu) > 0x7f800000u)
      return static_cast<std::uint16_t>((raw >> 16) | 0x40u);  // NaN stays
    return static_cast<std::uint16_t>((raw + 0x7fffu + ((raw >> 16) & 1u)) >> 16);
  }
};

/// IEEE 754 binary16: 5 bits of exponent, 10 of mantissa.
struct half {
  std::uint16_t bits;

  half() = default;
  explicit constexpr half(float value) : bits(rounded(value)) {}
  explicit constexpr operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // zero and subnormals, exact
    return sign != 0 ? -magnitude : magnitude;
  }
  static constexpr half from_bits(std::uint16_t bits) { return std::bit_cast<half>(bits); }

 private:
  static constexpr std::uint16_t rounded(float value) {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (raw >> 16) & 0x8000u;
    const std::uint32_t magnitude = raw & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // NaN
    if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
    if (magnitude < 0x38800000u) {  // below the smallest normal half: count units of 2^-24, ties to even
      const float units = std::bit_cast<float>(magnitude) * 0x1p24f;
      const auto floor = static_cast<std::uint32_t>(units);
      const float rest = units - static_cast<float>(floor);
      const bool up = rest > 0.5f || (rest == 0.5f && (floor & 1u) != 0);
      return static_cast<std::uint16_t>(sign | (floor + (up ? 1u : 0u)));
    }
    const std::uint32_t tied = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<std::uint16_t>(sign | ((tied - 0x38000000u) >> 13));
  }
};

/// Element types of files and of run-time descriptions.
enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

/// The scalars that tensors of real numbers may have.
template <class Scalar>
concept RealScalar = std::same_as<Scalar, float> || std::same_as<Scalar, double> ||
    std::same_as<Scalar, bf16> || std::same_as<Scalar, half>;

/// What sums and element-wise arithmetic over `Scalar` are done in.
template <RealScalar Scalar>
using Accumulator = std::conditional_t<std::same_as<Scalar, double>, double, float>;

namespace detail {
/// The float towards zero, its last bit set if anything was cut off: rounding it to a shorter scalar gives
/// what rounding the double once would give.
constexpr float rounded_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (back == value || value != value) return nearest;
  const bool beyond = value < 0 ? back < value : back > value;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(nearest) - (beyond ? 1u : 0u)) | 1u);
}
}  // namespace detail

/// Conversion between any two real scalars, rounded once to nearest even.
template <RealScalar To, RealScalar From>
constexpr To scalar_cast(From value) {
  if constexpr (std::same_as<To, From>)
    return value;
  else if constexpr (std::same_as<From, double> && sizeof(To) == 2)
    return To(detail::rounded_to_odd(value));
  else if constexpr (std::floating_point<To>)
    return static_cast<To>(static_cast<Accumulator<From>>(value));
  else
    return To(static_cast<float>(value));
}

constexpr std::size_t byte_size(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

/// The name that safetensors files use.
constexpr std::string_view name(DType type) {
  constexpr std::string_view names[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16",
                                        "I8",  "U64", "U32", "U16",  "U8",  "BOOL"};
  return names[static_cast<std::size_t>(type)];
}

namespace detail {
template <class Scalar>
constexpr bool always_false = false;

template <class Scalar>
constexpr DType dtype_of() {
  if constexpr (std::same_as<Scalar, double>)
    return DType::f64;
  else if constexpr (std::same_as<Scalar, float>)
    return DType::f32;
  else if constexpr (std::same_as<Scalar, half>)
    return DType::f16;
  else if constexpr (std::same_as<Scalar, bf16>)
    return DType::bf16;
  else if constexpr (std::same_as<Scalar, std::int64_t>)
    return DType::i64;
  else if constexpr (std::same_as<Scalar, std::int32_t>)
    return DType::i32;
  else if constexpr (std::same_as<Scalar, std::int16_t>)
    return DType::i16;
  else if constexpr (std::same_as<Scalar, std::int8_t>)
    return DType::i8;
  else if constexpr (std::same_as<Scalar, std::uint64_t>)
    return DType::u64;
  else if constexpr (std::same_as<Scalar, std::uint32_t>)
    return DType::u32;
  else if constexpr (std::same_as<Scalar, std::uint16_t>)
    return DType::u16;
  else if constexpr (std::same_as<Scalar, std::uint8_t>)
    return DType::u8;
  else if constexpr (std::same_as<Scalar, bool>)
    return DType::boolean;
  else
    static_assert(always_false<Scalar>, "hyperblocks: this scalar has no DType");
}
}  // namespace detail

template <class Scalar>
inline constexpr DType dtype_of = detail::dtype_of<std::remove_const_t<Scalar>>();

}  // namespace hyperblocks
