// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PEFT's adapters: those that PEFT saved (tests/reference/adapters.py) add what PEFT says and give its
// logits; what is written reads back; and everything that cannot be taken over is an error that names it.
#include <hyperblocks/io/adapters.hpp>

#include <sys/resource.h>
#include <csignal>
#include <set>

#include "../../examples/lora/any_decoder.hpp"
#include "support/adapter_check.hpp"
#include "support/folder.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::Index, hb::Projection;
using hb::test::Folder;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;

std::vector<float> numbers(const hb::SafetensorsFile& file, const std::string& name) {
  const auto& shape = file.tensor(name).shape;
  Index size = 1;
  for (const Index extent : shape) size *= extent;
  std::vector<float> values(static_cast<std::size_t>(size));
  file.read<float>(name, shape, values);
  return values;
}

/// An adapter adds what PEFT says it adds, to the linears that PEFT changed and no others.
void check_deltas(const hb::HostAdapter& adapter, const hb::SafetensorsFile& expected) {
  std::set<std::string> left;
  for (const auto& [name, tensor] : expected.tensors())
    if (name.starts_with("layers.")) left.insert(name);
  for (const auto& [at, factors] : adapter.linears) {
    const std::string name =
        "layers." + std::to_string(at.layer) + "." + std::string(hb::detail::names_of(at.projection).ours);
    CAPTURE(name);
    CHECK(hb::test::relative_difference(hb::test::delta(factors), numbers(expected, name + ".delta")) < 1e-6);
    CHECK(left.erase(name + ".delta") == 1);
    if (factors.bias.empty()) continue;
    CHECK(hb::test::relative_difference(factors.bias, numbers(expected, name + ".c")) < 1e-6);
    CHECK(left.erase(name + ".c") == 1);
  }
  CHECK(left == std::set<std::string>());
}

void check_logits(const hb::HostAdapter& adapter, const fs::path& model,
                  const hb::SafetensorsFile& expected) {
  std::vector<std::int32_t> ids(8);
  expected.read<std::int32_t>("ids", {8}, ids);
  hb::Cpu cpu({.threads = 1});
  hb::example::AnyDecoder decoder(cpu, model);
  CHECK_NOTHROW(hb::check_fits(adapter, decoder.spec(), "here"));
  const auto logits = decoder.logits(ids, {&adapter});
  CHECK(hb::test::relative_difference(logits.span(), numbers(expected, "logits")) < 1e-4);
}

/// A small folder that PEFT could have written, to be spoiled.
struct Adapter : Folder {
  nlohmann::json config = {
      {"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"target_modules", {"q_proj"}}};
  std::string first = "base_model.model.model.layers.0.self_attn.q_proj.";
  struct Stored {
    std::vector<Index> shape;
    hb::DType dtype = hb::DType::f32;
  };
  std::map<std::string, Stored> tensors = {{first + "lora_A.weight", {{2, 4}}},
                                           {first + "lora_B.weight", {{6, 2}}}};

  void write() const {
    std::ofstream(path / "adapter_config.json") << config.dump();
    std::map<std::string, hb::StoredTensor> stored;
    static const std::vector<std::byte> ones(10000, std::byte{0x3f});
    for (const auto& [name, tensor] : tensors) {
      std::size_t size = hb::byte_size(tensor.dtype);
      for (const Index extent : tensor.shape) size *= static_cast<std::size_t>(extent);
      stored[name] = {tensor.dtype, tensor.shape, std::span(ones).first(size)};
    }
    hb::write_safetensors(path / "adapter_model.safetensors", stored);
  }
  /// The error of reading it, without the folder's name.
  std::string error() const {
    write();
    return failure([&] { static_cast<void>(hb::read_peft(path)); });
  }
  template <class F>
  std::string failure(F f) const {
    try {
      f();
    } catch (const hb::Error& error) {
      std::string text = error.what();
      for (auto at = text.find(path.string()); at != text.npos; at = text.find(path.string()))
        text.erase(at, path.string().size() + 1);
      return text;
    }
    return "no error";
  }
};

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return true;
  MESSAGE("found: " << text);
  return false;
}

hb::HostAdapter drawn(std::initializer_list<hb::HostAdapter::Place> places, bool bias = false) {
  hb::Random random(7);
  hb::HostAdapter adapter;
  Index rank = 0;
  for (const auto& at : places) {
    const Index out = at.projection == Projection::query ? 6 : 4;
    ++rank;
    adapter.linears[at] =
        hb::test::drawn_factors(random, {4, out}, rank, 0.3 * static_cast<double>(rank), bias);
  }
  return adapter;
}

}  // namespace

TEST_CASE("adapters that PEFT saved add what PEFT says and give its logits") {
  const std::map<std::string, std::string> models = {
      {"plain", "llama"}, {"rslora", "llama"}, {"patterns", "llama"}, {"rslora_patterns", "qwen3"},
      {"bias", "qwen2"},  {"half", "llama"},   {"bf16", "gemma3"}};
  for (const auto& entry : fs::directory_iterator(fixtures / "adapters")) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    const hb::SafetensorsFile expected(entry.path() / "expected.safetensors");
    const hb::HostAdapter adapter = hb::read_adapter(entry.path());
    check_deltas(adapter, expected);
    check_logits(adapter, fixtures / "models" / models.at(name), expected);
    const Folder folder;
    hb::write_peft(folder.path / "copy", adapter);
    hb::test::check_same(hb::read_peft(folder.path / "copy"), adapter, 1e-6);
  }
}

TEST_CASE("what is written reads back, with one rank and the scale in B") {
  const Folder folder;
  const auto adapter = drawn({{0, Projection::query}, {0, Projection::down}, {2, Projection::query}}, true);
  for (const auto& [dtype, tolerance] :
       {std::pair(hb::DType::f32, 1e-6), {hb::DType::f16, 3e-3}, {hb::DType::bf16, 2e-2}}) {
    CHECK(hb::write_peft(folder.path / "a", adapter, {.base_model = "base", .dtype = dtype}) == 3);
    const auto found = hb::read_peft(folder.path / "a");
    hb::test::check_same(found, adapter, tolerance);
    for (const auto& [at, factors] : found.linears) {
      CHECK(factors.rank == 3);
      CHECK(factors.scale == 1);
    }
  }
  const auto config = hb::read_json(folder.path / "a/adapter_config.json");
  CHECK(config.at("r") == 3);
  CHECK(config.at("lora_alpha") == 3);
  CHECK(config.at("lora_bias") == true);
  CHECK(config.at("base_model_name_or_path") == "base");
  CHECK(config.at("target_modules") == std::vector<std::string>{"model.layers.0.self_attn.q_proj",
                                                                "model.layers.0.mlp.down_proj",
                                                                "model.layers.2.self_attn.q_proj"});
  const hb::SafetensorsFile file(folder.path / "a/adapter_model.safetensors");
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
}

TEST_CASE("an adapter of the same linears in some layers names them shortly") {
  const Folder folder;
  const auto some =
      drawn({{1, Projection::query}, {1, Projection::up}, {3, Projection::query}, {3, Projection::up}});
  hb::write_peft(folder.path, some, {.layers = 4});
  const auto config = hb::read_json(folder.path / "adapter_config.json");
  CHECK(config.at("target_modules") == std::vector<std::string>{"q_proj", "up_proj"});
  CHECK(config.at("layers_to_transform") == std::vector<int>{1, 3});
  CHECK(config.at("lora_bias") == false);
  const auto all = drawn({{0, Projection::query}, {1, Projection::query}});
  hb::write_peft(folder.path, all, {.layers = 2});
  CHECK(!hb::read_json(folder.path / "adapter_config.json").contains("layers_to_transform"));
}

TEST_CASE("what a folder says besides factors survives") {
  for (const std::string prefix : {"", "model.language_model.", "language_model.model."}) {
    CAPTURE(prefix);
    const Folder folder;
    const auto adapter = drawn({{0, Projection::query}, {1, Projection::query}});
    hb::write_adapter(folder.path, adapter,
                      {.base_model = "base", .task = "FEATURE_EXTRACTION", .prefix = prefix, .layers = 2});
    const auto options = hb::adapter_options(folder.path);
    CHECK(options.base_model == "base");
    CHECK(options.task == "FEATURE_EXTRACTION");
    CHECK(options.prefix == prefix);
    CHECK(options.dtype == hb::DType::f32);
    const auto targets = hb::read_json(folder.path / "adapter_config.json").at("target_modules");
    CHECK(targets.front() == prefix + "layers.0.self_attn.q_proj");
    hb::test::check_same(hb::read_adapter(folder.path), adapter, 1e-6);
  }
  Adapter adapter;
  adapter.write();
  CHECK(hb::adapter_options(adapter.path).task.empty());
  hb::write_adapter(adapter.path / "copy", hb::read_adapter(adapter.path), hb::adapter_options(adapter.path));
  CHECK(hb::read_json(adapter.path / "copy/adapter_config.json").at("task_type").is_null());
  adapter.tensors["base_model.model.layers.1.self_attn.q_proj.lora_A.weight"] = {{2, 4}};
  adapter.write();
  CHECK(contains(adapter.failure([&] { hb::adapter_options(adapter.path); }), "expected one prefix"));
}

TEST_CASE("numbers of 16 bits are written as they were read") {
  for (const hb::DType dtype : {hb::DType::f16, hb::DType::bf16}) {
    Adapter adapter;
    adapter.config.update({{"use_rslora", true}, {"lora_alpha", 7}, {"lora_bias", true}});
    adapter.tensors[adapter.first + "lora_B.bias"] = {{6}};
    for (auto& [name, tensor] : adapter.tensors) tensor.dtype = dtype;
    adapter.write();
    const auto read = hb::read_adapter(adapter.path);
    const auto options = hb::adapter_options(adapter.path);
    CHECK(options.dtype == dtype);
    hb::write_adapter(adapter.path / "copy", read, options);
    const hb::SafetensorsFile before(adapter.path / "adapter_model.safetensors"),
        after(adapter.path / "copy/adapter_model.safetensors");
    for (const auto& [name, tensor] : before.tensors())
      CHECK(std::ranges::equal(after.tensor(name).bytes, tensor.bytes));
    hb::test::check_same(hb::read_adapter(adapter.path / "copy"), read, 1e-7);
  }
}

TEST_CASE("a bias alone is written with a rank of one") {
  const Folder folder;
  hb::HostAdapter adapter;
  adapter.linears[{0, Projection::key}] = {.size = {4, 2}, .bias = {1.5f, -2.0f}};
  CHECK(hb::write_peft(folder.path, adapter) == 1);
  const auto found = hb::read_peft(folder.path);
  CHECK(found.linears.at({0, Projection::key}).bias == std::vector<float>{1.5f, -2.0f});
  CHECK(hb::changes(found.linears.at({0, Projection::key})));
}

TEST_CASE("which rank vLLM must allow") {
  CHECK(hb::vllm_rank(1) == 1);
  CHECK(hb::vllm_rank(2) == 8);
  CHECK(hb::vllm_rank(16) == 16);
  CHECK(hb::vllm_rank(257) == 320);
  CHECK(hb::vllm_rank(513) == 0);
}

TEST_CASE("patterns: the first in the file's order counts, as regular expressions do in Python") {
  Adapter adapter;
  const auto scale = [&](const std::string& patterns) {
    adapter.write();
    auto text = adapter.config.dump();
    text.insert(1, "\"alpha_pattern\": " + patterns + ", ");
    std::ofstream(adapter.path / "adapter_config.json") << text;
    return hb::read_peft(adapter.path).linears.begin()->second.scale;
  };
  CHECK(scale("{}") == 2);
  CHECK(scale(R"({"q_proj": 6})") == 3);
  CHECK(scale(R"({"q_proj": 6, "layers.0.self_attn.q_proj": 8})") == 3);
  CHECK(scale(R"({"layers.0.self_attn.q_proj": 8, "q_proj": 6})") == 4);
  CHECK(scale(R"({"_proj": 6})") == 2);
  CHECK(scale(R"({"proj": 6, "self_attn": 7})") == 2);
  CHECK(scale(R"({"layers.1.self_attn.q_proj": 8})") == 2);
  CHECK(scale(R"({"self.attn.q_proj": 8})") == 4);
  CHECK(scale(R"({"layers\\.\\d+\\.self_attn\\.[qk]_proj": 9})") == 4.5);
  CHECK(scale(R"({"^model\\..*q_proj": 9})") == 4.5);
  CHECK(scale(R"({"^layers\\..*q_proj": 9})") == 2);
  CHECK(scale(R"({"k_proj|q_proj": 5})") == 2.5);
  CHECK(scale(R"x({"(.*)*(.*)*(.*)*(.*)*x": 5})x") == 2);  // in time that does not explode
}

TEST_CASE("every way to be unsupported is an error that names it") {
  struct Case {
    std::function<void(Adapter&)> spoil;
    std::vector<std::string> parts;
  };
  const auto field = [](const std::string& key, const nlohmann::json& value) {
    return [=](Adapter& adapter) { adapter.config[key] = value; };
  };
  const auto tensor = [](const std::string& name, const std::vector<Index>& shape) {
    return [=](Adapter& adapter) { adapter.tensors[name] = {shape}; };
  };
  const std::string deep = [] {
    std::string text;
    for (int i = 0; i < 100000; ++i) text += "[";
    return text;
  }();
  const std::vector<Case> cases = {
      {field("peft_type", "IA3"), {"a kind of adapter that is not supported", "'peft_type'", "found 'IA3'"}},
      {[](Adapter& a) { a.config.erase("peft_type"); }, {"no such field", "'peft_type'"}},
      {[](Adapter& a) { a.config.erase("r"); }, {"no such field", "'r'"}},
      {field("lora_alpha", "8"), {"a field of another kind", "'lora_alpha'", "a number"}},
      {field("use_dora", true), {"not supported", "'use_dora'", "found true"}},
      {field("fan_in_fan_out", true), {"not supported", "'fan_in_fan_out'"}},
      {field("modules_to_save", {"lm_head"}), {"not supported", "'modules_to_save'"}},
      {field("trainable_token_indices", {1}), {"not supported", "'trainable_token_indices'"}},
      {field("layer_replication", {{0, 1}}), {"not supported", "'layer_replication'"}},
      {field("alora_invocation_tokens", {1, 2}), {"not supported", "'alora_invocation_tokens'"}},
      {field("use_qalora", true), {"not supported", "'use_qalora'"}},
      {field("a_field_of_tomorrow", 3), {"not supported", "'a_field_of_tomorrow'", "found 3"}},
      {field("init_lora_weights", "pissa"), {"an adapter of a base with changed weights", "found \"pissa\""}},
      {field("init_lora_weights", 1), {"'init_lora_weights'", "found 1"}},
      {field("use_rslora", "yes"), {"a field of another kind", "'use_rslora'"}},
      {field("r", 3), {"the rank differs from the config's", "lora_A", "expected 3", "found 2"}},
      {field("r", 0), {"the rank differs from the config's"}},
      {field("rank_pattern", {{"q_proj", 7}}), {"the rank differs from the config's", "expected 7"}},
      {field("rank_pattern", {{"q_proj", "7"}}), {"a field of another kind", "'rank_pattern': 'q_proj'"}},
      {field("alpha_pattern", {1}), {"malformed JSON", "'alpha_pattern'", "an object"}},
      {field("alpha_pattern", {{"(q_proj", 1}}), {"a regular expression that is not supported", "'(q_proj'"}},
      {field("alpha_pattern", {{"q(?<=q)_proj", 1}}), {"a regular expression that is not supported"}},
      {field("alpha_pattern", {{"q_proj\\Z", 1}}), {"a regular expression that is not supported", "'\\Z'"}},
      {field("alpha_pattern", {{std::string(300, '('), 1}}), {"300 characters"}},
      {field("alpha_pattern", {{"[]q]_proj", 1}}), {"a regular expression that is not supported", "'[]'"}},
      {field("alpha_pattern", {{"[^]v]_proj", 1}}), {"a regular expression that is not supported", "'[^]'"}},
      {field("alpha_pattern", {{"q++_proj", 1}}), {"a regular expression that is not supported", "'++'"}},
      {field("alpha_pattern", {{"\u00e9?q_proj", 1}}), {"a regular expression that is not supported"}},
      {tensor("base_model.model.lm_head.lora_A.weight", {2, 4}),
       {"a linear that is not supported", "'lm_head'"}},
      {tensor("base_model.model.model.embed_tokens.lora_embedding_A", {2, 4}),
       {"not a factor of LoRA", "lora_embedding_A"}},
      {tensor("base_model.model.model.embed_tokens.weight", {2, 4}), {"not a factor of LoRA"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.bias", {6}),
       {"not a factor of LoRA", "q_proj.bias"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight", {6}),
       {"not a factor of LoRA", "lora_magnitude_vector"}},
      {tensor("model.layers.1.self_attn.q_proj.lora_A.weight", {2, 4}), {"not a factor of LoRA"}},
      {tensor("base_model.model..lora_A.weight", {2, 4}), {"a linear that is not supported", "''"}},
      {tensor("base_model.model.lora_A.weight", {2, 4}), {"a linear that is not supported"}},
      {tensor("base_model.model.model.layers.0.mlp.experts.3.up_proj.lora_A.weight", {2, 4}),
       {"a linear that is not supported", "experts"}},
      {tensor("base_model.model.model.layers.01.self_attn.q_proj.lora_A.weight", {2, 4}),
       {"a linear that is not supported"}},
      {tensor("base_model.model.model.layers.99999999999999999999.self_attn.q_proj.lora_A.weight", {2, 4}),
       {"a linear that is not supported"}},
      {tensor("base_model.model.transformer.h.0.attn.c_attn.lora_A.weight", {2, 4}),
       {"a linear that is not supported", "'transformer.h.0.attn.c_attn'"}},
      {tensor("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", {2, 4}),
       {"the same factor twice", "layer 0 query"}},
      {tensor("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", {2, 4}),
       {"a factor is missing", "A and B", "no B"}},
      {tensor("base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight", {6, 2}), {"no A"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", {6}),
       {"a bias that the config does not know", "lora_bias true"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", {6, 3}),
       {"the ranks of A and B differ", "(6, 3)"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", {6, 2, 1}),
       {"not a factor's shape", "(6, 2, 1)"}},
      {tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", {2, 0}),
       {"not a factor's shape", "(2, 0)"}},
      {[](Adapter& a) {
         a.config["lora_bias"] = true;
         a.tensors[a.first + "lora_B.bias"] = {{5}};
       },
       {"the shape differs", "lora_B.bias", "expected (6), found (5)"}},
      {[](Adapter& a) { a.tensors[a.first + "lora_A.weight"].dtype = hb::DType::i8; },
       {"not real numbers", "I8"}},
      {[](Adapter& a) { a.tensors.clear(); }, {"an adapter without linears"}},
  };
  for (const Case& spoiled : cases) {
    Adapter adapter;
    spoiled.spoil(adapter);
    const std::string error = adapter.error();
    for (const std::string& part : spoiled.parts) CHECK(contains(error, part));
  }
  Adapter adapter;
  CHECK(adapter.error() == "no error");
  std::ofstream(adapter.path / "adapter_config.json") << "{\"peft_type\": \"LORA\", \"r\": " << deep;
  CHECK(contains(adapter.failure([&] { hb::read_peft(adapter.path); }), "malformed JSON"));
  std::ofstream(adapter.path / "adapter_config.json")
      << "{\"peft_type\": \"LORA\", \"r\": " << deep << std::string(deep.size(), ']') << "}";
  CHECK(contains(adapter.failure([&] { hb::read_peft(adapter.path); }), "at most 64 levels"));
  fs::rename(adapter.path / "adapter_model.safetensors", adapter.path / "adapter_model.bin");
  CHECK(contains(adapter.failure([&] { hb::read_peft(adapter.path); }),
                 "found adapter_model.bin: save it anew"));
  fs::remove(adapter.path / "adapter_model.bin");
  CHECK(contains(adapter.failure([&] { hb::read_peft(adapter.path); }), "a file is missing"));
  CHECK(contains(adapter.failure([&] { hb::read_adapter(adapter.path / "adapter_config.json"); }),
                 "not an adapter"));
}

TEST_CASE("an adapter that fits nothing or changes nothing is an error") {
  const hb::DecoderSpec spec{
      .vocabulary = 8, .hidden = 4, .layers = 2, .heads = 3, .head_width = 2, .inner = 8};
  auto adapter = drawn({{0, Projection::query}, {1, Projection::query}});
  CHECK_NOTHROW(hb::check_fits(adapter, spec, "here"));
  adapter.linears[{2, Projection::query}] = adapter.linears[{0, Projection::query}];
  adapter.linears[{0, Projection::up}] = adapter.linears[{0, Projection::query}];
  CHECK_THROWS_WITH_AS(
      hb::check_fits(adapter, spec, "here"),
      "hyperblocks: the adapter does not fit the model (here): expected layer 0 up of 4 -> 8; "
      "a layer of 0 to 1, found 4 -> 6; layer 2 query",
      hb::Error);
  CHECK_THROWS_WITH_AS(hb::check_fits({}, spec, "here"),
                       "hyperblocks: the adapter changes nothing (here): expected factors and a scale that "
                       "are not zero, found no linears",
                       hb::Error);
  auto zero = drawn({{0, Projection::query}, {1, Projection::query}});
  for (auto& [at, factors] : zero.linears) std::fill(factors.b.begin(), factors.b.end(), 0.0f);
  CHECK_THROWS_WITH_AS(hb::check_fits(zero, spec, "here"),
                       "hyperblocks: the adapter changes nothing (here): expected factors and a scale that "
                       "are not zero, found scale B A of zero in all 2 linears",
                       hb::Error);
  zero.linears.begin()->second.bias.assign(6, 1.0f);
  CHECK_NOTHROW(hb::check_fits(zero, spec, "here"));
}

TEST_CASE("what cannot be written is an error, and leaves what was there") {
  const Folder folder;
  auto adapter = drawn({{0, Projection::query}});
  hb::write_peft(folder.path, adapter);
  CHECK_THROWS_AS(hb::write_peft(folder.path, {}), hb::Error);
  CHECK_THROWS_AS(hb::write_peft(folder.path, adapter, {.dtype = hb::DType::i8}), hb::Error);
  adapter.linears.begin()->second.b[0] = 1e6f;
  CHECK_THROWS_WITH_AS(hb::write_peft(folder.path, adapter, {.dtype = hb::DType::f16}),
                       doctest::Contains("a number is too large"), hb::Error);
  adapter.linears.begin()->second.b.pop_back();
  CHECK_THROWS_AS(hb::write_peft(folder.path, adapter), hb::Error);
  CHECK_THROWS_WITH_AS(hb::write_peft(folder.path, drawn({{-1, Projection::query}})),
                       doctest::Contains("no such layer"), hb::Error);
  CHECK_NOTHROW(hb::read_peft(folder.path));
  std::ofstream(folder.path / "file") << "";
  CHECK_THROWS_AS(hb::write_peft(folder.path / "file" / "adapter", drawn({{0, Projection::query}})),
                  hb::Error);
}

TEST_CASE("a disk that is full leaves the old adapter") {
  const Folder folder;
  const auto adapter = drawn({{0, Projection::query}});
  hb::write_peft(folder.path, adapter);
  hb::HostAdapter large;
  large.linears[{0, Projection::query}] = {
      .size = {4096, 6}, .rank = 1, .a = std::vector<float>(4096), .b = std::vector<float>(6)};
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const ::rlimit little{4096, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &little);
  CHECK_THROWS_WITH_AS(hb::write_peft(folder.path, large), doctest::Contains("File too large"), hb::Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  hb::test::check_same(hb::read_peft(folder.path), adapter, 1e-6);
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 2);
}
