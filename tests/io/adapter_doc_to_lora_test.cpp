// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/adapter with Doc-to-LoRA: logits and stages are PyTorch's under scales of all kinds, layer by
// layer or not, from tokens or from features, read by the base or by another model.
#include "../support/adapter_program.hpp"

namespace hb = hyperblocks;
using hb::test::Folder;

namespace {

constexpr hb::DocToLoraSpec spec{
    .rank = 2,
    .targets = {.key = false, .value = false, .output = false, .gate = false, .up = false},
    .perceiver = {.latent = 12,
                  .latents = 3,
                  .blocks = 2,
                  .self_layers = 1,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_width = 6,
                  .inner = 20,
                  .projection_inner = 24},
    .mlps = 1,
    .mlp_inner = 10};
constexpr hb::example::BaseReads base_reads{};
const std::string fixture = "doc_to_lora_own";

struct World {
  Folder folder;
  hb::example::Options options;
  World() {
    using Model = hb::Decoder<hb::test::tiny_llama, float, hb::Cpu>;
    hb::test::save_fixture<hb::DocToLora<Model, spec>>(fixture, folder.path / "net");
    options.base = (hb::test::adapter_fixtures / "models/llama").string();
    options.hypernet = (folder.path / "net").string();
    options.ids = hb::test::ids_text(fixture, "ids.0") + ";" + hb::test::ids_text(fixture, "ids.1");
    options.chunk_scales = "1,-0.5", options.scale = 1.5, options.bias_scale = 0.5;
    options.out = (folder.path / "out").string();
    options.logits = (folder.path / "logits.safetensors").string();
    options.logits_ids = hb::test::ids_text(fixture, "question");
    options.dump = (folder.path / "dump.safetensors").string();
  }
  template <auto encoder = base_reads>
  void run() {
    hb::example::run<hb::test::tiny_llama, spec, hb::ContextSpec{}, encoder>(options, hb::example::Peers());
  }
};

}  // namespace

TEST_CASE("logits and stages are those of PyTorch, layer by layer or not") {
  World world;
  for (const bool iterative : {false, true}) {
    world.options.iterative = iterative;
    world.run();
    CHECK(hb::test::differs(world.options.logits, "logits", fixture, "logits", 0, 2) < 2e-5);
    for (const std::string piece : {"0", "1"})
      CHECK(hb::test::differs(world.options.dump, "features." + piece, fixture, "features." + piece) < 1e-5);
  }
  // Two linears: the program gives them in the order down, query; the fixture query, down.
  const auto latents = hb::example::read_tensor(world.options.dump, "latents");
  CHECK(latents.shape == std::vector<hb::Index>{2, 3, 2, 2, 12});
  const auto expected = hb::example::read_tensor(
      hb::test::adapter_fixtures / "hypernets" / (fixture + ".safetensors"), "latents.0");
  for (std::size_t i = 0; i < 24; ++i) {
    CHECK(latents.numbers[i] == doctest::Approx(expected.numbers[24 + i]).epsilon(1e-4));
    CHECK(latents.numbers[24 + i] == doctest::Approx(expected.numbers[i]).epsilon(1e-4));
  }
}

TEST_CASE("features from elsewhere") {
  World world;
  const auto features = hb::example::read_tensor(
      hb::test::adapter_fixtures / "hypernets" / (fixture + ".safetensors"), "features.2");
  const auto file = world.folder.path / "features.safetensors";
  hb::example::write_tensors(file, {{"features", features}});
  world.options.ids = "", world.options.features = file.string(), world.options.chunk_scales = "2";
  world.options.logits_ids = hb::test::ids_text(fixture, "question", 1);
  world.run();
  CHECK(hb::test::differs(world.options.logits, "logits", fixture, "logits", 1, 2) < 2e-5);
  CHECK(hb::test::differs(world.options.dump, "features", fixture, "features.2") == 0);

  hb::example::write_tensors(file, {{"features", {{2, 3, 16}, std::vector<float>(96)}}});
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("features of another shape"), hb::Error);
  hb::example::write_tensors(file, {{"other", {{1}, {0}}}});
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("no such tensor"), hb::Error);
}

TEST_CASE("another model reads") {
  World world;
  world.options.dump = "";
  CHECK_THROWS_WITH_AS(world.run<hb::test::tiny_llama>(),
                       doctest::Contains("the model that reads is not given"), hb::Error);
  world.options.encoder = world.options.base;  // the same one, so the logits are
  world.run<hb::test::tiny_llama>();
  CHECK(hb::test::differs(world.options.logits, "logits", fixture, "logits", 0, 2) < 2e-5);
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("another model that reads (--encoder)"), hb::Error);
}

TEST_CASE("another system's hypernetwork, and scales whose product no float holds") {
  World world;
  world.options.bias_scale = 1e30;
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("numbers that are too large"), hb::Error);
  world.options.hypernet = (hb::test::adapter_fixtures / "../../examples/train/tiny/shine").string();
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("a hypernetwork of another system"), hb::Error);
}

TEST_CASE("as many scales as pieces") {
  World world;
  world.options.chunk_scales = "1";
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("not a scale for every piece"), hb::Error);
  world.options.chunk_scales = "1;2";
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("not a list of numbers (--chunk-scales)"), hb::Error);
}
