// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// SHINE on Cuda against the Cpu in double, the same templates: from a text through the decoder, the M2P
// Transformer and the loss of an answer under the generated adapter, back to every parameter; and greedy
// answers.
#include <hyperblocks/hypernets/shine.hpp>

#include "systems.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index, hb::Write;
using namespace hb::test;

namespace {

template <hb::M2pSpec m2p>
struct TrainShine {
  template <class S, class Device>
  std::vector<double> operator()(Device& device) const {
    using Model = hb::Decoder<base, S, Device>;
    using Net = hb::Shine<Model, hb::ShineSpec{.rank = 2, .meta_rank = 2, .scale = 0.09, .m2p = m2p}>;
    hb::Random random(3);
    const auto model = random_group<typename Model::Params>(device, random, 0.4);
    const auto params = random_group<typename Net::Params>(device, random, 0.3);
    auto gradients = hb::make<typename Net::Gradients>(device);
    const typename Model::Positions positions(device);
    const auto context = ids_on(device, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3}),
               question = ids_on(device, {7, 8, 1, 22, 0, 11});
    const auto labels = ids_on(device, {-1, 1, 22, 0, -1, 2});

    const hb::ArenaScope scope(device);
    const auto factors = hb::take<S, base.layers, dyn, Net::layer_numbers>(device, 2);
    const auto dfactors = hb::take<S, base.layers, dyn, Net::layer_numbers>(device, 2);
    device.fill(dfactors.data(), 0, dfactors.bytes());
    typename Net::Tape tape;
    const typename Net::Input text{.model = &model, .ids = context, .documents = 2, .rotary = positions};
    Net::forward(device, params, text, {.factors = factors}, &tape);

    const auto logits = hb::take<S, dyn, base.vocabulary>(device, 6);
    const auto losses = hb::take<hb::Accumulator<S>, dyn>(device, 6);
    typename Model::Tape answer;
    typename Model::Input asked{.ids = question, .rotary = positions};
    asked.updates = Net::template updates<const S>(factors, 1);
    Model::forward(device, model, asked, {.logits = logits}, &answer);
    hb::ops::cross_entropy<S>(device, logits, labels.view(), 0.1, losses, logits);
    typename Model::Gradients none;
    Model::backward(device, model, answer, {.logits = logits},
                    {.updates = Net::template updates<S>(dfactors, 1)}, none, Write::assign);
    Net::backward(device, params, tape, {.factors = dfactors}, {}, gradients, Write::assign);

    Collected<Device> all(device);
    all.add_view(factors), all.add_view(losses), all.add(gradients);
    return all.numbers;
  }
};

template <class S, class Device>
std::vector<hb::Tokens> greedy_answers(Device& device) {
  using Model = hb::Decoder<base, S, Device>;
  using Net = hb::Shine<Model, hb::ShineSpec{
                                   .rank = 2, .meta_rank = 2, .m2p = {.blocks = 2, .heads = 3, .inner = 14}}>;
  hb::Random random(5);
  const auto model = random_group<typename Model::Params>(device, random, 0.4);
  const auto net = random_group<typename Net::Params>(device, random, 0.3);
  const typename Model::Positions positions(device);
  const std::vector<hb::Tokens> texts = {{1, 2, 3, 4}, {5, 6, 7}}, questions = {{7, 8}, {9, 10, 11}};
  const auto adapters = Net::generate(device, model, net, positions, texts);
  return hb::generate<Model>(device, model, positions, questions, {.most = 12}, adapters.updates(1));
}

}  // namespace

TEST_CASE("SHINE, from a text to the loss of an answer and back, with couple blocks") {
  compare(TrainShine<hb::M2pSpec{.blocks = 2,
                                 .heads = 3,
                                 .inner = 14,
                                 .couple_blocks = 1,
                                 .couple_width = 4,
                                 .couple_heads = 2,
                                 .couple_inner = 6}>());
}
TEST_CASE("SHINE with the linear-gate network") {
  compare(TrainShine<hb::M2pSpec{.kind = hb::M2pKind::linear_gate, .blocks = 2, .inner = 14}>());
}
TEST_CASE("greedy answers under a generated adapter are the Cpu's") {
  hb::Cpu cpu;
  hb::Cuda cuda;
  CHECK(greedy_answers<double>(cpu) == greedy_answers<double>(cuda));
}
