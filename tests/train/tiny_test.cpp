// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The tiny hypernetworks that come with the library: what they make of documents that training never showed
// lets their base answer what it can only guess alone.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

#include <doctest/doctest.h>

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
constexpr hb::DocToLoraSpec doc_to_lora{.perceiver = {.latent = 96,
                                                      .latents = 16,
                                                      .blocks = 2,
                                                      .heads = 4,
                                                      .kv_heads = 2,
                                                      .head_width = 24,
                                                      .inner = 192,
                                                      .projection_inner = 192},
                                        .mlps = 1,
                                        .mlp_inner = 192};
constexpr hb::TextToLoraSpec text_to_lora{
    .rank = 4, .embedding = 128, .latent = 64, .head_in = 96, .shared_head = true};

struct Shares {
  double with, without, bytes;  ///< bytes of one document's adapter
};

/// Of 40 documents: the share of right answers with the adapters that the hypernetwork writes, and without.
template <auto spec>
Shares shares_of(const std::string& name, const std::string& data, hb::Index lines = 20) {
  const std::filesystem::path tiny =
      std::filesystem::path(HYPERBLOCKS_FIXTURES) / "../../examples/train/tiny";
  Cpu cpu;
  const auto model = hb::loaded_decoder<Model>(cpu, tiny / "base");
  const Model::Positions positions(cpu);
  hb::example::Plan plan;
  plan.data = data, plan.facts = 5, plan.untold = true, plan.seed = 11, plan.documents = 40;
  plan.piece = 256, plan.lines = lines;
  const hb::example::Examples examples(plan);
  const hb::example::Conversation conversation(tiny / "base");
  const hb::example::Setting<Model> setting{plan, conversation, model, positions};
  using System = hb::example::System<Model, spec, hb::ContextSpec{.layers = 4}>;
  const System system(setting);
  const auto params = hb::loaded_hypernet<typename System::Net>(cpu, tiny / name);
  const auto share = [&](const auto& way) {
    return hb::example::held_out_score(cpu, setting, way, examples).share();
  };
  const hb::example::Written<System> written{cpu, system, params};
  const hb::example::Example one = examples.asked(0);
  hb::example::Cost cost;
  hb::example::score_of(cpu, setting, written, std::span(&one, 1), &cost);
  const Shares shares{share(written), share(hb::example::NotKnown<Model>{}), cost.bytes};
  MESSAGE(name << ", " << data << ": right with the adapter: " << shares.with
               << ", without: " << shares.without);
  return shares;
}
}  // namespace

TEST_CASE("SHINE: people whom training never met") {
  const Shares shares = shares_of<shine>("shine", "world");
  // Four layers of rank 4; q, k, v, o, gate, up, down read and write so many numbers of 4 bytes.
  CHECK(shares.bytes == 4 * 4 * 4 * (256 + 192 + 192 + 256 + 512 + 512 + 512));
  CHECK(shares.with > 0.95);
  CHECK(shares.without < 0.25);
}

TEST_CASE("Doc-to-LoRA: people, and needles in longer texts than training has shown") {
  const Shares world = shares_of<doc_to_lora>("doc-to-lora", "world");
  CHECK(world.bytes == 2 * 8 * 4 * 4 * 512);  // of rank 8, as large as what no document changes
  CHECK(world.with > 0.8);
  CHECK(world.without < 0.25);
  const Shares needle = shares_of<doc_to_lora>("doc-to-lora", "needle", 32);
  CHECK(needle.with > 0.9);
  CHECK(needle.without < 0.05);
}

TEST_CASE("Text-to-LoRA: tasks whose descriptions training never heard") {
  const Shares shares = shares_of<text_to_lora>("text-to-lora", "tasks");
  CHECK(shares.bytes == 4 * 4 * 4 * (256 + 192));
  CHECK(shares.with > 0.75);
  CHECK(shares.without < 0.35);
}
