// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: ExtentsAgree<6, 7>
// expect: the shapes differ in an extent: ExtentsAgree<expected, found>
#include <hyperblocks/hyperblocks.hpp>

// A context of 7 columns where the attention takes 6.
namespace hb = hyperblocks;
using Block = hb::Attention<hb::AttentionSpec{.hidden = 8, .heads = 2, .context = 6}, float, hb::Cpu>;
void caller(Block::Input& input, const hb::Tensor<float, hb::Cpu, hb::dyn, 7>& context) {
  input.setup.context = context;
}
