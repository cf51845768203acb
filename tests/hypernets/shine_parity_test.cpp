// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Shine against PyTorch (tests/reference/shine.py): memory states, plain output, factors, logits of a
// question under each adapter, gradients of all parameters; the four layouts, biases, couple layers, other
// axes and kinds of network; two documents, one padded. The error of a tensor is max |difference| / max
// |expected|.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/io/load_decoder.hpp>

#include "../support/parity_check.hpp"
#include "../support/tiny_decoders.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::FactorForm, hb::Index;

namespace {

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::DecoderSpec qwen2 = hb::test::tiny_qwen2;
constexpr hb::DecoderSpec qwen3 = hb::test::tiny_qwen3_biased;

constexpr hb::ShineSpec with(auto change) {
  hb::ShineSpec spec{.rank = 2, .meta_rank = 3, .scale = 0.01, .m2p = {.blocks = 3, .heads = 2, .inner = 20}};
  change(spec);
  return spec;
}
constexpr hb::ShineSpec rl = with([](auto&) {});
constexpr hb::ShineSpec rr = with(
    [](auto& s) { s.b = FactorForm::columns, s.m2p.blocks = 2, s.m2p.axes = hb::M2pAxes::tokens_first; });
constexpr hb::ShineSpec lr = with([](auto& s) {
  s.a = FactorForm::rows, s.b = FactorForm::columns, s.m2p.blocks = 1;
  s.m2p.axes = hb::M2pAxes::tokens_only, s.m2p.placement = hb::NormPlacement::pre;
});
constexpr hb::ShineSpec ll = with([](auto& s) {
  s.rank = 1, s.a = FactorForm::rows, s.m2p.blocks = 2, s.m2p.heads = 4;
  s.m2p.axes = hb::M2pAxes::layers_only;
});
constexpr hb::ShineSpec biased = with([](auto& s) { s.rank = 3, s.m2p.blocks = 1; });
constexpr hb::ShineSpec biased_output = with([](auto& s) { s.m2p.blocks = 1; });
constexpr hb::ShineSpec couple = with([](auto& s) {
  s.m2p.blocks = 0, s.m2p.couple_blocks = 2, s.m2p.couple_width = 8;
  s.m2p.couple_heads = 2, s.m2p.couple_inner = 12;
});
constexpr hb::ShineSpec linear = with([](auto& s) { s.m2p.kind = hb::M2pKind::linear; });
constexpr hb::ShineSpec linear_gate =
    with([](auto& s) { s.m2p.kind = hb::M2pKind::linear_gate, s.m2p.blocks = 2, s.m2p.linear_bias = true; });

constexpr Index documents = 2, tokens = 7, asked = 5;

template <hb::DecoderSpec base, hb::ShineSpec spec>
hb::test::Worst parity(const std::string& name, hb::Isa isa) {
  using Model = hb::Decoder<base, float, Cpu>;
  using Net = hb::Shine<Model, spec>;
  const std::filesystem::path fixtures = HYPERBLOCKS_FIXTURES;
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  const auto model = hb::loaded_decoder<Model>(cpu, fixtures / "models" / hb::test::folder_of(base));
  const typename Model::Positions positions(cpu);
  hb::test::Fixture fixture(fixtures / "hypernets" / ("shine_" + name + ".safetensors"));
  auto params = hb::make<typename Net::Params>(cpu);
  auto gradients = hb::make<typename Net::Gradients>(cpu);
  hb::load(cpu, params, fixture.file(), "params.");
  hb::visit([&](const std::string& parameter, const auto&) { fixture.use("params." + parameter); }, params);

  using Numbers = hb::Tensor<float, Cpu, Net::layers, dyn, Net::layer_numbers>;
  Numbers states(cpu, documents), plain(cpu, documents), factors(cpu, documents), dplain(cpu, documents),
      dfactors(cpu, documents);
  constexpr Index columns = tokens + Net::memory_tokens;
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, documents * tokens), question(cpu, documents * asked);
  hb::Tensor<std::uint8_t, Cpu, dyn> allowed(cpu, documents * columns);
  fixture.read<std::int32_t>("ids", {documents, tokens}, ids.span());
  fixture.read<std::int32_t>("question", {documents, asked}, question.span());
  fixture.read<std::uint8_t>("allowed", {documents, columns}, allowed.span());
  fixture.read<float>("dplain", {Net::layers, documents, Net::layer_numbers}, dplain.span());
  fixture.read<float>("dfactors", {Net::layers, documents, Net::layer_numbers}, dfactors.span());

  typename Net::Input input{.model = &model, .ids = ids, .documents = documents, .rotary = positions};
  input.mask = {.allowed = allowed.data(), .size = allowed.size(), .batch_stride = columns};
  typename Net::Tape tape;
  const hb::ArenaScope scope(cpu);
  Net::forward(cpu, params, input, {factors, states, plain}, &tape);
  Net::backward(cpu, params, tape, {dfactors, dplain}, {}, gradients, hb::Write::assign);
  hb::Tensor<float, Cpu, dyn, base.vocabulary> logits(cpu, documents * asked);
  for (Index document = 0; document < documents; ++document) {
    typename Model::Input asking{.ids = question.view().slice(document * asked, asked), .rotary = positions};
    asking.updates = Net::template updates<const float>(factors, document);
    Model::forward(cpu, model, asking, {.logits = logits.view().slice(document * asked, asked)});
  }

  auto worst = fixture.compare("memory_states", states.shape().all(), states.span());
  worst.take(fixture.compare("plain", plain.shape().all(), plain.span()));
  worst.take(fixture.compare("factors", factors.shape().all(), factors.span()));
  worst.take(fixture.compare("logits", std::array{documents, asked, base.vocabulary}, logits.span()));
  hb::visit(
      [&](const std::string& parameter, const auto& gradient) {
        worst.take(fixture.compare("gradients." + parameter, gradient.shape().all(), gradient.span()));
      },
      gradients);
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hb::name(isa);
  return worst;
}

const std::vector<hb::test::ParityCase> cases = {{"rl", &parity<llama, rl>},
                                                 {"rr", &parity<llama, rr>},
                                                 {"lr", &parity<llama, lr>},
                                                 {"ll", &parity<llama, ll>},
                                                 {"biased", &parity<qwen2, biased>},
                                                 {"biased_output", &parity<qwen3, biased_output>},
                                                 {"couple", &parity<llama, couple>},
                                                 {"linear", &parity<llama, linear>},
                                                 {"linear_gate", &parity<llama, linear_gate>}};

}  // namespace

TEST_CASE("Shine gives what PyTorch gives") { hb::test::check_parity(cases, "", 1e-4); }
