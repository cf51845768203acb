// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: Joint<8, 9>
// expect: a Chain's block does not take what the one before gives: Joint<out, in>
#include <hyperblocks/hyperblocks.hpp>

// 8 columns come out of the first block, 9 go into the second.
namespace hb = hyperblocks;
using Net = hb::Chain<hb::Linear<hb::LinearSpec{.in = 4, .out = 8}, float, hb::Cpu>,
                      hb::Linear<hb::LinearSpec{.in = 9, .out = 2}, float, hb::Cpu>>;
constexpr hb::Index columns = Net::out;
