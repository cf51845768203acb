// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Reductions over the threads of a block, by CUB; sums of columns in two steps, and of everything to one
// number: each in an order that depends on the shapes alone.
#pragma once

#include <cub/block/block_reduce.cuh>

#include <hyperblocks/cuda/kernels/packs.cuh>

namespace hyperblocks::cuda::kernels {

struct Plus {
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};
struct Largest {  // NaN wins
  template <class T>
  __device__ T operator()(const T& a, const T& b) const {
    return a > b || a != a ? a : b;
  }
};

/// What all threads of a block give, combined, for all of them.
template <int threads, class T, class F>
__device__ T block_reduce(T value, F combine) {
  using Reduce = cub::BlockReduce<T, threads>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ T total;
  const T reduced = Reduce(storage).Reduce(value, combine);
  if (threadIdx.x == 0) total = reduced;
  __syncthreads();
  const T result = total;
  __syncthreads();  // the storage is free for the next reduction
  return result;
}

inline constexpr int column_threads = 32, column_rows = 8;

/// partial (splits, columns) = the sums of term(i, j) over a split's rows i. Blocks are (column_threads,
/// column_rows), the grid (columns, splits).
template <class Sum, class Term>
__global__ void partial_column_sums(Index rows, Index columns, Term term, Sum* partial) {
  __shared__ Sum sums[column_rows][column_threads];
  const Index j = static_cast<Index>(blockIdx.x) * column_threads + threadIdx.x;
  const Index begin = rows * blockIdx.y / gridDim.y, end = rows * (blockIdx.y + Index{1}) / gridDim.y;
  Sum sum = 0;
  if (j < columns)
    for (Index i = begin + threadIdx.y; i < end; i += column_rows) sum += term(i, j);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || j >= columns) return;
  for (int i = 1; i < column_rows; ++i) sum += sums[i][threadIdx.x];
  partial[blockIdx.y * columns + j] = sum;
}

template <class Scalar>
struct ColumnTerm {
  const Scalar* x;
  Index columns;
  __device__ Accumulator<Scalar> operator()(Index i, Index j) const { return wide(x[i * columns + j]); }
};

/// y [+]= the sums of partial's columns.
template <class Sum, class Scalar>
__global__ void finish_column_sums(Index splits, Index columns, const Sum* partial, Scalar* y, bool add) {
  const Index j = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= columns) return;
  Sum sum = add ? wide(y[j]) : Sum{0};
  for (Index i = 0; i < splits; ++i) sum += partial[i * columns + j];
  y[j] = scalar_cast<Scalar>(sum);
}

inline constexpr int total_threads = 256;

/// results[block] = what term(i) gives for the block's share of [0, size), combined.
template <class Term, class F>
__global__ void reduce_all(Index size, Term term, F combine, double* results) {
  double value = 0;
  for (Index i = static_cast<Index>(blockIdx.x) * total_threads + threadIdx.x; i < size;
       i += static_cast<Index>(gridDim.x) * total_threads)
    value = combine(value, term(i));
  value = block_reduce<total_threads>(value, combine);
  if (threadIdx.x == 0) results[blockIdx.x] = value;
}

}  // namespace hyperblocks::cuda::kernels
