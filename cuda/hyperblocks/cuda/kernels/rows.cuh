// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Kernels over rows and elements: RMSNorm forward and backward (one thread block to a row, sums by CUB), sums
// of columns (one thread to a column, in row order: the same bits every time), element-wise maps.
#pragma once

#include <cub/block/block_reduce.cuh>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::cuda::kernels {

inline constexpr int row_threads = 256;

/// The sum over a thread block, for all of its threads.
template <class Sum>
__device__ Sum block_sum(Sum value) {
  using Reduce = cub::BlockReduce<Sum, row_threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ Sum total;
  const Sum sum = Reduce(storage).Sum(value);
  if (threadIdx.x == 0) total = sum;
  __syncthreads();
  const Sum result = total;
  __syncthreads();  // the storage is free for the next sum
  return result;
}

template <class Scalar>
__device__ Accumulator<Scalar> wide(Scalar value) {
  return scalar_cast<Accumulator<Scalar>>(value);
}

/// 1 / sqrt(mean(x^2) + epsilon)
template <class Scalar>
__device__ Accumulator<Scalar> root_mean_square_scale(const Scalar* x, Index columns, double epsilon) {
  using Sum = Accumulator<Scalar>;
  Sum squares = 0;
  for (Index j = threadIdx.x; j < columns; j += row_threads) squares += wide(x[j]) * wide(x[j]);
  return Sum(1) / sqrt(block_sum(squares) / static_cast<Sum>(columns) + static_cast<Sum>(epsilon));
}

template <class Scalar>
__global__ void rms_norm(const Scalar* x, const Scalar* weight, Scalar* y, Index columns, double epsilon,
                         double shift) {
  using Sum = Accumulator<Scalar>;
  x += blockIdx.x * columns, y += blockIdx.x * columns;
  const Sum scale = root_mean_square_scale(x, columns, epsilon);
  for (Index j = threadIdx.x; j < columns; j += row_threads)
    y[j] = scalar_cast<Scalar>(wide(x[j]) * scale * (wide(weight[j]) + static_cast<Sum>(shift)));
}

/// Keeps every row's scale for the weight's gradient; dx may be null.
template <class Scalar>
__global__ void rms_norm_backward(const Scalar* x, const Scalar* weight, const Scalar* dy, Scalar* dx,
                                  Accumulator<Scalar>* scales, Index columns, double epsilon, double shift) {
  using Sum = Accumulator<Scalar>;
  x += blockIdx.x * columns, dy += blockIdx.x * columns;
  const Sum scale = root_mean_square_scale(x, columns, epsilon);
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
  if (dx == nullptr) return;
  dx += blockIdx.x * columns;
  const auto gradient = [&](Index j) { return wide(dy[j]) * (wide(weight[j]) + static_cast<Sum>(shift)); };
  Sum along = 0;
  for (Index j = threadIdx.x; j < columns; j += row_threads) along += gradient(j) * wide(x[j]);
  along = block_sum(along) * scale * scale / static_cast<Sum>(columns);
  for (Index j = threadIdx.x; j < columns; j += row_threads)
    dx[j] = scalar_cast<Scalar>(scale * (gradient(j) - wide(x[j]) * along));
}

/// y(j) [+]= sum over i of term(i, j)
template <class Scalar, class Term>
__global__ void column_sums(Index rows, Index columns, Scalar* y, bool add, Term term) {
  const Index j = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= columns) return;
  Accumulator<Scalar> sum = 0;
  for (Index i = 0; i < rows; ++i) sum += term(i, j);
  y[j] = scalar_cast<Scalar>(add ? wide(y[j]) + sum : sum);
}

template <class F>
__global__ void for_elements(Index size, F f) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) f(i);
}

}  // namespace hyperblocks::cuda::kernels
