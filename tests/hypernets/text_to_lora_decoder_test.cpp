// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora with its decoder: factors in a pass, gradients from its logits, answers.
#include "../support/text_to_lora_case.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index, hb::Projection;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 11, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 5, .positions = 16};
constexpr hb::TextToLoraSpec with(auto change) {
  hb::TextToLoraSpec spec{.rank = 2, .embedding = 5, .latent = 8, .head_in = 6};
  change(spec);
  return spec;
}
constexpr hb::TextToLoraSpec large = with([](auto& s) { s.z_score = s.offset = true; });
constexpr hb::TextToLoraSpec small = with([](auto& s) { s.shared_head = s.autoregressive = true; });
using Model = hb::Decoder<base, float, Cpu>;

/// As SFT trains: from a gradient of the logits through the frozen decoder to the network's parameters.
struct ThroughDecoder {
  using Model = hb::Decoder<base, double, Cpu>;
  using Own = hb::TextToLora<Model, small>;

  explicit ThroughDecoder(Cpu& cpu)
      : net(cpu, 2),
        model(hb::initialised<Model>(cpu, net.random)),
        positions(cpu),
        ids(cpu, 3),
        logits(cpu, 3),
        dlogits(cpu, 3) {
    ids.upload(cpu, std::vector<std::int32_t>{3, 1, 4});
    hb::fill_normal(cpu, dlogits, net.random, 1);
  }
  typename Model::Input reading() {
    return {.ids = ids, .rotary = positions, .updates = Own::updates<const double>(net.factors.view(), 1)};
  }
  double loss(Cpu& cpu) {
    net.infer(cpu);
    Model::forward(cpu, model, reading(), {.logits = logits});
    double sum = 0;
    for (Index i = 0; i < logits.size(); ++i) sum += logits.data()[i] * dlogits.data()[i];
    return sum;
  }
  void train(Cpu& cpu) {
    net.infer(cpu);
    hb::fill_constant(cpu, net.direction, 0);
    const hb::ArenaScope scope(cpu);
    Model::Tape tape;
    Model::Gradients none;
    const auto input = reading();
    Model::forward(cpu, model, input, {.logits = logits}, &tape);
    Model::backward(cpu, model, tape, {.logits = dlogits},
                    {.updates = Own::updates<double>(net.direction.view(), 1)}, none, hb::Write::assign);
    net.train(cpu, hb::Write::assign);
  }

  hb::test::TextToLoraCase<Own> net;
  Model::Params model;
  Model::Positions positions;
  hb::Tensor<std::int32_t, Cpu, dyn> ids;
  hb::Tensor<double, Cpu, dyn, base.vocabulary> logits, dlogits;
};

}  // namespace

TEST_CASE("the factors that a decoder is given are those of the host's adapter") {
  Cpu cpu;
  using Net = hb::TextToLora<Model, large>;
  hb::test::TextToLoraCase<Net> subject(cpu, 1);
  const auto adapters =
      Net::generate(cpu, subject.params, std::vector<std::vector<float>>{{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}});
  const auto host = adapters.to_host(cpu, 1);
  CHECK(host.linears.at({1, Projection::value}).scale == doctest::Approx(16 / std::sqrt(2.0)));
  const hb::Adapter<base, hb::AdapterSpec{.rank = 2, .targets = hb::query_and_value}, float, Cpu> copy(
      cpu, host, "test");
  const auto model = hb::initialised<Model>(cpu, subject.random);
  const Model::Positions positions(cpu);
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 4);
  ids.upload(cpu, std::vector<std::int32_t>{3, 1, 4, 1});
  const auto ask = [&](const Model::Updates<const float>& updates) {
    hb::Tensor<float, Cpu, dyn, base.vocabulary> logits(cpu, 4);
    Model::forward(cpu, model, {.ids = ids, .rotary = positions, .updates = updates}, {.logits = logits});
    return logits;
  };
  const auto direct = ask(adapters.updates(1)), copied = ask(copy.updates<Model>()), plain = ask({});
  double change = 0;
  for (Index i = 0; i < direct.size(); ++i) {
    CHECK(direct.data()[i] == doctest::Approx(copied.data()[i]).epsilon(1e-5));
    change = std::max(change, std::abs(double(direct.data()[i]) - double(plain.data()[i])));
  }
  CHECK(change > 1e-3);
}

TEST_CASE("gradients go from a decoder's logits to the network") {
  Cpu cpu;
  ThroughDecoder subject(cpu);
  subject.train(cpu);
  hb::visit(
      [&](const std::string& name, auto& gradient, auto& value) {
        CAPTURE(name);
        CHECK(hb::test::gradient_error(cpu, subject, value.span(), gradient.span()) < 1e-6);
      },
      subject.net.gradients.heads, subject.net.params.heads);
}

namespace usage {
inline constexpr hb::DecoderSpec base{
    .vocabulary = 300, .hidden = 64, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 96, .positions = 128};
// [types]
using Model = hb::Decoder<base, float, Cpu>;
using Net =
    hb::TextToLora<Model, hb::TextToLoraSpec{.rank = 4, .embedding = 32, .latent = 16, .head_in = 24}>;
// [/types]

TEST_CASE("as the documents show it") {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model>(cpu, random);
  const Model::Positions positions(cpu);
  auto net = hb::make<Net::Params>(cpu);
  Net::initialise(cpu, net, random);
  const std::vector<float> riddles(32, 0.5f);
  const std::vector<hb::Tokens> questions = {{7, 8}};
  // [usage]
  const std::vector<std::vector<float>> descriptions = {riddles};  // by hb::embed, or any text encoder
  const auto adapters = Net::generate(cpu, net, descriptions);
  const auto answers =
      hb::generate<Model>(cpu, model, positions, questions, {.most = 16}, adapters.updates(0));
  const hb::HostAdapter host = adapters.to_host(cpu);  // for hb::write_adapter, compress, merge ...
  // [/usage]
  CHECK(host.linears.size() == 4);
  CHECK(answers.front().size() <= 16);
}
}  // namespace usage
