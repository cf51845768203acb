// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// safetensors: the exact bytes of a written file, round trips of parameters, and files that must be refused.
#include "support/folder.hpp"

#include <sys/resource.h>

#include <csignal>
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/safetensors.hpp>
#include <iterator>
#include <limits>

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::test::Folder, hb::test::contents;

namespace {

std::string with_length(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string error_of(const std::string& bytes) {
  try {
    hb::SafetensorsFile::from_bytes("some.file", std::as_bytes(std::span(bytes)));
  } catch (const hb::Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("the bytes of a file: wide types first, then names, header padded to a multiple of 8") {
  const Folder folder;
  const std::vector<float> wide = {1.0f, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::uint8_t> narrow = {7};
  hb::write_safetensors(folder.path / "f",
                        {{"a", {hb::DType::u8, {}, std::as_bytes(std::span(narrow))}},
                         {"b", {hb::DType::f32, {1, 2}, std::as_bytes(std::span(wide))}},
                         {"c", {hb::DType::f64, {3, 0}, {}}}},
                        {{"format", "pt"}});
  std::string header =
      R"({"__metadata__":{"format":"pt"},"c":{"dtype":"F64","shape":[3,0],"data_offsets":[0,0]},)"
      R"("b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string data = std::string(reinterpret_cast<const char*>(wide.data()), 8) + '\7';
  CHECK(contents(folder.path / "f") == with_length(header, data));

  const hb::SafetensorsFile file(folder.path / "f");
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.tensors().size() == 3);
  std::vector<double> read(2);
  file.read<double>("b", {1, 2}, read);
  CHECK(read[0] == 1.0);
  CHECK(std::isnan(read[1]));
  CHECK_THROWS_WITH_AS(file.read<double>("b", {2, 1}, read),
                       doctest::Contains("expected (2, 1), found (1, 2)"), hb::Error);
  CHECK_THROWS_WITH_AS(file.read<double>("nothing", {2}, read), doctest::Contains("'nothing'"), hb::Error);
  std::vector<float> one(1);
  CHECK_THROWS_WITH_AS(file.read<float>("a", {}, one), doctest::Contains("found U8"), hb::Error);
  std::vector<std::uint8_t> byte(1);
  file.read<std::uint8_t>("a", {}, byte);
  CHECK(byte[0] == 7);
  std::vector<std::int32_t> id(1);
  CHECK_THROWS_WITH_AS(file.read<std::int32_t>("a", {}, id), doctest::Contains("expected I32, found U8"),
                       hb::Error);
}

TEST_CASE("parameters come back, frozen ones too, and in another dtype") {
  using Plain = hb::Mlp<hb::MlpSpec{.in = 33, .inner = 40, .out = 5}, float, hb::Cpu>;
  using Fixed = hb::Mlp<hb::MlpSpec{.in = 33, .inner = 40, .out = 5}, float, hb::Cpu, hb::Frozen<hb::bf16>>;
  const Folder folder;
  hb::Cpu cpu;
  hb::Random random(2);
  auto plain = hb::make<Plain::Params>(cpu);
  Plain::initialise(cpu, plain, random);
  hb::save(cpu, plain, folder.path / "plain");
  auto again = hb::make<Plain::Params>(cpu);
  hb::load(cpu, again, hb::SafetensorsFile(folder.path / "plain"));
  hb::visit([](const std::string&, const auto& a,
               const auto& b) { CHECK(std::equal(a.span().begin(), a.span().end(), b.span().begin())); },
            plain, again);
  auto part = hb::make<decltype(Plain::Params::expand)>(cpu);
  hb::load(cpu, part, hb::SafetensorsFile(folder.path / "plain"), "expand.");
  CHECK(std::ranges::equal(part.weight.span(), plain.expand.weight.span()));
  CHECK_THROWS_WITH_AS(hb::load(cpu, part, hb::SafetensorsFile(folder.path / "plain"), "shrink."),
                       doctest::Contains("'shrink.weight'"), hb::Error);
  auto fixed = hb::make<Fixed::Params>(cpu);
  hb::load(cpu, fixed, hb::SafetensorsFile(folder.path / "plain"));
  hb::save(cpu, fixed, folder.path / "fixed");
  std::vector<float> rounded(40 * 33);
  hb::SafetensorsFile(folder.path / "fixed").read<float>("expand.weight", {40, 33}, rounded);
  for (std::size_t i = 0; i < rounded.size(); ++i)
    CHECK(rounded[i] == static_cast<float>(hb::bf16(plain.expand.weight.span()[i])));
  hb::SafetensorsFile file(folder.path / "plain");
  auto tensors = file.tensors();
  const auto untouched = [&] {
    hb::write_safetensors(folder.path / "other", tensors);
    Plain::initialise(cpu, again, random);
    const std::vector<float> before(again.expand.weight.span().begin(), again.expand.weight.span().end());
    CHECK_THROWS_AS(hb::load(cpu, again, hb::SafetensorsFile(folder.path / "other")), hb::Error);
    return std::ranges::equal(before, again.expand.weight.span());
  };
  const auto last = std::prev(tensors.end());
  REQUIRE(last->first > "expand.weight");
  last->second.dtype = hb::DType::i32;
  CHECK(untouched());
  last->second.shape = {std::ssize(last->second.bytes), 1};
  last->second.dtype = hb::DType::u8;
  CHECK(untouched());
  tensors.erase(last);
  CHECK(untouched());
  using Other = hb::Mlp<hb::MlpSpec{.in = 33, .inner = 41, .out = 5}, float, hb::Cpu>;
  auto other = hb::make<Other::Params>(cpu);
  CHECK_THROWS_WITH_AS(hb::load(cpu, other, hb::SafetensorsFile(folder.path / "plain")),
                       doctest::Contains("'expand.weight'"), hb::Error);
}

TEST_CASE("malformed files are refused with the file and what is wrong") {
  const auto entry = [](const std::string& inner) { return "{\"x\":{" + inner + "}}"; };
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::string eight(8, 'd');
  REQUIRE(error_of(with_length(entry(good), eight)) == "accepted");
  REQUIRE(error_of(with_length("{}")) == "accepted");
  REQUIRE(error_of(with_length("  " + entry(good) + " \n ", eight)) == "accepted");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "8 bytes of header length"},
      {"1234567", "found 7"},
      {std::string(8, '\xff'), "impossible header length"},
      {with_length("{}").substr(0, 9), "at most 1, found 2"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "found a Git LFS pointer"},
      {"<!DOCTYPE html>", "found an HTML page"},
      {"Not a model.", "found text"},
      {with_length(""), "JSON"},
      {with_length("[]"), "found an array"},
      {with_length("null"), "a JSON object"},
      {with_length("{\"x\":1}"), "found 1"},
      {with_length("{\"x\":\"y\"}"), "the string 'y'"},
      {with_length("{} {}"), "JSON"},
      {with_length(entry(good) + "x", eight), "JSON"},
      {with_length("{\"x\":{" + good + "},\"x\":{" + good + "}}", eight), "'x' twice"},
      {with_length(entry(good + ",\"dtype\":\"F32\""), eight), "'dtype' twice"},
      {with_length(entry(good + ",\"more\":[1]"), eight), "'more'"},
      {with_length(entry(R"("dtype":"F33","shape":[2],"data_offsets":[0,8])"), eight), "'F33'"},
      {with_length(entry(R"("dtype":"F32","data_offsets":[0,8])"), eight), "expected shape"},
      {with_length(entry(R"("shape":[2],"data_offsets":[0,8])"), eight), "expected dtype"},
      {with_length(entry(R"("dtype":"F32","shape":[2])"), eight), "data_offsets"},
      {with_length(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])"), eight), "data_offsets"},
      {with_length(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), eight), "found -2"},
      {with_length(entry(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), eight), "found 2.0"},
      {with_length(entry(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), eight), "found an array"},
      {with_length(entry(R"("dtype":"F32","shape":[{}],"data_offsets":[0,8])"), eight), "found an object"},
      {with_length(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), eight), "8 bytes"},
      {with_length(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), "1234567"),
       "truncated file (some.file: 'x'): expected 8 bytes of data, found 7"},
      {with_length(entry(good), eight + "!"), "found 9"},
      {with_length(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), eight), "a begin of 0"},
      {with_length(entry(R"("dtype":"F32","shape":[1],"data_offsets":[8,4])"), eight), "a begin of 0"},
      {with_length(entry(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])")),
       "overflow"},
      {with_length(entry(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0])")), "overflow"},
      {with_length(entry(R"("dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0])")),
       "18446744073709551616"},
      {with_length("{\"__metadata__\":{\"a\":1}}"), "a string for 'a'"},
      {with_length("{\"__metadata__\":[]}"), "'__metadata__'"},
      {with_length("{\"__metadata__\":{\"a\":[]}}"), "found an array"},
      {with_length("{\"__metadata__\":{\"a\":{}}}"), "found an object"},
      {with_length("{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}"), "'a' twice"},
      {with_length("{\"x\":true}"), "found a boolean"},
      {with_length(entry(R"("dtype":["F32"],"shape":[2],"data_offsets":[0,8])"), eight), "found an array"},
      {with_length(entry(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), eight), "the string '2'"},
      {with_length(entry(R"("dtype":"F32","shape":"2","data_offsets":[0,8])"), eight), "the string '2'"},
      {with_length(entry(R"("dtype":"F32","shape":[null],"data_offsets":[0,8])"), eight), "found null"},
      {with_length("{\"\xff\":{" + good + "}}", eight), "JSON"},
      {with_length(std::string(100000, '[')), "found an array"},
  };
  for (const auto& [bytes, expected] : cases) {
    const std::string message = error_of(bytes);
    CAPTURE(expected);
    CHECK_MESSAGE(message.find(expected) != std::string::npos, message);
    CHECK_MESSAGE(message.find("some.file") != std::string::npos, message);
  }
}

TEST_CASE("what cannot be read or written is an error, and the old file stays") {
  const Folder folder;
  CHECK_THROWS_WITH_AS(hb::SafetensorsFile(folder.path / "none"), doctest::Contains("No such file"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(hb::SafetensorsFile(folder.path), doctest::Contains("a regular file"), hb::Error);
  CHECK_THROWS_AS(hb::write_safetensors(folder.path / "none" / "f", {}), hb::Error);
  hb::write_safetensors(folder.path / "f", {});
  const std::string before = contents(folder.path / "f");
  const std::vector<std::byte> large(100000);
  const hb::StoredTensor tensor{hb::DType::u8, {100000}, large};
  CHECK_THROWS_AS(hb::write_safetensors(folder.path / "f", {{"x", {hb::DType::u8, {3}, large}}}), hb::Error);
  for (const std::vector<hb::Index>& lie :
       {std::vector<hb::Index>{1l << 32, 1l << 32}, {-1, -1}, {1l << 61}}) {
    const auto bytes = std::span(large).first(lie[0] < 0 ? 8 : 0);
    CHECK_THROWS_WITH_AS(hb::write_safetensors(folder.path / "f", {{"x", {hb::DType::f64, lie, bytes}}}),
                         doctest::Contains("cannot be written"), hb::Error);
  }
  CHECK_THROWS_WITH_AS(hb::write_safetensors(folder.path / "f", {{"\xff", tensor}}),
                       doctest::Contains("UTF-8"), hb::Error);

  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{4096, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS_WITH_AS(hb::write_safetensors(folder.path / "f", {{"x", tensor}}),
                       doctest::Contains("File too large"), hb::Error);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  CHECK(contents(folder.path / "f") == before);
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);  // no temporary file is left
}

TEST_CASE("every real dtype is read into every real scalar, the file's bytes held by their owner") {
  const Folder folder;
  const std::vector<double> f64 = {1.5, -2.25, 1.0 + 0x1p-11 + 0x1p-40};
  const std::vector<float> f32 = {1.5f, -2.25f, 3e38f};
  const std::vector<hb::half> f16 = {hb::half(1.5f), hb::half(-2.25f), hb::half(65504.0f)};
  const std::vector<hb::bf16> bf16 = {hb::bf16(1.5f), hb::bf16(-2.25f), hb::bf16(1e30f)};
  hb::write_safetensors(folder.path / "f", {{"a", {hb::DType::f64, {3}, std::as_bytes(std::span(f64))}},
                                            {"b", {hb::DType::f32, {3}, std::as_bytes(std::span(f32))}},
                                            {"c", {hb::DType::f16, {3}, std::as_bytes(std::span(f16))}},
                                            {"d", {hb::DType::bf16, {3}, std::as_bytes(std::span(bf16))}}});
  const hb::SafetensorsFile file(folder.path / "f");
  const auto check = [&]<class To>(To) {
    for (const auto& [name, last] : {std::pair<std::string, double>{"a", f64[2]},
                                     {"b", static_cast<double>(f32[2])},
                                     {"c", hb::scalar_cast<double>(f16[2])},
                                     {"d", hb::scalar_cast<double>(bf16[2])}}) {
      CAPTURE(name);
      std::vector<To> read(3);
      file.read<To>(name, {3}, read);
      CHECK(hb::scalar_cast<double>(read[0]) == 1.5);
      CHECK(hb::scalar_cast<double>(read[1]) == -2.25);
      CHECK(hb::scalar_cast<double>(read[2]) == hb::scalar_cast<double>(hb::scalar_cast<To>(last)));
    }
  };
  check(0.0);
  check(0.0f);
  check(hb::half(0.0f));
  check(hb::bf16(0.0f));
  CHECK(file.contains("a"));
  CHECK_FALSE(file.contains("e"));
  CHECK(file.owner() != nullptr);
  std::vector<float> two(2);
  CHECK_THROWS_WITH_AS(file.read<float>("a", {3}, two), doctest::Contains("expected 3, found room for 2"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(file.tensor("bb"), doctest::Contains("'c' as the next name"), hb::Error);
  CHECK_THROWS_WITH_AS(file.tensor("z"), doctest::Contains("no name like it"), hb::Error);
}
