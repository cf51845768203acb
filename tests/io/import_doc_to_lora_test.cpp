// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/import on Doc-to-LoRA's pytorch_model.bin as torch.save wrote it, with dataclasses, a set and
// enumerations pickled beside the tensors (tests/reference/checkpoints.py): shared and own weights, self
// layers, MLPs for all layers and for each, with and without per-rank generation and learned factors, several
// modules, names of compiled models, settings of early versions; and what must be refused.
#include "../support/import_check.hpp"
#include "../support/tiny_decoders.hpp"

#include <sstream>

#include "../../examples/import/import_doc_to_lora.hpp"

namespace hb = hyperblocks;
using namespace hb::test;
using hb::ContextKind, hb::Cpu, hb::Index, hb::Projection;

namespace {

using DocToLora = Importer<hb::example::DocToLoraImport, hb::example::doc_to_lora_settings>;
using Set = std::vector<std::string>;

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::DecoderSpec gemma2 = [] {
  hb::DecoderSpec spec = llama;
  spec.head_width = 6;
  return spec;
}();

constexpr hb::Targets targets(std::initializer_list<Projection> wanted) {
  const auto has = [&](Projection projection) {
    return std::find(wanted.begin(), wanted.end(), projection) != wanted.end();
  };
  using enum Projection;
  return {has(query), has(key), has(value), has(output), has(gate), has(up), has(down)};
}

constexpr hb::DocToLoraSpec with(auto change) {
  hb::DocToLoraSpec spec{.rank = 2,
                         .targets = targets({Projection::query, Projection::down}),
                         .perceiver = {.latent = 12,
                                       .latents = 3,
                                       .blocks = 2,
                                       .heads = 4,
                                       .kv_heads = 2,
                                       .head_width = 6,
                                       .inner = 20,
                                       .projection_inner = 24},
                         .mlps = 2,
                         .mlp_inner = 10};
  change(spec);
  return spec;
}

const Set set = {"head_width=6"};

template <hb::DecoderSpec base, hb::DocToLoraSpec spec>
void check_import(const std::string& name, ContextKind kind, Index layers) {
  CAPTURE(name);
  using Net = hb::DocToLora<hb::Decoder<base, float, Cpu>, spec>;
  Cpu cpu({.threads = 1});
  const std::string decoder = base.head_width != 0 ? "gemma2" : "llama", checkpoint = "doc_to_lora_" + name;
  check_parameters(DocToLora::loaded<Net>(cpu, checkpoint, decoder, set), checkpoint);
  const auto config = DocToLora::read(fixtures() / "checkpoints" / checkpoint, decoder, set).config;
  CHECK(config.context.kind == kind);
  CHECK(config.context.layers == layers);
  CHECK(config.reader.empty());
  CHECK(config.chunk == 512);
}

/// The error of an edited checkpoint of two linears, layer to layer.
std::string error(const TorchEdits& edits, const Set& given = set) {
  return DocToLora::error("doc_to_lora_layers", "llama", given, "pytorch_model.bin", edits);
}
std::string replaced(const std::string& path, const std::string& value) {
  return error({.replaced = {{path, value}}});
}

const std::string config = "hypernet_config", context = "ctx_encoder_args",
                  aggregator = config + ".aggregator_config", lora = config + ".lora_config",
                  perceiver = "aggregator.perceiver.";

}  // namespace

TEST_CASE("every setting is imported bit for bit") {
  check_import<llama, with([](auto&) {})>("layers", ContextKind::all_layers, 3);
  check_import<llama, with([](auto& s) {
                 s.perceiver.blocks = 3, s.perceiver.self_layers = 2, s.perceiver.shares_weights = true;
                 s.mlps_per_layer = true, s.targets = hb::down_alone, s.rank = 3;
               })>("shared", ContextKind::all_layers, 3);
  check_import<llama, with([](auto& s) { s.perceiver.self_layers = 1, s.mlps = 1; })>(
      "own", ContextKind::all_layers, 3);
  check_import<llama, with([](auto& s) {
                 s.layer_to_layer = s.bias = false, s.mlps_per_layer = true, s.rank = 3;
                 s.targets = targets({Projection::key, Projection::output, Projection::up});
               })>("early_exit", ContextKind::early_exit, 1);
  check_import<gemma2, with([](auto& s) { s.layer_to_layer = s.per_rank = false, s.mlps = 0; })>(
      "embeddings", ContextKind::embeddings, 0);
  check_import<llama, with([](auto& s) {
                 s.per_rank = s.bias = false, s.mlps = 1;
                 s.targets = targets({Projection::value, Projection::gate});
               })>("whole", ContextKind::all_layers, 3);
}

TEST_CASE("settings that early checkpoints do not have: four MLPs, learned factors") {
  using Net = hb::DocToLora<hb::Decoder<llama, float, Cpu>, with([](auto& s) { s.mlps = 4; })>;
  Cpu cpu({.threads = 1});
  const auto params = DocToLora::loaded<Net>(cpu, "doc_to_lora_early", "llama", set);
  int more = 0;
  check_parameters(params, "doc_to_lora_layers", false, [&](const std::string& name, const auto&) {
    CHECK((name.starts_with("heads.mlps.2.") || name.starts_with("heads.mlps.3.")));
    ++more;
  });
  CHECK(more == 16);
  CHECK(std::ranges::equal(std::get<1>(params.heads.mlps[3]).weight.span(),
                           std::get<1>(params.heads.mlps[1]).weight.span()));
  std::ostringstream report;
  DocToLora::read(fixtures() / "checkpoints/doc_to_lora_early", "llama", set, &report);
  const std::string defaults = report.str().substr(report.str().find("defaults:"));
  CHECK_MESSAGE(defaults.find("  MLPs = 4\n") != std::string::npos, defaults);
  CHECK_MESSAGE(defaults.find("  bias = true\n") != std::string::npos, defaults);
}

TEST_CASE("what may be otherwise") {
  CHECK(error({}) == "accepted");
  CHECK(error({}, {"head_width=6", "chunk=1024", "rank=2"}) == "accepted");
  CHECK(error({.dropped = {aggregator + ".num_blocks", aggregator + ".shared_weights",
                           config + ".layer_indices", config + ".feature_sizes", config + ".per_rank_gen",
                           context + ".quantize_ctx_encoder"}}) == "accepted");
  CHECK(replaced(config + ".num_pre_head_layers", pickled(2)) == "accepted");
  CHECK(replaced(lora + ".target_modules", pickled_list(pickled("q_proj") + pickled("down_proj"))) ==
        "accepted");
  CHECK(replaced(config + ".layer_indices", pickled_list(pickled(0) + pickled(1) + pickled(2))) ==
        "accepted");
  CHECK(replaced(context + ".ctx_encoder_last_layer", pickled(3)) == "accepted");
}

TEST_CASE("another reader than the base") {
  const Folder folder;
  const auto bin = fixtures() / "checkpoints/doc_to_lora_early_exit/pytorch_model.bin";
  const TorchEdits edits{.replaced = {{context + ".ctx_encoder_model_name_or_path", pickled("other/model")},
                                      {context + ".layer_idx", pickled_none}}};
  const std::string bytes = TorchRewriter(bin, edits).bytes();
  std::ofstream(folder.path / "pytorch_model.bin", std::ios::binary) << bytes;
  const auto read = DocToLora::read(folder.path, "llama", {"head_width=6", "chunk=100"}).config;
  CHECK(read.reader == "other/model");
  CHECK(read.context.layers == 0);
  CHECK(read.chunk == 100);
}

TEST_CASE("an early exit behind a quarter of the layers, of a base where that is none") {
  const Folder folder;
  const auto bin = fixtures() / "checkpoints/doc_to_lora_early_exit/pytorch_model.bin";
  const auto write = [&](std::vector<std::pair<std::string, std::string>> replaced) {
    const std::string bytes =
        TorchRewriter(bin, TorchEdits{.replaced = {replaced.begin(), replaced.end()}}).bytes();
    std::ofstream(folder.path / "pytorch_model.bin", std::ios::binary) << bytes;
  };
  write({{context + ".layer_idx", pickled(0)}});
  const auto read = DocToLora::read(folder.path, "llama", {"head_width=6"}).config.context;
  CHECK((read.kind == ContextKind::early_exit && read.layers == 0));
  write({{context + ".layer_idx", pickled(0)},
         {context + ".ctx_encoder_model_name_or_path", pickled("other/model")}});
  check_error(DocToLora::error_of(folder.path, "llama", {"head_width=6"}), "an early exit behind no layer");
}

TEST_CASE("options that are wrong are errors that name them") {
  check_error(error({}, {}),
              "(--set head_width): expected a common divisor of 24 and 12 (128 unless given), found 128");
  check_error(error({}, {"head_width=5"}), "(--set head_width)");
  check_error(error({}, {"head_width=x"}), "(--set head_width)");
  check_error(error({}, {"chunks=5"}), "an unknown option (--set chunks=5)");
  check_error(error({}, {"head_width=6", "chunk=0"}), "(--set chunk)");
  check_error(error({}, {"head_width=6", "rank=3"}),
              "an option that contradicts the files (--set rank): expected 2, found 3");
  check_error(error({}, {"head_width=6", "alpha=3"}), "(--set alpha)");
}

TEST_CASE("files that are missing or damaged are errors that name them") {
  const Folder folder;
  const auto file = folder.path / "pytorch_model.bin";
  check_error(DocToLora::error_of(folder.path, "llama", set), "pytorch_model.bin");
  std::filesystem::copy(fixtures() / "checkpoints/doc_to_lora_layers/pytorch_model.bin", file);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 100);
  check_error(DocToLora::error_of(folder.path, "llama", set), "pytorch_model.bin");
}

TEST_CASE("settings that cannot be") {
  for (const char* const missing : {"hypernet_config", "ctx_encoder_args", "base_model_name_or_path"})
    check_error(error({.dropped = {missing}}), std::string("'") + missing + "'");
  check_error(error({.dropped = {lora}}), "'hypernet_config.lora_config'");
  check_error(error({.dropped = {lora + ".r"}}), "'hypernet_config.lora_config.r'");
  check_error(replaced(lora + ".r", pickled(0)), "an impossible rank");
  check_error(replaced(lora + ".r", pickled("2")), "expected an integer");
  check_error(replaced(lora + ".r", pickled(3)), "the shape differs");
  check_error(replaced(lora + ".lora_alpha", pickled(0)), "an impossible scale");
  check_error(replaced(lora + ".target_modules", pickled_list(pickled("lm_head"))),
              "a linear that is not known");
  check_error(replaced(lora + ".target_modules", pickled_list("")), "no linears");
  check_error(replaced(lora + ".target_modules", pickled_list(pickled("q_proj") + pickled("k_proj"))),
              "'k_proj'");
  check_error(replaced(config + ".extra_modules", pickled_list(pickled("norm"))), "no extra modules");
  check_error(replaced(config + ".num_pre_head_layers", pickled(1)), "num_pre_head_layers, as it says");
  check_error(error({.dropped = {config + ".num_pre_head_layers"}}),
              "num_pre_head_layers, 4 where it says nothing): expected 4 of 'layers.NUMBER', found 2");
  check_error(replaced(config + ".per_layer_processing", "\x88"), "the settings contradict the tensors");
  check_error(replaced(config + ".latent_size", pickled(512)), "'hypernet_config.latent_size'");
  check_error(replaced(config + ".per_rank_gen", "\x89"), "latents_q'");
  check_error(replaced(config, pickled("text")), "'hypernet_config'");
  check_error(replaced(aggregator + ".num_blocks", pickled(3)), "num_blocks'): expected 2, found 3");
  check_error(replaced(aggregator + ".num_self_attn_per_block", pickled(1)), "num_self_attn_per_block'");
  check_error(replaced(aggregator + ".n_latent_queries", pickled(8)), "n_latent_queries'");
  check_error(replaced(aggregator + ".feature_size", pickled(8)), "feature_size'");
  check_error(replaced(aggregator + ".aggregator_type", pickled("pooler")), "expected perceiver");
  check_error(replaced(aggregator + ".layer_to_layer_ctx_encoder", "\x89"), "layer_to_layer_ctx_encoder'");
  check_error(replaced(context + ".ctx_encoder_type", pickled("all")),
              "a kind of context encoder that is not known");
  check_error(replaced(context + ".ctx_encoder_type", pickled("embed_only")), "layer_to_layer_ctx_encoder'");
  check_error(replaced(context + ".ctx_encoder_last_layer", pickled(2)), "as many states as the base has");
  check_error(DocToLora::error("doc_to_lora_early_exit", "llama", set, "pytorch_model.bin",
                               {.replaced = {{context + ".layer_idx", pickled(-1)}}}),
              "an early exit behind no layer");
}

TEST_CASE("a checkpoint of another base is refused") {
  check_error(DocToLora::error("doc_to_lora_layers", "gemma2", set), "a hypernetwork for another base");
  check_error(replaced(config + ".base_hidden_size", pickled(32)), "'hypernet_config.base_hidden_size'");
  check_error(replaced(aggregator + ".num_layers", pickled(4)), "num_layers'");
  check_error(replaced(config + ".layer_indices", pickled_list(pickled(0) + pickled(2) + pickled(1))),
              "other layers than the base's");
  check_error(replaced(config + ".layer_indices", pickled_zeros({3}, "LongStorage")),
              "other layers than the base's");
  check_error(replaced(config + ".layer_indices", pickled_zeros({3})), "another type");
}

TEST_CASE("tensors that cannot be") {
  check_error(replaced("head.weight", pickled_zeros({3, 2, 12, 39})),
              "'head.weight'): expected (3, 2, 12, 40)");
  check_error(replaced("head.weight", pickled_zeros({3, 12, 40})), "'head.weight'");
  check_error(replaced("scaler_A.q_proj", pickled_zeros({3, 2})),
              "'scaler_A.q_proj'): expected (1, 3, 2, 1)");
  check_error(replaced("bias_B.down_proj", pickled_zeros({3, 2, 15})), "'bias_B.down_proj'");
  check_error(replaced("bias_B.down_proj", pickled_infinities({3, 2, 16})), "a number is not finite");
  check_error(replaced("layers.0.mlp.2.weight", pickled_zeros({10, 11})), "'layers.0.mlp.2.weight'");
  check_error(replaced("layers.1.mlp.2.weight", pickled_zeros({11, 12})), "expected (10, 12)");
  check_error(replaced(perceiver + "decoder.latents_q", pickled_zeros({5, 12})), "expected 1 layers times 2");
  check_error(replaced(perceiver + "encoder.layers.1.self_attn.o_proj.weight", pickled_zeros({24, 12})),
              "expected (12, 24)");
  check_error(replaced(perceiver + "modality_projection.up_proj.weight", pickled_zeros({16, 24})),
              "expected (24, 16)");
  check_error(error({.dropped = {perceiver + "encoder.layers.1.post_ff_layernorm.weight"}}),
              "post_ff_layernorm.weight'");
  check_error(error({.dropped = {perceiver + "encoder.layers.1.input_context_layernorm.weight"}}),
              "num_blocks'): expected 1, found 2");
  check_error(error({.dropped = {"bias_A.q_proj"}}), "'bias_A.q_proj'");
  check_error(error({.added = {{"", pickled("head.bias") + pickled_zeros({3})}}}),
              "a tensor that the hypernetwork does not have");
  check_error(error({.added = {{"", pickled("step") + pickled(7)}}}), "an unknown key");
  check_error(error({.added = {{"", pickled("_orig_mod.head.weight") + pickled_zeros({3, 2, 12, 40})}}}),
              "'_orig_mod.head.weight'");
  check_error(
      DocToLora::error(
          "doc_to_lora_shared", "llama", set, "pytorch_model.bin",
          {.replaced = {{perceiver + "encoder.layers.6.mlp.up_proj.weight", pickled_zeros({20, 12})}}}),
      "shared weights that differ");
  check_error(DocToLora::error("doc_to_lora_shared", "llama", set, "pytorch_model.bin",
                               {.dropped = {perceiver + "encoder.layers.8.mlp.up_proj.weight"}}),
              "encoder.layers.8.mlp.up_proj.weight'");
  check_error(DocToLora::error("doc_to_lora_shared", "llama", set, "pytorch_model.bin",
                               {.replaced = {{"layers.0.layers.1.bias", pickled_zeros({3, 10})}}}),
              "'layers.0.layers.1.bias'): expected (1, 3, 1, 1, 10)");
}
