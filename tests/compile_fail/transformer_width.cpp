// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a Branch's block and norm keep the width
// expect: BranchKeepsWidth<6, 6, 8>
#include <hyperblocks/hyperblocks.hpp>

// The attention and its norm are 8 wide, the MLP is 6 wide.
namespace hb = hyperblocks;
using Block =
    hb::TransformerBlock<hb::Attention<hb::AttentionSpec{.hidden = 8, .heads = 2}, float, hb::Cpu>,
                         hb::GluMlp<hb::GluMlpSpec{.hidden = 6, .inner = 9}, float, hb::Cpu>,
                         hb::RmsNorm<hb::RmsNormSpec{.width = 8}, float, hb::Cpu>, hb::NormPlacement::pre>;
using Tape = Block::Tape;
