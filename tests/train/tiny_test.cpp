// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The tiny SHINE that comes with the library: about people whom training never met it makes its base answer
// what their documents say, and say what they do not; the base alone can only guess.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

#include <doctest/doctest.h>

#include "../../examples/train/scores.hpp"
#include "../../examples/train/systems.hpp"
#include "../../examples/train/ways.hpp"

namespace hb = hyperblocks;
using hb::Cpu;

namespace {
constexpr hb::DecoderSpec base{.vocabulary = 768,
                               .hidden = 128,
                               .layers = 4,
                               .heads = 4,
                               .kv_heads = 2,
                               .head_width = 32,
                               .inner = 384,
                               .positions = 512};
using Model = hb::Decoder<base, float, Cpu>;
constexpr hb::ShineSpec shine{
    .rank = 4, .meta_rank = 16, .scale = 0.01, .m2p = {.blocks = 2, .heads = 4, .inner = 256}};
const std::filesystem::path tiny = std::filesystem::path(HYPERBLOCKS_FIXTURES) / "../../examples/train/tiny";
}  // namespace

TEST_CASE("questions about people whom training never met") {
  Cpu cpu;
  const auto model = hb::loaded_decoder<Model>(cpu, tiny / "base");
  const Model::Positions positions(cpu);
  hb::example::Plan plan;
  plan.people = 1, plan.facts = 5, plan.untold = true, plan.seed = 11, plan.documents = 40;
  const hb::example::Examples examples(plan);
  const hb::example::Conversation conversation(tiny / "base");
  const hb::example::Setting<Model> setting{plan, conversation, model, positions};
  const hb::example::System<Model, shine, hb::ContextSpec{}> system{setting};
  const auto params = hb::loaded_hypernet<decltype(system)::Net>(cpu, tiny / "shine");
  const hb::example::Score with = hb::example::held_out_score(
      cpu, setting, hb::example::Written<decltype(system)>{cpu, system, params}, examples);
  CHECK(with.all == 240);
  CHECK(with.right > 216);
  const hb::example::Score without =
      hb::example::held_out_score(cpu, setting, hb::example::NotKnown<Model>{}, examples);
  MESSAGE("right with the adapter: " << with.right << ", without: " << without.right << ", of " << with.all);
  CHECK(without.right < 60);
}
