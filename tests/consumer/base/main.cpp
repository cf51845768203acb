// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The constants that hyperblocks_add_base, _add_encoder and _add_hypernet made, as template arguments.
#include <document_net.hpp>
#include <encoder.hpp>
#include <from_file.hpp>
#include <from_folder.hpp>
#include <from_gguf.hpp>
#include <net.hpp>
#include <text_net.hpp>

namespace hb = hyperblocks;

static_assert(from_folder == from_file);
static_assert(from_file.hidden == 576 && from_file.layers == 30 && from_file.tied);
static_assert(from_file.rope_base == 100000 && from_file.epsilon == 1e-5);
static_assert(from_gguf.layers == 7 && from_gguf.full_every == 6 && from_gguf.embedding_scale == 4);
static_assert(from_gguf.activation == hb::Activation::gelu_tanh);
static_assert(encoder.gated && encoder.rope_scaling.kind == hb::RopeScaling::Kind::ntk);
static_assert(net.rank == 4 && net.a == hb::FactorForm::rows && net.m2p.kind == hb::M2pKind::linear_gate);
static_assert(net.m2p.axes == hb::M2pAxes::tokens_first && net.m2p.linear_bias && net.meta_rank == 128);
static_assert(document_net.targets.query && !document_net.targets.key && document_net.targets.down);
static_assert(document_net.perceiver.latents == 12 && document_net.rank == 8);
static_assert(document_net_base.hidden > 0);
static_assert(document_net_context.kind == hb::ContextKind::early_exit && document_net_context.layers == 7);
static_assert(text_net.code == hb::TaskCode::vq && text_net.positions == hb::RankPositions::learned);
static_assert(text_net.autoregressive && text_net.product_scale == 10000 && text_net.latent == 128);

/// What a program does with a hypernetwork whose system it does not know beforehand.
template <auto spec>
constexpr bool reads_documents = std::same_as<std::remove_const_t<decltype(spec)>, hb::DocToLoraSpec>;
static_assert(reads_documents<document_net> && !reads_documents<net>);

template <hb::DecoderSpec spec>
struct Model {
  static constexpr hb::Index width = spec.width();
};

int main() { return Model<from_file>::width == 64 && Model<from_gguf>::width == 6 ? 0 : 1; }
