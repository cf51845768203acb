// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora against PyTorch (tests/reference/text_to_lora.py): codes, factors, what an adapter adds to
// the weights, gradients of the embeddings and of all parameters, a step of a codebook; every size, task
// encoder and kind of rank positions. The error of a tensor is max |difference| / max |expected|.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/text_to_lora.hpp>

#include "../support/parity_check.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index, hb::TaskCode;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 40, .hidden = 16, .layers = 3, .heads = 4, .kv_heads = 2, .inner = 24, .positions = 64};
using Model = hb::Decoder<base, float, Cpu>;

constexpr hb::TextToLoraSpec with(auto change) {
  hb::TextToLoraSpec spec{.rank = 3, .embedding = 9, .latent = 13, .head_in = 10, .classes = 7, .codes = 5};
  change(spec);
  return spec;
}
constexpr hb::Targets all = {};
constexpr hb::TextToLoraSpec l =
    with([](auto& s) { s.targets = all, s.z_score = s.offset = true, s.head_bias = false; });
constexpr hb::TextToLoraSpec l_discrete =
    with([](auto& s) { s.code = TaskCode::discrete, s.rslora = false, s.product_scale = 25; });
constexpr hb::TextToLoraSpec m_softmax =
    with([](auto& s) { s.targets = all, s.shared_head = true, s.code = TaskCode::softmax; });
constexpr hb::TextToLoraSpec ranks_vq =
    with([](auto& s) { s.autoregressive = true, s.code = TaskCode::vq, s.offset = true; });
constexpr hb::TextToLoraSpec ranks_learned =
    with([](auto& s) { s.targets = all, s.autoregressive = true, s.positions = hb::RankPositions::learned; });
constexpr hb::TextToLoraSpec s =
    with([](auto& spec) { spec.targets = all, spec.shared_head = spec.autoregressive = true; });
constexpr hb::TextToLoraSpec s_learned = with([](auto& spec) {
  spec.shared_head = spec.autoregressive = true, spec.positions = hb::RankPositions::learned;
  spec.code = TaskCode::discrete;
});

constexpr Index texts = 2;

/// scale B A of every layer and linear, one after the other.
std::vector<float> changes_of(const hb::HostAdapter& adapter) {
  std::vector<float> result;
  for (const auto& [place, factors] : adapter.linears)
    for (Index row = 0; row < factors.size.out; ++row)
      for (Index column = 0; column < factors.size.in; ++column) {
        double sum = 0;
        for (Index i = 0; i < factors.rank; ++i)
          sum += double(factors.b[static_cast<std::size_t>(row * factors.rank + i)]) *
                 double(factors.a[static_cast<std::size_t>(i * factors.size.in + column)]);
        result.push_back(static_cast<float>(factors.scale * sum));
      }
  return result;
}

template <hb::TextToLoraSpec spec>
hb::test::Worst parity(const std::string& name, hb::Isa isa) {
  using Net = hb::TextToLora<Model, spec>;
  using Code = typename Net::Encoder;
  const std::filesystem::path fixtures = HYPERBLOCKS_FIXTURES;
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  hb::test::Fixture fixture(fixtures / "hypernets" / ("text_to_lora_" + name + ".safetensors"));
  auto params = hb::make<typename Net::Params>(cpu);
  auto gradients = hb::make<typename Net::Gradients>(cpu);
  hb::load(cpu, params, fixture.file(), "params.");
  hb::visit([&](const std::string& parameter, const auto&) { fixture.use("params." + parameter); }, params);

  hb::Tensor<float, Cpu, dyn, spec.embedding> embeddings(cpu, texts), dembeddings(cpu, texts);
  hb::Tensor<float, Cpu, dyn, Code::out> code(cpu, texts), noise(cpu, texts);
  hb::Tensor<float, Cpu, dyn> factors(cpu, texts * Net::numbers), dfactors(cpu, texts * Net::numbers);
  fixture.read<float>("embeddings", {texts, spec.embedding}, embeddings.span());
  fixture.read<float>("dfactors", {texts * Net::numbers}, dfactors.span());
  typename Net::Input input{.x = embeddings};
  if (fixture.file().contains("noise")) {
    fixture.read<float>("noise", {texts, Code::out}, noise.span());
    input.noise = noise;
  }

  typename Net::Tape tape;
  const hb::ArenaScope scope(cpu);
  Net::forward(cpu, params, input, {factors, code}, &tape);
  Net::backward(cpu, params, tape, {dfactors}, dembeddings, gradients, hb::Write::assign);
  auto worst = fixture.compare("code", code.shape().all(), code.span());
  const auto compare = [&](const std::string& tensor, const auto& found) {
    worst.take(fixture.compare(tensor, found.shape().all(), found.span()));
  };
  compare("factors", factors);
  const auto changes =
      changes_of(hb::to_host<Model>(cpu, Net::template updates<const float>(factors.view(), texts - 1)));
  worst.take(fixture.compare("changes", std::array{static_cast<Index>(changes.size())}, changes));
  compare("gradients.embeddings", dembeddings);
  hb::visit([&](const std::string& parameter,
                const auto& gradient) { compare("gradients." + parameter, gradient); },
            gradients);
  if constexpr (spec.code == TaskCode::vq) {
    auto& book = std::get<3>(params.task);
    hb::Codebook<spec.codes, Code::out, float, Cpu>::follow(cpu, book, std::get<3>(tape.task.body).input);
    hb::visit([&](const std::string& tensor, const auto& found) { compare("followed." + tensor, found); },
              book);
  }
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hb::name(isa);
  return worst;
}

const std::vector<hb::test::ParityCase> cases = {{"l", &parity<l>},
                                                 {"l_discrete", &parity<l_discrete>},
                                                 {"m_softmax", &parity<m_softmax>},
                                                 {"ranks_vq", &parity<ranks_vq>},
                                                 {"ranks_learned", &parity<ranks_learned>},
                                                 {"s", &parity<s>},
                                                 {"s_learned", &parity<s_learned>}};

}  // namespace

TEST_CASE("TextToLora gives what PyTorch gives") { hb::test::check_parity(cases, "", 1e-4); }
