// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text encoders from their folders against PyTorch (tests/reference/text_encoders.py), pooling, errors.
#include <doctest/doctest.h>

#include <hyperblocks/io/load_text_encoder.hpp>
#include <hyperblocks/models/embed.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "support/worse.hpp"

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
      worst = hb::test::worse(worst, std::abs(static_cast<double>(states.span()[i] - expected.states[i])));
    CHECK(worst < 1e-5);  // states are LayerNorms of width 16: of order one

    const auto embedded = [&](Pooling pooling, double length = 0) {
      return hb::embed<Encoder>(cpu, params, positions, expected.ids, {pooling, length});
    };
    for (std::size_t i = 0; i < 16; ++i) {
      double mean = 0;
      for (std::size_t token = 0; token < 9; ++token) mean += states.span()[token * 16 + i] / 9;
      CHECK(embedded(Pooling::cls)[i] == states.span()[i]);
      CHECK(embedded(Pooling::last)[i] == states.span()[8 * 16 + i]);
      CHECK(embedded(Pooling::mean)[i] == doctest::Approx(mean).epsilon(1e-6));
    }
    const auto plain = embedded(Pooling::mean), scaled = embedded(Pooling::mean, 4);
    double squares = 0;
    for (const float number : plain) squares += static_cast<double>(number) * number;
    for (std::size_t i = 0; i < 16; ++i)
      CHECK(scaled[i] == doctest::Approx(plain[i] * 4 / std::sqrt(squares)).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("encoders give what PyTorch gives") {
  check_encoder<bert>("bert");
  check_encoder<gte>("gte");
}

TEST_CASE("the documentation's program: an encoder is loaded and run") {
  constexpr hb::TextEncoderSpec my_encoder = bert;
  const auto path = folder("bert");
  const std::vector<std::int32_t> ids = Expected("bert").ids;
  // [encoder]
  using Encoder = hb::TextEncoder<my_encoder, float, hb::Cpu>;
  hb::Cpu cpu;
  const auto params = hb::loaded_text_encoder<Encoder>(cpu, path, hb::ProgressBar());
  const Encoder::Positions positions(cpu);
  const hb::EmbedOptions options{.pooling = hb::Pooling::mean, .length = 1};
  const std::vector<float> vector = hb::embed<Encoder>(cpu, params, positions, ids, options);
  // [/encoder]
  CHECK(vector.size() == 16);
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
  CHECK_THROWS_WITH_AS(hb::embed<Encoder>(cpu, params, positions, std::vector<std::int32_t>(33)),
                       doctest::Contains("expected 1 .. 32 tokens, found 33"), Error);
  CHECK_THROWS_WITH_AS(hb::embed<Encoder>(cpu, params, positions, {}), doctest::Contains("found 0"), Error);
}

TEST_CASE("what a config of an encoder gets wrong is an error that names the field") {
  const auto config = hb::read_json(folder("bert") / "config.json");
  const auto check_field = [&](const char* key, const nlohmann::json& value, const char* message) {
    auto wrong = config;
    wrong[key] = value;
    CHECK_THROWS_WITH_AS(hb::text_encoder_spec_from_config(wrong, "some.json"), doctest::Contains(message),
                         Error);
  };
  check_field("num_hidden_layers", 0, "(some.json: 'num_hidden_layers'): expected 1 to 65535, found 0");
  check_field("type_vocab_size", -1, "(some.json: 'type_vocab_size'): expected 0 to 2147483647, found -1");
  check_field("num_attention_heads", 5,
              "'num_attention_heads'): expected a divisor of hidden_size, 16, found 5");
  check_field("layer_norm_eps", 0, "(some.json: 'layer_norm_eps'): expected more than 0, found 0");
}

TEST_CASE("weights kept as bf16 give nearly the same") {
  using Encoder = hb::TextEncoder<bert, float, Cpu, hb::Frozen<hb::bf16>>;
  Cpu cpu;
  const Expected expected("bert");
  const auto params = hb::loaded_text_encoder<Encoder>(cpu, folder("bert"));
  const Encoder::Positions positions(cpu);
  const auto found = hb::embed<Encoder>(cpu, params, positions, expected.ids, {.pooling = Pooling::cls});
  for (std::size_t i = 0; i < 16; ++i) CHECK(std::abs(found[i] - expected.states[i]) < 0.05);
}

TEST_CASE("a decoder's vector of a text is its state behind the final norm") {
  constexpr hb::DecoderSpec spec{
      .vocabulary = 23, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 16};
  using Model = hb::Decoder<spec, float, Cpu>;
  Cpu cpu;
  hb::Random random(3);
  const auto params = hb::initialised<Model>(cpu, random);
  const Model::Positions positions(cpu);
  const std::vector<std::int32_t> tokens = {3, 7, 1, 20, 5};
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 5);
  ids.upload(cpu, tokens);
  hb::Tensor<float, Cpu, dyn, dyn, 8> states(cpu, 3, 5);
  Model::forward(cpu, params, {.ids = ids, .rotary = positions, .final_norm = true}, {.states = states});
  const auto last = hb::embed<Model>(cpu, params, positions, tokens, {.pooling = Pooling::last});
  const auto scaled = hb::embed<Model>(cpu, params, positions, tokens, {Pooling::last, std::sqrt(8.0)});
  double squares = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(last[i] == states.span()[(2 * 5 + 4) * 8 + i]);
    squares += static_cast<double>(scaled[i]) * scaled[i] / 8;
  }
  CHECK(squares == doctest::Approx(1).epsilon(1e-6));
}
