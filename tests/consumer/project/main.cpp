// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A user's program. It includes the library in two files, so that a function that is not inline fails to
// link.
#include <hyperblocks/hyperblocks.hpp>
#include <iostream>
#include <string_view>

#include "components.hpp"

namespace hb = hyperblocks;
using Block = hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 8, .heads = 2, .inner = 12}, float, hb::Cpu>;

std::string_view version_seen_by_other();

/// A call as the documentation writes it: designated, with members left out.
void run(hb::Cpu& cpu) {
  hb::Random random(1);
  const auto params = hb::initialised<Block>(cpu, random);
  const hb::RopeTables<float, hb::Cpu> tables(cpu, 10000, Block::rotated, 3);
  hb::Tensor<float, hb::Cpu, hb::dyn, 8> x(cpu, 3);
  Block::forward(cpu, params, {.x = x, .setup = {.rotary = tables}}, x);
}

int main() {
  hb::Cpu cpu;
  run(cpu);
  std::cout << hyperblocks::version << "\n";
  return hyperblocks::version == version_seen_by_other() ? 0 : 1;
}
