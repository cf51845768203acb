// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: hyperblocks: an Attention's heads must divide hidden, or head_width be given
// expect: HeadsDivide<10, 3>
#include <hyperblocks/blocks/attention.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;

using Block = hb::Attention<hb::AttentionSpec{.hidden = 10, .heads = 3}, float, hb::Cpu>;
using Tape = Block::Tape;
