// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: an Attention's kv_heads must divide its heads
// expect: GroupsDivide<4, 3>
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
using Block = hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 16, .heads = 4, .kv_heads = 3, .inner = 8},
                               float, hb::Cpu>;
using Tape = Block::Tape;
