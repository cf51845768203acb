// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The constants that hyperblocks_add_base and hyperblocks_add_encoder made, as template arguments.
#include <encoder.hpp>
#include <from_file.hpp>
#include <from_folder.hpp>
#include <from_gguf.hpp>

namespace hb = hyperblocks;

static_assert(from_folder == from_file);
static_assert(from_file.hidden == 576 && from_file.layers == 30 && from_file.tied);
static_assert(from_file.rope_base == 100000 && from_file.epsilon == 1e-5);
static_assert(from_gguf.layers == 7 && from_gguf.full_every == 6 && from_gguf.embedding_scale == 4);
static_assert(from_gguf.activation == hb::Activation::gelu_tanh);
static_assert(encoder.gated && encoder.rope_scaling.kind == hb::RopeScaling::Kind::ntk);

template <hb::DecoderSpec spec>
struct Model {
  static constexpr hb::Index width = spec.width();
};

int main() { return Model<from_file>::width == 64 && Model<from_gguf>::width == 6 ? 0 : 1; }
