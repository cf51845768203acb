// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// examples/import on SHINE's files as torch.save wrote them (tests/reference/checkpoints.py): every layout,
// biases with two meta LoRAs, couple layers, linears with and without a gate give the parity fixtures'
// numbers bit for bit, which a Shine loads; and what the files or options must not be.
#include "../support/import_check.hpp"
#include "../support/tiny_decoders.hpp"

#include <sstream>

#include "../../examples/import/import_shine.hpp"

namespace hb = hyperblocks;
using namespace hb::test;
using hb::Cpu, hb::FactorForm;

namespace {

using Shine = Importer<hb::example::ShineImport, hb::example::shine_settings>;
using Set = std::vector<std::string>;

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::DecoderSpec qwen2 = hb::test::tiny_qwen2;
constexpr hb::DecoderSpec qwen3 = hb::test::tiny_qwen3_biased;

constexpr hb::ShineSpec with(auto change) {
  hb::ShineSpec spec{.rank = 2, .meta_rank = 3, .scale = 0.01, .m2p = {.blocks = 3, .heads = 2, .inner = 20}};
  change(spec);
  return spec;
}

template <hb::DecoderSpec base, hb::ShineSpec spec>
void check_import(const std::string& name, Set set) {
  CAPTURE(name);
  using Net = hb::Shine<hb::Decoder<base, float, Cpu>, spec>;
  Cpu cpu({.threads = 1});
  set.push_back("scale=0.01");
  const auto params = Shine::loaded<Net>(cpu, "shine_" + name, hb::test::folder_of(base), set);
  check_parameters(params, "shine_" + name, name == "ll");
}

const Set rl_set = {"rank=2", "heads=2", "scale=0.01"};

/// The error of an edit in one of rl's files.
std::string error(const std::string& file, const TorchEdits& edits, const Set& set = rl_set) {
  return Shine::error("shine_rl", "llama", set, file, edits);
}

}  // namespace

TEST_CASE("every layout and every kind of network is imported bit for bit") {
  check_import<llama, with([](auto&) {})>("rl", {"rank=2", "heads=2"});
  check_import<llama, with([](auto& s) {
                 s.b = FactorForm::columns, s.m2p.blocks = 2, s.m2p.axes = hb::M2pAxes::tokens_first;
               })>("rr", {"rank=2", "method=rr", "heads=2", "layer_first=false"});
  check_import<llama, with([](auto& s) {
                 s.a = FactorForm::rows, s.b = FactorForm::columns, s.m2p.blocks = 1;
                 s.m2p.axes = hb::M2pAxes::tokens_first, s.m2p.placement = hb::NormPlacement::pre;
               })>("lr", {"rank=2", "method=lr", "heads=2", "layer_first=False", "norm_first=True"});
  check_import<llama, with([](auto& s) {
                 s.rank = 1, s.a = FactorForm::rows, s.m2p.blocks = 2, s.m2p.heads = 4;
               })>("ll", {"rank=1", "method=ll", "heads=4", "m2p=transformer"});
  check_import<qwen2, with([](auto& s) { s.rank = 3, s.m2p.blocks = 1; })>("biased", {"rank=3", "heads=2"});
  check_import<qwen3, with([](auto& s) { s.m2p.blocks = 1; })>("biased_output", {"rank=2", "heads=2"});
  check_import<llama, with([](auto& s) {
                 s.m2p.blocks = 0, s.m2p.couple_blocks = 2, s.m2p.couple_width = 8;
                 s.m2p.couple_heads = 2, s.m2p.couple_inner = 12;
               })>("couple", {"rank=2", "couple_heads=2", "couple_width=8"});
  check_import<llama, with([](auto& s) { s.m2p.kind = hb::M2pKind::linear; })>("linear",
                                                                               {"rank=2", "m2p=linear"});
  check_import<llama, with([](auto& s) {
                 s.m2p.kind = hb::M2pKind::linear_gate, s.m2p.blocks = 2, s.m2p.linear_bias = true;
               })>("linear_gate", {"rank=2", "m2p=linear-gate"});
}

TEST_CASE("the type of the numbers stays, and a rewritten file gives the same") {
  const auto net = Shine::read(fixtures() / "checkpoints/shine_ll", "llama", {"rank=1", "method=ll"});
  for (const auto& [name, tensor] : net.tensors.tensors()) CHECK(tensor.dtype == hb::DType::bf16);
  for (const char* const file : {"mem_tokens.pt", "metanetwork.pth", "metalora.pth"})
    CHECK(error(file, {}) == "accepted");
}

TEST_CASE("what came from where is said") {
  std::ostringstream report;
  Shine::read(fixtures() / "checkpoints/shine_rl", "llama", {"rank=2", "couple_heads=4"}, &report);
  const std::string text = report.str();
  CAPTURE(text);
  const auto files = text.find("from the files:\n"), options = text.find("from options:\n"),
             defaults = text.find("defaults:\n");
  CHECK((files < options && options < defaults));
  const auto stands = [&](const char* line, std::size_t first, std::size_t last) {
    const auto at = text.find(std::string("  ") + line + "\n");
    CHECK_MESSAGE((at != text.npos && at > first && at < last), line);
  };
  stands("memory tokens = 29", files, options);
  stands("m2p = transformer", files, options);
  stands("meta rank = 3", files, options);
  stands("rank = 2", options, defaults);
  stands("method = rl", defaults, text.npos);
  stands("scale = 0.001", defaults, text.npos);
  stands("heads = 1", defaults, text.npos);
  CHECK(text.ends_with("not needed: --set couple_heads=4\n"));
}

TEST_CASE("options that cannot be, that are unknown or contradict the files are errors that name them") {
  const auto error = [](const Set& set) { return Shine::error("shine_rl", "llama", set); };
  check_error(error({}), "(--set rank): expected 2, found 8");
  check_error(error({"rank=3"}), "a rank that does not fit 29 memory tokens in ");
  check_error(error({"rank"}), "not an option (--set rank): expected NAME=VALUE");
  check_error(error({"=2"}), "not an option (--set =2)");
  check_error(error({"ranks=2"}), "an unknown option (--set ranks=2): expected one of couple_heads, ");
  check_error(error({"rank=2", "rank=2"}), "an option twice (--set rank)");
  for (const char* const value : {"two", "2.5", "", "-2", "0", "2 ", "99999999999"})
    check_error(error({std::string("rank=") + value}),
                "a value that cannot be (--set rank): expected an integer of 1 to 2147483647, found '" +
                    std::string(value) + "'");
  check_error(error({"rank=2", "method=rx"}), "(--set method): expected one of rl, rr, lr, ll, found 'rx'");
  check_error(error({"rank=2", "scale=0"}), "(--set scale): expected a number above 0, found '0'");
  check_error(error({"rank=2", "scale=nan"}), "(--set scale)");
  check_error(error({"rank=2", "layer_first=yes"}), "(--set layer_first): expected true or false");
  check_error(error({"rank=2", "heads=3"}), "(--set heads): expected a divisor of 16, found 3");
  check_error(error({"rank=2", "m2p=linear"}),
              "an option that contradicts the files (--set m2p): expected transformer, found linear");
  check_error(error({"rank=2", "m2p=gate"}),
              "(--set m2p): expected one of transformer, linear, linear-gate, found 'gate'");
  check_error(Shine::error("shine_couple", "llama", {"rank=2", "couple_width=4"}),
              "an option that contradicts the files (--set couple_width): expected 8, found 4");
  check_error(Shine::error("shine_couple", "llama", {"rank=2", "couple_heads=3"}), "(--set couple_heads)");
  check_error(Shine::error("shine_linear", "llama", {"rank=2", "m2p=linear-gate"}), "(--set m2p)");
  check_error(Shine::error("shine_biased", "qwen2", {"rank=3", "method=rr"}), "--set method=rl");
}

TEST_CASE("files that are missing or damaged are errors that name them") {
  for (const std::string file : {"mem_tokens.pt", "metanetwork.pth", "metalora.pth"}) {
    CAPTURE(file);
    const Folder folder;
    const auto copy = folder.path / "copy";
    std::filesystem::copy(fixtures() / "checkpoints/shine_rl", copy);
    std::filesystem::resize_file(copy / file, std::filesystem::file_size(copy / file) / 2);
    check_error(Shine::error_of(copy, "llama", rl_set), file);
    std::filesystem::remove(copy / file);
    check_error(Shine::error_of(copy, "llama", rl_set), file);
    std::ofstream(copy / file) << "not a checkpoint";
    check_error(Shine::error_of(copy, "llama", rl_set), file);
  }
}

TEST_CASE("a checkpoint of another base is refused") {
  check_error(Shine::error("shine_rl", "gemma3", rl_set), "mem_tokens.pt");
  check_error(Shine::error("shine_rl", "qwen2", rl_set),
              "no rank fits the memory tokens on this base (29 memory tokens in ");
  check_error(Shine::error("shine_biased", "llama", {"rank=3"}), "memory tokens");
}

TEST_CASE("memory tokens that cannot be") {
  const auto replaced = [](const std::string& value) {
    return error("mem_tokens.pt", {.replaced = {{"", value}}});
  };
  check_error(replaced(pickled_zeros({29, 15})), "expected (any, 16), found (29, 15)");
  check_error(replaced(pickled_zeros({29 * 16})), "expected (any, 16), found (464)");
  check_error(replaced(pickled_zeros({0, 16})), "expected (any, 16), found (0, 16)");
  check_error(replaced(pickled_zeros({28, 16})), "no rank fits");
  check_error(replaced(pickled_zeros({29, 16}, "LongStorage")), "not real numbers");
  check_error(replaced(pickled_infinities({29, 16})), "mem_tokens.pt): expected finite numbers");
  check_error(replaced(pickled_none), "expected a tensor, found None");
  CHECK(replaced(pickled_zeros({29, 16})) == "accepted");  // as public checkpoints have them
}

TEST_CASE("networks that cannot be") {
  const auto replaced = [](const std::string& name, const std::string& value) {
    return error("metanetwork.pth", {.replaced = {{name, value}}});
  };
  const std::string block = "transformer_layers.1.";
  check_error(replaced("layer_pe", pickled_zeros({2, 16})), "'layer_pe'): expected (3, 16), found (2, 16)");
  check_error(replaced("token_pe", pickled_zeros({28, 16})), "'token_pe'): expected (29, 16)");
  check_error(replaced(block + "self_attn.in_proj_weight", pickled_zeros({32, 16})), "expected (48, 16)");
  check_error(replaced(block + "linear1.weight", pickled_zeros({21, 16})), "expected (20, 16)");
  check_error(replaced(block + "norm2.bias", pickled_zeros({16}, "IntStorage")), "not real numbers");
  check_error(replaced(block + "norm2.bias", pickled_none), "'transformer_layers.1.norm2.bias')");
  check_error(replaced(block + "norm2.bias", pickled_infinities({16})),
              "metanetwork.pth: 'transformer_layers.1.norm2.bias'): expected finite numbers");
  check_error(error("metanetwork.pth", {.dropped = {block + "linear2.bias"}}), "no such tensor (");
  check_error(error("metanetwork.pth", {.dropped = {"layer_pe"}}), "'layer_pe'");
  check_error(error("metanetwork.pth", {.added = {{"", pickled("scale") + pickled_zeros({1})}}}),
              "a tensor that the hypernetwork does not have");
  check_error(error("metanetwork.pth", {.renamed = {{block + "norm1.bias", block + "norm3.bias"}}}),
              "'transformer_layers.1.norm1.bias'");
  check_error(error("metanetwork.pth",
                    {.renamed = {{"transformer_layers.0.norm1.bias", "transformer_layers.x.norm1.bias"}}}),
              "an unknown tensor");
  check_error(
      error("metanetwork.pth", {.added = {{"", pickled("linear_layers.0.weight") + pickled_zeros({16, 16})}}},
            {"rank=2", "m2p=transformer"}),
      "contradicts the files");
  check_error(
      error("metanetwork.pth", {.added = {{"", pickled("linear_layers.0.weight") + pickled_zeros({16, 16})}}},
            {"rank=2"}),
      "does not have");
  const auto linear = [](const TorchEdits& edits) {
    return Shine::error("shine_linear", "llama", {"rank=2"}, "metanetwork.pth", edits);
  };
  check_error(linear({.replaced = {{"linear_layers.2.weight", pickled_zeros({17, 20})}}}),
              "'linear_layers.2.weight'): expected 16 rows, or twice as many of a gate, found 17");
  check_error(linear({.dropped = {"linear_layers.1.weight"}}), "'linear_layers.1.weight'");
  check_error(linear({.added = {{"", pickled("linear_layers.1.bias") + pickled_zeros({20})}}}),
              "'linear_layers.1.bias'");
  check_error(Shine::error("shine_couple", "llama", {"rank=2"}, "metanetwork.pth",
                           {.replaced = {{"couple_layers.0.norm1.weight", pickled_zeros({7})}}}),
              "couple_width): expected a divisor of query's A and B");
}

TEST_CASE("meta LoRAs that cannot be") {
  const auto replaced = [](const std::string& name, const std::string& value) {
    return error("metalora.pth", {.replaced = {{name, value}}});
  };
  check_error(replaced("1.mlp.down.A", pickled_zeros({1, 23, 3})), "'1.mlp.down.A'): expected (1, 24, 3)");
  check_error(replaced("1.mlp.down.B", pickled_zeros({1, 2, 16})), "'1.mlp.down.B'): expected (1, 3, 16)");
  check_error(replaced("1.mlp.down.A", pickled_zeros({24, 3})), "expected (1, 24, 3), found (24, 3)");
  check_error(replaced("1.mlp.down.A", pickled_none), "expected a tensor, found None");
  check_error(replaced("1.mlp.down", pickled_none), "'1.mlp.down'");
  check_error(replaced("0.attention.q.C", pickled_zeros({1, 16})),
              "a C where the base's linear has a bias, and only there");
  check_error(error("metalora.pth", {.dropped = {"2"}}), "other layers than the base's");
  check_error(error("metalora.pth", {.renamed = {{"2", "two"}}}), "no such key");
  check_error(error("metalora.pth", {.dropped = {"1.attention.o"}}), "'1.attention.o'");
  check_error(error("metalora.pth", {.added = {{"1.attention", pickled("x") + pickled_none}}}),
              "an unknown key");
  check_error(error("metalora.pth", {.replaced = {{"0.mlp.up.A", pickled_zeros({1, 16, 2})},
                                                  {"0.mlp.up.B", pickled_zeros({1, 2, 24})}}}),
              "a meta LoRA of several ranks");
  const auto biased = [](const char* file, const TorchEdits& edits) {
    return Shine::error("shine_biased", "qwen2", {"rank=3"}, file, edits);
  };
  check_error(biased("metalora.pth", {.replaced = {{"0.attention.q.C", pickled_none}}}), "'0.attention.q.C'");
  check_error(biased("metalora.pth", {.dropped = {"0.attention.q.C"}}), "'0.attention.q': 'C'");
  check_error(biased("ift_additional_metalora.pth", {.dropped = {"0.mlp.up"}}), "'0.mlp.up'");
  CHECK(biased("ift_additional_metalora.pth",  // two types: floats
               {.replaced = {{"0.mlp.up.A", pickled_zeros({1, 16, 1}, "HalfStorage")}}}) == "accepted");
}
