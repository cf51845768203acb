// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: ExtentsAgree<4, 5>
// expect: the shapes differ in an extent: ExtentsAgree<expected, found>
#include <hyperblocks/hyperblocks.hpp>

// 5 columns where the block takes 4.
namespace hb = hyperblocks;
using Block = hb::Linear<hb::LinearSpec{.in = 4, .out = 3}, float, hb::Cpu>;
void caller(hb::Cpu& cpu, const Block::Params& params, const hb::Tensor<float, hb::Cpu, hb::dyn, 5>& x,
            Block::Output y) {
  Block::forward(cpu, params, x, y);
}
