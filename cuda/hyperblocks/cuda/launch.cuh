// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The one place where kernels are launched, and a block's shared memory whose size the launch gives. The
// tests' emulator has a file of the same name in its place.
#pragma once

#include <algorithm>

#include <hyperblocks/cuda/device.cuh>

namespace hyperblocks::cuda {

/// The running block's, of Grid::shared bytes.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char hyperblocks_shared_bytes[];
  return reinterpret_cast<T*>(hyperblocks_shared_bytes);
}

/// For a loop that waits for another block.
__device__ inline void pause() { __nanosleep(32); }

struct Grid {
  dim3 blocks, threads;
  std::size_t shared = 0;
  bool together = false;  ///< blocks wait for others that began before them
};

/// On the device's stream; arguments convert to the kernel's parameters.
template <class... Parameters, class... Arguments>
void launch(const Cuda& cuda, void (*kernel)(Parameters...), const Grid& grid,
            const Arguments&... arguments) {
  constexpr std::size_t without_asking = 48 << 10;
  constexpr int kept = 16 << 10;  // more than any kernel has by itself
  cuda.select();
  // The same for every launch: the limit is the kernel's, and threads share it.
  if (grid.shared > without_asking)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               std::max(static_cast<int>(grid.shared), cuda.most_shared() - kept)));
  kernel<<<grid.blocks, grid.threads, grid.shared, cuda.stream()>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError());
}

}  // namespace hyperblocks::cuda
