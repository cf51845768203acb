// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention of bf16 and half on tensor cores, forward: a warp to 16 rows of a key head, whose scores and sums
// stay in its registers; keys and values come by tiles, copied to shared memory while the tile before is
// worked on. As in attention.cuh the query heads that share a key head are rows of one product, and hidden
// keys count for nothing.
#pragma once

#include <hyperblocks/cuda/kernels/tensor_rows.cuh>

namespace hyperblocks::cuda::kernels {

/// Which of a tile's keys the two rows see that a lane has a part of.
template <class Tile, class Scalar>
struct WarpRows {
  const AttentionHead<Scalar>& at;
  Index row[2];
  bool there[2];
  KeyRange visible[2];

  /// `first` is the warp's first row.
  __device__ WarpRows(const AttentionHead<Scalar>& head, Index first) : at(head) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      row[half] = first + lane() / 4 + 8 * half;
      there[half] = row[half] < at.shape.rows;
      visible[half] = there[half] ? at.visible(row[half]) : KeyRange{0, 0};
    }
  }

  /// Whether every row of the warp sees all keys of the tile from `key` on.
  __device__ bool sees_all(Index key, Index size) const {
    bool all = size == Tile::rows && at.shape.options.mask.allowed == nullptr;
    for (int half = 0; half < 2; ++half)
      all = all && there[half] && visible[half].begin <= key && key + Tile::rows <= visible[half].end;
    return __all_sync(0xffffffffu, all);
  }
  __device__ bool sees(int half, Index key) const {
    return there[half] && at.sees(row[half], key, visible[half]);
  }
};

/// What a warp keeps of its rows.
template <class Tile, class Scalar>
struct WarpAttention {
  WarpRows<Tile, Scalar> rows;
  float largest[2] = {-HUGE_VALF, -HUGE_VALF}, sum[2] = {0, 0};
  std::uint32_t hidden[2] = {0, 0};
  float scores[Tile::blocks][4];
  float sums[Tile::width_blocks][4] = {};

  __device__ WarpAttention(const AttentionHead<Scalar>& at, Index first) : rows(at, first) {}

  /// Probabilities, not yet divided by their sum, in place of the scores; zeros for what is hidden.
  __device__ void exponentiate(Index key, bool all) {
    const auto scale = static_cast<float>(rows.at.shape.options.scale);
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = largest[half];
      hidden[half] = 0;
#pragma unroll
      for (int i = 0; i < 2 * Tile::blocks; ++i) {
        float& score = scores[i / 2][2 * half + i % 2];
        score = rows.at.capped(scale * score);
        if (!all && !rows.sees(half, key + column_of(i)))
          hidden[half] |= std::uint32_t{1} << i;
        else
          most = LargestNumber()(most, score);
      }
      most = quad_reduce(most, LargestNumber());
      const float shift = most == -HUGE_VALF ? 0.0f : most;
      factor[half] = std::exp(largest[half] - shift), largest[half] = most;
      float added = 0;
#pragma unroll
      for (int i = 0; i < 2 * Tile::blocks; ++i) {
        float& score = scores[i / 2][2 * half + i % 2];
        score = (hidden[half] >> i & 1u) != 0 ? 0.0f : std::exp(score - shift);
        added += score;
      }
      sum[half] = sum[half] * factor[half] + added;
    }
#pragma unroll
    for (int block = 0; block < Tile::width_blocks; ++block)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[block][i] *= factor[i / 2];
  }

  template <class Out>
  __device__ void finish(const Heads<Out>& out, float* log_sum_exp) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float total = quad_reduce(sum[half], Plus());
      if (!rows.there[half]) continue;
      if (log_sum_exp != nullptr && lane() % 4 == 0)
        log_sum_exp[rows.at.number_of(rows.row[half])] = largest[half] + std::log(total);
      write_row_part<Tile>(sums, half, total == 0 ? 0.0f : 1 / total, rows.at.row_of(out, rows.row[half]),
                           out.width);
    }
  }
};

/// Numbers of shared memory that the kernel wants.
template <class Tile>
constexpr Index tensor_forward_numbers(int warps) {
  return (warps * warp_rows + 2 * Tile::rows) * Tile::stride;
}

/// A block to warp_rows rows for each of its warps; the blocks of a head follow one another. Shares of the
/// keys are written in float.
template <int width, class Scalar, class Out>
__global__ void __launch_bounds__(32 * most_warps)
    attention_forward_tensor(AttentionShape<Scalar> shape, Heads<Out> out, float* log_sum_exp) {
  using Tile = TensorTile<width>;
  move_to_share(shape, out, log_sum_exp);
  const int rows = static_cast<int>(blockDim.x) / 32 * warp_rows;
  const Index blocks = (shape.rows + rows - 1) / rows;
  const AttentionHead<Scalar> at(shape, blockIdx.x / blocks);
  const Index first = blockIdx.x % blocks * rows, count = std::min<Index>(rows, shape.rows - first);
  Scalar* const queries = shared_memory<Scalar>();
  Scalar* const keys = queries + rows * Tile::stride;
  Scalar* const values = keys + Tile::rows * Tile::stride;
  const auto size_of = [&](Index key) { return std::min<Index>(Tile::rows, at.keys - key); };
  const auto copy_keys = [&](Index key) {
    copy_rows<Tile>(keys, Tile::rows, size_of(key), shape.k.width,
                    [&](Index i) { return at.key_of(shape.k, key + i); });
  };
  const auto copy_values = [&](Index key) {
    copy_rows<Tile>(values, Tile::rows, size_of(key), shape.v.width,
                    [&](Index i) { return at.key_of(shape.v, key + i); });
  };

  const int warp = static_cast<int>(threadIdx.x) / 32;
  const Scalar* const own_queries = queries + warp * warp_rows * Tile::stride;
  WarpAttention<Tile, Scalar> own(at, first + warp * warp_rows);
  const KeyRange range = at.keys_of(first, first + count);
  Index key = range.begin / Tile::rows * Tile::rows;
  copy_rows<Tile>(queries, rows, count, shape.q.width,
                  [&](Index r) { return at.row_of(shape.q, first + r); });
  if (key < range.end) copy_keys(key);
  group_copies();
  for (; key < range.end; key += Tile::rows) {
    copy_values(key);
    group_copies();
    wait_for_copies<1>();  // the keys are there
    __syncthreads();
    multiply_rows<Tile>(own.scores, own_queries, keys);
    __syncthreads();  // nobody reads them any more
    if (key + Tile::rows < range.end) copy_keys(key + Tile::rows);
    group_copies();
    const bool all = own.rows.sees_all(key, size_of(key));
    own.exponentiate(key, all);
    wait_for_copies<1>();  // the values are there
    __syncthreads();
    add_visible<Tile>(own.sums, own.scores, own.hidden, all, values);
    __syncthreads();  // nobody reads the values any more
  }
  wait_for_copies<0>();
  own.finish(out, log_sum_exp);
}

}  // namespace hyperblocks::cuda::kernels
