// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Choices, one block to a row: every thread finds the best of its part, then the best of all is the one with
// the smaller place among equals.
#pragma once

#include <hyperblocks/cuda/faults.cuh>
#include <hyperblocks/cuda/kernels/reduce.cuh>
#include <hyperblocks/cuda/launch.cuh>

namespace hyperblocks::cuda::kernels {

inline constexpr int choice_threads = 256;

struct Choice {
  double score;
  std::int32_t place;
};
struct BetterChoice {
  __device__ Choice operator()(const Choice& a, const Choice& b) const {
    return b.score > a.score || (b.score == a.score && b.place < a.place) ? b : a;
  }
};

template <class Scalar>
struct NumberScore {
  const Scalar* x;
  Index columns;
  __device__ double operator()(Index row, Index i) const { return scalar_cast<double>(x[row * columns + i]); }
};
template <class Scalar>
struct NearnessScore {
  const Scalar *x, *codes;
  Index columns;
  __device__ double operator()(Index row, Index code) const {
    double distance = 0;
    for (Index i = 0; i < columns; ++i) {
      const double difference =
          scalar_cast<double>(x[row * columns + i]) - scalar_cast<double>(codes[code * columns + i]);
      distance += difference * difference;
    }
    return -distance;
  }
};

/// chosen(row) = the place of the best of `count` scores; 0, and a fault, where none is a number.
template <class Score>
__global__ void choose(Score score, Index count, std::int32_t* chosen, Fault fault, FaultReport faults) {
  const Index row = blockIdx.x;
  Choice best{-HUGE_VAL, INT32_MAX};
  for (Index i = threadIdx.x; i < count; i += choice_threads)
    if (const double found = score(row, i); found > best.score) best = {found, static_cast<std::int32_t>(i)};
  best = block_reduce<choice_threads>(best, BetterChoice());
  if (threadIdx.x != 0) return;
  const bool none = best.place == INT32_MAX;
  if (none) faults(fault, static_cast<std::int32_t>(row));
  chosen[row] = none ? 0 : best.place;
}

/// A block to a row.
template <class Scalar>
__global__ void one_hot(const std::int32_t* chosen, Index columns, Scalar* y, FaultReport faults) {
  const Index row = blockIdx.x, place = chosen[row];
  if (threadIdx.x == 0 && (place < 0 || place >= columns))
    faults(Fault::one_hot, static_cast<std::int32_t>(place));
  for (Index i = threadIdx.x; i < columns; i += blockDim.x)
    y[row * columns + i] = scalar_cast<Scalar>(i == place ? 1.0 : 0.0);
}

}  // namespace hyperblocks::cuda::kernels
