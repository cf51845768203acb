// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: hyperblocks: a Resampler needs latents, blocks, a context width and heads of one or more
// errors: 1
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;

constexpr hb::PerceiverLayerSpec layer{.hidden = 8, .context = 6, .inner = 9};
using Block = hb::Resampler<hb::ResamplerSpec{.latents = 3, .layer = layer}, float, hb::Cpu>;
using Tape = Block::Tape;
