// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a device was asked for, beside counts by hand.
#include <hyperblocks/blocks/linear.hpp>
#include <hyperblocks/hypernets/pooled_mlp.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include <doctest/doctest.h>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {
template <class F>
hb::Work work_of(Cpu& cpu, F f) {
  const hb::ArenaScope scope(cpu);
  cpu.work() = {};
  f();
  return cpu.work();
}
}  // namespace

TEST_CASE_TEMPLATE("products, and an update of some rows", Weights, hb::Trainable, hb::Frozen<hb::bf16>) {
  using Linear = hb::Linear<hb::LinearSpec{.in = 24, .out = 40, .bias = false}, float, Cpu, Weights>;
  constexpr double weight = std::is_same_v<Weights, hb::Trainable> ? 4 : 2;
  Cpu cpu({.threads = 2});
  hb::Random random(1);
  const auto params = hb::initialised<Linear>(cpu, random);
  hb::Tensor<float, Cpu, dyn, 24> x(cpu, 7), dx(cpu, 7);
  hb::Tensor<float, Cpu, dyn, 40> y(cpu, 7);
  hb::Tensor<float, Cpu, 3, 24> a(cpu);
  hb::Tensor<float, Cpu, 40, 3> b(cpu);
  const hb::LowRank<const float, Cpu, 40, 24> update{
      .a = std::as_const(a).view(), .b = std::as_const(b).view(), .first_row = 2, .rows = 5};

  const auto plain = work_of(cpu, [&] { Linear::forward(cpu, params, x.view(), y); });
  CHECK(plain.operations == 2 * 7 * 24 * 40);
  CHECK(plain.bytes == 4 * 7 * (24 + 40) + weight * 24 * 40);
  const auto updated = work_of(cpu, [&] { Linear::forward(cpu, params, {x.view(), update}, y); });
  CHECK(updated.operations - plain.operations == 2 * 5 * 3 * (24 + 40));
  CHECK(updated.bytes - plain.bytes == 4 * (5 * (24 + 3) + 3 * 24 + 5 * (3 + 40) + 40 * 3));
  const auto back = work_of(cpu, [&] {
    typename Linear::Tape tape;
    Linear::forward(cpu, params, x.view(), y, &tape);
    auto gradients = hb::make<typename Linear::Gradients>(cpu);
    Linear::backward(cpu, params, tape, y.view(), {dx}, gradients, hb::Write::assign);
  });
  const double products =
      std::is_same_v<Weights, hb::Trainable> ? 3 : 2;  // the frozen weight has no gradient
  CHECK(back.operations == products * plain.operations);
}

TEST_CASE("attention counts what causality and the window let be seen") {
  Cpu cpu({.threads = 1});
  hb::Tensor<float, Cpu, dyn, dyn, 32> q(cpu, 2, 5), out(cpu, 2, 5);
  hb::Tensor<float, Cpu, dyn, dyn, 16> k(cpu, 2, 6);
  const auto ask = [&](const hb::AttentionOptions& options) {
    return work_of(cpu, [&] {
      hb::ops::attention<float>(cpu, options, hb::heads_of(std::as_const(q).view(), 4),
                                hb::heads_of(std::as_const(k).view(), 2),
                                hb::heads_of(std::as_const(k).view(), 2), hb::heads_of(out.view(), 4), {});
    });
  };
  // Two sequences, four heads of width 8; of each pair the score and the value: 2 * 8 operations each.
  CHECK(ask({}).operations == 2 * 4 * (5 * 6) * 4 * 8);
  CHECK(ask({.causal = true}).operations == 2 * 4 * (2 + 3 + 4 + 5 + 6) * 4 * 8);
  CHECK(ask({.causal = true, .window = 3}).operations == 2 * 4 * (2 + 3 + 3 + 3 + 3) * 4 * 8);
  CHECK(ask({}).bytes == 4 * 2 * (5 * 4 + 6 * 2) * (8 + 8));
}

TEST_CASE("a whole hypernetwork") {
  constexpr hb::DecoderSpec base{
      .vocabulary = 40, .hidden = 16, .layers = 3, .heads = 2, .kv_heads = 1, .inner = 24, .positions = 16};
  using Model = hb::Decoder<base, float, Cpu>;
  using Net = hb::PooledMlp<Model, hb::PooledMlpSpec{.rank = 2, .inner = 20}>;
  Cpu cpu({.threads = 1});
  hb::Random random(1);
  const auto params = hb::initialised<Net>(cpu, random);
  hb::Tensor<float, Cpu, dyn, 16> means(cpu, 5);
  hb::Tensor<float, Cpu, 3, dyn, Net::Layout::numbers> numbers(cpu, 5);
  const auto work = work_of(cpu, [&] { Net::forward(cpu, params, means, numbers); });
  // q, k, v, o of widths 16, 8, 8, 16; gate, up, down between 16 and 24.
  constexpr Index written = 2 * ((16 + 16) + 2 * (16 + 8) + (16 + 16) + 3 * (16 + 24));
  CHECK(Net::Layout::numbers == written);
  CHECK(work.operations == 3 * 2 * 5 * (16 * 20 + 20 * written));
}
