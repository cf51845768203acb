// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/import on Text-to-LoRA's hypermod.pt as torch.save wrote it, args.yaml as PyYAML did, and
// adapter_config.json (tests/reference/checkpoints.py): every size, task encoder and kind of rank positions,
// z-scores, products and offsets, linears numbered in another order than ours; and what must be refused.
#include "../support/import_check.hpp"
#include "../support/tiny_decoders.hpp"

#include <sstream>

#include <hyperblocks/hypernets/text_to_lora.hpp>

#include "../../examples/import/import_text_to_lora.hpp"

namespace hb = hyperblocks;
using namespace hb::test;
using hb::Cpu, hb::TaskCode;

namespace {

using TextToLora = Importer<hb::example::TextToLoraImport, hb::example::text_to_lora_settings>;
using Set = std::vector<std::string>;

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;

constexpr hb::TextToLoraSpec with(auto change) {
  hb::TextToLoraSpec spec{.rank = 3, .embedding = 9, .latent = 13, .head_in = 10, .classes = 7, .codes = 5};
  change(spec);
  return spec;
}
constexpr hb::Targets all = {};
constexpr hb::TextToLoraSpec ranks_vq =
    with([](auto& s) { s.autoregressive = true, s.code = TaskCode::vq, s.offset = true; });

template <hb::TextToLoraSpec spec>
void check_import(const std::string& name, const std::string& reader) {
  CAPTURE(name);
  using Net = hb::TextToLora<hb::Decoder<llama, float, Cpu>, spec>;
  Cpu cpu({.threads = 1});
  const std::string checkpoint = "text_to_lora_" + name;
  check_parameters(TextToLora::loaded<Net>(cpu, checkpoint, "llama", {}), checkpoint);
  CHECK(TextToLora::read(fixtures() / "checkpoints" / checkpoint, "llama", {}).config.reader == reader);
}

std::string error(const std::string& name, const TorchEdits& edits, const Set& set = {}) {
  return TextToLora::error("text_to_lora_" + name, "llama", set, "hypermod.pt", edits);
}

/// The error where a text in a file is another.
std::string replaced(const std::string& name, const std::string& file, const std::string& from,
                     const std::string& to) {
  const Folder folder;
  const auto copy = folder.path / "copy";
  std::filesystem::copy(fixtures() / "checkpoints" / ("text_to_lora_" + name), copy);
  std::string text = contents(copy / file);
  const auto at = text.find(from);
  REQUIRE(at != text.npos);
  std::ofstream(copy / file) << text.replace(at, from.size(), to);
  return TextToLora::error_of(copy, "llama", {});
}

}  // namespace

TEST_CASE("every size is imported bit for bit") {
  const std::string gte = "Alibaba-NLP/gte-large-en-v1.5";
  check_import<with([](auto& s) { s.targets = all, s.z_score = s.offset = true, s.head_bias = false; })>("l",
                                                                                                         "");
  check_import<with([](auto& s) { s.code = TaskCode::discrete, s.rslora = false, s.product_scale = 25; })>(
      "l_discrete", "");
  check_import<with([](auto& s) { s.targets = all, s.shared_head = true, s.code = TaskCode::softmax; })>(
      "m_softmax", gte);
  check_import<ranks_vq>("ranks_vq", "");
  check_import<with([](auto& s) {
    s.targets = all, s.autoregressive = true, s.positions = hb::RankPositions::learned;
  })>("ranks_learned", "");
  check_import<with([](auto& s) { s.targets = all, s.shared_head = s.autoregressive = true; })>("s", gte);
  check_import<with([](auto& s) {
    s.shared_head = s.autoregressive = true, s.positions = hb::RankPositions::learned;
    s.code = TaskCode::discrete;
  })>("s_learned", gte);
}

TEST_CASE("linears are numbered as the keys stand in the file, or as an option says; that is said") {
  const auto folder = fixtures() / "checkpoints/text_to_lora_ranks_vq";
  std::ostringstream report;
  const auto usual = TextToLora::read(folder, "llama", {}, &report);
  CHECK(report.str().find("from the files:\n") < report.str().find("  modules = v_proj,q_proj\n"));
  CHECK(report.str().find("  modules = v_proj,q_proj\n") < report.str().find("from options: none\n"));
  std::ostringstream other;
  const auto turned = TextToLora::read(folder, "llama", {"modules=q_proj,v_proj"}, &other);
  CHECK(other.str().find("from options:\n  modules = q_proj,v_proj\n") != std::string::npos);
  const auto first = usual.tensors.tensors().at("trunk.type.weight").bytes,
             second = turned.tensors.tensors().at("trunk.type.weight").bytes;
  const std::size_t half = first.size() / 2;
  CHECK(std::ranges::equal(first.first(half), second.last(half)));
  CHECK(std::ranges::equal(first.last(half), second.first(half)));
  for (const char* const wrong : {"q_proj", "q_proj,k_proj", "", "q_proj,v_proj,v_proj"})
    check_error(error("ranks_vq", {}, {std::string("modules=") + wrong}),
                "an option that contradicts the files (--set modules): expected v_proj,q_proj in some order");
  check_error(error("ranks_vq", {}, {"rank=3"}), "an unknown option (--set rank=3): expected one of modules");
}

TEST_CASE("offsets that are zero are not used, nor those of networks that were trained without") {
  const auto folder = fixtures() / "checkpoints/";
  const auto spec = [&](const char* name) {
    return std::get<hb::TextToLoraSpec>(TextToLora::read(folder / name, "llama", {}).config.spec);
  };
  CHECK(spec("text_to_lora_ranks_vq").offset);
  CHECK(!spec("text_to_lora_s").offset);
  CHECK(!spec("text_to_lora_l_discrete").offset);
  CHECK(error("s", {.dropped = {"AB_offset.A.q_proj", "AB_offset.B.q_proj"}}) == "accepted");
}

TEST_CASE("scalars of args.yaml") {
  const hb::example::YamlScalars yaml(fixtures() / "checkpoints/text_to_lora_l/args.yaml");
  std::string notes, escaped;
  for (int i = 0; i < 9; ++i) notes += "it's: a \"note\" of many words ", escaped += "tab\tline\nend \u20ac ";
  CHECK(yaml.text("notes") == notes);
  CHECK(yaml.text("escaped") == escaped);
  CHECK(yaml.text("save_freq") == "1" + std::string(100, '0'));
  CHECK(yaml.text("emb_model") == "");
  CHECK(!yaml.text("model_dir").has_value());
  CHECK(!yaml.text("missing").has_value());
  CHECK(yaml.boolean("factorized") == true);
  CHECK(yaml.number("delta_w_scaling") == 10000);
  CHECK_THROWS_WITH_AS(yaml.text("target_modules"), doctest::Contains("'target_modules'"), hb::Error);
  const auto text = [](const char* lines) { return *hb::example::YamlScalars("it", lines).text("a"); };
  CHECK(text("a: -5") == "-5");
  CHECK(text("a: sft  # of tasks, 'x'\nb: 1") == "sft");
  CHECK(text("a: x#y \n...\n") == "x#y");
  CHECK(text("a: 'x # y' # z") == "x # y");
  const auto yes = [](const char* line, bool otherwise) {
    return hb::example::YamlScalars("it", line).flag("a", otherwise);
  };
  CHECK(yes("a: True", false));
  CHECK(!yes("a: FALSE", true));
  for (const char* const nothing : {"a: null", "a: NULL", "a: ~", "a:", "a: # none"})
    CHECK(!yes(nothing, true));
  CHECK(yes("b: 1", true));
  CHECK(text("# before\na: x\n  y\n\n  z\nb: 1\n") == "x y\nz");
  CHECK(text("a: \"x\\\\\\\n  y\\x41\\U0001F600\"") == "x\\yA\U0001F600");
  const auto refused = [](const char* lines, const char* expected) {
    CHECK_THROWS_WITH_AS(hb::example::YamlScalars("it", lines).text("a"), doctest::Contains(expected),
                         hb::Error);
  };
  refused("a: 'x", "a quote at its end");
  refused("a: \"x\\", "a quote at its end");
  refused("a: \"\\q\"", "an escape");
  refused("a: \"\\u12\"", "hexadecimal");
  refused("a: [1]", "(it: 'a')");
  refused("a: 1\na: 2", "a key twice");
  refused("a", "malformed YAML (it: line 1)");
}

TEST_CASE("files that are missing or damaged are errors that name them") {
  for (const std::string file : {"hypermod.pt", "args.yaml", "adapter_config.json"}) {
    CAPTURE(file);
    const Folder folder;
    const auto copy = folder.path / "copy";
    std::filesystem::copy(fixtures() / "checkpoints/text_to_lora_s", copy);
    std::filesystem::resize_file(copy / file, 33);
    check_error(TextToLora::error_of(copy, "llama", {}), file);
    std::filesystem::remove(copy / file);
    check_error(TextToLora::error_of(copy, "llama", {}), file);
  }
}

TEST_CASE("settings that cannot be") {
  const auto adapter = [](const char* from, const char* to) {
    return replaced("s", "adapter_config.json", from, to);
  };
  const auto arguments = [](const char* from, const char* to) {
    return replaced("s", "args.yaml", from, to);
  };
  check_error(adapter("\"r\": 3", "\"r\": 0"), "an impossible rank");
  check_error(adapter("\"r\": 3", "\"r\": \"3\""), "'r'): expected an integer");
  check_error(adapter("\"r\": 3,", ""), "'r'): expected an integer, found no value");
  check_error(adapter("\"r\": 3", "\"r\": 4"), "the shape differs");
  check_error(adapter("\"LORA\"", "\"VERA\""), "'peft_type'): expected LORA");
  check_error(adapter("\"lora_alpha\": 16.0", "\"lora_alpha\": 0"), "an impossible scale");
  check_error(adapter("\"rank_pattern\": {}", "\"rank_pattern\": {\"q\": 2}"), "'rank_pattern'");
  check_error(adapter("\"q_proj\",", ""), "other linears than there are heads for");
  check_error(adapter("\"q_proj\"", "\"lm_head\""), "'target_modules'");
  check_error(arguments("training_task: sft", ""), "a value is missing");
  CHECK(arguments("emb_model:", "model:") == "accepted");  // the base reads, and the report says so
  check_error(replaced("l", "args.yaml", "pred_z_score: true", ""),
              "'pred_z_score'): expected a value, found none");
  CHECK(replaced("l", "args.yaml", "factorized: true", "") == "accepted");  // the published default: no
  CHECK(replaced("l", "args.yaml", "pred_z_score: true", "pred_z_score: null") == "accepted");
  CHECK(replaced("l_discrete", "args.yaml", "delta_w_scaling: 25.0", "") == "accepted");
  check_error(arguments("training_task: sft", "training_task: rl"), "expected sft or recon, found 'rl'");
  check_error(arguments("use_one_hot_task_emb: false", "use_one_hot_task_emb: true"),
              "a network of numbered tasks");
  check_error(arguments("use_one_hot_task_emb: false", "use_one_hot_task_emb: maybe"),
              "'use_one_hot_task_emb'): expected true or false");
  check_error(replaced("l_discrete", "args.yaml", "delta_w_scaling: 25.0", "delta_w_scaling: many"),
              "'delta_w_scaling'): expected a number");
  check_error(replaced("l_discrete", "args.yaml", "delta_w_scaling: 25.0", "delta_w_scaling: 0.0"),
              "an impossible scale");
}

TEST_CASE("a checkpoint of another base is refused") {
  check_error(TextToLora::error("text_to_lora_s", "gemma2", {}), "the shape differs");
  check_error(TextToLora::error("text_to_lora_l", "gemma3", {}), "the shape differs");
}

TEST_CASE("tensors that cannot be") {
  const auto other = [](const std::string& name, const std::string& value) {
    return error("s", {.replaced = {{name, value}}});
  };
  CHECK(error("s", {}) == "accepted");
  // Of one adapter the deviations are NaN: nothing where z-scores are not used.
  CHECK(error("l_discrete", {.replaced = {{"std_recon_target.A.q_proj", pickled_infinities({3, 3, 16})}}}) ==
        "accepted");
  check_error(error("l_discrete", {.replaced = {{"std_recon_target.A.q_proj", pickled_zeros({3, 3, 15})}}}),
              "'std_recon_target.A.q_proj'");
  check_error(other("task_encoder.mlp.0.weight", pickled_zeros({6})), "expected (any, any), found (6)");
  check_error(other("task_encoder.mlp.0.bias", pickled_zeros({5})), "'task_encoder.mlp.0.bias'");
  check_error(other("task_encoder.mlp.1.weight", pickled_infinities({6})), "a number is not finite");
  check_error(other("layer_depth_encoder.0.weight", pickled_zeros({4, 3})), "expected (3, any)");
  check_error(error("s", {.replaced = {{"layer_depth_encoder.0.weight", pickled_zeros({3, 2})},
                                       {"layer_type_encoder.0.weight", pickled_zeros({7, 2})},
                                       {"layer_depth_encoder.1.weight", pickled_zeros({2})},
                                       {"layer_depth_encoder.1.bias", pickled_zeros({2})},
                                       {"layer_type_encoder.1.weight", pickled_zeros({2})},
                                       {"layer_type_encoder.1.bias", pickled_zeros({2})}}}),
              "half as wide as the code's 6");
  check_error(other("layer_type_encoder.0.weight", pickled_zeros({6, 3})), "expected (7, 3)");
  check_error(other("mixer.1.weight", pickled_zeros({48, 11})), "'mixer.1.weight'): expected (48, 12)");
  check_error(other("mlp1.mlp.4.bias", pickled_zeros({11})), "'mlp1.mlp.4.bias'");
  check_error(other("heads.q_proj.weight", pickled_zeros({17, 10})), "'heads.q_proj.weight'");
  check_error(other("out_emb.q_proj.A", pickled_zeros({11})), "'out_emb.q_proj.A'): expected (12)");
  check_error(other("AB_offset.A.q_proj", pickled_zeros({3, 3, 15})), "'AB_offset.A.q_proj'");
  check_error(other("heads.q_proj.bias", pickled_zeros({16}, "LongStorage")), "not real numbers");
  for (const char* const missing : {"task_encoder.mlp.0.weight", "mlp3.4.weight", "out_emb.k_proj.B",
                                    "heads.v_proj.bias", "out_emb_norm.bias"})
    check_error(error("s", {.dropped = {missing}}), std::string("'") + missing + "'");
  check_error(error("s", {.dropped = {"out_emb_norm.weight", "out_emb_norm.bias"}}), "the shape differs");
  check_error(error("s", {.added = {{"", pickled("extra") + pickled_zeros({3})}}}),
              "a tensor that the hypernetwork does not have");
  check_error(error("s", {.renamed = {{"heads.q_proj.bias", "heads.lm_head.bias"}}}), "target_modules");
  check_error(error("ranks_vq", {.dropped = {"task_encoder.embed_avg"}}), "'task_encoder.embed_avg'");
  check_error(error("m_softmax", {.replaced = {{"task_encoder.embed", pickled_zeros({5, 7})}}}),
              "'task_encoder.embed'): expected (any, 6)");
  check_error(error("s_learned", {.replaced = {{"pos_emb.0.weight", pickled_zeros({4, 12})}}}),
              "'pos_emb.0.weight'");
}
