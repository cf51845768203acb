// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The hypernetwork of docs/writing-a-hypernetwork.md, as somebody writes it there, learns to tell a decoder
// that has not seen a text what the text was.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

// [includes]
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/factor_layout.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;
// [/includes]

namespace {

// [network]
constexpr hb::DecoderSpec base{
    .vocabulary = 40, .hidden = 32, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 48, .positions = 16};
using Model = hb::Decoder<base, float, Cpu>;
using Layout = hb::FactorLayout<base, 4>;  // rank 4, all linears
using Net = hb::PerLayer<base.layers,
                         hb::Chain<hb::LayerNorm<hb::LayerNormSpec{base.hidden}, float, Cpu>,
                                   hb::Linear<hb::LinearSpec{base.hidden, Layout::numbers}, float, Cpu>>>;

/// What each layer reads of the text's tokens, its mean.
void read(Cpu& cpu, const Model::Params& model, const Model::Positions& positions,
          hb::View<const std::int32_t, Cpu, dyn> text, hb::View<float, Cpu, dyn, base.hidden> means) {
  const hb::ArenaScope scope(cpu);
  const auto states = hb::take<float, dyn, dyn, base.hidden>(cpu, base.layers + 1, text.size());
  Model::forward(cpu, model, {.ids = text, .rotary = positions}, {.states = states});
  for (Index layer = 0; layer < base.layers; ++layer)
    hb::ops::column_sums<float>(cpu, states.slice(layer, 1).reshape<dyn, base.hidden>(text.size()),
                                means.slice(layer, 1).reshape<base.hidden>(), hb::Write::assign);
  hb::ops::scale<float>(cpu, 1.0 / static_cast<double>(text.size()), means, means);
}
// [/network]

}  // namespace

TEST_CASE("a hypernetwork of one's own learns through the frozen decoder") {
  // [train]
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model>(cpu, random);  // yours is loaded: hb::loaded_decoder
  const Model::Positions positions(cpu);
  auto net = hb::initialised<Net>(cpu, random);
  auto gradients = hb::make<Net::Gradients>(cpu);
  Model::Gradients none;  // the decoder is frozen

  hb::Tensor<std::int32_t, Cpu, dyn> text(cpu, 6), question(cpu, 1), answer(cpu, 1);
  hb::Tensor<float, Cpu, dyn, base.hidden> means(cpu, base.layers);
  hb::Tensor<float, Cpu, dyn, Layout::numbers> numbers(cpu, base.layers), dnumbers(cpu, base.layers);
  hb::Tensor<float, Cpu, dyn, base.vocabulary> logits(cpu, 1), dlogits(cpu, 1);
  hb::Tensor<float, Cpu, dyn> loss(cpu, 1);
  const auto factors = [](auto& all) {  // (layers, one text, numbers), as the decoder takes them
    return Layout::updates<Model>(all.view().template reshape<base.layers, dyn, Layout::numbers>(1), 0,
                                  hb::FactorForm::rows, hb::FactorForm::columns);
  };
  double before = 0, after = 0;
  for (int step = 0; step < 1000; ++step) {
    const auto word = static_cast<std::int32_t>(random.bits() % base.vocabulary);
    for (auto& id : text.span()) id = word;
    question(0) = 0, answer(0) = word;

    const hb::ArenaScope scope(cpu);  // tapes live until the scope ends
    Net::Tape net_tape;
    Model::Tape model_tape;
    read(cpu, model, positions, text, means);
    Net::forward(cpu, net, means, numbers, &net_tape);
    const Model::Input input{
        .ids = question, .rotary = positions, .updates = factors(std::as_const(numbers))};
    Model::forward(cpu, model, input, {.logits = logits}, &model_tape);
    hb::ops::cross_entropy<float>(cpu, logits, answer, 0, loss, dlogits);
    Model::backward(cpu, model, model_tape, {.logits = dlogits}, {.updates = factors(dnumbers)}, none,
                    hb::Write::assign);
    Net::backward(cpu, net, net_tape, dnumbers, {}, gradients, hb::Write::assign);
    hb::visit(
        [&](const std::string&, auto& value, const auto& gradient) {
          hb::ops::scale_add<float>(cpu, -0.02,
                                    gradient.view().template reshape<dyn, dyn>(1, gradient.size()),
                                    value.view().template reshape<dyn, dyn>(1, value.size()));
        },
        net, gradients);
    if (step < 100) before += loss(0) / 100;
    if (step >= 900) after += loss(0) / 100;
  }
  std::printf("loss %.2f at first, %.2f at last; %.2f is guessing\n", before, after, std::log(40.0));
  // [/train]
  CHECK(after < before / 2);
  CHECK(after < 1.5);
}
