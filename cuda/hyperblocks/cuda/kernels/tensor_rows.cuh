// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What attention's kernels on tensor cores share: rows of heads in shared memory, and the products of a
// warp's 16 rows with a tile of others. Of a warp's matrix lane 4 g + t has, in every eight columns, the
// columns 2t and 2t + 1 of rows g and g + 8: numbers[block][2 half + second].
#pragma once

#include <hyperblocks/cuda/kernels/attention.cuh>
#include <hyperblocks/cuda/tensor_core.cuh>

namespace hyperblocks::cuda::kernels {

inline constexpr int warp_rows = 16, most_warps = 4;

/// Sizes for heads of at most `width` numbers, met by so many rows at a time. Rows in shared memory are 16
/// bytes longer than they need be, so that eight of them lie in different banks.
template <int width_, int rows_ = width_ <= 128 ? 64 : 32>
struct TensorTile {
  static constexpr int width = width_, stride = width + 8, width_blocks = width / 8;
  static constexpr int rows = rows_, blocks = rows / 8;
};

__device__ inline int lane() { return static_cast<int>(threadIdx.x % 32); }
/// Where in a tile the i-th number of a row is that this lane has.
__device__ inline Index column_of(int i) { return i / 2 * 8 + 2 * (lane() % 4) + i % 2; }

/// Over the four lanes that share a row.
template <class F>
__device__ float quad_reduce(float value, F combine) {
  value = combine(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return combine(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

/// Two numbers side by side in a register.
template <class Scalar>
__device__ std::uint32_t pair_of(float first, float second) {
  return scalar_cast<Scalar>(first).bits | static_cast<std::uint32_t>(scalar_cast<Scalar>(second).bits) << 16;
}

/// Copies `count` rows of `width` numbers, zeros beyond both, to rows [0, rows) of shared memory, at some
/// time.
template <class Tile, class Scalar, class Row>
__device__ void copy_rows(Scalar* to, int rows, Index count, Index width, Row row_of) {
  constexpr int chunk = 8, chunks = Tile::width / chunk;
  for (int i = static_cast<int>(threadIdx.x); i < rows * chunks; i += static_cast<int>(blockDim.x)) {
    const int row = i / chunks, column = i % chunks * chunk;
    const bool wanted = row < count && column < width;
    copy_later(to + row * Tile::stride + column, row_of(wanted ? row : 0) + (wanted ? column : 0), wanted);
  }
}

/// scores (16, rows) = left (16, width) right (rows, width)^T
template <class Tile, class Scalar>
__device__ void multiply_rows(float (&scores)[Tile::blocks][4], const Scalar* left, const Scalar* right) {
#pragma unroll
  for (int block = 0; block < Tile::blocks; ++block)
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[block][i] = 0;
#pragma unroll
  for (int k = 0; k < Tile::width; k += 16) {
    std::uint32_t a[4];  // rows g and g + 8, columns from k and from k + 8
    load_matrices<false>(a, left + lane() % 16 * Tile::stride + k + lane() / 16 * 8);
#pragma unroll
    for (int block = 0; block < Tile::blocks; block += 2) {
      std::uint32_t b[4];  // two blocks of eight rows, columns from k and from k + 8
      load_matrices<false>(
          b, right + (block * 8 + lane() % 8 + lane() / 16 * 8) * Tile::stride + k + lane() / 8 % 2 * 8);
      multiply_add<Scalar>(scores[block], a, {b[0], b[1]});
      multiply_add<Scalar>(scores[block + 1], a, {b[2], b[3]});
    }
  }
}

/// sums (16, width) += weights (16, rows) right (rows, width)
template <class Tile, class Scalar>
__device__ void add_weighted(float (&sums)[Tile::width_blocks][4], const float (&weights)[Tile::blocks][4],
                             const Scalar* right) {
#pragma unroll
  for (int k = 0; k < Tile::rows; k += 16) {
    const auto &low = weights[k / 8], &high = weights[k / 8 + 1];
    const std::uint32_t a[4] = {pair_of<Scalar>(low[0], low[1]), pair_of<Scalar>(low[2], low[3]),
                                pair_of<Scalar>(high[0], high[1]), pair_of<Scalar>(high[2], high[3])};
#pragma unroll
    for (int block = 0; block < Tile::width_blocks; block += 2) {
      std::uint32_t b[4];  // rows from k and from k + 8, two blocks of eight columns
      load_matrices<true>(b, right + (k + lane() % 16) * Tile::stride + block * 8 + lane() / 16 * 8);
      multiply_add<Scalar>(sums[block], a, {b[0], b[1]});
      multiply_add<Scalar>(sums[block + 1], a, {b[2], b[3]});
    }
  }
}

/// The same number by number, hidden pairs left out; `hidden` has a bit for each number of a row that this
/// lane has.
template <class Tile, class Scalar>
__device__ void add_seen(float (&sums)[Tile::width_blocks][4], const float (&weights)[Tile::blocks][4],
                         const std::uint32_t (&hidden)[2], const Scalar* right) {
#pragma unroll
  for (int i = 0; i < 2 * Tile::blocks; ++i)  // registers have no numbers at run time
    for (int pair = 0; pair < 4; ++pair) {
      const int owner = lane() / 4 * 4 + pair, row = i / 2 * 8 + 2 * pair + i % 2;
      float weight[2];
      bool seen[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        weight[half] = __shfl_sync(0xffffffffu, weights[i / 2][2 * half + i % 2], owner);
        seen[half] = (__shfl_sync(0xffffffffu, hidden[half], owner) >> i & 1u) == 0;
      }
#pragma unroll
      for (int block = 0; block < Tile::width_blocks; ++block)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (seen[j / 2])
            sums[block][j] +=
                weight[j / 2] * wide(right[row * Tile::stride + block * 8 + 2 * (lane() % 4) + j % 2]);
    }
}

/// Either: where some pairs are hidden, whose weights are zeros, and the rows are not finite, zeros are not
/// enough.
template <class Tile, class Scalar>
__device__ void add_visible(float (&sums)[Tile::width_blocks][4], const float (&weights)[Tile::blocks][4],
                            const std::uint32_t (&hidden)[2], bool all, const Scalar* right) {
  bool finite = true;
  if (!all)
    for (int i = lane(); i < Tile::rows * Tile::width; i += 32)
      finite = finite && wide(right[i / Tile::width * Tile::stride + i % Tile::width]) * 0 == 0;
  if (__all_sync(0xffffffffu, finite))
    add_weighted<Tile>(sums, weights, right);
  else
    add_seen<Tile>(sums, weights, hidden, right);
}

/// A lane's part of row `half`, times a factor.
template <class Tile, class Out>
__device__ void write_row_part(const float (&sums)[Tile::width_blocks][4], int half, float factor, Out* to,
                               Index width) {
#pragma unroll
  for (int block = 0; block < Tile::width_blocks; ++block) {
    const Index column = column_of(2 * block);
    if (column < width)
      store<2>(to, column / 2,
               {scalar_cast<Out>(factor * sums[block][2 * half]),
                scalar_cast<Out>(factor * sums[block][2 * half + 1])});
  }
}

}  // namespace hyperblocks::cuda::kernels
