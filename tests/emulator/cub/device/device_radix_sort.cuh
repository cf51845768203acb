// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// cub::DeviceRadixSort on the emulated GPU: a stable sort by keys.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace cub {

struct DeviceRadixSort {
  template <class Key, class Value>
  static cudaError_t SortPairs(void* storage, std::size_t& size, const Key* keys, Key* sorted_keys,
                               const Value* values, Value* sorted_values, int count, int = 0,
                               int = 8 * sizeof(Key), cudaStream_t stream = nullptr) {
    if (storage == nullptr) {
      size = 1;
      return cudaSuccess;
    }
    return emulator::submit(stream, [=] {
      std::vector<int> order(static_cast<std::size_t>(count));
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](int a, int b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a < b; });
      for (std::size_t i = 0; i < order.size(); ++i)
        sorted_keys[i] = keys[order[i]], sorted_values[i] = values[order[i]];
    });
  }
};

}  // namespace cub
