// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What examples/lora computes: a merged directory gives the logits of the base under the adapter, norms are
// those of the product, and nothing is overwritten or passed over in silence.
#include <fstream>

#include "../../examples/lora/check.hpp"
#include "../../examples/lora/inspect.hpp"
#include "../../examples/lora/merge_directory.hpp"
#include "support/adapter_check.hpp"
#include "support/folder.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::example::AnyDecoder, hb::example::MergeDirectory;
using hb::test::Folder;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;
const std::vector<std::int32_t> ids = {7, 1, 39, 12, 12, 5, 20, 3};

std::vector<float> logits(const fs::path& model, const hb::HostAdapter* adapter) {
  hb::Cpu cpu({.threads = 1});
  const auto found = AnyDecoder(cpu, model).logits(ids, {adapter});
  return {found.span().begin(), found.span().end()};
}

/// The llama of the fixtures in two shards, as another scalar.
void write_shards(const fs::path& folder, hb::DType dtype) {
  const hb::SafetensorsFile file(fixtures / "models/llama/model.safetensors");
  std::map<std::string, std::vector<std::byte>> bytes;
  std::map<std::string, hb::StoredTensor> shards[2];
  nlohmann::json index;
  std::size_t count = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    std::vector<float> numbers(tensor.bytes.size() / hb::byte_size(tensor.dtype));
    file.read<float>(name, tensor.shape, numbers);
    bytes[name] = hb::detail::stored_numbers(numbers, dtype, name);
    shards[count % 2][name] = {dtype, tensor.shape, bytes[name]};
    index["weight_map"][name] = count++ % 2 == 0 ? "a.safetensors" : "b.safetensors";
  }
  hb::write_safetensors(folder / "a.safetensors", shards[0], {{"format", "pt"}});
  hb::write_safetensors(folder / "b.safetensors", shards[1]);
  std::ofstream(folder / "model.safetensors.index.json") << index.dump();
  fs::copy_file(fixtures / "models/llama/config.json", folder / "config.json");
}

}  // namespace

TEST_CASE("a merged directory gives the logits of its base under the adapter") {
  for (const auto& [name, model] :
       {std::pair<std::string, std::string>("patterns", "llama"), {"bias", "qwen2"}, {"bf16", "gemma3"}}) {
    CAPTURE(name);
    const Folder folder;
    const auto base = fixtures / "models" / model;
    const auto adapter = hb::read_adapter(fixtures / "adapters" / name);
    std::uint64_t done = 0, total = 1;
    MergeDirectory(base, adapter, name).write(folder.path / "merged", [&](auto now, auto all, auto) {
      done = now, total = all;
    });
    CHECK(done == total);
    CHECK(hb::test::relative_difference(logits(folder.path / "merged", nullptr), logits(base, &adapter)) <
          1e-4);
  }
}

TEST_CASE("shards stay shards of their scalar; what belongs to a model goes along, other weights do not") {
  for (const auto& [dtype, tolerance] : {std::pair(hb::DType::f16, 1e-2), {hb::DType::bf16, 1e-1}}) {
    const Folder folder;
    const auto base = folder.path / "base", merged = folder.path / "merged";
    fs::create_directory(base);
    write_shards(base, dtype);
    for (const char* const name :
         {"tokenizer.json", "LICENSE", "pytorch_model.bin", "consolidated.safetensors",
          "pytorch_model.bin.index.json", "adapter_config.json"})
      std::ofstream(base / name) << name;
    const auto adapter = hb::read_adapter(fixtures / "adapters/patterns");
    MergeDirectory(base, adapter, "here").write(merged, {});
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(merged)) names.insert(entry.path().filename());
    CHECK(names == std::set<std::string>{"LICENSE", "a.safetensors", "b.safetensors", "config.json",
                                         "model.safetensors.index.json", "tokenizer.json"});
    const hb::SafetensorsFile shard(merged / "b.safetensors");
    for (const auto& [name, tensor] : shard.tensors()) CHECK(tensor.dtype == dtype);
    CHECK(hb::SafetensorsFile(merged / "a.safetensors").metadata().at("format") == "pt");
    CHECK(hb::test::relative_difference(logits(merged, nullptr), logits(base, &adapter)) < tolerance);
    CHECK_THROWS_WITH_AS(MergeDirectory(base, adapter, "here").write(base, {}),
                         doctest::Contains("will not overwrite"), hb::Error);
  }
}

TEST_CASE("what cannot be merged is an error before anything is written") {
  auto biased = hb::read_adapter(fixtures / "adapters/plain");
  biased.linears.begin()->second.bias.assign(16, 1.0f);
  CHECK_THROWS_WITH_AS(MergeDirectory(fixtures / "models/llama", biased, "here"),
                       doctest::Contains("the base has no such tensor to merge into (here): expected "
                                         "'model.layers.0.self_attn.q_proj.bias'"),
                       hb::Error);
  CHECK_THROWS_AS(MergeDirectory(fixtures / "models/qwen3", biased, "here"), hb::Error);
  CHECK_THROWS_WITH_AS(MergeDirectory(fixtures / "models/llama/config.json", biased, "here"),
                       doctest::Contains("cannot merge into it"), hb::Error);
  auto infinite = hb::read_adapter(fixtures / "adapters/plain");
  infinite.linears.rbegin()->second.a[0] = std::numeric_limits<float>::infinity();
  CHECK(hb::example::count_not_finite(infinite.linears.rbegin()->second) == 1);
  const std::string text =
      "a number is not finite (here: " + hb::to_string(infinite.linears.rbegin()->first) +
      "): expected finite";
  CHECK_THROWS_WITH_AS(MergeDirectory(fixtures / "models/llama", infinite, "here"),
                       doctest::Contains(text.c_str()), hb::Error);
  hb::Cpu cpu({.threads = 1});
  CHECK_THROWS_WITH_AS(hb::example::check_logits(cpu, fixtures / "models/llama", infinite, "here", ids, ""),
                       doctest::Contains(text.c_str()), hb::Error);
}

TEST_CASE("a merge that fails names the tensor and leaves nothing behind") {
  const Folder folder;
  const auto base = folder.path / "base", merged = folder.path / "merged";
  fs::create_directory(base);
  write_shards(base, hb::DType::f16);
  auto adapter = hb::read_adapter(fixtures / "adapters/plain");
  for (auto& [at, factors] : adapter.linears) {  // in one shard or the other
    factors.scale = 1e300;
    MergeDirectory merge(base, {{{at, factors}}}, "here");
    const std::string text =
        "the sum is not finite (" + base.string() + ": 'model.layers." + std::to_string(at.layer);
    CHECK_THROWS_WITH_AS(merge.write(merged, {}), doctest::Contains(text.c_str()), hb::Error);
    CHECK(fs::is_empty(merged));
  }
  CHECK_THROWS_WITH_AS(MergeDirectory(base, adapter, "here").write(base / "config.json", {}),
                       doctest::Contains("a folder to write to"), hb::Error);
}

TEST_CASE("norms are those of scale B A") {
  hb::Cpu cpu({.threads = 1});
  hb::Random random(1);
  for (const hb::Index rank : {0, 1, 5, 40}) {
    const auto factors = hb::test::drawn_factors(random, {20, 30}, rank, -0.7);
    double sum = 0;
    for (const double number : hb::test::delta(factors)) sum += number * number;
    CHECK(hb::example::norm_of(cpu, factors) == doctest::Approx(std::sqrt(sum)).epsilon(1e-5));
  }
}

TEST_CASE("how far logits change") {
  const std::vector<float> plain = {0, 0, 2, 0, 1, 1}, adapted = {0, 0, 2, 3, 1, 1};
  const auto change = hb::example::change_of(plain, adapted, 3);
  CHECK(change.largest == 3);
  CHECK(change.relative == 1.5);
  CHECK(change.other_tokens == 1);
  const double e = std::exp(1.0);  // probabilities 1, e, e over 1 + 2 e before; e^3, e, e after
  const double before = 1 + 2 * e, after = e * e * e + 2 * e;
  CHECK(change.divergence == doctest::Approx((std::log(1 / before) - std::log(e * e * e / after)) / before +
                                             2 * e / before * (std::log(e / before) - std::log(e / after))));
}

TEST_CASE("an adapter whose change is lost in the logits' rounding is an error") {
  hb::Cpu cpu({.threads = 1});
  auto adapter = hb::read_adapter(fixtures / "adapters/plain");
  CHECK_NOTHROW(hb::example::check_logits(cpu, fixtures / "models/llama", adapter, "here", ids, ""));
  for (auto& [at, factors] : adapter.linears) factors.scale = 1e-30;
  CHECK_THROWS_WITH_AS(hb::example::check_logits(cpu, fixtures / "models/llama", adapter, "here", ids, ""),
                       doctest::Contains("the adapter changes nothing"), hb::Error);
}
