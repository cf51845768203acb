// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A product of few rows with everything that is added to it, in one launch:
//   y = x W^T + bias + scale (x A^T) B^T + C ...
// W is read once, by all; it is what the time goes to. The first blocks compute the few numbers x A^T before
// their share of W, and every block wants them only behind its own, so that nobody waits. Blocks are numbered
// as they begin: who waits does so for blocks that run already.
#pragma once

#include <bit>

#include <hyperblocks/cuda/kernels/fused_update.cuh>
#include <hyperblocks/cuda/launch.cuh>
#include <hyperblocks/cuda/tensor_core.cuh>

namespace hyperblocks::cuda::kernels {

inline constexpr int thin_warps = 4, thin_threads = 32 * thin_warps, most_thin_tokens = 16;
inline constexpr Index thin_columns = 32;  ///< of x and W, that a warp multiplies at a time

/// What blocks tell one another; zeros before a launch, and after it.
struct ThinProgress {
  unsigned begun, vectors, done;
};

template <class Scalar>
struct ThinProduct {
  FusedProduct<Scalar> all;
  float* shrunk = nullptr;  ///< (vectors, most_thin_tokens): scale x A^T
  Index producers = 0;      ///< blocks that compute it
  ThinProgress* progress = nullptr;
};

/// Over a block, for its first thread; `partial` has a number for each warp. (CUB's would be declared
/// __shared__, which the emulator has once for all blocks, and these run in turns there.)
__device__ inline float thin_sum(float value, float* partial) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < thin_warps; ++i) sum += partial[i];
  return sum;
}

/// scale x A^T for the vectors first, first + producers ...
template <class Scalar>
__device__ void shrink_vectors(const ThinProduct<Scalar>& product, Index first, float* partial) {
  const FusedProduct<Scalar>& all = product.all;
  for (Index vector = first; vector < all.vectors; vector += product.producers) {
    int number = 0;
    while (number + 1 < all.update_count && all.updates[number + 1].first_vector <= vector) ++number;
    const FusedUpdate<Scalar>& update = all.updates[number];
    for (Index token = update.first_row; token < update.first_row + update.rows; ++token) {
      float sum = 0;
      for (Index k = threadIdx.x; k < all.in; k += thin_threads)
        sum += wide(all.x[token * all.in + k]) * wide(update.a_of(vector - update.first_vector, k, all.in));
      sum = thin_sum(sum, partial);
      if (threadIdx.x == 0) product.shrunk[vector * most_thin_tokens + token] = update.scale * sum;
    }
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(&product.progress->vectors, 1u);
    }
  }
}

template <class Scalar>
__device__ std::array<std::uint32_t, 4> load_pairs(const Scalar* row, Index column, bool there) {
  Pack<Scalar, 8> pack{};
  if (there) pack = load<8>(row + column, 0);
  return std::bit_cast<std::array<std::uint32_t, 4>>(pack);
}

/// A warp's part of the sums of 16 `groups` rows of W and 8 `octets` tokens. A lane's eight neighbouring
/// numbers of a row stand for the columns that two small products want of it, the same for x and W: the order
/// of a sum's terms is free.
template <int groups, int octets, class Scalar>
__device__ void multiply_weight(const FusedProduct<Scalar>& product, Index first_row,
                                float (&sums)[groups][octets][4]) {
  constexpr int ahead = 4;  // columns that are on their way at once, times thin_columns
  const Index warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, thread = threadIdx.x % 4;
  for (Index begin = warp * thin_columns; begin < product.in; begin += thin_columns * thin_warps * ahead) {
    std::array<std::uint32_t, 4> rows[ahead][groups][2], tokens[ahead][octets];
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const Index column = begin + i * thin_columns * thin_warps + 8 * thread;
      const bool there = column < product.in;
#pragma unroll
      for (int j = 0; j < groups; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Index row = first_row + 16 * j + 8 * half + group;
          rows[i][j][half] =
              load_pairs(product.weight + row * product.in, column, there && row < product.out);
        }
#pragma unroll
      for (int j = 0; j < octets; ++j) {
        const Index token = 8 * j + group;
        tokens[i][j] = load_pairs(product.x + token * product.in, column, there && token < product.tokens);
      }
    }
#pragma unroll
    for (int i = 0; i < ahead; ++i)
#pragma unroll
      for (int j = 0; j < groups; ++j)
#pragma unroll
        for (int k = 0; k < octets; ++k)
#pragma unroll
          for (int two = 0; two < 4; two += 2)
            multiply_add<Scalar>(
                sums[j][k],
                {rows[i][j][0][two], rows[i][j][1][two], rows[i][j][0][two + 1], rows[i][j][1][two + 1]},
                {tokens[i][k][two], tokens[i][k][two + 1]});
  }
}

/// What is added to y(token, row).
template <class Scalar>
__device__ float added(const ThinProduct<Scalar>& product, Index token, Index row) {
  const FusedProduct<Scalar>& all = product.all;
  float sum = all.constant(token, row);
  for (int i = 0; i < all.update_count; ++i) {
    const FusedUpdate<Scalar>& update = all.updates[i];
    if (!update.serves(token)) continue;
    for (Index j = 0; j < update.rank; ++j) {
      const volatile float* const shrunk =
          product.shrunk + (update.first_vector + j) * most_thin_tokens + token;
      sum += *shrunk * wide(update.b_of(j, row, all.out));
    }
  }
  return sum;
}

/// A block to 16 `groups` rows of W.
template <int groups, int octets, class Scalar>
__global__ void __launch_bounds__(thin_threads)
    thin_product(const __grid_constant__ ThinProduct<Scalar> product) {
  constexpr int rows = 16 * groups, tokens = 8 * octets;
  const FusedProduct<Scalar>& all = product.all;
  float* const shared = shared_memory<float>();  // (warps, rows, tokens), then a few
  float* const few = shared + thin_warps * rows * tokens;
  if (threadIdx.x == 0) few[thin_warps] = std::bit_cast<float>(atomicAdd(&product.progress->begun, 1u));
  __syncthreads();
  const Index number = std::bit_cast<unsigned>(few[thin_warps]), first_row = number * rows;
  if (number < product.producers) shrink_vectors(product, number, few);

  float sums[groups][octets][4] = {};
  multiply_weight(all, first_row, sums);
  const Index warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, thread = threadIdx.x % 4;
#pragma unroll
  for (int j = 0; j < groups; ++j)
#pragma unroll
    for (int k = 0; k < octets; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        shared[(warp * rows + 16 * j + 8 * (i / 2) + group) * tokens + 8 * k + 2 * thread + i % 2] =
            sums[j][k][i];
  if (threadIdx.x == 0) {
    const volatile unsigned* const vectors = &product.progress->vectors;
    while (*vectors < all.vectors) pause();
    __threadfence();
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < rows * tokens; i += thin_threads) {
    const int row = i % rows, token = i / rows;
    if (first_row + row >= all.out || token >= all.tokens) continue;
    float sum = added(product, token, first_row + row);
    for (int j = 0; j < thin_warps; ++j) sum += shared[(j * rows + row) * tokens + token];
    all.y[token * all.out + first_row + row] = scalar_cast<Scalar>(sum);
  }
  __syncthreads();
  if (threadIdx.x == 0 && atomicAdd(&product.progress->done, 1u) + 1 == gridDim.x)
    *product.progress = {0, 0, 0};  // all others have passed their last look at it
}

template <int groups, int octets>
constexpr std::size_t thin_shared_bytes() {
  return (thin_warps * 16 * groups * 8 * octets + thin_warps + 1) * sizeof(float);
}

}  // namespace hyperblocks::cuda::kernels
