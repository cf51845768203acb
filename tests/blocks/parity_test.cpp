// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Blocks from rows to rows against PyTorch, forward and backward; the cases are those of
// tests/reference/cases.py. Run by itself the program prints its part of the table in docs/parity.md.
#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/embedding.hpp>
#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/norm.hpp>
#include <hyperblocks/blocks/residual_mlp.hpp>

#include "../support/parity_check.hpp"

namespace hb = hyperblocks;
using hb::Activation, hb::Cpu, hb::MlpTail;
using hb::test::parity_case;

namespace {

// Each kind of block by its spec alone; the weights are trainable unless said otherwise.
template <hb::LinearSpec spec, class Weights = hb::Trainable>
using Linear = hb::Linear<spec, float, Cpu, Weights>;
template <hb::LayerNormSpec spec>
using LayerNorm = hb::LayerNorm<spec, float, Cpu>;
template <hb::RmsNormSpec spec>
using RmsNorm = hb::RmsNorm<spec, float, Cpu>;
template <hb::MlpSpec spec>
using Mlp = hb::Mlp<spec, float, Cpu>;
template <hb::GluMlpSpec spec>
using GluMlp = hb::GluMlp<spec, float, Cpu>;
template <hb::ResidualMlpSpec spec, class Weights = hb::Trainable>
using ResidualMlp = hb::ResidualMlp<spec, float, Cpu, Weights>;
template <hb::EmbeddingSpec spec, class Weights = hb::Trainable>
using Embedding = hb::Embedding<spec, float, Cpu, Weights>;

constexpr hb::LinearSpec linear_updated{.in = 17, .out = 19};
constexpr hb::EmbeddingSpec embedding{.vocabulary = 7, .width = 5, .scale = 3};
constexpr hb::ResidualMlpSpec residual_per_layer{.width = 7, .inner = 9, .layers = 4};

const std::vector<hb::test::ParityCase> cases = {
    parity_case<Linear<hb::LinearSpec{.in = 5, .out = 3}>>("linear"),
    parity_case<Linear<hb::LinearSpec{.in = 33, .out = 65, .bias = false}>>("linear_large"),
    parity_case<Linear<linear_updated>>("linear_updated"),
    parity_case<Embedding<embedding>>("embedding"),
    parity_case<RmsNorm<hb::RmsNormSpec{.width = 37}>>("rms_norm"),
    parity_case<RmsNorm<hb::RmsNormSpec{.width = 65, .epsilon = 1e-2, .shift = 1}>>("rms_norm_shifted"),
    parity_case<LayerNorm<hb::LayerNormSpec{.width = 37}>>("layer_norm"),
    parity_case<LayerNorm<hb::LayerNormSpec{.width = 19, .epsilon = 1e-3, .bias = false}>>(
        "layer_norm_without_bias"),
    parity_case<Mlp<hb::MlpSpec{.in = 7, .inner = 9, .out = 5}>>("mlp_gelu_exact"),
    parity_case<Mlp<hb::MlpSpec{.in = 7, .inner = 19, .out = 7, .activation = Activation::gelu_tanh}>>(
        "mlp_gelu_tanh"),
    parity_case<
        Mlp<hb::MlpSpec{.in = 9, .inner = 11, .out = 3, .activation = Activation::silu, .bias = false}>>(
        "mlp_silu"),
    parity_case<Mlp<hb::MlpSpec{.in = 6, .inner = 13, .out = 5, .activation = Activation::relu}>>("mlp_relu"),
    parity_case<GluMlp<hb::GluMlpSpec{.hidden = 11, .inner = 23}>>("glu_mlp_silu"),
    parity_case<GluMlp<hb::GluMlpSpec{
        .hidden = 9, .inner = 7, .out = 3, .activation = Activation::gelu_tanh, .bias = true}>>(
        "glu_mlp_gelu_tanh"),
    parity_case<hb::Residual<Mlp<hb::MlpSpec{.in = 9, .inner = 19, .out = 9}>>>("residual"),
    parity_case<hb::Chain<Linear<hb::LinearSpec{.in = 5, .out = 7}>, LayerNorm<hb::LayerNormSpec{.width = 7}>,
                          hb::Residual<GluMlp<hb::GluMlpSpec{.hidden = 7, .inner = 9}>>>>("chain"),
    parity_case<hb::PerLayer<3, Linear<hb::LinearSpec{.in = 5, .out = 6}>>>("per_layer"),
    parity_case<ResidualMlp<hb::ResidualMlpSpec{.width = 7, .inner = 11, .epsilon = 1e-3}>>(
        "residual_mlp_layer_norm"),
    parity_case<ResidualMlp<hb::ResidualMlpSpec{.width = 9, .inner = 5, .tail = MlpTail::activation}>>(
        "residual_mlp_activation"),
    parity_case<ResidualMlp<hb::ResidualMlpSpec{
        .width = 9, .inner = 5, .activation = Activation::gelu_exact, .tail = MlpTail::none}>>(
        "residual_mlp_none"),
    parity_case<ResidualMlp<residual_per_layer>>("residual_mlp_per_layer"),
    parity_case<ResidualMlp<hb::ResidualMlpSpec{.width = 5,
                                                .inner = 7,
                                                .layers = 2,
                                                .activation = Activation::gelu_tanh,
                                                .tail = MlpTail::activation}>>(
        "residual_mlp_per_layer_activation"),
    parity_case<ResidualMlp<hb::ResidualMlpSpec{.width = 7, .inner = 5, .layers = 3, .tail = MlpTail::none}>>(
        "residual_mlp_per_layer_none")};

using Frozen = hb::Frozen<float>;
const std::vector<hb::test::ParityCase> frozen_cases = {
    parity_case<Linear<linear_updated, Frozen>>("linear_updated"),
    parity_case<Embedding<embedding, Frozen>>("embedding"),
    parity_case<ResidualMlp<residual_per_layer, Frozen>>("residual_mlp_per_layer")};

}  // namespace

TEST_CASE("blocks of rows agree with PyTorch") { hb::test::check_parity(cases); }
TEST_CASE("frozen weights: outputs, gradients of inputs and updates agree with PyTorch") {
  hb::test::check_parity(frozen_cases, ", frozen");
}
TEST_CASE("every fixture has a case") { CHECK(hb::test::fixtures(false) == hb::test::names_of(cases)); }
