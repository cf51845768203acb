// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention of bf16 and half on tensor cores, backward, heads up to 128 wide:
//   p = e^(scores - log_sum_exp), ds = p (dout v^T - along), dv = p^T dout, dk = ds^T q, dq = ds k
// dk and dv by a warp to 16 keys, over tiles of rows, dq by a warp to 16 rows, over tiles of keys: every
// number has one writer. The matrices of the first are the transposes of the second's.
#pragma once

#include <hyperblocks/cuda/kernels/attention_tensor.cuh>

namespace hyperblocks::cuda::kernels {

/// A score and <dout, v> become p and ds.
template <class Scalar>
__device__ void score_gradient(const AttentionHead<Scalar>& at, bool seen, float log_sum_exp, float along,
                               float& score, float& slope) {
  const AttentionOptions& options = at.shape.options;
  const auto cap = static_cast<float>(options.soft_cap);
  const float value = at.capped(static_cast<float>(options.scale) * score);
  score = seen ? std::exp(value - log_sum_exp) : 0.0f;
  slope = score == 0 ? 0.0f : score * (slope - along);
  if (cap > 0 && score != 0) slope *= 1 - value * value / (cap * cap);
}

/// With fewer rows than forward: a warp keeps two matrices of scores, and dk and dv.
template <int width>
using BackwardTensorTile = TensorTile<width, width <= 64 ? 64 : 32>;

/// Numbers of shared memory that either kernel wants, and floats besides.
template <class Tile>
constexpr Index tensor_backward_numbers(int warps) {
  return 2 * (warps * warp_rows + Tile::rows) * Tile::stride;
}
template <class Tile>
constexpr Index tensor_backward_floats() {
  return 2 * Tile::rows;
}

/// Four parts of shared memory: a block's own rows of two kinds, and a tile's of the two others.
template <class Tile, class Scalar>
struct BackwardRows {
  Scalar *first_own, *second_own, *first_tile, *second_tile;
  float* floats;

  __device__ explicit BackwardRows(int own) {
    first_own = shared_memory<Scalar>(), second_own = first_own + own * Tile::stride;
    first_tile = second_own + own * Tile::stride, second_tile = first_tile + Tile::rows * Tile::stride;
    floats = reinterpret_cast<float*>(second_tile + Tile::rows * Tile::stride);
  }
};

/// dk and dv; a block to warp_rows keys for each of its warps.
template <int width, class Scalar>
__global__ void __launch_bounds__(32 * most_warps)
    attention_backward_keys_tensor(AttentionShape<Scalar> shape, AttentionGradients<Scalar> gradients) {
  using Tile = BackwardTensorTile<width>;
  const int own = static_cast<int>(blockDim.x) / 32 * warp_rows, warp = static_cast<int>(threadIdx.x) / 32;
  const Index blocks = (shape.k.tokens + own - 1) / own;
  const AttentionHead<Scalar> at(shape, blockIdx.x / blocks);
  const Index key = blockIdx.x % blocks * own, size = std::min<Index>(own, shape.k.tokens - key);
  const Index own_key = key + warp * warp_rows;
  const BackwardRows<Tile, Scalar> rows(own);
  float *const log_sum_exp = rows.floats, *const along = rows.floats + Tile::rows;
  copy_rows<Tile>(rows.first_own, own, size, shape.k.width,
                  [&](Index i) { return at.key_of(shape.k, key + i); });
  copy_rows<Tile>(rows.second_own, own, size, shape.v.width,
                  [&](Index i) { return at.key_of(shape.v, key + i); });

  float scores[Tile::blocks][4], slopes[Tile::blocks][4];
  float dkeys[Tile::width_blocks][4] = {}, dvalues[Tile::width_blocks][4] = {};
  for (Index first = 0; first < shape.rows; first += Tile::rows) {
    const Index count = std::min<Index>(Tile::rows, shape.rows - first);
    const KeyRange range = at.keys_of(first, first + count);
    if (range.end <= key || range.begin >= key + size) continue;
    copy_rows<Tile>(rows.first_tile, Tile::rows, count, shape.q.width,
                    [&](Index r) { return at.row_of(shape.q, first + r); });
    copy_rows<Tile>(rows.second_tile, Tile::rows, count, shape.v.width,
                    [&](Index r) { return at.row_of(gradients.dout, first + r); });
    group_copies();
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
      const Index number = at.number_of(first + i);
      log_sum_exp[i] = gradients.log_sum_exp[number], along[i] = gradients.along[number];
    }
    wait_for_copies<0>();
    __syncthreads();
    const int offset = warp * warp_rows * Tile::stride;
    multiply_rows<Tile>(scores, rows.first_own + offset, rows.first_tile);
    multiply_rows<Tile>(slopes, rows.second_own + offset, rows.second_tile);
    // The ends of what rows see grow with the row.
    const bool all = count == Tile::rows && own_key + warp_rows <= shape.k.tokens &&
                     shape.options.mask.allowed == nullptr &&
                     at.visible(first + count - 1).begin <= own_key &&
                     own_key + warp_rows <= at.visible(first).end;
    std::uint32_t hidden[2] = {0, 0};
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 2 * Tile::blocks; ++i) {
        const Index r = column_of(i), k = own_key + lane() / 4 + 8 * half;
        const bool seen = all || (r < count && k < shape.k.tokens && at.sees(first + r, k));
        if (!seen) hidden[half] |= std::uint32_t{1} << i;
        score_gradient(at, seen, seen ? log_sum_exp[r] : 0.0f, seen ? along[r] : 0.0f,
                       scores[i / 2][2 * half + i % 2], slopes[i / 2][2 * half + i % 2]);
      }
    add_visible<Tile>(dvalues, scores, hidden, all, rows.second_tile);
    add_visible<Tile>(dkeys, slopes, hidden, all, rows.first_tile);
    __syncthreads();
  }
  group_copies();  // own rows, where no tile came
  wait_for_copies<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Index k = own_key + lane() / 4 + 8 * half;
    if (k >= shape.k.tokens) continue;
    write_row_part<Tile>(dkeys, half, static_cast<float>(shape.options.scale), at.key_of(gradients.dk, k),
                         shape.k.width);
    write_row_part<Tile>(dvalues, half, 1.0f, at.key_of(gradients.dv, k), shape.v.width);
  }
}

/// dq; a block to warp_rows rows for each of its warps.
template <int width, class Scalar>
__global__ void __launch_bounds__(32 * most_warps)
    attention_backward_rows_tensor(AttentionShape<Scalar> shape, AttentionGradients<Scalar> gradients) {
  using Tile = BackwardTensorTile<width>;
  const int own = static_cast<int>(blockDim.x) / 32 * warp_rows, warp = static_cast<int>(threadIdx.x) / 32;
  const Index blocks = (shape.rows + own - 1) / own;
  const AttentionHead<Scalar> at(shape, blockIdx.x / blocks);
  const Index first = blockIdx.x % blocks * own, count = std::min<Index>(own, shape.rows - first);
  const BackwardRows<Tile, Scalar> rows(own);
  copy_rows<Tile>(rows.first_own, own, count, shape.q.width,
                  [&](Index r) { return at.row_of(shape.q, first + r); });
  copy_rows<Tile>(rows.second_own, own, count, shape.v.width,
                  [&](Index r) { return at.row_of(gradients.dout, first + r); });
  const WarpRows<Tile, Scalar> warp_of(at, first + warp * warp_rows);
  float log_sum_exp[2], along[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Index number = warp_of.there[half] ? at.number_of(warp_of.row[half]) : 0;
    log_sum_exp[half] = gradients.log_sum_exp[number], along[half] = gradients.along[number];
  }

  float scores[Tile::blocks][4], slopes[Tile::blocks][4], dqueries[Tile::width_blocks][4] = {};
  const KeyRange range = at.keys_of(first, first + count);
  for (Index key = range.begin / Tile::rows * Tile::rows; key < range.end; key += Tile::rows) {
    const Index size = std::min<Index>(Tile::rows, shape.k.tokens - key);
    copy_rows<Tile>(rows.first_tile, Tile::rows, size, shape.k.width,
                    [&](Index i) { return at.key_of(shape.k, key + i); });
    copy_rows<Tile>(rows.second_tile, Tile::rows, size, shape.v.width,
                    [&](Index i) { return at.key_of(shape.v, key + i); });
    group_copies();
    wait_for_copies<0>();
    __syncthreads();
    const int offset = warp * warp_rows * Tile::stride;
    multiply_rows<Tile>(scores, rows.first_own + offset, rows.first_tile);
    multiply_rows<Tile>(slopes, rows.second_own + offset, rows.second_tile);
    const bool all = warp_of.sees_all(key, size);
    std::uint32_t hidden[2] = {0, 0};
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 2 * Tile::blocks; ++i) {
        const bool seen = all || warp_of.sees(half, key + column_of(i));
        if (!seen) hidden[half] |= std::uint32_t{1} << i;
        score_gradient(at, seen, log_sum_exp[half], along[half], scores[i / 2][2 * half + i % 2],
                       slopes[i / 2][2 * half + i % 2]);
      }
    add_visible<Tile>(dqueries, slopes, hidden, all, rows.first_tile);
    __syncthreads();
  }
  group_copies();  // own rows, where no tile came
  wait_for_copies<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (warp_of.there[half])
      write_row_part<Tile>(dqueries, half, static_cast<float>(shape.options.scale),
                           at.row_of(gradients.dq, warp_of.row[half]), shape.q.width);
}

}  // namespace hyperblocks::cuda::kernels
