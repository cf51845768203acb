// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text encoders from their folders against PyTorch (tests/reference/text_encoders.py), pooling, errors.
#include <doctest/doctest.h>

#include <hyperblocks/io/load_text_encoder.hpp>
#include <hyperblocks/models/text_encoder.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Error, hb::Index, hb::Pooling;

namespace {

constexpr hb::TextEncoderSpec bert{
    .vocabulary = 40, .hidden = 16, .layers = 2, .heads = 4, .inner = 24, .positions = 32};
constexpr hb::TextEncoderSpec gte{.vocabulary = 40,
                                  .hidden = 16,
                                  .layers = 2,
                                  .heads = 2,
                                  .inner = 24,
                                  .positions = 64,
                                  .token_types = 0,
                                  .gated = true,
                                  .rope_base = 160000,
                                  .rope_scaling = {.kind = hb::RopeScaling::Kind::ntk, .factor = 2}};

std::filesystem::path folder(const char* name) {
  return std::filesystem::path(HYPERBLOCKS_FIXTURES) / "text_encoders" / name;
}

struct Expected {
  explicit Expected(const char* name) {
    const hb::SafetensorsFile file(folder(name) / "expected.safetensors");
    file.read<std::int32_t>("ids", {9}, ids);
    file.read<float>("states", {9, 16}, states);
  }
  std::vector<std::int32_t> ids = std::vector<std::int32_t>(9);
  std::vector<float> states = std::vector<float>(9 * 16);
};

template <hb::TextEncoderSpec spec>
void check_encoder(const char* name) {
  using Encoder = hb::TextEncoder<spec, float, Cpu>;
  const Expected expected(name);
  for (const hb::Isa isa : hb::all_isas) {
    if (!hb::runs_here(isa)) continue;
    Cpu cpu({.threads = 2, .isa = isa});
    cpu.arena().poison(true);
    const auto params = hb::loaded_text_encoder<Encoder>(cpu, folder(name));
    const typename Encoder::Positions positions(cpu);
    hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 9);
    ids.upload(cpu, expected.ids);
    hb::Tensor<float, Cpu, dyn, 16> states(cpu, 9);
    Encoder::forward(cpu, params, ids, positions, states);
    double worst = 0;
    for (std::size_t i = 0; i < expected.states.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(states.span()[i] - expected.states[i])));
    CHECK(worst < 1e-5);  // states are LayerNorms of width 16: of order one

    const auto embedded = [&](Pooling pooling, bool normalise) {
      return hb::embed<Encoder>(cpu, params, positions, expected.ids, pooling, normalise);
    };
    for (std::size_t i = 0; i < 16; ++i) {
      double mean = 0;
      for (std::size_t token = 0; token < 9; ++token) mean += states.span()[token * 16 + i] / 9;
      CHECK(embedded(Pooling::cls, false)[i] == states.span()[i]);
      CHECK(embedded(Pooling::last, false)[i] == states.span()[8 * 16 + i]);
      CHECK(embedded(Pooling::mean, false)[i] == doctest::Approx(mean).epsilon(1e-6));
    }
    const auto plain = embedded(Pooling::mean, false), unit = embedded(Pooling::mean, true);
    double squares = 0;
    for (const float number : plain) squares += static_cast<double>(number) * number;
    for (std::size_t i = 0; i < 16; ++i)
      CHECK(unit[i] == doctest::Approx(plain[i] / std::sqrt(squares)).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("encoders give what PyTorch gives") {
  check_encoder<bert>("bert");
  check_encoder<gte>("gte");
}

TEST_CASE("what does not fit an encoder is an error") {
  Cpu cpu;
  using Encoder = hb::TextEncoder<bert, float, Cpu>;
  CHECK_THROWS_WITH_AS(hb::loaded_text_encoder<Encoder>(cpu, folder("gte")),
                       doctest::Contains("the model is not the one that the program was compiled for"),
                       Error);
  CHECK_THROWS_WITH_AS(hb::text_encoder_spec(std::filesystem::path(HYPERBLOCKS_FIXTURES) / "models/llama"),
                       doctest::Contains("expected bert or new (gte v1.5), found 'llama'"), Error);
  const auto params = hb::loaded_text_encoder<Encoder>(cpu, folder("bert"));
  const Encoder::Positions positions(cpu);
  CHECK_THROWS_WITH_AS(
      hb::embed<Encoder>(cpu, params, positions, std::vector<std::int32_t>(33), Pooling::cls, false),
      doctest::Contains("expected 1 .. 32 tokens, found 33"), Error);
  CHECK_THROWS_WITH_AS(hb::embed<Encoder>(cpu, params, positions, {}, Pooling::cls, false),
                       doctest::Contains("found 0"), Error);
}

TEST_CASE("weights kept as bf16 give nearly the same") {
  using Encoder = hb::TextEncoder<bert, float, Cpu, hb::Frozen<hb::bf16>>;
  Cpu cpu;
  const Expected expected("bert");
  const auto params = hb::loaded_text_encoder<Encoder>(cpu, folder("bert"));
  const Encoder::Positions positions(cpu);
  const auto found = hb::embed<Encoder>(cpu, params, positions, expected.ids, Pooling::cls, false);
  for (std::size_t i = 0; i < 16; ++i) CHECK(std::abs(found[i] - expected.states[i]) < 0.05);
}
