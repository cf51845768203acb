// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// hypernet.json: written and read again, refused where it cannot be; a hypernetwork saved and loaded, and not
// by a program of another spec or base; the headers of hyperblocks_add_hypernet.
#include "support/folder.hpp"
#include "support/tiny_decoders.hpp"

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;

namespace {

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::ShineSpec small{.rank = 2, .meta_rank = 3, .m2p = {.blocks = 1, .heads = 2, .inner = 20}};
using Model = hb::Decoder<llama, float, Cpu>;
using Net = hb::Shine<Model, small>;

hb::HypernetConfig shine() { return {.base = hb::hypernet_base(llama), .spec = small}; }
hb::HypernetConfig document() {
  hb::DocToLoraSpec spec{.rank = 3, .targets = hb::query_and_value, .layer_to_layer = false, .alpha = 2.5};
  spec.perceiver.shares_weights = true;
  return {.base = hb::hypernet_base(llama),
          .spec = spec,
          .context = {hb::ContextKind::early_exit, 1},
          .reader = "some/model",
          .chunk = 100};
}

hb::HypernetConfig text() {
  const hb::TextToLoraSpec spec{.rank = 3, .rslora = false, .code = hb::TaskCode::vq, .z_score = true};
  return {.base = hb::hypernet_base(llama), .spec = spec, .reader = "some/encoder"};
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

std::string error_of_json(const nlohmann::json& json) {
  return error_of([&] { hb::hypernet_from_json(json, "some.json"); });
}

}  // namespace

TEST_CASE("what is written is read again") {
  for (const auto& config : {shine(), document(), text()}) {
    const std::string text = hb::hypernet_text(config, "it");
    CAPTURE(text);
    const auto again = hb::hypernet_from_json(nlohmann::json::parse(text), "it");
    CHECK(again.base == config.base);
    CHECK(hb::hypernet_text(again, "it") == text);
    CHECK(again.reader == config.reader);
    CHECK(again.context.layers == config.context.layers);
    std::visit(
        [&]<class Spec>(const Spec& spec) {
          hb::check_spec(hb::detail::resolved(spec, config.base), std::get<Spec>(again.spec), "it");
        },
        config.spec);
  }
  const auto written = hb::hypernet_text(document(), "it");
  for (const char* const part :
       {"\"system\": \"doc-to-lora\"", "\"kind\": \"early_exit\"", "\"chunk\": 100", "\"alpha\": 2.5"})
    CHECK_MESSAGE(written.find(part) != std::string::npos, written);
}

TEST_CASE("what a file leaves out has the spec's default") {
  nlohmann::json json = nlohmann::json::parse(hb::hypernet_text(shine(), "it"));
  json["spec"] = {{"m2p", {{"blocks", 6}}}};
  const auto spec = std::get<hb::ShineSpec>(hb::hypernet_from_json(json, "it").spec);
  CHECK(spec.rank == 8);
  CHECK(spec.m2p.blocks == 6);
  CHECK(spec.m2p.inner == 0);
}

TEST_CASE("what cannot be is an error that names file and field") {
  const nlohmann::json good = nlohmann::json::parse(hb::hypernet_text(shine(), "it"));
  const nlohmann::json document_json = nlohmann::json::parse(hb::hypernet_text(document(), "it"));
  CHECK(error_of_json(good) == "accepted");
  const auto refused = [&](const char* pointer, const nlohmann::json& value, const std::string& expected,
                           const nlohmann::json& from) {
    nlohmann::json json = from;
    json[nlohmann::json::json_pointer(pointer)] = value;
    const std::string error = error_of_json(json);
    CHECK_MESSAGE(error.find(expected) != std::string::npos, error);
    CHECK_MESSAGE(error.find("some.json") != std::string::npos, error);
  };
  const auto of_shine = [&](auto pointer, const auto& value, auto text) {
    refused(pointer, value, text, good);
  };
  const auto of_document = [&](auto pointer, const auto& value, auto text) {
    refused(pointer, value, text, document_json);
  };
  of_shine("/format", 2, "an unknown format (some.json: 'format'): expected 1, found 2");
  of_shine("/format", "1", "'format'");
  of_shine("/system", "lora", "an unknown system (some.json: 'system')");
  of_shine("/chunk", 5, "an unknown field (some.json: 'chunk')");
  of_shine("/spec/ranks", 5, "an unknown field (some.json: 'spec': 'ranks')");
  of_shine("/spec/m2p/layers", 5, "an unknown field (some.json: 'spec': 'm2p': 'layers')");
  of_shine("/spec/rank", 2.5, "'rank'): expected an integer, found 2.5");
  of_shine("/spec/rank", 0, "an impossible value (some.json: 'spec.rank')");
  of_shine("/spec/rank", Index{1} << 40, "'spec.rank'");
  of_shine("/spec/meta_rank", -1, "'spec.meta_rank'");
  of_shine("/spec/scale", 0, "'spec.scale'");
  of_shine("/spec/m2p", 4, "an object");
  of_shine("/spec/m2p/kind", "gate",
           "an unknown word (some.json: 'spec': 'm2p': 'kind'): expected one of "
           "transformer, linear, linear_gate, found 'gate'");
  of_shine("/spec/m2p/heads", 3, "'spec.m2p.heads'): expected a divisor of 16, base.hidden, found 3");
  of_shine("/spec/recurrent_rank", -1, "'spec.recurrent_rank'");
  of_shine("/spec", nlohmann::json{{"recurrent_rank", 4}, {"m2p", {{"kind", "linear"}}}},
           "'spec.recurrent_rank'): expected 0 without blocks of a transformer, found 4");
  of_shine("/spec/m2p/placement", "sandwich", "'spec.m2p.placement'");
  of_shine("/spec/m2p", nlohmann::json{{"couple_blocks", 1}, {"couple_heads", 3}}, "'spec.m2p.couple_heads'");
  of_shine("/spec/m2p", nlohmann::json{{"couple_blocks", 1}, {"couple_width", 5}}, "'spec.m2p.couple_width'");
  of_shine("/base/hidden", 0, "'base.hidden'");
  of_shine("/base/kv_heads", 3, "'base.kv_heads'): expected a divisor of 4, heads, found 3");
  of_shine("/base/bias", "no", "'bias'): expected true or false");
  of_shine("/base", nullptr, "'base.hidden'");
  of_document("/spec/perceiver/latents", 0, "'spec.perceiver.latents'");
  of_document("/spec/perceiver/kv_heads", 5, "'spec.perceiver.kv_heads'");
  of_document("/spec/mlps", -1, "'spec.mlps'");
  of_document("/spec/targets", nlohmann::json{{"query", false}, {"value", false}, {"down", false}},
              "'spec.targets'): expected one linear or more");
  of_document("/context/kind", "all", "'context': 'kind'");
  of_document("/context/layers", -1, "'context.layers'");
  of_document("/reader", 5, "'reader'): expected a string");
  of_document("/chunk", 0, "'chunk'");
  const nlohmann::json text_json = nlohmann::json::parse(hb::hypernet_text(text(), "it"));
  const auto of_text = [&](auto pointer, auto value, auto expected) {
    refused(pointer, value, expected, text_json);
  };
  of_text("/chunk", 5, "an unknown field");
  of_text("/spec/latent", 3, "'spec.latent'");
  of_text("/spec/alpha", 0, "'spec.alpha'");
  of_text("/spec/product_scale", -1, "'spec.product_scale'");
  of_text("/spec/code", "pq", "expected one of linear, discrete, softmax, vq");
}

TEST_CASE("a hypernetwork is saved and loaded, by programs of its spec and base alone") {
  const hb::test::Folder folder;
  Cpu cpu({.threads = 1});
  hb::Random random(1);
  auto params = hb::make<Net::Params>(cpu);
  Net::initialise(cpu, params, random);
  hb::save_hypernet<Net>(cpu, params, folder.path / "net", {});
  const auto again = hb::loaded_hypernet<Net>(cpu, folder.path / "net");
  hb::visit(
      [](const std::string& name, const auto& first, const auto& second) {
        CAPTURE(name);
        CHECK(std::ranges::equal(first.span(), second.span()));
      },
      params, again);
  params.m2p.positions.layer.span()[3] = NAN;
  hb::save_hypernet<Net>(cpu, params, folder.path / "nan", {});
  CHECK(error_of([&] { hb::loaded_hypernet<Net>(cpu, folder.path / "nan"); })
            .ends_with("hypernet.safetensors: 'm2p.positions.layer'): expected finite numbers, found NaN or "
                       "infinity"));
  const auto error = [&]<class Other>() {
    return error_of([&] { hb::loaded_hypernet<Other>(cpu, folder.path / "net"); });
  };
  static constexpr auto other_spec = [] {
    hb::ShineSpec spec = small;
    spec.a = hb::FactorForm::rows, spec.m2p.heads = 4;
    return spec;
  }();
  static constexpr auto other_base = [] {
    hb::DecoderSpec spec = llama;
    spec.layers = 4;
    return spec;
  }();
  CHECK(error.operator()<hb::Shine<Model, other_spec>>().ends_with(
      "'spec'): expected a rows, m2p.heads 4, found a columns, m2p.heads 2"));
  CHECK(error.operator()<hb::Shine<hb::Decoder<other_base, float, Cpu>, small>>().ends_with(
      "'base'): expected layers 4, found layers 3"));
  CHECK(error.operator()<hb::DocToLora<Model, hb::DocToLoraSpec{}>>().ends_with(
      "'system'): expected doc-to-lora, found shine"));

  const auto weights = folder.path / "net/hypernet.safetensors";
  std::map<std::string, hb::StoredTensor> tensors = hb::SafetensorsFile(weights).tensors();
  const std::vector<float> one = {1};
  tensors["extra"] = {hb::DType::f32, {1}, std::as_bytes(std::span(one))};
  const hb::SafetensorsFile before(weights);
  hb::write_safetensors(weights, tensors);
  CHECK(error.operator()<Net>().find("found 'extra'") != std::string::npos);
  tensors.erase("extra"), tensors.erase("memory");
  hb::write_safetensors(weights, tensors);
  CHECK(error.operator()<Net>().find("no such tensor") != std::string::npos);
  std::filesystem::remove(folder.path / "net/hypernet.json");
  CHECK(error.operator()<Net>().find("hypernet.json") != std::string::npos);
}

TEST_CASE("the header of a hypernetwork") {
  const std::string net = hb::hypernet_header(shine(), "my_net", "hypernet.json");
  CHECK(
      net.starts_with("// Written by hyperblocks_add_hypernet from hypernet.json.\n#pragma once\n\n"
                      "#include <hyperblocks/hypernets/context_reader.hpp>\n"
                      "#include <hyperblocks/hypernets/hypernet_base.hpp>\n"
                      "#include <hyperblocks/hypernets/shine.hpp>\n\n"
                      "inline constexpr hyperblocks::ShineSpec my_net{\n    .rank = 2,\n"));
  CHECK(net.find("        .kind = hyperblocks::M2pKind::transformer,\n        .blocks = 1,\n") != net.npos);
  CHECK(net.find("inline constexpr hyperblocks::HypernetBase my_net_base{\n    .hidden = ") != net.npos);
  CHECK(net.find("inline constexpr hyperblocks::ContextSpec my_net_context{") != net.npos);
  const std::string document_net = hb::hypernet_header(document(), "my_net", "it");
  CHECK(document_net.find("inline constexpr hyperblocks::DocToLoraSpec my_net{\n") != document_net.npos);
  CHECK(
      document_net.ends_with("inline constexpr hyperblocks::ContextSpec my_net_context{\n    .kind = "
                             "hyperblocks::ContextKind::early_exit,\n    .layers = 1,\n};\n"));
  CHECK(document_net.find("#include <hyperblocks/hypernets/context_reader.hpp>\n") != document_net.npos);
  const std::string text_net = hb::hypernet_header(text(), "my_net", "it");
  CHECK(text_net.find("hyperblocks::TextToLoraSpec my_net{\n") != text_net.npos);
}
