// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// cub::BlockReduce on the emulated GPU: the first thread folds what all give, in their order.
#pragma once

#include <cuda_runtime.h>

namespace cub {

template <class T, int threads>
class BlockReduce {
 public:
  struct TempStorage {
    T values[threads];
  };
  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  template <class F>
  T Reduce(T value, F combine) {
    storage_.values[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x != 0) return value;
    T result = storage_.values[0];
    for (int i = 1; i < threads; ++i) result = combine(result, storage_.values[i]);
    return result;
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
