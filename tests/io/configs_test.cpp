// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Specs from config.json and from GGUF files: every family as transformers writes it, older spellings, what
// is refused, and the comparison with a compiled spec.
#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/models/decoders.hpp>

#include "support/folder.hpp"

namespace hb = hyperblocks;
using Json = nlohmann::json;
using hb::DecoderSpec;
namespace fs = std::filesystem;

namespace {

const fs::path fixtures = HYPERBLOCKS_FIXTURES;

constexpr DecoderSpec llama{.vocabulary = 40,
                            .hidden = 16,
                            .layers = 3,
                            .heads = 4,
                            .kv_heads = 2,
                            .head_width = 4,
                            .inner = 24,
                            .positions = 64,
                            .epsilon = 1e-5};

DecoderSpec with(DecoderSpec spec, auto change) {
  change(spec);
  return spec;
}

const DecoderSpec gemma = with(llama, [](DecoderSpec& spec) {
  spec.head_width = 6;
  spec.activation = hb::Activation::gelu_tanh;
  spec.epsilon = 1e-6;
  spec.norm_shift = 1;
  spec.output_norms = spec.tied = true;
  spec.embedding_scale = 4;
  spec.window = 4;
});

/// The fixtures' models by their folders.
const std::map<std::string, DecoderSpec> models = {
    {"llama", llama},
    {"llama3", with(llama,
                    [](DecoderSpec& spec) {
                      spec.epsilon = 1e-6;
                      spec.rope_base = 500000;
                      spec.rope_scaling = {hb::RopeScaling::Kind::llama3, 8, 1, 4, 32};
                    })},
    {"smollm2", with(llama,
                     [](DecoderSpec& spec) {
                       spec.heads = 2, spec.kv_heads = 1, spec.head_width = 8;
                       spec.epsilon = 1e-6, spec.rope_base = 100000, spec.tied = true;
                     })},
    {"mistral", with(llama, [](DecoderSpec& spec) { spec.epsilon = 1e-6, spec.window = 4; })},
    {"qwen2", with(llama, [](DecoderSpec& spec) { spec.epsilon = 1e-6, spec.bias = spec.tied = true; })},
    {"qwen3", with(llama,
                   [](DecoderSpec& spec) {
                     spec.head_width = 6, spec.epsilon = 1e-6, spec.rope_base = 1000000;
                     spec.head_norm = spec.tied = true;
                   })},
    {"qwen3_biased", with(llama,
                          [](DecoderSpec& spec) {
                            spec.epsilon = 1e-6, spec.head_norm = spec.bias = spec.output_bias = true;
                          })},
    {"gemma2", with(gemma,
                    [](DecoderSpec& spec) {
                      spec.attention_scale = 1 / std::sqrt(10.0);
                      spec.attention_soft_cap = 2, spec.logit_soft_cap = 3, spec.full_every = 2;
                    })},
    {"gemma3", with(gemma, [](DecoderSpec& spec) {
       spec.layers = 7, spec.head_norm = true, spec.full_every = 6;
       spec.attention_scale = 1 / std::sqrt(5.0);
       spec.rope_base = 1000000, spec.window_rope_base = 10000;
     })}};

Json config_of(const std::string& model) {
  return hb::read_json(fixtures / "models" / model / "config.json");
}

DecoderSpec read(const Json& config) { return hb::decoder_spec_from_config(config, "some.json"); }

/// The same config with the fields of a patch; null removes one.
Json patched(Json config, const Json& patch) {
  config.merge_patch(patch);
  return config;
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const hb::Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("config.json of every family, as transformers writes it") {
  for (const auto& [name, expected] : models) {
    CAPTURE(name);
    const auto folder = fixtures / "models" / name;
    CHECK(error_of([&, &spec = expected] { hb::check_spec(spec, hb::decoder_spec(folder), "it"); }) ==
          "accepted");
    CHECK(hb::decoder_spec(folder).positions == 64);
    CHECK(hb::decoder_spec(folder / "config.json") == hb::decoder_spec(folder));
  }
}

TEST_CASE("GGUF files of every architecture") {
  for (const auto& [name, config] : models) {
    if (name == "mistral" || name == "qwen3_biased") continue;  // llama.cpp has no such architecture
    CAPTURE(name);
    auto expected = config;
    if (name.starts_with("gemma")) expected.attention_scale = 0;  // no file says it: as published sizes do
    if (name == "llama3") expected.rope_scaling.original_positions = 8192;
    const auto found = hb::decoder_spec(fixtures / "gguf" / (name + ".gguf"));
    CHECK(error_of([&] { hb::check_spec(expected, found, "it"); }) == "accepted");
    CHECK(found.epsilon == expected.epsilon);
  }
}

TEST_CASE("GGUF files: what a Decoder cannot do, and what does not fit") {
  const std::string bytes = hb::test::contents(fixtures / "gguf/llama3.gguf");
  const auto error_with = [&](const std::string& from, const std::string& to) {
    std::string changed = bytes;
    const auto at = changed.find(from);
    REQUIRE(at != std::string::npos);
    changed.replace(at, from.size(), to);
    return error_of([&] {
      hb::decoder_spec_from_gguf(hb::GgufFile::from_bytes("some.gguf", std::as_bytes(std::span(changed))));
    });
  };
  const auto value = [](const std::string& key, std::uint32_t type, auto number) {
    return key + std::string(reinterpret_cast<const char*>(&type), 4) +
           std::string(reinterpret_cast<const char*>(&number), sizeof number);
  };
  const auto says = [](const std::string& error, const std::string& message) {
    CAPTURE(error);
    CHECK(error.find(message) != std::string::npos);
  };
  REQUIRE(error_with("GGUF", "GGUF") == "accepted");
  says(error_with("\5" + std::string(7, '\0') + "llama", "\5" + std::string(7, '\0') + "mamba"),
       "found 'mamba'");
  says(error_with(value("llama.block_count", 4, 3u), value("llama.block_count", 4, 0u)),
       "an impossible size (some.gguf: 'llama.block_count'): expected 1 to 65535, found 0");
  const std::string epsilon = "llama.attention.layer_norm_rms_epsilon";
  says(error_with(value(epsilon, 6, 1e-6F), value(epsilon, 6, -1.F)),
       "an impossible number (some.gguf: '" + epsilon + "'): expected more than 0, found -1");
  says(error_with("llama.block_count", "llama.block_kount"), "no such key (some.gguf: 'llama.block_count')");
  says(error_with("llama.rope.freq_base", "llama.split.count___"), "rope_freqs.weight");
  says(error_with(value("llama.attention.value_length", 4, 4u), value("llama.attention.value_length", 4, 6u)),
       "'llama.attention.value_length'): expected 4, found 6");
  const float factors[] = {1, 3.3F};
  const auto* const raw = reinterpret_cast<const char*>(factors);
  std::string tail = bytes.substr(bytes.rfind(std::string(raw, 4)), 8);
  says(error_with(tail, std::string(raw, 8)), "'rope_freqs.weight'): expected the divisors of Llama 3");
}

TEST_CASE("older spellings and defaults give the same specs") {
  const Json no_rope = {{"rope_parameters", nullptr}};
  const Json gemma3 = patched(patched(config_of("gemma3"), no_rope), {{"layer_types", nullptr}});
  CHECK(read(gemma3) == read(config_of("gemma3")));
  CHECK(read(patched(gemma3, {{"sliding_window_pattern", 3}})).full_every == 3);
  CHECK(read(patched(gemma3, {{"rope_local_base_freq", 500.0}, {"rope_theta", 7.0}})).window_rope_base ==
        500);
  const auto scaled = read(patched(gemma3, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}}));
  CHECK(scaled.rope_scaling.kind == hb::RopeScaling::Kind::linear);
  CHECK(scaled.rope_scaling.factor == 8);
  CHECK(read(patched(gemma3, {{"sliding_window", nullptr}})).window == 4096);
  const Json within = {
      {"model_type", "gemma3"}, {"text_config", gemma3}, {"vision_config", {{"hidden_size", 1}}}};
  CHECK(read(within) == read(gemma3));
  // google/gemma-3-4b-it writes no more than this.
  const Json small = {{"model_type", "gemma3"},
                      {"text_config",
                       {{"hidden_size", 2560},
                        {"intermediate_size", 10240},
                        {"model_type", "gemma3_text"},
                        {"num_hidden_layers", 34},
                        {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                        {"sliding_window", 1024}}}};
  const auto four = read(small);
  CHECK(four.vocabulary == 262208);
  CHECK(four.heads == 8);
  CHECK(four.kv_heads == 4);
  CHECK(four.head_width == 256);
  CHECK(four.attention_scale == 0);
  CHECK(four.full_every == 6);
  CHECK(four.tied);
  const Json gemma2 =
      patched(config_of("gemma2"), {{"layer_types", nullptr}, {"tie_word_embeddings", nullptr}});
  CHECK(read(gemma2) == read(config_of("gemma2")));
  CHECK(read(patched(gemma2, {{"attn_logit_softcapping", nullptr}})).attention_soft_cap == 50);
  CHECK(read(patched(gemma2, {{"query_pre_attn_scalar", 6}})).attention_scale == 0);
  Json off = gemma2;
  off["final_logit_softcapping"] = nullptr;
  CHECK(read(off).logit_soft_cap == 0);
  Json mistral = config_of("mistral");
  mistral["sliding_window"] = nullptr;
  CHECK(read(mistral).window == 0);
  mistral.erase("sliding_window");
  CHECK(read(mistral).window == 4096);
  CHECK(read(mistral).full_every == 0);
  const Json older = {{"rope_theta", 500000.0},
                      {"rope_scaling",
                       {{"type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 32}}}};
  CHECK(read(patched(patched(config_of("llama3"), no_rope), older)) == read(config_of("llama3")));
  const Json twice = {{"rope_scaling", config_of("llama3")["rope_parameters"]}};
  CHECK(read(patched(config_of("llama3"), twice)) == read(config_of("llama3")));
  Json short_one =
      patched(config_of("llama3"), {{"rope_parameters", {{"original_max_position_embeddings", nullptr}}}});
  CHECK(read(short_one).rope_scaling.original_positions == 64);
  short_one.erase("max_position_embeddings");
  CHECK(read(short_one).rope_scaling.original_positions == 2048);
  const Json bare = {{"head_dim", nullptr}, {"num_key_value_heads", nullptr}, {"rms_norm_eps", nullptr}};
  CHECK(read(patched(config_of("llama"), bare)).kv_heads == 4);
  CHECK(read(patched(config_of("llama"), bare)).head_width == 4);
  CHECK(read(patched(config_of("llama"), bare)).epsilon == 1e-6);
}

TEST_CASE("the named specs are those of the published configs") {
  const auto sizes = [](const char* type, int vocabulary, int hidden, int layers, int heads, int kv_heads,
                        int inner) {
    return Json{{"model_type", type},      {"vocab_size", vocabulary},        {"hidden_size", hidden},
                {"hidden_act", "silu"},    {"num_hidden_layers", layers},     {"num_attention_heads", heads},
                {"rms_norm_eps", 1e-5},    {"num_key_value_heads", kv_heads}, {"intermediate_size", inner},
                {"rope_scaling", nullptr}, {"max_position_embeddings", 8192}};
  };
  const auto same = [](const DecoderSpec& named, Json config, const Json& rest) {
    config.update(rest);
    const std::string error = error_of([&] { hb::check_spec(named, read(config), "it"); });
    CHECK(error == "accepted");
  };
  same(hb::specs::smollm2_135m, sizes("llama", 49152, 576, 30, 9, 3, 1536),
       {{"rope_theta", 100000}, {"tie_word_embeddings", true}, {"rope_interleaved", false}});
  same(hb::specs::llama3_1_8b, sizes("llama", 128256, 4096, 32, 32, 8, 14336),
       {{"rope_theta", 5e5},
        {"tie_word_embeddings", false},
        {"mlp_bias", false},
        {"rope_scaling",
         {{"factor", 8.0},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 8192},
          {"rope_type", "llama3"}}}});
  same(hb::specs::mistral_7b_instruct_v0_2, sizes("mistral", 32000, 4096, 32, 32, 8, 14336),
       {{"rope_theta", 1e6}, {"sliding_window", nullptr}, {"tie_word_embeddings", false}});
  same(hb::specs::qwen3_0_6b, sizes("qwen3", 151936, 1024, 28, 16, 8, 3072),
       {{"rope_theta", 1000000},
        {"rms_norm_eps", 1e-6},
        {"head_dim", 128},
        {"max_window_layers", 28},
        {"sliding_window", nullptr},
        {"tie_word_embeddings", true},
        {"use_sliding_window", false}});
  const Json gemma_rest = {{"rms_norm_eps", 1e-6},
                           {"head_dim", 256},
                           {"query_pre_attn_scalar", 256},
                           {"hidden_activation", "gelu_pytorch_tanh"}};
  same(hb::specs::gemma2_2b, sizes("gemma2", 256000, 2304, 26, 8, 4, 9216),
       patched(gemma_rest, {{"attn_logit_softcapping", 50.0},
                            {"final_logit_softcapping", 30.0},
                            {"rope_theta", 10000.0},
                            {"sliding_window", 4096}}));
  same(hb::specs::gemma3_270m, sizes("gemma3_text", 262144, 640, 18, 4, 1, 2048),
       patched(gemma_rest, {{"rope_local_base_freq", 10000.0},
                            {"rope_theta", 1000000.0},
                            {"_sliding_window_pattern", 6},
                            {"sliding_window", 512}}));
}

TEST_CASE("Qwen's windows: used when it says so, from a layer on") {
  const Json windows = {{"use_sliding_window", true}, {"sliding_window", 8}, {"layer_types", nullptr}};
  const Json qwen = patched(config_of("qwen3"), windows);
  CHECK(read(patched(config_of("qwen3"), {{"sliding_window", 8}, {"layer_types", nullptr}})).window == 0);
  CHECK(read(qwen).window == 0);  // max_window_layers 28: none of three
  CHECK(read(patched(qwen, {{"max_window_layers", 0}})).window == 8);
  CHECK(error_of([&] {
          read(patched(qwen, {{"max_window_layers", 1}}));
        }).find("layer_types") != std::string::npos);
}

TEST_CASE("what a Decoder cannot do is an error that names the field") {
  const Json llama_config = config_of("llama");
  const std::vector<std::tuple<Json, Json, std::string>> cases = {
      {llama_config, {{"model_type", "phi3"}}, "some.json: 'model_type'): expected llama, mistral"},
      {llama_config, {{"model_type", nullptr}}, "no such field (some.json: 'model_type')"},
      {llama_config, {{"attention_bias", "yes"}}, "a field of another kind (some.json: 'attention_bias')"},
      {llama_config, {{"mlp_bias", true}}, "not supported (some.json: 'mlp_bias')"},
      {llama_config, {{"quantization_config", {{"bits", 4}}}}, "'quantization_config'"},
      {llama_config, {{"hidden_act", "mish"}}, "found 'mish'"},
      {llama_config, {{"hidden_size", nullptr}}, "'hidden_size'): expected an integer, found no value"},
      {llama_config, {{"hidden_size", "16"}}, "'hidden_size'): expected an integer, found \"16\""},
      {llama_config, {{"hidden_size", 16.5}}, "found 16.5"},
      {llama_config, {{"hidden_size", ~std::uint64_t{0}}}, "found 18446744073709551615"},
      {llama_config,
       {{"num_hidden_layers", -1}},
       "an impossible size (some.json: 'num_hidden_layers'): expected 1 to 65535, found -1"},
      {llama_config, {{"num_hidden_layers", 1e12}}, "expected an integer"},
      {llama_config, {{"num_attention_heads", 0}}, "(some.json: 'num_attention_heads'): expected 1 to"},
      {llama_config, {{"num_hidden_layers", 65536}}, "expected 1 to 65535, found 65536"},
      {llama_config, {{"vocab_size", -1}}, "(some.json: 'vocab_size'): expected 1 to 2147483647, found -1"},
      {llama_config,
       {{"rms_norm_eps", 0}},
       "an impossible number (some.json: 'rms_norm_eps'): expected more than 0, found 0"},
      {llama_config,
       {{"rope_parameters", {{"rope_theta", -1}}}},
       "(some.json: 'rope_parameters': 'rope_theta'): expected more than 0, found -1"},
      {config_of("llama3"),
       {{"rope_parameters", {{"low_freq_factor", 4}}}},
       "'low_freq_factor'): expected less than the high_freq_factor, 4, found 4"},
      {config_of("llama3"),
       {{"rope_parameters", {{"factor", 0}}}},
       "'factor'): expected more than 0, found 0"},
      {config_of("gemma2"), {{"query_pre_attn_scalar", 0}}, "'query_pre_attn_scalar'): expected more than 0"},
      {config_of("gemma2"), {{"query_pre_attn_scalar", -4}}, "more than 0, found -4"},
      {config_of("gemma2"),
       {{"attn_logit_softcapping", -1}},
       "'attn_logit_softcapping'): expected 0 or more"},
      {llama_config, {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}}}, "found 'yarn'"},
      {llama_config,
       {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4}}}},
       "two rope scalings (some.json: 'rope_parameters' and 'rope_scaling')"},
      {llama_config, {{"num_key_value_heads", 3}}, "4 heads, 3 key heads"},
      {llama_config, {{"head_dim", 5}}, "width 5"},
      {llama_config, {{"rope_parameters", {{"rope_type", "yarn"}}}}, "'rope_type'): expected default"},
      {llama_config, {{"rope_parameters", {{"rope_type", "linear"}}}}, "'factor'"},
      {llama_config, {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}, "'partial_rotary_factor'"},
      {llama_config, {{"rope_parameters", nullptr}, {"rope_scaling", {{"type", "dynamic"}}}}, "'dynamic'"},
      {llama_config, {{"rope_parameters", 3}}, "expected an object, found number"},
      {config_of("gemma3"), {{"use_bidirectional_attention", true}}, "'use_bidirectional_attention'"},
      {config_of("gemma3"), {{"layer_types", {"full_attention"}}}, "expected 7, found 1"},
      {config_of("gemma2"),
       {{"layer_types", {"full_attention", "sliding_attention", "full_attention"}}},
       "an order of attention"},
      {config_of("gemma2"), {{"layer_types", {"chunked_attention"}}}, "'chunked_attention'"},
      {config_of("gemma2"), {{"layer_types", "all"}}, "expected an array, each a string"},
      {config_of("gemma2"), {{"sliding_window", 0}}, "a sliding window of 1 or more, found 0"},
  };
  for (const auto& [config, patch, message] : cases) {
    const std::string error = error_of([&, &whole = config, &part = patch] { read(patched(whole, part)); });
    CAPTURE(error);
    CHECK(error.find(message) != std::string::npos);
  }
  CHECK(error_of([] { read(Json::array()); }).find("expected an object, found array") != std::string::npos);
}

TEST_CASE("a file that is not JSON, and a folder without a config") {
  const hb::test::Folder folder;
  std::ofstream(folder.path / "config.json") << "{\"a\":";
  CHECK(error_of([&] { hb::decoder_spec(folder.path); }).find("malformed JSON (" + folder.path.string()) !=
        std::string::npos);
  std::ofstream(folder.path / "deep.json") << std::string(1 << 20, '[');
  CHECK(error_of([&] { hb::decoder_spec(folder.path / "deep.json"); }).find("malformed JSON") !=
        std::string::npos);
  const auto kind = [&](const std::string& contents) {
    std::ofstream(folder.path / "some.gguf") << contents;
    return error_of([&] { hb::decoder_spec(folder.path / "some.gguf"); });
  };
  CHECK(kind("GGU").find("expected the letters GGUF at its beginning, found text") != std::string::npos);
  CHECK(kind("").find("found an empty file") != std::string::npos);
  const fs::path loop = folder.path / "loop";
  fs::create_symlink(loop, loop);
  CHECK(error_of([&] { hb::decoder_spec(loop); }).find("Too many levels of symbolic links") !=
        std::string::npos);
  const auto tensors = fixtures / "models/llama/model.safetensors";
  CHECK(error_of([&] { hb::decoder_spec(tensors); }).find("expected JSON, found a safetensors file") !=
        std::string::npos);
  fs::remove(folder.path / "config.json");
  CHECK(error_of([&] { hb::decoder_spec(folder.path); }).find("No such file") != std::string::npos);
}

TEST_CASE("one error names every field in which a model is not the compiled one") {
  auto other = llama;
  other.layers = 4, other.epsilon = 1e-4, other.activation = hb::Activation::relu;
  other.rope_scaling = {.kind = hb::RopeScaling::Kind::linear, .factor = 2};
  CHECK(error_of([&] { hb::check_spec(llama, other, "some.json"); }) ==
        "hyperblocks: the model is not the one that the program was compiled for (some.json): expected "
        "layers 3, activation silu, epsilon 1e-05, rope_scaling.kind none, rope_scaling.factor 1, found "
        "layers 4, activation relu, epsilon 1e-04, rope_scaling.kind linear, rope_scaling.factor 2");
  const auto accepts = [](auto change) {
    CHECK(error_of([&] { hb::check_spec(llama, with(llama, change), "it"); }) == "accepted");
  };
  accepts([](DecoderSpec& spec) { spec.positions = 1; });
  accepts([](DecoderSpec& spec) { spec.head_width = 0; });
  accepts([](DecoderSpec& spec) { spec.attention_scale = 0.5; });
  accepts([](DecoderSpec& spec) { spec.epsilon = static_cast<double>(1e-5f); });
  accepts([](DecoderSpec& spec) { spec.full_every = 6, spec.window_rope_base = 3; });
}

TEST_CASE("the header of a spec") {
  const std::string header = hb::spec_header(models.at("llama3"), "my_base", "config.json");
  const auto holds = [&](const std::string& text) {
    CAPTURE(header);
    CHECK(header.find(text) != std::string::npos);
  };
  holds("// Written by hyperblocks_add_base from config.json.\n#pragma once\n");
  holds("inline constexpr hyperblocks::DecoderSpec my_base{\n    .vocabulary = 40,\n");
  holds("    .activation = hyperblocks::Activation::silu,\n    .epsilon = 1e-06,\n");
  holds(
      "    .rope_scaling = {\n        .kind = hyperblocks::RopeScaling::Kind::llama3,\n        .factor = "
      "8,\n");
  holds("    },\n    .window_rope_base = 0,\n};\n");
  const std::string encoder = hb::spec_header(hb::TextEncoderSpec{}, "my_encoder", "config.json");
  CHECK(encoder.ends_with("        .factor = 1,\n    },\n};\n"));
}
