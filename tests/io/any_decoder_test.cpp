// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The decoder of examples/lora against transformers (tests/reference/decoders.py): models of every family,
// with updates of every linear as an adapter; and from GGUF files of the same models.
#include <doctest/doctest.h>

#include <set>

#include "../../examples/lora/any_decoder.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::Index;
using hb::example::AnyDecoder;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;
constexpr Index tokens = 7, rank = 3;

/// The updates of a fixture as an adapter.
hb::HostAdapter adapter_of(const hb::SafetensorsFile& file, const hb::DecoderSpec& spec) {
  hb::HostAdapter adapter;
  for (Index layer = 0; layer < spec.layers; ++layer)
    for (const hb::Projection projection : hb::all_projections) {
      hb::HostFactors factors{.size = hb::size_of(spec, projection), .rank = rank, .scale = 0.7};
      factors.a.resize(static_cast<std::size_t>(rank * factors.size.in));
      factors.b.resize(static_cast<std::size_t>(rank * factors.size.out));
      const std::string name = "updates.layers." + std::to_string(layer) + "." +
                               std::string(hb::detail::names_of(projection).ours);
      file.read<float>(name + ".a", {rank, factors.size.in}, factors.a);
      file.read<float>(name + ".b", {factors.size.out, rank}, factors.b);
      adapter.linears[{layer, projection}] = std::move(factors);
    }
  return adapter;
}

std::vector<std::int32_t> ids_of(const hb::SafetensorsFile& file) {
  std::vector<std::int32_t> ids(2 * tokens);
  file.read<std::int32_t>("ids", {2 * tokens}, ids);
  ids.resize(tokens);  // the first sequence, which is not padded; what is appended to it comes later
  return ids;
}

double largest(std::span<const float> numbers) {
  double most = 0;
  for (const float number : numbers) most = std::max(most, std::abs(static_cast<double>(number)));
  return most;
}

double difference(std::span<const float> found, std::span<const float> expected) {
  REQUIRE(found.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
  return most / largest(expected);
}

}  // namespace

TEST_CASE("models of every family under adapters give what transformers gives") {
  for (const std::string model :
       {"llama", "llama3", "smollm2", "mistral", "qwen2", "qwen3", "qwen3_biased", "gemma2", "gemma3"}) {
    CAPTURE(model);
    const hb::SafetensorsFile file(fixtures / "models" / model / "expected.safetensors");
    hb::Cpu cpu({.threads = 1});
    AnyDecoder decoder(cpu, fixtures / "models" / model);
    const auto& spec = decoder.spec();
    const hb::HostAdapter adapter = adapter_of(file, spec);
    const auto ids = ids_of(file);
    const auto logits = decoder.logits(ids, {nullptr, &adapter});
    const auto& shape = file.tensor("logits").shape;
    std::vector<float> expected(static_cast<std::size_t>(shape[0] * shape[1]));
    file.read<float>("logits", shape, expected);
    const auto half = static_cast<std::size_t>(tokens * spec.vocabulary);
    const auto plain = logits.span().first(half), updated = logits.span().last(half);
    CHECK(difference(updated, std::span(expected).first(half)) < 1e-4);
    CHECK(difference(plain, updated) > 1e-2);
    const auto alone = decoder.logits(ids, {&adapter});
    CHECK(difference(alone.span(), updated) < 1e-6);

    if (!std::set<std::string>{"llama", "smollm2", "qwen2", "qwen3"}.contains(model)) continue;
    AnyDecoder from_gguf(cpu, fixtures / "gguf" / (model + ".gguf"));  // rounded to half
    CHECK(difference(from_gguf.logits(ids, {&adapter}).span(), updated) < 1e-2);
  }
}

TEST_CASE("ids that a model does not have are an error") {
  hb::Cpu cpu({.threads = 1});
  AnyDecoder decoder(cpu, fixtures / "models/llama");
  CHECK_THROWS_WITH_AS(decoder.logits({40}, {nullptr}),
                       "hyperblocks: no such token (AnyDecoder): expected 0 to 39, found 40", hb::Error);
  CHECK_THROWS_AS(decoder.logits({-1}, {nullptr}), hb::Error);
  CHECK_THROWS_AS(decoder.logits({}, {nullptr}), hb::Error);
}
