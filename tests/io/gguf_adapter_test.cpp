// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// llama.cpp's adapters: files of the package gguf hold what the PEFT adapters that they were made from hold;
// what is written reads back; and everything that cannot be taken over is an error that names it.
#include <hyperblocks/io/adapters.hpp>

#include "support/adapter_check.hpp"
#include "support/folder.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::Index, hb::Projection;
using hb::test::Folder;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;
using Metadata = std::vector<std::pair<std::string, hb::GgufEntry>>;

const Metadata usual = {{"general.architecture", "qwen3"},
                        {"general.type", "adapter"},
                        {"adapter.type", "lora"},
                        {"adapter.lora.alpha", 4.0f}};

/// The error of reading a file of these keys and shapes; "no error" if there is none.
std::string error_of(const Metadata& metadata, const std::map<std::string, std::vector<Index>>& shapes,
                     const std::optional<hb::AttentionHeads>& heads = {}) {
  const Folder folder;
  const std::vector<std::byte> ones(10000, std::byte{0x3f});
  std::map<std::string, hb::GgufTensor> tensors;
  for (const auto& [name, shape] : shapes) {
    std::size_t size = 4;
    for (const Index extent : shape) size *= static_cast<std::size_t>(extent);
    tensors[name] = {hb::block_format(0), shape, std::span(ones).first(size)};
  }
  const auto path = folder.path / "a.gguf";
  hb::write_gguf(path, metadata, tensors);
  try {
    static_cast<void>(hb::read_gguf_adapter(path, heads));
  } catch (const hb::Error& error) {
    return error.what();
  }
  return "no error";
}

/// The usual keys but for one.
Metadata with(const std::string& key, const hb::GgufEntry& value) {
  Metadata changed = usual;
  for (auto& [name, entry] : changed)
    if (name == key) {
      entry = value;
      return changed;
    }
  changed.emplace_back(key, value);
  return changed;
}

Metadata without(const std::string& key) {
  Metadata changed = usual;
  std::erase_if(changed, [&](const auto& entry) { return entry.first == key; });
  return changed;
}

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return true;
  MESSAGE("found: " << text);
  return false;
}

hb::HostAdapter drawn(bool mixed) {
  hb::Random random(3);
  hb::HostAdapter adapter;
  adapter.linears[{0, Projection::query}] = hb::test::drawn_factors(random, {8, 24}, 2, 0.3);
  adapter.linears[{1, Projection::key}] = hb::test::drawn_factors(random, {8, 12}, mixed ? 5 : 2, 2);
  adapter.linears[{12, Projection::down}] = hb::test::drawn_factors(random, {20, 8}, 2, -1);
  return adapter;
}

}  // namespace

TEST_CASE("adapters of the package gguf are the PEFT adapters that they were made from") {
  const hb::AdapterBase base(fixtures / "models/llama"), other(fixtures / "models/qwen2");
  CHECK(base.architecture == "llama");
  for (const char* const name : {"plain", "half"}) {
    const auto folder = fixtures / "adapters" / name;
    const auto expected = hb::read_adapter(folder);
    const auto found = hb::read_adapter(folder / "adapter.gguf", &base);
    hb::test::check_same(found, expected, 1e-6);
    CHECK(hb::adapter_options(folder / "adapter.gguf").architecture == "llama");
    CHECK_THROWS_WITH_AS(hb::read_adapter(folder / "adapter.gguf", &other),
                         doctest::Contains("an adapter of another base"), hb::Error);
    const Folder copy;
    hb::write_adapter(copy.path / "copy.GGUF", found, base.options());
    hb::test::check_same(hb::read_adapter(copy.path / "copy.GGUF", &base), expected, 1e-6);
    CHECK(hb::write_adapter(copy.path / "copy", found, base.options()) ==
          expected.linears.begin()->second.rank);
    hb::test::check_same(hb::read_adapter(copy.path / "copy"), expected, 1e-6);
  }
}

TEST_CASE("what is written reads back, with a loader's scale of one") {
  const Folder folder;
  const auto path = folder.path / "a.gguf";
  for (const bool mixed : {false, true})
    for (const std::string architecture : {"llama", "qwen3"})
      for (const auto& [dtype, tolerance] : {std::pair(hb::DType::f32, 1e-6), {hb::DType::f16, 2e-3}}) {
        const auto adapter = drawn(mixed);
        const hb::AttentionHeads heads(4, 2);
        hb::write_gguf_adapter(path, adapter, {.architecture = architecture, .heads = heads, .dtype = dtype});
        hb::test::check_same(hb::read_gguf_adapter(path, heads), adapter, tolerance);
        const hb::GgufFile file(path);
        CHECK(file.get<float>("adapter.lora.alpha") == (mixed ? 0.0f : 2.0f));
        CHECK(file.get<std::string_view>("general.architecture") == architecture);
        CHECK(file.tensor("blk.12.ffn_down.weight.lora_a").shape == std::vector<Index>{2, 20});
        CHECK(file.tensor("blk.12.ffn_down.weight.lora_b").shape == std::vector<Index>{8, 2});
      }
}

TEST_CASE("numbers of 16 bits are written as they were") {
  const Folder folder;
  const auto path = folder.path / "a.gguf";
  hb::HostAdapter adapter;
  const float number = hb::scalar_cast<float>(hb::scalar_cast<hb::half>(0.3f));
  adapter.linears[{0, Projection::up}] = {
      .size = {1, 2}, .rank = 1, .a = {number}, .b = {number, number}, .scale = 0.7};
  hb::write_gguf_adapter(path, adapter, {.architecture = "qwen3", .dtype = hb::DType::f16});
  const auto found = hb::read_gguf_adapter(path).linears.begin()->second;
  CHECK(found.b == adapter.linears.begin()->second.b);
  CHECK(found.scale == doctest::Approx(0.7));
  CHECK(hb::adapter_options(path).dtype == hb::DType::f16);
}

TEST_CASE("the rows of a llama's queries and keys are permuted, by their own heads") {
  const Folder folder;
  const auto path = folder.path / "a.gguf";
  hb::HostAdapter adapter;
  hb::HostFactors factors{.size = {1, 12}, .rank = 1, .a = {1}};
  for (int i = 0; i < 12; ++i) factors.b.push_back(static_cast<float>(i));
  for (const auto projection : {Projection::query, Projection::key, Projection::value})
    adapter.linears[{0, projection}] = factors;
  hb::write_gguf_adapter(path, adapter, {.architecture = "llama", .heads = hb::AttentionHeads(2, 1)});
  const hb::GgufFile file(path);
  const auto rows = [&](const std::string& name) {
    std::vector<float> numbers(12);
    file.read<float>("blk.0." + name + ".weight.lora_b", {12, 1}, numbers);
    return numbers;
  };
  CHECK(rows("attn_q") == std::vector<float>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
  CHECK(rows("attn_k") == std::vector<float>{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11});
  CHECK(rows("attn_v") == factors.b);
}

TEST_CASE("every way to be unsupported is an error that names it") {
  const std::string q = "blk.0.attn_q.weight", v = "blk.0.attn_v.weight";
  const std::map<std::string, std::vector<Index>> good = {{v + ".lora_a", {2, 4}}, {v + ".lora_b", {6, 2}}};
  CHECK(error_of(usual, good) == "no error");
  CHECK(contains(error_of(with("general.type", "model"), good),
                 "'general.type'): expected adapter, found 'model'"));
  CHECK(contains(error_of(without("general.type"), good), "no such key"));
  CHECK(contains(error_of(with("general.type", 3u), good), "a value of another kind"));
  CHECK(contains(error_of(with("adapter.type", "ia3"), good), "not an adapter of LoRA"));
  CHECK(contains(error_of(without("adapter.lora.alpha"), good), "'adapter.lora.alpha'"));
  CHECK(contains(error_of(with("adapter.lora.alpha", 3u), good), "f32 or f64"));
  CHECK(error_of(with("adapter.lora.task_name", "a task"), good) == "no error");
  CHECK(contains(error_of(with("adapter.alora.invocation_tokens", 3u), good), "not supported"));
  CHECK(contains(error_of(with("general.architecture", "mamba"), good),
                 "an architecture that is not supported"));
  CHECK(contains(error_of(without("general.architecture"), good), "no such key"));
  CHECK(contains(error_of(usual, {}), "an adapter without linears"));
  CHECK(contains(error_of(usual, {{v + ".lora_a", {2, 4}}}), "expected A and B, found no B"));
  CHECK(contains(error_of(usual, {{v + ".lora_b", {2, 4}}}), "expected A and B, found no A"));
  CHECK(contains(error_of(usual, {{v + ".lora_a", {2, 4}}, {v + ".lora_b", {2, 6}}}),
                 "the ranks of A and B differ"));
  CHECK(contains(error_of(usual, {{v + ".lora_a", {2}}, {v + ".lora_b", {6, 2}}}), "not a factor's shape"));
  for (const char* const name :
       {"output.weight.lora_a", "token_embd.weight.lora_a", "blk.0.attn_v.lora_a", "blk.0.attn_v.weight",
        "blk.x.attn_v.weight.lora_a", "blk.-1.attn_v.weight.lora_a", "blk.00.attn_v.weight.lora_a",
        "blk.0.ffn_gate_inp.weight.lora_a", "blk..weight.lora_a", "blk.weight.lora_a",
        "blk.0.attn_v.weight.loraA"}) {
    auto named = good;
    named[name] = {2, 4};
    const std::string error = error_of(usual, named);
    CHECK(contains(error, "a tensor that is not supported"));
    CHECK(contains(error, name));
  }
  const std::map<std::string, std::vector<Index>> queries = {{q + ".lora_a", {2, 4}},
                                                             {q + ".lora_b", {6, 2}}};
  const auto llama = with("general.architecture", "llama");
  CHECK(error_of(llama, good) == "no error");
  CHECK(error_of(usual, queries) == "no error");
  CHECK(error_of(llama, queries, hb::AttentionHeads(3, 3)) == "no error");
  CHECK(contains(error_of(llama, queries), "the base's heads are not known"));
  CHECK(contains(error_of(llama, queries, hb::AttentionHeads(2, 2)), "the heads do not fit"));
  CHECK(contains(error_of(llama, queries, hb::AttentionHeads(0, 0)), "the heads do not fit"));
}

TEST_CASE("what cannot be written is an error") {
  const Folder folder;
  const auto path = folder.path / "a.gguf";
  const auto adapter = drawn(true);
  const auto fails = [&](const hb::HostAdapter& from, const hb::AdapterOptions& options, const char* text) {
    CHECK_THROWS_WITH_AS(hb::write_gguf_adapter(path, from, options), doctest::Contains(text), hb::Error);
  };
  const hb::AttentionHeads heads(4, 2);
  fails(adapter, {.architecture = "llama"}, "the base's heads are not known");
  fails(adapter, {.architecture = "gpt2", .heads = heads}, "an architecture that is not supported");
  fails(adapter, {.architecture = "llama", .heads = heads, .dtype = hb::DType::bf16},
        "a type that GGUF adapters are not written in");
  fails({}, {.architecture = "llama", .heads = heads}, "an adapter without linears");
  auto biased = adapter;
  biased.linears.begin()->second.bias.resize(24);
  fails(biased, {.architecture = "llama", .heads = heads}, "GGUF adapters cannot hold a bias");
  auto large = adapter;
  large.linears.begin()->second.a[0] = 1e6f;
  fails(large, {.architecture = "llama", .heads = heads, .dtype = hb::DType::f16}, "a number is too large");
  CHECK_THROWS_WITH_AS(hb::write_adapter(path, adapter),
                       doctest::Contains("the base's architecture is not known"), hb::Error);
  CHECK(!fs::exists(path));
  hb::GgufTensor tensor{hb::block_format(0), {2}, std::as_bytes(std::span("1234567", 8))};
  CHECK_NOTHROW(hb::write_gguf(path, {}, {{"x", tensor}}));
  CHECK_THROWS_AS(hb::write_gguf(path, {}, {{std::string(64, 'x'), tensor}}), hb::Error);
  tensor.shape = {3};
  CHECK_THROWS_AS(hb::write_gguf(path, {}, {{"x", tensor}}), hb::Error);
  tensor.shape = {};
  CHECK_THROWS_AS(hb::write_gguf(path, {}, {{"x", tensor}}), hb::Error);
}
