// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora's gradients against finite differences, for every size and task encoder.
#include "../support/text_to_lora_case.hpp"
#include "../support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 11, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 5, .positions = 16};
constexpr hb::Targets value_and_down{
    .query = false, .key = false, .output = false, .gate = false, .up = false};

// One width, eight, for all: code 4, layer 2 and linear 2 numbers.
constexpr hb::TextToLoraSpec with(auto change) {
  hb::TextToLoraSpec spec{.rank = 2, .targets = value_and_down, .embedding = 5, .latent = 8, .head_in = 6};
  spec.classes = 4, spec.codes = 3;
  change(spec);
  return spec;
}
template <hb::TextToLoraSpec spec>
using Net = hb::TextToLora<hb::Decoder<base, double, Cpu>, spec>;

/// Where a code is chosen nothing moves before it: what is passed back there PyTorch says too (parity).
bool follows_a_choice(hb::TaskCode code, const std::string& name) {
  if (code == hb::TaskCode::discrete) return !name.starts_with("task.");
  return code != hb::TaskCode::vq || !name.starts_with("task.") || name.starts_with("task.4");
}

template <hb::TextToLoraSpec spec>
void check_gradients(const hb::Dropout& dropout = {}) {
  Cpu cpu({.threads = 1});
  cpu.arena().poison(true);
  hb::test::TextToLoraCase<Net<spec>> subject(cpu, 3);
  subject.dropout = dropout;
  subject.train(cpu, hb::Write::assign);
  const auto check = [&](const std::string& name, std::span<double> values,
                         std::span<const double> gradient) {
    if (!follows_a_choice(spec.code, name)) return;
    CAPTURE(name);
    CHECK(hb::test::gradient_error(cpu, subject, values, gradient) < 1e-6);
  };
  hb::visit([&](const std::string& name, auto& gradient,
                auto& value) { check(name, value.span(), gradient.span()); },
            subject.gradients, subject.params);
  check("task.embeddings", subject.embeddings.span(), subject.dembeddings.span());

  std::vector<double> once;
  hb::visit([&](const std::string&,
                auto& gradient) { once.insert(once.end(), gradient.span().begin(), gradient.span().end()); },
            subject.gradients);
  subject.train(cpu, hb::Write::add);
  std::size_t i = 0;
  double worst = 0, largest = 0;
  hb::visit(
      [&](const std::string&, auto& gradient) {
        for (const double twice : gradient.span()) {
          worst = hb::test::worse(worst, std::abs(twice - 2 * once[i]) / (1 + std::abs(once[i])));
          largest = std::max(largest, std::abs(once[i++]));
        }
      },
      subject.gradients);
  CHECK(worst < 1e-12);
  CHECK(largest > 1e-2);
}

}  // namespace

TEST_CASE("L, with deviations, means and an offset") {
  check_gradients<with([](auto& s) { s.z_score = s.offset = true; })>();
}
TEST_CASE("L of a discrete code, without biases of heads") {
  check_gradients<with([](auto& s) { s.code = hb::TaskCode::discrete, s.head_bias = false; })>();
}
TEST_CASE("M of a code from softmax") {
  check_gradients<with([](auto& s) { s.shared_head = true, s.code = hb::TaskCode::softmax; })>();
}
TEST_CASE("dropout, of L and of the sizes whose MLPs run twice") {
  constexpr hb::Dropout tenth{0.1, 7};
  check_gradients<with([](auto&) {})>(tenth);
  check_gradients<with([](auto& s) { s.shared_head = true, s.code = hb::TaskCode::softmax; })>(tenth);
  check_gradients<with([](auto& s) { s.autoregressive = s.shared_head = true; })>(tenth);
  check_gradients<with([](auto& s) {
    s.autoregressive = s.shared_head = true, s.positions = hb::RankPositions::learned;
  })>(tenth);
}
TEST_CASE("dropout needs a tape; of a seed it is the same, without it nothing is dropped") {
  using Plain = Net<with([](auto&) {})>;
  Cpu cpu;
  hb::test::TextToLoraCase<Plain> subject(cpu, 2);
  CHECK_THROWS_WITH_AS(Plain::forward(cpu, subject.params, {.x = subject.embeddings, .dropout = {0.1, 1}},
                                      {.factors = subject.factors}),
                       doctest::Contains("dropout without a tape"), hb::Error);
  const hb::ArenaScope scope(cpu);
  Plain::Tape tape;
  const auto factors = [&](hb::Dropout dropout) {
    Plain::forward(cpu, subject.params, {.x = subject.embeddings, .dropout = dropout},
                   {.factors = subject.factors}, &tape);
    return std::vector<double>(subject.factors.span().begin(), subject.factors.span().end());
  };
  subject.infer(cpu);
  const std::vector<double> whole(subject.factors.span().begin(), subject.factors.span().end());
  const auto first = factors({0.1, 1});
  CHECK(first != whole);
  CHECK(factors({0.1, 2}) != first);
  CHECK(factors({0.1, 1}) == first);
  CHECK(factors({}) == whole);
}
TEST_CASE("ranks one at a time, rotary positions, of the nearest code") {
  check_gradients<with(
      [](auto& s) { s.autoregressive = true, s.code = hb::TaskCode::vq, s.product_scale = 9; })>();
}
TEST_CASE("ranks one at a time, learned positions") {
  check_gradients<with([](auto& s) { s.autoregressive = true, s.positions = hb::RankPositions::learned; })>();
}
TEST_CASE("S, rotary positions") {
  check_gradients<with([](auto& s) { s.autoregressive = s.shared_head = true; })>();
}
TEST_CASE("S, learned positions") {
  check_gradients<with(
      [](auto& s) { s.autoregressive = s.shared_head = true, s.positions = hb::RankPositions::learned; })>();
}
