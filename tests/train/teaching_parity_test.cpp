// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Teaching against PyTorch (tests/reference/teaching.py): the loss of lessons under the adapters that SHINE,
// Doc-to-LoRA and Text-to-LoRA write, and its gradient towards every parameter of theirs, in double. The
// error of a tensor is max |difference| / max |expected|; its bound is one of float32, in which transformers
// computes norms and rotary tables whatever the model is.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/train/doc_to_lora_writer.hpp>
#include <hyperblocks/train/shine_writer.hpp>
#include <hyperblocks/train/text_to_lora_writer.hpp>

#include "../support/parity_check.hpp"
#include "../support/tiny_decoders.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index, hb::Tokens;

namespace {
constexpr hb::DecoderSpec base = hb::test::tiny_llama;
using Model = hb::Decoder<base, double, Cpu>;
using Shine =
    hb::Shine<Model,
              hb::ShineSpec{
                  .rank = 2, .meta_rank = 3, .scale = 0.01, .m2p = {.blocks = 3, .heads = 2, .inner = 20}}>;
using DocToLora =
    hb::DocToLora<Model,
                  hb::DocToLoraSpec{
                      .rank = 2,
                      .targets = {.key = false, .value = false, .output = false, .gate = false, .up = false},
                      .perceiver = {.latent = 12,
                                    .latents = 3,
                                    .blocks = 2,
                                    .heads = 4,
                                    .kv_heads = 2,
                                    .head_width = 6,
                                    .inner = 20,
                                    .projection_inner = 24},
                      .mlps = 2,
                      .mlp_inner = 10}>;
using Reader = hb::ContextReader<Model, hb::ContextSpec{}>;
using TextToLora =
    hb::TextToLora<Model,
                   hb::TextToLoraSpec{.rank = 3, .targets = {}, .embedding = 9, .latent = 13, .head_in = 10}>;

constexpr Index lesson_size = 6;

struct World {
  explicit World(const std::string& system)
      : fixture(std::filesystem::path(HYPERBLOCKS_FIXTURES) / "hypernets" /
                ("teaching_" + system + ".safetensors")) {
    cpu.arena().poison(true);
  }
  Cpu cpu{{.threads = 2}};
  Model::Params model =
      hb::loaded_decoder<Model>(cpu, std::filesystem::path(HYPERBLOCKS_FIXTURES) / "models" / "llama");
  Model::Positions positions{cpu};
  hb::test::Fixture fixture;

  Tokens ids(const std::string& name, Index count) {
    Tokens result(static_cast<std::size_t>(count));
    fixture.read<std::int32_t>(name, {count}, result);
    return result;
  }

  /// Each document with its lesson.
  template <class Document>
  std::vector<hb::Topic<Document>> topics(const std::vector<Document>& documents) {
    std::vector<hb::Topic<Document>> result;
    Tokens said(documents.size() * lesson_size);
    fixture.read<std::int32_t>("lessons", {std::ssize(documents), lesson_size}, said);
    for (std::size_t i = 0; i < documents.size(); ++i)
      result.push_back({documents[i],
                        {hb::lesson_of(Tokens(said.begin() + static_cast<Index>(i) * lesson_size,
                                              said.begin() + static_cast<Index>(i + 1) * lesson_size))}});
    hb::weigh(std::span(result), hb::MeanOver::lessons);
    return result;
  }

  /// The largest error.
  template <class Writer>
  hb::test::Worst compare(const Writer& writer,
                          const std::vector<hb::Topic<typename Writer::Document>>& topics) {
    using Net = typename Writer::Net;
    auto params = hb::make<typename Net::Params>(cpu);
    auto gradients = hb::make<typename Net::Gradients>(cpu);
    hb::load(cpu, params, fixture.file(), "params.");
    hb::visit([&](const std::string& name, const auto&) { fixture.use("params." + name); }, params);
    const hb::Teaching<Writer> teaching{writer, model, positions, {.lessons = {.label_smoothing = 0.1}}};
    const std::array loss = {
        static_cast<float>(teaching.learn(cpu, params, topics, gradients, hb::Write::assign))};
    auto worst = fixture.compare("loss", std::array<Index, 1>{1}, loss);
    hb::visit(
        [&](const std::string& name, const auto& gradient) {
          const std::vector<float> found(gradient.span().begin(), gradient.span().end());
          worst.take(fixture.compare("gradients." + name, gradient.shape().all(), found));
        },
        gradients);
    CHECK(fixture.left_over() == std::vector<std::string>());
    MESSAGE("largest error " << worst.error << " of " << worst.tensor);
    CHECK(worst.error < 5e-5);
    return worst;
  }
};
}  // namespace

TEST_CASE("SHINE, the second document two tokens shorter") {
  World world("shine");
  Tokens all(14);
  std::vector<std::uint8_t> allowed(14);
  world.fixture.read<std::int32_t>("documents", {2, 7}, all);
  world.fixture.read<std::uint8_t>("allowed", {2, 7}, allowed);
  std::vector<Tokens> documents(2);
  for (std::size_t i = 0; i < 14; ++i)
    if (allowed[i] != 0) documents[i / 7].push_back(all[i]);
  REQUIRE(documents[1].size() == 5);
  world.compare(hb::ShineWriter<Shine>{world.model, world.positions}, world.topics(documents));
}

TEST_CASE("Doc-to-LoRA, a document of two pieces and one of one, with the learned factors") {
  World world("doc_to_lora");
  const std::vector<std::vector<Tokens>> documents = {{world.ids("ids.0", 7), world.ids("ids.1", 5)},
                                                      {world.ids("ids.2", 6)}};
  const Reader reader(world.model, world.positions);
  world.compare(hb::DocToLoraWriter<DocToLora, Reader>{reader}, world.topics(documents));
}

TEST_CASE("Text-to-LoRA") {
  World world("text_to_lora");
  std::vector<float> both(18);
  world.fixture.read<float>("embeddings", {2, 9}, both);
  const std::vector<std::vector<float>> documents = {{both.begin(), both.begin() + 9},
                                                     {both.begin() + 9, both.end()}};
  world.compare(hb::TextToLoraWriter<TextToLora>(), world.topics(documents));
}
