// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// doctest's main for the emulated GPU: all tests with a block's threads in their order and in the reverse,
// after which no memory may be written to beyond its ends, nor be left.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstdio>

int main(int argc, char** argv) {
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending}) {
    emulator::order = order;
    if (const int result = doctest::Context(argc, argv).run(); result != 0) return result;
  }
  if (emulator::harmed) std::printf("FAILED: a kernel wrote beyond the memory that it was given\n");
  if (!emulator::allocated.empty()) std::printf("FAILED: device memory is left\n");
  return emulator::harmed || !emulator::allocated.empty() ? 1 : 0;
}
