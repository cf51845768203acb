// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: an Attention's rotated must be even and within the heads' width
// expect: RotatedFits<5, 5>
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
using Block = hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 10, .heads = 2, .inner = 8}, float, hb::Cpu>;
using Tape = Block::Tape;
