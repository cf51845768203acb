// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Scalars: all 65536 numbers of both 16-bit formats, rounding to nearest even against exact arithmetic in
// double, names and sizes of element types.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/random.hpp>
#include <limits>
#include <vector>

using namespace hyperblocks;

namespace {

template <class S>
struct Format;
template <>
struct Format<bf16> {
  static constexpr int mantissa = 7, lowest_exponent = -126;
  static constexpr std::uint16_t infinity = 0x7f80;
  static constexpr double largest = 0x1.fep127;
};
template <>
struct Format<half> {
  static constexpr int mantissa = 10, lowest_exponent = -14;
  static constexpr std::uint16_t infinity = 0x7c00;
  static constexpr double largest = 65504;
};

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class S>
double number(S value) {
  return static_cast<double>(static_cast<float>(value));
}

/// The nearest number of the format, ties to even, by division through its unit there (exact in double).
template <class S>
double nearest(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), Format<S>::lowest_exponent);
  const double unit = std::ldexp(1.0, exponent - Format<S>::mantissa);
  const double rounded = std::nearbyint(value / unit) * unit;
  return std::abs(rounded) > Format<S>::largest ? std::copysign(infinity, value) : rounded;
}

template <class S>
void check_rounding(double value) {
  const double expected = nearest<S>(value), found = number(scalar_cast<S>(value));
  CAPTURE(value);
  REQUIRE(found == expected);
  REQUIRE(std::signbit(found) == std::signbit(expected));
  const auto single = static_cast<float>(value);
  REQUIRE(number(S(single)) == nearest<S>(static_cast<double>(single)));
}

/// Numbers on, beside and between two neighbours of the format.
template <class S>
void check_between(double low, double high) {
  const double middle = low + (high - low) / 2;
  for (const double value : {low, middle, low + (high - low) / 4, low + (high - low) * 0.75})
    for (const double sign : {1.0, -1.0}) {
      check_rounding<S>(sign * value);
      check_rounding<S>(sign * std::nextafter(value, 0.0));
      check_rounding<S>(sign * std::nextafter(value, infinity));
      check_rounding<S>(sign * value * (1 + 0x1p-40));
      check_rounding<S>(sign * value * (1 - 0x1p-40));
    }
}

}  // namespace

TEST_CASE_TEMPLATE("every bit pattern comes back, NaN as a NaN of its sign", S, bf16, half) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const auto value = static_cast<float>(S::from_bits(bits));
    const bool is_nan = (bits & 0x7fffu) > Format<S>::infinity;
    REQUIRE(std::isnan(value) == is_nan);
    REQUIRE(std::isinf(value) == ((bits & 0x7fffu) == Format<S>::infinity));
    const std::uint16_t again = S(value).bits, twice = scalar_cast<S>(static_cast<double>(value)).bits;
    if (is_nan) {
      REQUIRE((again & 0x7fffu) > Format<S>::infinity);
      REQUIRE((twice & 0x7fffu) > Format<S>::infinity);
      REQUIRE((again & 0x8000u) == (bits & 0x8000u));
    } else {
      REQUIRE(again == bits);
      REQUIRE(twice == bits);
    }
  }
}

TEST_CASE_TEMPLATE("values of known patterns", S, bf16, half) {
  const auto of = [](unsigned bits) { return number(S::from_bits(static_cast<std::uint16_t>(bits))); };
  const unsigned one = std::same_as<S, bf16> ? 0x3f80 : 0x3c00;
  const double step = std::ldexp(1.0, -Format<S>::mantissa);
  CHECK(of(0) == 0);
  CHECK(of(1) == std::ldexp(step, Format<S>::lowest_exponent));
  CHECK(of(one) == 1);
  CHECK(of(one | 0x8000u) == -1);
  CHECK(of(one + 1) == 1 + step);
  CHECK(of(Format<S>::infinity) == infinity);
  CHECK(of(Format<S>::infinity - 1u) == Format<S>::largest);
}

TEST_CASE_TEMPLATE("rounding to nearest even, once, between all neighbours", S, bf16, half) {
  for (std::uint16_t bits = 0; bits + 1 < Format<S>::infinity; ++bits)
    check_between<S>(number(S::from_bits(bits)), number(S::from_bits(static_cast<std::uint16_t>(bits + 1))));
}

TEST_CASE_TEMPLATE("rounding of random numbers of every magnitude", S, bf16, half) {
  Random random(7);
  for (int i = 0; i < 200000; ++i) {
    const int exponent = static_cast<int>(random.uniform(-180, 180));
    check_rounding<S>(std::ldexp(random.uniform(-2, 2), exponent));
  }
}

TEST_CASE_TEMPLATE("overflow, infinity and NaN", S, bf16, half) {
  const double largest = Format<S>::largest;
  const double half_unit = std::ldexp(1.0, std::ilogb(largest) - Format<S>::mantissa - 1);
  CHECK(number(scalar_cast<S>(std::nextafter(largest + half_unit, 0.0))) == largest);
  CHECK(number(scalar_cast<S>(largest + half_unit)) == infinity);  // a tie: infinity is the even one
  CHECK(number(scalar_cast<S>(-largest - half_unit)) == -infinity);
  CHECK(number(scalar_cast<S>(1e300)) == infinity);
  CHECK(number(S(std::numeric_limits<float>::infinity())) == infinity);
  CHECK(std::isnan(number(S(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(number(S(std::bit_cast<float>(0x7f800001u)))));  // the payload alone would round to 0
  CHECK(std::isnan(number(scalar_cast<S>(std::numeric_limits<double>::quiet_NaN()))));
  CHECK(std::signbit(number(scalar_cast<S>(-1e-300))));
  CHECK(number(scalar_cast<S>(-1e-300)) == 0);
}

TEST_CASE("conversions between scalars") {
  CHECK(scalar_cast<double>(half(1.5f)) == 1.5);
  CHECK(scalar_cast<float>(bf16(-0.25f)) == -0.25f);
  CHECK(scalar_cast<half>(bf16(3.0f)).bits == 0x4200);
  CHECK(scalar_cast<bf16>(half(3.0f)).bits == 0x4040);
  CHECK(scalar_cast<float>(1.0 + 0x1p-24) == 1.0f);
  CHECK(scalar_cast<double>(0.1f) == static_cast<double>(0.1f));
  static_assert(scalar_cast<half>(1.0 + 0x1p-11 + 0x1p-40).bits == 0x3c01);  // in float this would be a tie
  static_assert(scalar_cast<bf16>(1.0 + 0x1p-8 + 0x1p-40).bits == 0x3f81);
  static_assert(std::same_as<Accumulator<bf16>, float> && std::same_as<Accumulator<half>, float> &&
                std::same_as<Accumulator<float>, float> && std::same_as<Accumulator<double>, double>);
}

TEST_CASE("names and sizes of element types") {
  struct Row {
    DType found, expected;
    std::string_view name;
    std::size_t size;
  };
  const std::vector<Row> table = {
      {dtype_of<double>, DType::f64, "F64", 8},        {dtype_of<float>, DType::f32, "F32", 4},
      {dtype_of<half>, DType::f16, "F16", 2},          {dtype_of<bf16>, DType::bf16, "BF16", 2},
      {dtype_of<std::int64_t>, DType::i64, "I64", 8},  {dtype_of<std::int32_t>, DType::i32, "I32", 4},
      {dtype_of<std::int16_t>, DType::i16, "I16", 2},  {dtype_of<std::int8_t>, DType::i8, "I8", 1},
      {dtype_of<std::uint64_t>, DType::u64, "U64", 8}, {dtype_of<std::uint32_t>, DType::u32, "U32", 4},
      {dtype_of<std::uint16_t>, DType::u16, "U16", 2}, {dtype_of<std::uint8_t>, DType::u8, "U8", 1},
      {dtype_of<bool>, DType::boolean, "BOOL", 1},     {dtype_of<const float>, DType::f32, "F32", 4},
      {dtype_of<const bf16>, DType::bf16, "BF16", 2},
  };
  for (const Row& row : table) {
    CAPTURE(row.name);
    CHECK(row.found == row.expected);
    CHECK(name(row.found) == row.name);
    CHECK(byte_size(row.found) == row.size);
  }
}
