// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A user's program: one block on the GPU, and, where there is none, the Error that says so.
#include <hyperblocks/cuda/cuda.cuh>
#include <hyperblocks/hyperblocks.hpp>
#include <iostream>

namespace hb = hyperblocks;
using Block = hb::Mlp<hb::MlpSpec{.in = 8, .inner = 16, .out = 8}, hb::bf16, hb::Cuda>;

int main() {
  try {
    hb::Cuda cuda;
    hb::Random random(1);
    const auto params = hb::initialised<Block>(cuda, random);
    hb::Tensor<hb::bf16, hb::Cuda, hb::dyn, 8> x(cuda, 3), y(cuda, 3);
    Block::forward(cuda, params, x, y);
    cuda.synchronise();
    std::cout << "done\n";
  } catch (const hb::Error& error) {
    std::cout << error.what() << "\n";
  }
}
