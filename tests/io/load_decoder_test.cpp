// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Models of every family from a folder, from shards and from GGUF: the same parameters in any scalar, and
// errors for what is missing, left over, misshapen or another model.
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/models/generate.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "support/folder.hpp"
#include "support/tiny_decoders.hpp"
#include "support/worse.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;
using hb::test::Folder;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::DecoderSpec qwen2 = hb::test::tiny_qwen2;
constexpr hb::DecoderSpec gemma3 = [] {
  auto spec = llama;
  spec.layers = 7, spec.head_width = 6, spec.activation = hb::Activation::gelu_tanh, spec.epsilon = 1e-6;
  spec.norm_shift = 1, spec.output_norms = spec.head_norm = spec.tied = true, spec.embedding_scale = 4;
  spec.window = 4, spec.full_every = 6, spec.rope_base = 1000000, spec.window_rope_base = 10000;
  return spec;
}();
/// The fixture's attention scale, which GGUF files do not say.
constexpr hb::DecoderSpec scaled_gemma3 = [] {
  auto spec = gemma3;
  spec.attention_scale = 0.4472135954999579;
  return spec;
}();

template <hb::DecoderSpec spec, class Scalar = float>
using Model = hb::Decoder<spec, Scalar, hb::Cpu>;

/// Calls f(name, numbers) for every parameter of a model on disk.
template <class M, class F>
void each_parameter(const fs::path& path, F f) {
  hb::Cpu cpu({.threads = 1});
  const auto params = hb::loaded_decoder<M>(cpu, path);
  hb::visit(
      [&](const std::string& name, const auto& tensor) {
        std::vector<typename std::remove_cvref_t<decltype(tensor)>::ScalarType> numbers(
            static_cast<std::size_t>(tensor.size()));
        tensor.download(cpu, numbers);
        f(name, numbers);
      },
      params);
}

/// The parameters of a fixture are those of its file under Hugging Face's names.
template <hb::DecoderSpec spec, class Scalar>
void check_folder(const std::string& model, const std::map<std::string, std::string>& names) {
  const auto folder = fixtures / "models" / model;
  const hb::SafetensorsFile file(folder / "model.safetensors");
  std::size_t count = 0;
  each_parameter<Model<spec, Scalar>>(
      folder, [&](const std::string& name, const std::vector<Scalar>& numbers) {
        ++count;
        const auto known = names.find(name);
        if (known == names.end()) return;
        CAPTURE(name);
        std::vector<Scalar> expected(numbers.size());
        file.read<Scalar>(known->second, file.tensor(known->second).shape, expected);
        const bool same = std::memcmp(numbers.data(), expected.data(), numbers.size() * sizeof(Scalar)) == 0;
        CHECK(same);
      });
  CHECK(count == file.tensors().size() + (spec.tied ? 1 : 0));
}

/// A GGUF file of the same model has the same parameters, up to its rounding to half.
template <hb::DecoderSpec spec, hb::DecoderSpec folder_spec = spec>
void check_gguf(const std::string& model) {
  std::map<std::string, std::vector<float>> expected;
  each_parameter<Model<folder_spec>>(
      fixtures / "models" / model, [&](const auto& name, const auto& numbers) { expected[name] = numbers; });
  const auto file = fixtures / "gguf" / (model + ".gguf");
  each_parameter<Model<spec>>(file, [&](const std::string& name, const std::vector<float>& numbers) {
    CAPTURE(name);
    REQUIRE(expected[name].size() == numbers.size());
    double error = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i)
      error = hb::test::worse(error, static_cast<double>(std::abs(numbers[i] - expected[name][i])));
    CHECK(error <= 0x1p-10);
    expected.erase(name);
  });
  CHECK(expected.empty());
}

/// A copy of a fixture that can be changed.
struct Copy : Folder {
  explicit Copy(const std::string& model) {
    for (const char* const file : {"config.json", "model.safetensors"})
      fs::copy_file(fixtures / "models" / model / file, path / file);
  }

  /// Writes the tensors that `keep` wants, as `change` leaves them, to a file.
  void rewrite(const std::string& target, auto keep, auto change) {
    const hb::SafetensorsFile file(fixtures / "models/llama/model.safetensors");
    std::map<std::string, hb::StoredTensor> tensors;
    for (const auto& [stored, bytes] : file.tensors()) {
      if (!keep(stored)) continue;
      std::string name = stored;
      hb::StoredTensor tensor = bytes;
      change(name, tensor);
      tensors[name] = tensor;
    }
    hb::write_safetensors(path / target, tensors);
  }
  void rewrite(auto keep, auto change) { rewrite("model.safetensors", keep, change); }

  std::string error() const {
    try {
      hb::Cpu cpu({.threads = 1});
      hb::loaded_decoder<Model<llama>>(cpu, path);
    } catch (const hb::Error& reason) {
      return reason.what();
    }
    return "accepted";
  }
};

const auto all = [](const std::string&) { return true; };
const auto as_it_is = [](std::string&, hb::StoredTensor&) {};
const std::string norm = "model.layers.1.input_layernorm.weight";

}  // namespace

TEST_CASE("a folder's parameters under our names, in any scalar") {
  const std::map<std::string, std::string> names = {
      {"embedding.weight", "model.embed_tokens.weight"},
      {"layers.2.attention.query.weight", "model.layers.2.self_attn.q_proj.weight"},
      {"layers.0.attention.output.weight", "model.layers.0.self_attn.o_proj.weight"},
      {"layers.1.attention.norm.weight", norm},
      {"layers.1.mlp.norm.weight", "model.layers.1.post_attention_layernorm.weight"},
      {"layers.0.mlp.down.weight", "model.layers.0.mlp.down_proj.weight"},
      {"norm.weight", "model.norm.weight"},
      {"head.weight", "lm_head.weight"}};
  check_folder<llama, float>("llama", names);
  check_folder<llama, hb::bf16>("llama", names);
  check_folder<llama, hb::half>("llama", names);
  check_folder<llama, double>("llama", names);
  check_folder<qwen2, float>("qwen2",
                             {{"head.weight", "model.embed_tokens.weight"},
                              {"layers.1.attention.key.bias", "model.layers.1.self_attn.k_proj.bias"}});
  check_folder<scaled_gemma3, float>(
      "gemma3", {{"layers.6.attention.query_norm.weight", "model.layers.6.self_attn.q_norm.weight"},
                 {"layers.6.attention.output_norm.weight", "model.layers.6.post_attention_layernorm.weight"},
                 {"layers.6.mlp.norm.weight", "model.layers.6.pre_feedforward_layernorm.weight"},
                 {"layers.6.mlp.output_norm.weight", "model.layers.6.post_feedforward_layernorm.weight"}});
}

TEST_CASE("the documentation's program: a model is loaded and run") {
  constexpr hb::DecoderSpec my_base = llama;
  const auto path = fixtures / "models/llama";
  // [run]
  using Base = hb::Decoder<my_base, float, hb::Cpu>;  // a fourth argument: in which numbers weights are kept
  hb::Cpu cpu;
  const auto params = hb::loaded_decoder<Base>(cpu, path, hb::ProgressBar());
  const hb::Index longest = 40;                              // tokens of a prompt and its continuation
  const Base::Positions positions(cpu, longest);             // rotary tables: every pass takes them
  const std::vector<hb::Tokens> prompts = {{3, 7, 1}, {5}};  // made by a Tokenizer: tokenizers.md
  const auto texts = hb::generate<Base>(cpu, params, positions, prompts, {.most = 100});

  hb::Tensor<std::int32_t, hb::Cpu, hb::dyn> ids(cpu, 3);  // one pass, without a cache
  ids.upload(cpu, prompts[0]);
  hb::Tensor<float, hb::Cpu, hb::dyn, my_base.vocabulary> logits(cpu, 1);  // of the last token; 3: of all
  Base::forward(cpu, params, {.ids = ids, .rotary = positions}, {.logits = logits});
  // [/run]
  const auto likeliest = std::max_element(logits.span().begin(), logits.span().end());
  CHECK(texts[0].front() == likeliest - logits.span().begin());
  CHECK(texts[0].size() == 38);
}

TEST_CASE("a GGUF file's parameters: rows of queries and keys, norms and biases as they were") {
  check_gguf<llama>("llama");
  check_gguf<qwen2>("qwen2");
  check_gguf<gemma3, scaled_gemma3>("gemma3");
}

TEST_CASE("an embedding of the stored scalar stays in the mapped file, which nothing changes") {
  Copy copy("llama");
  const auto file = copy.path / "model.safetensors";
  const std::string before = hb::test::contents(file);
  const auto mapped = [&](auto scalar) {
    return hb::detail::DirectoryWeights(copy.path, llama)
        .mapped<decltype(scalar)>("embedding.weight")
        .has_value();
  };
  CHECK(mapped(0.0F));
  CHECK_FALSE(mapped(hb::bf16(0.0F)));
  hb::Cpu cpu({.threads = 1});
  auto params = hb::loaded_decoder<Model<llama>>(cpu, copy.path);
  auto again = hb::loaded_decoder<Model<llama>>(cpu, copy.path);
  CHECK(reinterpret_cast<std::uintptr_t>(params.embedding.weight.data()) % hb::Memory::alignment != 0);
  const float first = params.embedding.weight(0, 0);
  params.embedding.weight(0, 0) = first + 1;
  CHECK(again.embedding.weight(0, 0) == first);
  CHECK(hb::test::contents(file) == before);
  fs::remove(file);
  CHECK(params.embedding.weight(0, 0) == first + 1);
  CHECK(again.embedding.weight(39, 15) != 0);
  const hb::detail::GgufWeights gguf(hb::GgufFile(fixtures / "gguf/llama.gguf"), llama);
  CHECK(gguf.mapped<hb::half>("embedding.weight").has_value());
  CHECK_FALSE(gguf.mapped<float>("embedding.weight").has_value());
}

TEST_CASE("shards that an index lists, and other prefixes") {
  Copy copy("llama");
  REQUIRE(copy.error() == "accepted");
  const auto first = [](const std::string& name) { return name.find("layers.0") != name.npos; };
  copy.rewrite("one.safetensors", first, as_it_is);
  copy.rewrite(
      "two.safetensors", [&](const std::string& name) { return !first(name); }, as_it_is);
  nlohmann::json map;
  const hb::SafetensorsFile whole(copy.path / "model.safetensors");
  for (const auto& [name, tensor] : whole.tensors())
    map[name] = first(name) ? "one.safetensors" : "two.safetensors";
  fs::remove(copy.path / "model.safetensors");
  CHECK(copy.error().find("expected model.safetensors or model.safetensors.index.json, found neither") !=
        std::string::npos);
  const auto with_index = [&](const nlohmann::json& index) {
    std::ofstream(copy.path / "model.safetensors.index.json") << index;
    return copy.error();
  };
  CHECK(with_index({{"weight_map", map}}) == "accepted");
  const auto says = [](const std::string& error, const std::string& message) {
    CAPTURE(error);
    CHECK(error.find(message) != std::string::npos);
  };
  says(with_index(nlohmann::json::object()), "'weight_map'): expected an object, found no value");
  auto wrong = map;
  wrong[norm] = "one.safetensors";
  says(with_index({{"weight_map", wrong}}), "one.safetensors: '" + norm + "'): expected it there");
  for (const std::string file : {"", ".", "..", "../one.safetensors", "/etc/passwd", "a/one.safetensors"}) {
    wrong[norm] = file;
    says(with_index({{"weight_map", wrong}}), "expected a plain file name, found \"" + file + "\"");
  }
  wrong[norm] = std::string("one.safetensors\0x", 17);
  says(with_index({{"weight_map", wrong}}), R"(found "one.safetensors\u0000x")");
  wrong[norm] = 3;
  says(with_index({{"weight_map", wrong}}), "'" + norm + "'): expected a string, found 3");
  wrong[norm] = "three.safetensors";
  says(with_index({{"weight_map", wrong}}), "three.safetensors): expected open to succeed");

  Copy renamed("llama");
  for (const std::string prefix : {"", "model.language_model.", "language_model.model."}) {
    renamed.rewrite(all, [&](std::string& name, hb::StoredTensor&) {
      if (name.starts_with("model."))
        name.replace(0, 6, prefix);
      else if (prefix.starts_with("language_model"))
        name.insert(0, "language_model.");
    });
    CHECK(renamed.error() == "accepted");
  }
}

TEST_CASE("tensors that are missing, left over or misshapen are named") {
  Copy copy("llama");
  const auto says = [&](const std::string& message) {
    const std::string error = copy.error();
    CAPTURE(error);
    CHECK(error.find(message) != std::string::npos);
  };
  copy.rewrite([](const std::string& name) { return name.find("norm") == name.npos; }, as_it_is);
  says("tensors are missing (" + copy.path.string() +
       "): expected 'model.layers.0.input_layernorm.weight', ");
  copy.rewrite(all, [](std::string& name, hb::StoredTensor& tensor) {
    if (name == norm) tensor.shape = {4, 4};
  });
  says("the shape differs (" + copy.path.string() + ": '" + norm + "'): expected (16), found (4, 4)");
  const hb::SafetensorsFile file(fixtures / "models/llama/model.safetensors");
  std::map<std::string, hb::StoredTensor> tensors = file.tensors();
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = tensors[norm];
  hb::write_safetensors(copy.path / "model.safetensors", tensors);
  CHECK(copy.error() == "accepted");
  tensors["model.layers.3.input_layernorm.weight"] = tensors[norm];
  hb::write_safetensors(copy.path / "model.safetensors", tensors);
  says("expected only those of its spec, found 'model.layers.3.input_layernorm.weight'");
}

TEST_CASE("a tied model's second matrix is a copy, or an error") {
  Copy copy("qwen2");
  hb::Cpu cpu({.threads = 1});
  const auto load = [&] { hb::loaded_decoder<Model<qwen2>>(cpu, copy.path); };
  const hb::SafetensorsFile file(fixtures / "models/qwen2/model.safetensors");
  std::map<std::string, hb::StoredTensor> tensors = file.tensors();
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  hb::write_safetensors(copy.path / "model.safetensors", tensors);
  CHECK_NOTHROW(load());
  const std::vector<std::byte> zeros(tensors["lm_head.weight"].bytes.size());
  tensors["lm_head.weight"].bytes = zeros;
  hb::write_safetensors(copy.path / "model.safetensors", tensors);
  CHECK_THROWS_WITH_AS(load(), doctest::Contains("'lm_head.weight'): expected the embedding's numbers"),
                       hb::Error);
}

TEST_CASE("another model, and what is no model") {
  hb::Cpu cpu({.threads = 1});
  const auto load = [&](const fs::path& path) { hb::loaded_decoder<Model<llama>>(cpu, path); };
  CHECK_THROWS_WITH_AS(
      load(fixtures / "models/qwen2"),
      doctest::Contains("expected epsilon 1e-05, bias false, tied false, found epsilon 1e-06, "
                        "bias true, tied true"),
      hb::Error);
  CHECK_THROWS_WITH_AS(load(fixtures / "gguf/qwen2.gguf"),
                       doctest::Contains("found epsilon 1e-06, bias true"), hb::Error);
  CHECK_THROWS_WITH_AS(load(fixtures / "models/llama/model.safetensors"),
                       doctest::Contains("or a GGUF file, found another file"), hb::Error);
  CHECK_THROWS_WITH_AS(load(fixtures / "none"), doctest::Contains("No such file"), hb::Error);
  Model<llama>::Params none;
  CHECK_THROWS_WITH_AS(hb::load_decoder<Model<llama>>(cpu, none, fixtures / "models/llama"),
                       doctest::Contains("parameters without memory"), hb::Error);
}

TEST_CASE("progress: every tensor, all bytes at the end") {
  hb::Cpu cpu({.threads = 1});
  std::vector<std::uint64_t> seen;
  std::uint64_t bytes = 0;
  hb::loaded_decoder<Model<llama>>(cpu, fixtures / "models/llama",
                                   [&](std::uint64_t done, std::uint64_t total, std::string_view) {
                                     seen.push_back(done);
                                     bytes = total;
                                   });
  CHECK(seen.size() == 30);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.back() == bytes);
  const hb::ProgressBar bar("loading");
  CHECK(bar.line(25, 269'600'000) ==
        "loading [" + std::string(10, '#') + std::string(30, '.') + "]  25% of 270 MB");
  CHECK(bar.line(100, 0).ends_with("] 100% of 0 MB"));
}
