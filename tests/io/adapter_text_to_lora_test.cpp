// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/adapter with Text-to-LoRA: from an embedding the adapter is the network's own, its code is
// written down, and what does not fit is said.
#include "../support/adapter_program.hpp"

namespace hb = hyperblocks;
using hb::test::Folder;

namespace {

constexpr hb::TextToLoraSpec spec{.rank = 3,
                                  .targets = {},
                                  .embedding = 9,
                                  .latent = 13,
                                  .head_in = 10,
                                  .code = hb::TaskCode::softmax,
                                  .classes = 7,
                                  .codes = 5,
                                  .shared_head = true};
constexpr hb::example::BaseReads base_reads{};
using Model = hb::Decoder<hb::test::tiny_llama, float, hb::Cpu>;

}  // namespace

TEST_CASE("from an embedding") {
  const Folder folder;
  hb::test::save_fixture<hb::TextToLora<Model, spec>>("text_to_lora_m_softmax", folder.path / "net");
  const auto file = folder.path / "embedding.safetensors";
  const std::vector<float> embedding = {1, -2, 3, 0.5f, 0, 2, -1, 4, 0.25f};
  hb::example::write_tensors(file, {{"embedding", {{1, 9}, embedding}}});
  hb::example::Options options;
  options.base = (hb::test::adapter_fixtures / "models/llama").string();
  options.hypernet = (folder.path / "net").string(), options.embedding = file.string();
  options.out = (folder.path / "out").string(), options.dump = (folder.path / "dump.safetensors").string();
  const auto run = [&] {
    hb::example::run<hb::test::tiny_llama, spec, hb::ContextSpec{}, base_reads>(options,
                                                                                hb::example::Peers());
  };
  run();
  using Net = hb::TextToLora<Model, spec, hb::Frozen<float>>;
  hb::Cpu cpu;
  const auto params = hb::loaded_hypernet<Net>(cpu, options.hypernet);
  const auto expected = Net::generate(cpu, params, std::span(&embedding, 1)).to_host(cpu);
  const auto found = hb::read_adapter(options.out);
  REQUIRE(found.linears.size() == expected.linears.size());
  for (const auto& [place, factors] : expected.linears) {
    const auto& own = found.linears.at(place);
    CHECK(own.a == factors.a);
    for (std::size_t i = 0; i < factors.b.size(); ++i)
      CHECK(own.scale * own.b[i] == doctest::Approx(factors.scale * factors.b[i]).epsilon(1e-6));
  }
  CHECK(hb::example::read_tensor(options.dump, "task_code").shape == std::vector<hb::Index>{6});

  const auto refused = [&](const char* text) {
    CHECK_THROWS_WITH_AS(run(), doctest::Contains(text), hb::Error);
  };
  hb::example::write_tensors(file, {{"embedding", {{8}, std::vector<float>(8, 1)}}});
  refused("embedding.safetensors: 'embedding'): expected 9 numbers, found (8)");
  hb::example::write_tensors(file, {{"embedding", {{9}, std::vector<float>(9)}}});
  refused("an embedding without a direction");
  hb::example::write_tensors(file, {{"other", {{9}, embedding}}});
  refused("no such tensor");
  options.embedding = "", options.text = options.base + "/config.json";
  refused("a model that reads gives embeddings of another width");
  options.text = "", options.ids = "1,2";
  refused("an option of another system (--ids)");
}
