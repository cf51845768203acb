// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/adapter with SHINE: logits and stages are PyTorch's, all formats hold the same adapter, and what
// does not fit is said before anything is loaded.
#include "../support/adapter_program.hpp"

namespace hb = hyperblocks;
using hb::test::Folder;

namespace {

constexpr hb::ShineSpec spec{
    .rank = 2, .meta_rank = 3, .scale = 0.01, .m2p = {.blocks = 3, .heads = 2, .inner = 20}};
constexpr hb::example::BaseReads base_reads{};
const std::string fixture = "shine_rl";

struct World {
  Folder folder;
  hb::example::Options options;
  World() {
    using Model = hb::Decoder<hb::test::tiny_llama, float, hb::Cpu>;
    hb::test::save_fixture<hb::Shine<Model, spec>>(fixture, folder.path / "net");
    options.base = (hb::test::adapter_fixtures / "models/llama").string();
    options.hypernet = (folder.path / "net").string();
    options.ids = hb::test::ids_text(fixture, "ids");
    options.out = (folder.path / "out").string();
    options.logits = (folder.path / "logits.safetensors").string();
    options.logits_ids = hb::test::ids_text(fixture, "question");
  }
  void run() {
    hb::example::run<hb::test::tiny_llama, spec, hb::ContextSpec{}, base_reads>(options,
                                                                                hb::example::Peers());
  }
  void refused(const char* text) {
    CHECK_THROWS_WITH_AS(run(), doctest::Contains(text), hb::Error);
    CHECK_FALSE(hb::is_there(options.out));
  }
};

}  // namespace

TEST_CASE("logits and stages are those of PyTorch") {
  World world;
  world.options.dump = (world.folder.path / "dump.safetensors").string();
  world.run();
  CHECK(hb::test::differs(world.options.logits, "logits", fixture, "logits", 0, 2) < 1e-5);
  // Of two documents the fixture has layers outside; the first layer's first document is where both begin.
  const auto states = hb::example::read_tensor(world.options.dump, "memory_states");
  const auto plain = hb::example::read_tensor(world.options.dump, "plain_output");
  const auto expected = hb::example::read_tensor(
      hb::test::adapter_fixtures / "hypernets" / (fixture + ".safetensors"), "memory_states");
  REQUIRE(states.shape.size() == 3);
  CHECK(plain.shape == states.shape);
  for (std::size_t i = 0; i < states.numbers.size() / 3; ++i)
    CHECK(states.numbers[i] == doctest::Approx(expected.numbers[i]).epsilon(1e-4));

  world.options.weights = "bf16";
  world.run();
  const double rounded = hb::test::differs(world.options.logits, "logits", fixture, "logits", 0, 2);
  CHECK(rounded > 1e-4);
  CHECK(rounded < 0.1);
}

TEST_CASE("SHINE-R reads the pieces one behind the other: logits under all parts are those of PyTorch") {
  constexpr hb::ShineSpec recurrent{.rank = 2,
                                    .meta_rank = 3,
                                    .scale = 0.01,
                                    .m2p = {.blocks = 2, .heads = 2, .inner = 20},
                                    .recurrent_rank = 3};
  using Net = hb::RecurrentShine<hb::Decoder<hb::test::tiny_llama, float, hb::Cpu>, recurrent>;
  const std::string chunks = "shine_recurrent";
  World world;
  hb::test::save_fixture<Net>(chunks, world.folder.path / "net");
  world.options.ids = hb::test::ids_text(chunks, "ids.0") + ";" + hb::test::ids_text(chunks, "ids.1") + ";" +
                      hb::test::ids_text(chunks, "ids.2");
  world.options.logits_ids = hb::test::ids_text(chunks, "question");
  const auto run = [&] {
    hb::example::run<hb::test::tiny_llama, recurrent, hb::ContextSpec{}, base_reads>(world.options,
                                                                                     hb::example::Peers());
  };
  run();
  CHECK(hb::test::differs(world.options.logits, "logits", chunks, "logits") < 1e-5);
  world.options.dump = (world.folder.path / "dump.safetensors").string();
  CHECK_THROWS_WITH_AS(
      run(), doctest::Contains("(--dump): expected a program for SHINE, found one for SHINE-R"), hb::Error);
}

TEST_CASE("ids beyond the positions of the base's training are read all the same") {
  World world;
  for (int i = 0; i < 60; ++i) world.options.ids += ",1";
  world.run();
  CHECK(hb::is_there(world.options.out));
}

TEST_CASE("a hypernetwork whose factors are zero gives an adapter of zeros") {
  World world;
  using Net = hb::Shine<hb::Decoder<hb::test::tiny_llama, float, hb::Cpu>, spec>;
  hb::Cpu cpu;
  auto params = hb::make<Net::Params>(cpu);
  hb::save_hypernet<Net>(cpu, params, world.folder.path / "net", {});
  world.run();
  CHECK(!hb::changes(hb::read_adapter(world.options.out)));
}

TEST_CASE("every format holds the same adapter; pieces lie side by side") {
  World world;
  world.options.ids += ";1,2,3";
  world.run();
  const auto peft = hb::read_adapter(world.options.out);
  CHECK(peft.linears.begin()->second.rank == 4);
  world.options.format = "gguf", world.options.out = (world.folder.path / "out.gguf").string();
  world.run();
  const hb::AdapterBase base(world.options.base);
  const auto gguf = hb::read_adapter(world.options.out, &base);
  world.options.format = "safetensors", world.options.out = (world.folder.path / "plain").string();
  world.run();
  for (const auto& [place, factors] : peft.linears) {
    CHECK(gguf.linears.at(place).a == factors.a);
    CHECK(gguf.linears.at(place).b == factors.b);
    const std::string at = "layers." + std::to_string(place.layer) +
                           (place.projection < hb::Projection::gate ? ".attention." : ".mlp.") +
                           hb::name(place.projection);
    CHECK(hb::example::read_tensor(world.folder.path / "plain/adapter.safetensors", at + ".a").numbers ==
          factors.a);
    CHECK(hb::example::read_tensor(world.folder.path / "plain/adapter.safetensors", at + ".b").numbers ==
          factors.b);
  }
}

TEST_CASE("what does not fit is said, and nothing is written") {
  const auto with = [](auto change, const char* text) {
    World world;
    change(world.options);
    CAPTURE(text);
    world.refused(text);
  };
  with([](auto& o) { o.ids = ""; },
       "one of --text, --corpus, --ids, --features, --embedding, and not empty, found 0 of them");
  with([](auto& o) { o.features = "f"; }, "found 2 of them");
  with([](auto& o) { o.ids = "1,40"; }, "not a token (--ids): expected ids of 0 to 39");
  for (const char* const ids : {"1,,2", "1,2;", ",1", "1;;2"})
    with([&](auto& o) { o.ids = ids; }, "a token is missing (--ids)");
  with([](auto& o) { o.chunk = 2; }, "nothing to cut into pieces (--chunk)");
  with([](auto& o) { o.dump = o.logits; }, "expected two files, found --dump");
  with([](auto& o) { o.dump = o.base + "/config.json"; }, "an input would be overwritten (--dump ");
  with([](auto& o) { o.logits = o.hypernet + "/hypernet.safetensors"; },
       "an input would be overwritten (--logits ");
  with([](auto& o) { o.dump = o.hypernet; }, "a regular file, or none");
  with(
      [](auto& o) {
        for (int i = 0; i < 64; ++i) o.logits_ids += ",1";
      },
      "more tokens than the base has positions (--logits-ids)");
  with([](auto& o) { o.out = ""; }, "nowhere to write to (--out)");
  with([](auto& o) { o.out = o.base + "/config.json/out"; }, "nowhere to write to (--out ");
  with([](auto& o) { o.logits = "/nowhere/at/all"; }, "nowhere to write to (--logits /nowhere/at/all)");
  with([](auto& o) { o.ids = "", o.text = o.base + "/config.json"; },
       "expected tokenizer.json in the folder, for --text; without it give --ids");
  with([](auto& o) { o.ids = "1 2"; }, "not a list of tokens (--ids)");
  with([](auto& o) { o.iterative = true; },
       "an option of another system (--iterative): expected a program for Doc-to-LoRA, found one for SHINE");
  with([](auto& o) { o.chunk_scales = "1"; }, "an option of another system (--chunk-scales)");
  with([](auto& o) { o.encoder = "/tmp"; }, "an option of another system (--encoder)");
  with([](auto& o) { o.ids = "", o.embedding = "e"; }, "an option of another system (--embedding)");
  with([](auto& o) { o.logits_ids = ""; }, "logits of what, and where to");
  with([](auto& o) { o.logits_ids = "1;2"; }, "several lists of tokens (--logits-ids)");
  with([](auto& o) { o.logits_ids = "-1"; }, "not a token (--logits-ids)");
  with([](auto& o) { o.base += "3"; }, "the model is not the one that the program was compiled for");
  with([](auto& o) { o.hypernet += "/other"; }, "a missing file (--hypernet ");
  with([](auto& o) { o.base += "/other"; }, "a missing file (--base ");
  with([](auto& o) { o.ids = "", o.text = "nowhere.txt"; }, "a missing file (--text nowhere.txt)");
  with([](auto& o) { o.out = "/proc/out"; }, "nowhere to write to (--out /proc/out");
  with([](auto& o) { o.ids = "1,123456789012345678901234567890"; }, "found '123456789012345678901234567890'");
  with([](auto& o) { o.ids = "", o.text = "/dev/null"; },
       "an empty text (/dev/null): expected a word or more, found nothing");
  CHECK_THROWS_WITH_AS(hb::example::parse_numbers("1,", "--chunk-scales"),
                       doctest::Contains("not a list of numbers (--chunk-scales)"), hb::Error);
  CHECK_THROWS_AS(hb::example::parse_numbers("1,nan", ""), hb::Error);
  CHECK(hb::example::parse_numbers("1,-0.5,2e1", "") == std::vector<double>{1, -0.5, 20});
}

TEST_CASE("the base's own folder is no place for an adapter that is loaded with it") {
  World world;
  world.options.out = world.options.base;
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("an adapter in the base's own folder"), hb::Error);
  CHECK_FALSE(hb::is_there(std::filesystem::path(world.options.base) / "adapter_config.json"));
}

TEST_CASE("questions are prompts before anything is loaded, and one that is too long is refused") {
  hb::example::Options options;
  options.base = HYPERBLOCKS_FIXTURES "/../../examples/train/tiny/base";
  options.questions = {"What colour is the tower of Amsel?", "Who made it?"};
  using hb::example::Questions;
  const Questions alone(options, "", 256);
  CHECK(std::ranges::distance(alone) == 2);
  CHECK(alone.begin()->in_context.empty());
  const hb::Index length = std::ssize(alone.begin()->alone);
  CHECK_NOTHROW(Questions(options, "", length));
  CHECK_THROWS_WITH_AS(
      Questions(options, "", length - 1),
      doctest::Contains(("a question longer than the base can read (--ask): expected at most " +
                         std::to_string(length - 1) + " tokens")
                            .c_str()),
      hb::Error);
  options.in_context = true;
  const Questions with_text(options, "The tower of Amsel is blue.", 256);
  CHECK(with_text.begin()->in_context.size() > with_text.begin()->alone.size());
  CHECK_THROWS_WITH_AS(Questions(options, "The tower of Amsel is blue.", length),
                       doctest::Contains("(--in-context)"), hb::Error);
  options.questions.push_back(" ");
  CHECK_THROWS_WITH_AS(Questions(options, "", 256), doctest::Contains("an empty text (--ask)"), hb::Error);
}
