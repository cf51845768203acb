// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every row block, over a table of types and sizes: gradients in double against finite differences, bits and
// memory in float.
#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/norm.hpp>

#include "../support/block_check.hpp"

namespace hb = hyperblocks;
using hb::Activation, hb::Cpu;

namespace {

template <class S>
using Table = std::tuple<
    hb::Linear<hb::LinearSpec{.in = 5, .out = 3}, S, Cpu>,
    hb::Linear<hb::LinearSpec{.in = 33, .out = 65, .bias = false}, S, Cpu>,
    hb::RmsNorm<hb::RmsNormSpec{.width = 12}, S, Cpu>,
    hb::RmsNorm<hb::RmsNormSpec{.width = 65, .epsilon = 1e-2, .shift = 1}, S, Cpu>,
    hb::LayerNorm<hb::LayerNormSpec{.width = 17}, S, Cpu>,
    hb::LayerNorm<hb::LayerNormSpec{.width = 64, .epsilon = 1e-3, .bias = false}, S, Cpu>,
    hb::Mlp<hb::MlpSpec{.in = 6, .inner = 9, .out = 4}, S, Cpu>,
    hb::Mlp<hb::MlpSpec{.in = 16, .inner = 40, .out = 8, .activation = Activation::silu, .bias = false}, S,
            Cpu>,
    hb::Mlp<hb::MlpSpec{.in = 7, .inner = 5, .out = 7, .activation = Activation::gelu_tanh}, S, Cpu>,
    hb::GluMlp<hb::GluMlpSpec{.hidden = 10, .inner = 12}, S, Cpu>,
    hb::GluMlp<hb::GluMlpSpec{
                   .hidden = 8, .inner = 6, .out = 3, .activation = Activation::gelu_tanh, .bias = true},
               S, Cpu>,
    hb::Residual<hb::Mlp<hb::MlpSpec{.in = 8, .inner = 20, .out = 8}, S, Cpu>>,
    hb::Chain<hb::Linear<hb::LinearSpec{.in = 4, .out = 6}, S, Cpu>,
              hb::LayerNorm<hb::LayerNormSpec{.width = 6}, S, Cpu>,
              hb::Residual<hb::GluMlp<hb::GluMlpSpec{.hidden = 6, .inner = 7}, S, Cpu>>>>;

template <class S, class Check>
void for_every_block(Check check) {
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    (
        [&] {
          CAPTURE(i);
          check(std::type_identity<std::tuple_element_t<i, Table<S>>>());
        }(),
        ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Table<S>>>());
}

}  // namespace

TEST_CASE("gradients agree with finite differences") {
  for_every_block<double>([]<class B>(std::type_identity<B>) {
    for (const hb::Index rows : {1, 7}) hb::test::check_gradients<B>(rows);
  });
}

TEST_CASE("bits do not depend on threads or on the tape, and memory stays once warm") {
  for_every_block<float>([]<class B>(std::type_identity<B>) { hb::test::check_bits_and_memory<B>(37); });
}

TEST_CASE("a frozen block gives the input gradient of the trainable one, and none of its weights") {
  Cpu cpu;
  using Plain = hb::Mlp<hb::MlpSpec{.in = 40, .inner = 70, .out = 33}, float, Cpu>;
  using Fixed = hb::Mlp<hb::MlpSpec{.in = 40, .inner = 70, .out = 33}, float, Cpu, hb::Frozen<float>>;
  static_assert(hb::Block<Fixed>);
  hb::test::Case<Plain> plain(cpu, 9, 1);
  hb::test::Case<Fixed> fixed(cpu, 9, 1);
  plain.backward(cpu, hb::Write::assign);
  fixed.backward(cpu, hb::Write::assign);
  CHECK(hb::count(fixed.params) == hb::count(plain.params));
  CHECK(hb::count(fixed.gradients) == 0);
  for (hb::Index i = 0; i < plain.y.size(); ++i) CHECK(fixed.y.data()[i] == plain.y.data()[i]);
  for (hb::Index i = 0; i < plain.dx.size(); ++i)
    CHECK(fixed.dx.data()[i] == doctest::Approx(plain.dx.data()[i]).epsilon(1e-5));
}
