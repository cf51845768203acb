// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// In place of the library's launch.cuh: the same functions on the emulated GPU.
#pragma once

#include <hyperblocks/cuda/device.cuh>

namespace hyperblocks::cuda {

template <class T>
T* shared_memory() {
  return static_cast<T*>(emulator::shared_memory());
}

inline void pause() { emulator::wait(emulator::State::pausing); }

struct Grid {
  dim3 blocks, threads;
  std::size_t shared = 0;
  bool together = false;
};

template <class... Parameters, class... Arguments>
void launch(const Cuda& cuda, void (*kernel)(Parameters...), const Grid& grid,
            const Arguments&... arguments) {
  emulator::check(grid.blocks, grid.threads, grid.shared);
  emulator::submit(cuda.stream(), [kernel, grid, given = std::tuple<Parameters...>(arguments...)] {
    emulator::run(grid.blocks, grid.threads, grid.shared, grid.together, [&] { std::apply(kernel, given); });
  });
}

}  // namespace hyperblocks::cuda
