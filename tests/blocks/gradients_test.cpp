// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Blocks from rows to rows, over a table of types and sizes: gradients in double against finite differences,
// bits and memory in float.
#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/embedding.hpp>
#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/norm.hpp>
#include <hyperblocks/blocks/residual_mlp.hpp>

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
              hb::Residual<hb::GluMlp<hb::GluMlpSpec{.hidden = 6, .inner = 7}, S, Cpu>>>,
    hb::ResidualMlp<hb::ResidualMlpSpec{.width = 6, .inner = 11}, S, Cpu>,
    hb::ResidualMlp<hb::ResidualMlpSpec{.width = 9, .inner = 5, .tail = hb::MlpTail::activation}, S, Cpu>,
    hb::ResidualMlp<hb::ResidualMlpSpec{.width = 9,
                                        .inner = 5,
                                        .activation = Activation::gelu_exact,
                                        .tail = hb::MlpTail::none},
                    S, Cpu>,
    hb::Embedding<hb::EmbeddingSpec{.vocabulary = 7, .width = 5, .scale = 3}, S, Cpu>>;

/// Rows are in equal parts.
template <class S>
using LayeredTable =
    std::tuple<hb::PerLayer<2, hb::Linear<hb::LinearSpec{.in = 4, .out = 6}, S, Cpu>>,
               hb::ResidualMlp<hb::ResidualMlpSpec{.width = 7, .inner = 12, .layers = 4}, S, Cpu>>;

}  // namespace

TEST_CASE("gradients agree with finite differences") {
  hb::test::for_every_block<Table<double>>([]<class B>(std::type_identity<B>) {
    for (const hb::Index rows : {1, 8}) hb::test::check_gradients<B>({.length = rows});
    if constexpr (hb::test::TakesUpdates<B>) hb::test::check_gradients<B>({.length = 5, .updated = true});
  });
  hb::test::for_every_block<LayeredTable<double>>(
      []<class B>(std::type_identity<B>) { hb::test::check_gradients<B>({.length = 12}); });
}

TEST_CASE("bits do not depend on threads or on the tape, and memory stays once warm") {
  hb::test::for_every_block<Table<float>>([]<class B>(std::type_identity<B>) {
    hb::test::check_bits_and_memory<B>({.length = 38, .updated = true});
  });
  hb::test::for_every_block<LayeredTable<float>>(
      []<class B>(std::type_identity<B>) { hb::test::check_bits_and_memory<B>({.length = 40}); });
}

TEST_CASE("a frozen block gives the input gradient of the trainable one, and none of its weights") {
  Cpu cpu;
  using Plain = hb::Mlp<hb::MlpSpec{.in = 40, .inner = 70, .out = 33}, float, Cpu>;
  using Fixed = hb::Mlp<hb::MlpSpec{.in = 40, .inner = 70, .out = 33}, float, Cpu, hb::Frozen<float>>;
  static_assert(hb::Block<Fixed>);
  for (const bool updated : {false, true}) {
    const hb::test::Feed feed{.length = 9, .updated = updated};
    hb::test::Case<Plain> plain(cpu, feed, 1);
    hb::test::Case<Fixed> fixed(cpu, feed, 1);
    plain.train(cpu, hb::Write::assign);
    fixed.train(cpu, hb::Write::assign);
    CHECK(hb::count(fixed.params) == hb::count(plain.params));
    CHECK(hb::count(fixed.gradients) == 0);
    for (hb::Index i = 0; i < plain.y.size(); ++i) CHECK(fixed.y.data()[i] == plain.y.data()[i]);
    for (hb::Index i = 0; i < plain.dx.size(); ++i)
      CHECK(fixed.dx.data()[i] == doctest::Approx(plain.dx.data()[i]).epsilon(1e-5));
  }
}

TEST_CASE("rows that the layers do not divide are an error") {
  Cpu cpu;
  using B = hb::PerLayer<3, hb::Linear<hb::LinearSpec{.in = 2, .out = 2}, float, Cpu>>;
  hb::test::Case<B> subject(cpu, {.length = 4}, 1);
  CHECK_THROWS_WITH_AS(subject.infer(cpu), doctest::Contains("expected a multiple of 3, found 4"), hb::Error);
}
