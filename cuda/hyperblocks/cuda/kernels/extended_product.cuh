// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A product of some tens of rows with everything that is added to it, as one product with a longer sum:
//   y = [x | scale x A^T ...] [W | B ...]^T + bias + C ...
// or, of any rows, what updates add to a product that is there already: the same without x and W.
// The columns of x and W come by tiles, asynchronously, several ahead; behind them those of the updates,
// whose x A^T is there already. A warp has its part of y in registers; an update's sums are kept apart until
// they are whole and then added to the rows that it serves, so that an infinity in one adapter stays in its
// rows.
#pragma once

#include <hyperblocks/cuda/kernels/fused_update.cuh>
#include <hyperblocks/cuda/launch.cuh>
#include <hyperblocks/cuda/tensor_core.cuh>
#include <hyperblocks/cuda/tuning.cuh>

namespace hyperblocks::cuda::kernels {

template <class Scalar>
struct ExtendedProduct {
  FusedProduct<Scalar> all;
  const Scalar* shrunk[most_fused_updates] = {};  ///< (rows, rank) of every update: scale x A^T
};

/// A block's tile of y and its four warps, each with 32 columns and 16 `groups` rows of it. Rows in shared
/// memory are 16 bytes longer than they need be, so that eight of them lie in different banks.
template <int columns_>
struct ExtendedTile {
  static constexpr int threads = 128, rows = 64, columns = columns_, depth = tuning::extended_depth,
                       stages = tuning::extended_stages;
  static constexpr int warp_columns = 32, across = columns / warp_columns, groups = across;
  static constexpr int stride = depth + 8, numbers = (rows + columns) * stride;  // of a stage
  static_assert(rows * across == 4 * 16 * groups, "hyperblocks: four warps cover the tile");

  __device__ static int lane() { return static_cast<int>(threadIdx.x % 32); }
  __device__ static int first_row() { return static_cast<int>(threadIdx.x) / 32 / across * 16 * groups; }
  __device__ static int first_column() { return static_cast<int>(threadIdx.x) / 32 % across * warp_columns; }
  /// Of y's tile, where the i-th of the four sums of a group and an octet stands.
  __device__ static int row_of(int group, int i) {
    return first_row() + 16 * group + 8 * (i / 2) + lane() / 4;
  }
  __device__ static int column_of(int octet, int i) {
    return first_column() + 8 * octet + 2 * (lane() % 4) + i % 2;
  }
};

/// sums += left right^T over `depth` columns that lie in shared memory.
template <class Tile, class Scalar>
__device__ void multiply_staged(float (&sums)[Tile::groups][4][4], const Scalar* left, const Scalar* right,
                                int depth) {
  const int lane = Tile::lane();
  left += (Tile::first_row() + lane % 16) * Tile::stride + lane / 16 * 8;
  right += (Tile::first_column() + lane % 8 + lane / 16 * 8) * Tile::stride + lane / 8 % 2 * 8;
  for (int k = 0; k < depth; k += 16) {
    std::uint32_t a[Tile::groups][4], b[2][4];
#pragma unroll
    for (int i = 0; i < Tile::groups; ++i) load_matrices<false>(a[i], left + 16 * i * Tile::stride + k);
#pragma unroll
    for (int j = 0; j < 2; ++j) load_matrices<false>(b[j], right + 16 * j * Tile::stride + k);
#pragma unroll
    for (int i = 0; i < Tile::groups; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        multiply_add<Scalar>(sums[i][j], a[i], {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
  }
}

/// sums += x W^T
template <class Tile, class Scalar>
__device__ void multiply_streamed(float (&sums)[Tile::groups][4][4], const FusedProduct<Scalar>& all,
                                  Index first_token, Index first_out, Scalar* shared) {
  constexpr int chunk = 8, chunks = Tile::depth / chunk;
  const Index tiles = (all.in + Tile::depth - 1) / Tile::depth;
  const auto stage_of = [&](Index tile) { return shared + tile % Tile::stages * Tile::numbers; };
  const auto copy = [&](Index tile) {
    if (tile < tiles)
      for (int i = static_cast<int>(threadIdx.x); i < (Tile::rows + Tile::columns) * chunks;
           i += Tile::threads) {
        const int row = i / chunks, column = i % chunks * chunk;
        const bool is_x = row < Tile::rows;
        const Index at = is_x ? first_token + row : first_out + row - Tile::rows;
        const Index k = tile * Tile::depth + column;
        const bool wanted = at < (is_x ? all.tokens : all.out) && k < all.in;
        copy_later(stage_of(tile) + row * Tile::stride + column,
                   (is_x ? all.x : all.weight) + (wanted ? at * all.in + k : 0), wanted);
      }
    group_copies();
  };
  for (int tile = 0; tile < Tile::stages - 1; ++tile) copy(tile);
  for (Index tile = 0; tile < tiles; ++tile) {
    wait_for_copies<Tile::stages - 2>();
    __syncthreads();                // the tile is there for all, and nobody reads the one before
    copy(tile + Tile::stages - 1);  // to its place
    multiply_staged<Tile>(sums, stage_of(tile), stage_of(tile) + Tile::rows * Tile::stride, Tile::depth);
  }
  wait_for_copies<0>();
}

/// sums += shrunk B^T, in the rows that the update serves.
template <class Tile, class Scalar>
__device__ void add_update(float (&sums)[Tile::groups][4][4], const ExtendedProduct<Scalar>& product,
                           int number, Index first_token, Index first_out, Scalar* shared) {
  constexpr int depth = 16;
  const FusedProduct<Scalar>& all = product.all;
  const FusedUpdate<Scalar>& update = all.updates[number];
  float added[Tile::groups][4][4] = {};
  for (Index first = 0; first < update.rank; first += depth) {
    __syncthreads();  // nobody reads what was staged before
    for (int i = static_cast<int>(threadIdx.x); i < (Tile::rows + Tile::columns) * depth;
         i += Tile::threads) {
      const int row = i / depth, column = i % depth;
      const Index token = first_token + row, out = first_out + row - Tile::rows, j = first + column;
      Scalar staged{};
      if (j < update.rank && row < Tile::rows) {
        if (update.serves(token))
          staged = product.shrunk[number][(token - update.first_row) * update.rank + j];
      } else if (j < update.rank && out < all.out) {
        staged = update.b_of(j, out, all.out);
      }
      shared[row * Tile::stride + column] = staged;
    }
    __syncthreads();
    multiply_staged<Tile>(added, shared, shared + Tile::rows * Tile::stride, depth);
  }
#pragma unroll
  for (int i = 0; i < Tile::groups; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (update.serves(first_token + Tile::row_of(i, k))) sums[i][j][k] += added[i][j][k];
}

/// y(token, out) and y(token, out + 1), as far as there are such, with what is added whatever x is.
template <class Scalar>
__device__ void write_pair(const FusedProduct<Scalar>& all, Index token, Index out, float first,
                           float second) {
  if (token >= all.tokens || out >= all.out) return;
  Scalar* const to = all.y + token * all.out + out;
  const auto whole = [&](Index i, float sum) {
    return scalar_cast<Scalar>(sum + all.constant(token, out + i) + (all.adds ? wide(to[i]) : 0.0f));
  };
  const bool both = out + 1 < all.out;
  if (both && reinterpret_cast<std::uintptr_t>(to) % (2 * sizeof(Scalar)) == 0) {
    store<2>(to, 0, {whole(0, first), whole(1, second)});
  } else {
    to[0] = whole(0, first);
    if (both) to[1] = whole(1, second);
  }
}

/// A block to a tile of y: columns along x, rows along y.
template <class Tile, class Scalar>
__global__ void __launch_bounds__(Tile::threads)
    extended_product(const __grid_constant__ ExtendedProduct<Scalar> product) {
  const FusedProduct<Scalar>& all = product.all;
  const Index first_token = Index{blockIdx.y} * Tile::rows, first_out = Index{blockIdx.x} * Tile::columns;
  Scalar* const shared = shared_memory<Scalar>();
  float sums[Tile::groups][4][4] = {};
  multiply_streamed<Tile>(sums, all, first_token, first_out, shared);
  for (int i = 0; i < all.update_count; ++i) {
    const FusedUpdate<Scalar>& update = all.updates[i];
    const bool here =
        update.first_row < first_token + Tile::rows && first_token < update.first_row + update.rows;
    if (here && update.rank > 0) add_update<Tile>(sums, product, i, first_token, first_out, shared);
  }
#pragma unroll
  for (int i = 0; i < Tile::groups; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int k = 0; k < 4; k += 2)
        write_pair(all, first_token + Tile::row_of(i, k), first_out + Tile::column_of(j, k), sums[i][j][k],
                   sums[i][j][k + 1]);
}

}  // namespace hyperblocks::cuda::kernels
