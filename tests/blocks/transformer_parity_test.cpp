// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention and the blocks around it against PyTorch, forward and backward; the cases are those of
// tests/reference/cases.py. Run by itself the program prints its part of the table in docs/parity.md.
#include <hyperblocks/blocks/decoder_block.hpp>
#include <hyperblocks/blocks/encoder_block.hpp>
#include <hyperblocks/blocks/perceiver.hpp>

#include "../support/parity_check.hpp"

namespace hb = hyperblocks;
using hb::Activation, hb::Cpu, hb::NormPlacement, hb::RopeLayout;
using hb::test::parity_case;

namespace {

// Each kind of block by its spec alone; the weights are trainable unless said otherwise.
template <hb::AttentionSpec spec>
using Attention = hb::Attention<spec, float, Cpu>;
template <hb::EncoderBlockSpec spec, class Weights = hb::Trainable>
using EncoderBlock = hb::EncoderBlock<spec, float, Cpu, Weights>;
template <hb::DecoderBlockSpec spec, class Weights = hb::Trainable>
using DecoderBlock = hb::DecoderBlock<spec, float, Cpu, Weights>;
template <hb::PerceiverLayerSpec spec>
using PerceiverLayer = hb::PerceiverLayer<spec, float, Cpu>;
template <hb::ResamplerSpec spec, class Weights = hb::Trainable>
using Resampler = hb::Resampler<spec, float, Cpu, Weights>;

constexpr hb::AttentionSpec grouped{.hidden = 11,
                                    .heads = 4,
                                    .kv_heads = 2,
                                    .head_width = 6,
                                    .bias = true,
                                    .output_bias = true,
                                    .causal = true,
                                    .rotated = 6};
constexpr hb::AttentionSpec interleaved_rope{.hidden = 10,
                                             .heads = 4,
                                             .kv_heads = 2,
                                             .head_width = 6,
                                             .bias = true,
                                             .output_bias = true,
                                             .causal = true,
                                             .rotated = 4,
                                             .layout = RopeLayout::interleaved};
constexpr hb::AttentionSpec head_norm{
    .hidden = 12, .heads = 4, .kv_heads = 1, .head_width = 5, .head_norm = true, .epsilon = 1e-3, .shift = 1};

constexpr hb::EncoderBlockSpec encoder_post{.hidden = 14, .heads = 2, .inner = 19};
constexpr hb::EncoderBlockSpec encoder_without_bias{.hidden = 12,
                                                    .heads = 2,
                                                    .inner = 9,
                                                    .activation = Activation::silu,
                                                    .placement = NormPlacement::pre,
                                                    .bias = false};
constexpr hb::DecoderBlockSpec qwen3{.hidden = 11,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .head_width = 6,
                                     .inner = 13,
                                     .epsilon = 1e-3,
                                     .head_norm = true};
constexpr hb::DecoderBlockSpec gemma2{.hidden = 9,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .head_width = 4,
                                      .inner = 11,
                                      .activation = Activation::gelu_tanh,
                                      .norm_shift = 1,
                                      .output_norms = true,
                                      .attention_scale = 0.3,
                                      .attention_soft_cap = 2,
                                      .window = 3};
constexpr hb::ResamplerSpec resampler_shared{
    .latents = 3,
    .blocks = 3,
    .self_layers = 2,
    .shares_weights = true,
    .layer = {.hidden = 18, .context = 6, .heads = 2, .kv_heads = 1, .head_width = 7, .inner = 25}};

const std::vector<hb::test::ParityCase> cases = {
    parity_case<Attention<hb::AttentionSpec{.hidden = 15, .heads = 3, .bias = true, .output_bias = true}>>(
        "attention_self"),
    parity_case<Attention<grouped>>("attention_grouped"),
    parity_case<Attention<interleaved_rope>>("attention_interleaved_rope"),
    parity_case<Attention<hb::AttentionSpec{.hidden = 18, .heads = 1, .causal = true, .rotated = 18}>>(
        "attention_long"),
    parity_case<Attention<hb::AttentionSpec{.hidden = 9, .heads = 3, .causal = true, .window = 4}>>(
        "attention_window"),
    parity_case<Attention<hb::AttentionSpec{.hidden = 14, .heads = 2, .scale = 0.6, .soft_cap = 1.5}>>(
        "attention_soft_cap"),
    parity_case<Attention<head_norm>>("attention_head_norm"),
    parity_case<Attention<hb::AttentionSpec{
        .hidden = 12, .heads = 4, .context = 7, .bias = true, .output_bias = true}>>("attention_cross"),
    parity_case<
        Attention<hb::AttentionSpec{.hidden = 10, .heads = 4, .kv_heads = 2, .head_width = 7, .context = 9}>>(
        "attention_cross_grouped"),
    parity_case<EncoderBlock<encoder_post>>("encoder_post"),
    parity_case<EncoderBlock<hb::EncoderBlockSpec{
        .hidden = 9, .heads = 3, .inner = 17, .placement = NormPlacement::pre, .epsilon = 1e-3}>>(
        "encoder_pre"),
    parity_case<EncoderBlock<hb::EncoderBlockSpec{.hidden = 10, .heads = 2, .inner = 13}>>("encoder_across"),
    parity_case<EncoderBlock<encoder_without_bias>>("encoder_without_bias"),
    parity_case<DecoderBlock<hb::DecoderBlockSpec{.hidden = 18, .heads = 3, .kv_heads = 1, .inner = 21}>>(
        "decoder_llama"),
    parity_case<DecoderBlock<hb::DecoderBlockSpec{
        .hidden = 12, .heads = 3, .kv_heads = 1, .inner = 21, .layout = RopeLayout::interleaved}>>(
        "decoder_interleaved_rope"),
    parity_case<DecoderBlock<hb::DecoderBlockSpec{.hidden = 12, .heads = 3, .kv_heads = 1, .inner = 21}>>(
        "decoder_across"),
    parity_case<DecoderBlock<hb::DecoderBlockSpec{
        .hidden = 12, .heads = 3, .kv_heads = 1, .inner = 21, .bias = true}>>("decoder_qwen2"),
    parity_case<DecoderBlock<qwen3>>("decoder_qwen3"),
    parity_case<DecoderBlock<gemma2>>("decoder_gemma2"),
    parity_case<PerceiverLayer<hb::PerceiverLayerSpec{.hidden = 9,
                                                      .context = 7,
                                                      .heads = 4,
                                                      .kv_heads = 2,
                                                      .head_width = 5,
                                                      .inner = 11,
                                                      .epsilon = 1e-3}>>("perceiver_cross"),
    parity_case<PerceiverLayer<hb::PerceiverLayerSpec{.hidden = 10, .heads = 2, .inner = 9}>>(
        "perceiver_self"),
    parity_case<Resampler<hb::ResamplerSpec{
        .latents = 3,
        .blocks = 2,
        .layer = {.hidden = 14, .context = 6, .heads = 2, .kv_heads = 1, .inner = 19, .epsilon = 1e-3}}>>(
        "resampler_own"),
    parity_case<Resampler<hb::ResamplerSpec{.latents = 2,
                                            .blocks = 2,
                                            .self_layers = 1,
                                            .layer = {.hidden = 15, .context = 5, .heads = 3, .inner = 21}}>>(
        "resampler_own_self"),
    parity_case<Resampler<resampler_shared>>("resampler_shared")};

using Frozen = hb::Frozen<float>;
const std::vector<hb::test::ParityCase> frozen_cases = {
    parity_case<EncoderBlock<encoder_post, Frozen>>("encoder_post"),
    parity_case<DecoderBlock<qwen3, Frozen>>("decoder_qwen3"),
    parity_case<DecoderBlock<gemma2, Frozen>>("decoder_gemma2"),
    parity_case<Resampler<resampler_shared, Frozen>>("resampler_shared")};

}  // namespace

TEST_CASE("attention and the blocks around it agree with PyTorch") { hb::test::check_parity(cases); }
TEST_CASE("frozen weights: outputs, gradients of inputs and updates agree with PyTorch") {
  hb::test::check_parity(frozen_cases, ", frozen");
}
TEST_CASE("every fixture has a case") { CHECK(hb::test::fixtures(true) == hb::test::names_of(cases)); }
