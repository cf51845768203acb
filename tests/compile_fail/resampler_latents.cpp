// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a Resampler needs latents, blocks, a context width and heads of one or more
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
constexpr hb::PerceiverLayerSpec layer{.hidden = 8, .context = 6, .heads = 2, .inner = 9};
using Block = hb::Resampler<hb::ResamplerSpec{.layer = layer}, float, hb::Cpu>;
using Tape = Block::Tape;
