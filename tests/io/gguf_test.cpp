// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// GGUF: every block format against the package `gguf`, typed metadata, and files that must be refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <hyperblocks/io/gguf.hpp>
#include <hyperblocks/io/safetensors.hpp>

#include "support/worse.hpp"

namespace hb = hyperblocks;

namespace {

/// Builds a file's bytes piece by piece.
struct Bytes {
  std::string text;

  template <class Number>
  Bytes& number(Number value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& string(const std::string& value) {
    number<std::uint64_t>(value.size());
    text += value;
    return *this;
  }
  Bytes& type(hb::GgufType type) { return number(static_cast<std::uint32_t>(type)); }
  template <class Number>
  Bytes& value(const std::string& key, hb::GgufType kind, Number value) {
    return string(key).type(kind).number(value);
  }
  Bytes& strings(const std::string& key, const std::vector<std::string>& values) {
    string(key).type(hb::GgufType::array).type(hb::GgufType::string).number<std::uint64_t>(values.size());
    for (const auto& value : values) string(value);
    return *this;
  }
  Bytes& tensor(const std::string& name, const std::vector<std::uint64_t>& extents, std::uint32_t format,
                std::uint64_t offset) {
    string(name).number(static_cast<std::uint32_t>(extents.size()));
    for (const auto extent : extents) number(extent);
    return number(format).number(offset);
  }
  Bytes& pad(std::size_t alignment = 32) {
    text.resize((text.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Bytes& data(std::size_t size) {
    text.append(size, '\1');
    return *this;
  }
};

Bytes header(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
  Bytes bytes;
  bytes.text = "GGUF";
  return bytes.number(version).number(tensors).number(values);
}

hb::GgufFile file_of(const Bytes& bytes) {
  return hb::GgufFile::from_bytes("some.gguf", std::as_bytes(std::span(bytes.text)));
}

std::string error_of(const Bytes& bytes) {
  try {
    file_of(bytes);
  } catch (const hb::Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE_TEMPLATE("every block format expands as in the package gguf", Scalar, float, double, hb::bf16,
                   hb::half) {
  const hb::GgufFile file(HYPERBLOCKS_FIXTURES "/gguf/formats.gguf");
  const hb::SafetensorsFile expected(HYPERBLOCKS_FIXTURES "/gguf/formats.safetensors");
  CHECK(file.tensors().size() == 11);
  for (const auto& [name, tensor] : file.tensors()) {
    CAPTURE(name);
    CHECK(name == tensor.format->name);
    std::vector<Scalar> found(512), wanted(512);
    file.read<Scalar>(name, {2, 256}, found);
    expected.read<Scalar>(name, {2, 256}, wanted);
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const auto number = hb::scalar_cast<double>(wanted[i]);
      largest = std::max(largest, std::abs(number));
      error = hb::test::worse(error, std::abs(hb::scalar_cast<double>(found[i]) - number));
    }
    const double rounding = sizeof(Scalar) == 2 ? 0x1p-8 : 1e-7;  // a fused product may round otherwise
    CHECK(error <= rounding * largest);
    CHECK(largest > 0.1);
  }
}

TEST_CASE("a tensor is read with its shape, in C order, and whole blocks") {
  const std::vector<std::uint64_t> extents = {32, 3, 2};
  const auto bytes = header(1, 0).tensor("x", extents, 2, 0).pad().data(6 * 18);
  const auto file = file_of(bytes);
  CHECK(file.tensor("x").shape == std::vector<hb::Index>{2, 3, 32});
  CHECK(file.contains("x"));
  CHECK_FALSE(file.contains("y"));
  std::vector<float> numbers(192);
  file.read<float>("x", {2, 3, 32}, numbers);
  CHECK_THROWS_WITH_AS(file.read<float>("x", {3, 2, 32}, numbers),
                       doctest::Contains("expected (3, 2, 32), found (2, 3, 32)"), hb::Error);
  CHECK_THROWS_WITH_AS(file.tensor("w"), doctest::Contains("'x' as the next name"), hb::Error);
  const auto other = header(1, 0).tensor("x", {256}, 10, 0).pad().data(84);
  CHECK_THROWS_WITH_AS(file_of(other).read<float>("x", {256}, std::span(numbers).first(0)),
                       doctest::Contains("room for 0"), hb::Error);
  numbers.resize(256);
  CHECK_THROWS_WITH_AS(file_of(other).read<float>("x", {256}, numbers),
                       doctest::Contains("some.gguf: 'x'): expected F32 F16 BF16"), hb::Error);
  CHECK_THROWS_WITH_AS(file_of(other).read<float>("x", {256}, numbers), doctest::Contains("found Q2_K"),
                       hb::Error);
}

TEST_CASE("metadata has the type asked for, or the error names key, expected and found") {
  using T = hb::GgufType;
  auto bytes = header(0, 9, 2);
  bytes.value("u32", T::u32, std::uint32_t{300}).value("i64", T::i64, std::int64_t{-5});
  bytes.value("f32", T::f32, 0.5f).value("f64", T::f64, 0.25).value("yes", T::boolean, std::uint8_t{1});
  bytes.value("odd", T::boolean, std::uint8_t{2}).strings("strings", {"a", "", "bc"});
  bytes.string("text").type(T::string).string("words");
  bytes.string("numbers").type(T::array).type(T::u8).number(std::uint64_t{2}).number(std::uint16_t{0x0201});
  const auto file = file_of(bytes);
  CHECK(file.metadata().size() == 9);
  CHECK(file.get<hb::Index>("u32") == 300);
  CHECK(file.get<std::int8_t>("i64") == -5);
  CHECK(file.get<double>("f32") == 0.5);
  CHECK(file.get<float>("f64") == 0.25f);
  CHECK(file.get<bool>("yes"));
  CHECK(file.get<std::string_view>("text") == "words");
  CHECK(file.get<std::vector<std::string_view>>("strings") == std::vector<std::string_view>{"a", "", "bc"});
  CHECK(file.get<std::vector<int>>("numbers") == std::vector<int>{1, 2});
  CHECK_FALSE(file.find<int>("none").has_value());
  const auto refuses = [&](auto ask, const char* message) {
    CHECK_THROWS_WITH_AS(ask(), doctest::Contains(message), hb::Error);
  };
  refuses([&] { file.get<int>("none"); }, "no such key (some.gguf: 'none'): expected an integer of");
  refuses([&] { file.get<std::uint8_t>("u32"); }, "'u32'): expected an integer of 0 to 255, found u32 300");
  refuses([&] { file.get<unsigned>("i64"); }, "found i64 -5");
  refuses([&] { file.get<int>("f32"); }, "found f32 0.5");
  refuses([&] { file.get<double>("u32"); }, "expected f32 or f64, found u32 300");
  refuses([&] { file.get<bool>("odd"); }, "'odd'): expected bool, found bool");
  refuses([&] { file.get<bool>("u32"); }, "expected bool, found u32 300");
  refuses([&] { file.get<int>("numbers"); }, "found an array of u8");
  refuses([&] { file.get<std::string_view>("u32"); }, "expected string, found u32 300");
  refuses([&] { file.get<std::vector<int>>("u32"); }, "expected an array of an integer");
  refuses([&] { file.get<std::vector<std::string_view>>("numbers"); }, "expected an array of string");

  auto ending = header(0, 1);  // nothing stands behind an array without elements
  ending.string("none").type(T::array).type(T::u64).number(std::uint64_t{0});
  const auto last = file_of(ending);
  refuses([&] { last.get<int>("none"); }, "found an array of u64");
}

TEST_CASE("malformed files are refused with the place and what is wrong") {
  using T = hb::GgufType;
  constexpr std::uint64_t huge = ~std::uint64_t{0};
  const auto two = [](std::uint64_t second) {
    return header(2, 0).tensor("a", {3}, 0, 0).tensor("b", {3}, 0, second).pad().data(12).pad().data(12);
  };
  const auto aligned = [](std::uint32_t alignment) {
    return header(1, 1).value("general.alignment", T::u32, alignment).tensor("a", {1}, 0, 0).pad(64).data(4);
  };
  const auto array = [](std::uint64_t count) {
    return header(0, 1).string("k").type(T::array).type(T::array).number(count);
  };
  Bytes nested = array(1);
  for (int i = 0; i < 10; ++i) nested.type(T::array).number(std::uint64_t{1});
  Bytes other_letters = header(0, 0), big_endian = header(0, 0, 0x03000000);
  other_letters.text[0] = 'g';
  REQUIRE(error_of(header(0, 0)) == "accepted");
  REQUIRE(error_of(two(32)) == "accepted");
  REQUIRE(error_of(aligned(64)) == "accepted");
  REQUIRE(error_of(array(1).type(T::u8).number(std::uint64_t{1}).data(1)) == "accepted");
  const std::vector<std::pair<Bytes, std::string>> cases = {
      {{}, "offset 0): expected 4 bytes of GGUF, found 0 left"},
      {other_letters, "the letters GGUF"},
      {header(0, 0, 1), "found 1"},
      {big_endian, "expected 2 or 3, little-endian, found 50331648"},
      {header(1, 0), "a tensor's name"},
      {header(huge, 0), "a tensor's name"},
      {header(0, huge), "a key"},
      {header(0, 1).number(huge), "18446744073709551615 bytes of a key"},
      {header(0, 1).string(std::string(65536, 'k')).type(T::u8).data(1), "found 65536"},
      {header(0, 1).string("k").number(std::uint32_t{13}), "a type of 0 to 12"},
      {header(0, 1).string("k").type(T::u64).data(7), "1 values of u64, found 7 bytes left"},
      {header(0, 1).string("k").type(T::string).number(huge), "bytes of a string"},
      {header(0, 1).string("k").type(T::array).type(T::f64).number(huge), "18446744073709551615 values"},
      {header(0, 1).string("k").type(T::array).type(T::string).number(huge), "a string"},
      {array(huge), "a value's type"},
      {nested, "a depth of at most 4"},
      {header(0, 2).value("k", T::u8, '1').value("k", T::u8, '2'), "'k'): expected each key once"},
      {header(1, 0).tensor(std::string(64, 'n'), {1}, 0, 0), "at most 63 bytes"},
      {header(1, 0).tensor("a", {1, 1, 1, 1, 1}, 0, 0), "found 5"},
      {header(1, 0).tensor("a", {huge}, 0, 0), "too large an extent"},
      {header(1, 0).tensor("a", {1u << 31, 1u << 31, 1u << 31}, 0, 0), "too many elements"},
      {header(1, 0).tensor("a", {huge >> 1}, 0, 0), "too many elements"},
      {header(1, 0).tensor("a", {33}, 2, 0), "a multiple of 32 for Q4_0, found 33"},
      {header(1, 0).tensor("a", {}, 2, 0), "found 1"},
      {header(1, 0).tensor("a", {1}, 99, 0), "'a'): expected a type of GGUF tensors, found 99"},
      {header(1, 0).tensor("a", {1}, 0, 0), "4 bytes at offset"},
      {header(1, 0).tensor("a", {1}, 0, 32).pad().data(36), "offset 0, found 32"},
      {header(1, 0).tensor("a", {2}, 0, 0).pad().data(7), "8 bytes at offset"},
      {two(12), "'b'): expected offset 32, found 12"},
      {header(2, 0).tensor("a", {0}, 0, 0).tensor("a", {0}, 0, 0).pad(), "each tensor once"},
      {aligned(0), "a power of two"},
      {aligned(48), "found 48"},
      {aligned(1u << 17), "found 131072"},
      {header(1, 1).value("general.alignment", T::f32, 1.0f).tensor("a", {0}, 0, 0), "found f32 1.0"},
  };
  for (const auto& [bytes, message] : cases) {
    const std::string error = error_of(bytes);
    CAPTURE(error);
    CHECK(error.find(message) != std::string::npos);
    CHECK(error.find("some.gguf") != std::string::npos);
  }
}
