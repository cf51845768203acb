// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention of bf16 and half on tensor cores, forward: a warp to 16 rows of a key head, whose queries, scores
// and sums stay in its registers; keys and values come by tiles, copied to shared memory while the tile
// before is worked on. As in attention.cuh the query heads that share a key head are rows of one product, and
// hidden keys count for nothing.
#pragma once

#include <hyperblocks/cuda/kernels/attention.cuh>
#include <hyperblocks/cuda/tensor_core.cuh>

namespace hyperblocks::cuda::kernels {

inline constexpr int warp_rows = 16, most_warps = 4;

/// Sizes for heads of at most `width` numbers. Rows in shared memory are 16 bytes longer than they need be,
/// so that eight of them lie in different banks.
template <int width_>
struct TensorTile {
  static constexpr int width = width_, stride = width + 8;
  static constexpr int keys = width <= 128 ? 64 : 32;
  static constexpr std::size_t shared_bytes(int warps) {
    return (warps * warp_rows + 2 * keys) * stride * std::size_t{2};
  }
};

/// Two numbers side by side in a register.
template <class Scalar>
__device__ std::uint32_t pair_of(float first, float second) {
  return scalar_cast<Scalar>(first).bits | static_cast<std::uint32_t>(scalar_cast<Scalar>(second).bits) << 16;
}

/// Copies `count` rows of `width` numbers, zeros beyond both, to rows [0, rows) of shared memory.
template <class Tile, class Scalar, class Row>
__device__ void copy_rows(Scalar* to, int rows, Index count, Index width, Row row_of) {
  constexpr int chunk = 8, chunks = Tile::width / chunk;
  for (int i = static_cast<int>(threadIdx.x); i < rows * chunks; i += static_cast<int>(blockDim.x)) {
    const int row = i / chunks, column = i % chunks * chunk;
    const bool wanted = row < count && column < width;
    copy_later(to + row * Tile::stride + column, row_of(wanted ? row : 0) + (wanted ? column : 0), wanted);
  }
}

/// What a warp keeps of its 16 rows: a lane has parts of two of them, g and g + 8.
template <class Tile, class Scalar>
class WarpAttention {
  static constexpr int key_blocks = Tile::keys / 8, width_blocks = Tile::width / 8;

 public:
  /// `first` is the warp's first row.
  __device__ WarpAttention(const AttentionHead<Scalar>& at, Index first) : at_(at) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      row_[half] = first + lane() / 4 + 8 * half;
      there_[half] = row_[half] < at.shape.rows;
      visible_[half] = there_[half] ? at.visible(row_[half]) : KeyRange{0, 0};
      largest_[half] = -HUGE_VALF, sum_[half] = 0;
    }
  }

  /// scores = queries keys^T: `queries` are the warp's own rows in shared memory.
  __device__ void multiply_keys(const Scalar* queries, const Scalar* keys) {
    clear(scores_);
#pragma unroll
    for (int k = 0; k < Tile::width; k += 16) {
      std::uint32_t left[4];
      // The four matrices of the left: rows g and g + 8, columns from k and from k + 8.
      load_matrices<false>(left, queries + (lane() % 16) * Tile::stride + k + lane() / 16 * 8);
#pragma unroll
      for (int block = 0; block < key_blocks; block += 2) {
        std::uint32_t right[4];  // two blocks of eight keys, columns from k and from k + 8
        load_matrices<false>(
            right, keys + (block * 8 + lane() % 8 + lane() / 16 * 8) * Tile::stride + k + lane() / 8 % 2 * 8);
        multiply_add<Scalar>(scores_[block], left, {right[0], right[1]});
        multiply_add<Scalar>(scores_[block + 1], left, {right[2], right[3]});
      }
    }
  }

  /// Whether every row of the warp sees all of a tile's keys.
  __device__ bool sees_all(Index key, Index size) const {
    bool all = size == Tile::keys && at_.shape.options.mask.allowed == nullptr;
    for (int half = 0; half < 2; ++half)
      all = all && there_[half] && visible_[half].begin <= key && key + Tile::keys <= visible_[half].end;
    return __all_sync(0xffffffffu, all);
  }

  /// Probabilities, not yet divided by their sum, in place of the scores; hidden ones are marked.
  __device__ void exponentiate(Index key, Index size, bool all) {
    const auto scale = static_cast<float>(at_.shape.options.scale);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = largest_[half];
#pragma unroll
      for (int i = 0; i < 2 * key_blocks; ++i) {
        float& score = scores_[i / 2][2 * half + i % 2];
        score = at_.capped(scale * score);
        if (!all && !sees(half, key, key_of(i), size)) hidden_[half] |= std::uint32_t{1} << i;
        if (!hidden(half, i)) most = LargestNumber()(most, score);
      }
      most = quad_reduce(most, LargestNumber());
      const float shift = most == -HUGE_VALF ? 0.0f : most;
      factor_[half] = std::exp(largest_[half] - shift), largest_[half] = most;
      float added = 0;
#pragma unroll
      for (int i = 0; i < 2 * key_blocks; ++i) {
        float& score = scores_[i / 2][2 * half + i % 2];
        score = hidden(half, i) ? 0.0f : std::exp(score - shift);
        added += score;
      }
      sum_[half] = sum_[half] * factor_[half] + added;
    }
#pragma unroll
    for (int block = 0; block < width_blocks; ++block)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums_[block][i] *= factor_[i / 2];
  }

  /// sums += probabilities values.
  __device__ void multiply_values(const Scalar* values) {
#pragma unroll
    for (int k = 0; k < Tile::keys; k += 16) {
      const auto &low = scores_[k / 8], &high = scores_[k / 8 + 1];
      const std::uint32_t left[4] = {pair_of<Scalar>(low[0], low[1]), pair_of<Scalar>(low[2], low[3]),
                                     pair_of<Scalar>(high[0], high[1]), pair_of<Scalar>(high[2], high[3])};
#pragma unroll
      for (int block = 0; block < width_blocks; block += 2) {
        std::uint32_t right[4];  // keys from k and from k + 8, two blocks of eight columns
        load_matrices<true>(right, values + (k + lane() % 16) * Tile::stride + block * 8 + lane() / 16 * 8);
        multiply_add<Scalar>(sums_[block], left, {right[0], right[1]});
        multiply_add<Scalar>(sums_[block + 1], left, {right[2], right[3]});
      }
    }
  }
  /// The same where values that some rows do not see are not finite: number by number, the hidden left out.
  __device__ void multiply_seen_values(const Scalar* values) {
#pragma unroll
    for (int i = 0; i < 2 * key_blocks; ++i)  // registers have no numbers at run time
      for (int pair = 0; pair < 4; ++pair) {
        const int owner = static_cast<int>(lane() / 4 * 4) + pair, key = i / 2 * 8 + 2 * pair + i % 2;
        float probability[2];
        bool seen[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          probability[half] = __shfl_sync(0xffffffffu, scores_[i / 2][2 * half + i % 2], owner);
          seen[half] = (__shfl_sync(0xffffffffu, hidden_[half], owner) >> i & 1u) == 0;
        }
#pragma unroll
        for (int block = 0; block < width_blocks; ++block)
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (seen[j / 2])
              sums_[block][j] += probability[j / 2] *
                                 wide(values[key * Tile::stride + block * 8 + 2 * (lane() % 4) + j % 2]);
      }
  }
  __device__ void forget_hidden() { hidden_[0] = hidden_[1] = 0; }

  __device__ void finish(const Heads<Scalar>& out, float* log_sum_exp) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = quad_reduce(sum_[half], Plus());
      if (!there_[half]) continue;
      const float factor = sum == 0 ? 0.0f : 1 / sum;
      if (log_sum_exp != nullptr && lane() % 4 == 0)
        log_sum_exp[at_.number_of(row_[half])] = largest_[half] + std::log(sum);
      Scalar* const to = at_.row_of(out, row_[half]);
#pragma unroll
      for (int block = 0; block < width_blocks; ++block) {
        const Index column = block * 8 + 2 * (lane() % 4);
        if (column < out.width)
          *reinterpret_cast<std::uint32_t*>(to + column) =
              pair_of<Scalar>(factor * sums_[block][2 * half], factor * sums_[block][2 * half + 1]);
      }
    }
  }

 private:
  __device__ static unsigned lane() { return threadIdx.x % 32; }
  template <int blocks>
  __device__ static void clear(float (&numbers)[blocks][4]) {
#pragma unroll
    for (int block = 0; block < blocks; ++block)
#pragma unroll
      for (int i = 0; i < 4; ++i) numbers[block][i] = 0;
  }
  /// Over the four lanes that share a row.
  template <class F>
  __device__ static float quad_reduce(float value, F combine) {
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return combine(value, __shfl_xor_sync(0xffffffffu, value, 2));
  }
  /// Where in a tile the i-th score of a row is that this lane has.
  __device__ static Index key_of(int i) { return i / 2 * 8 + 2 * (lane() % 4) + i % 2; }
  __device__ bool hidden(int half, int i) const { return (hidden_[half] >> i & 1u) != 0; }
  __device__ bool sees(int half, Index key, Index i, Index size) const {
    if (!there_[half] || i >= size || key + i < visible_[half].begin || key + i >= visible_[half].end)
      return false;
    const AttentionMask& mask = at_.shape.options.mask;
    const std::uint8_t* const allowed =
        mask.row(at_.sequence, at_.query_head(row_[half]), at_.query(row_[half]));
    return allowed == nullptr || allowed[(key + i) * mask.key_stride] != 0;
  }
  const AttentionHead<Scalar>& at_;
  Index row_[2];
  bool there_[2];
  KeyRange visible_[2];
  float largest_[2], sum_[2], factor_[2];
  std::uint32_t hidden_[2] = {0, 0};  ///< a bit for each of a row's scores that this lane has
  float scores_[key_blocks][4];
  float sums_[width_blocks][4] = {};
};

/// A block to warp_rows rows for each of its warps; the blocks of a head follow one another.
template <int width, class Scalar>
__global__ void __launch_bounds__(32 * most_warps)
    attention_forward_tensor(AttentionShape<Scalar> shape, Heads<Scalar> out, float* log_sum_exp) {
  using Tile = TensorTile<width>;
  const int rows = static_cast<int>(blockDim.x) / 32 * warp_rows;
  const Index blocks = (shape.rows + rows - 1) / rows;
  const AttentionHead<Scalar> at(shape, blockIdx.x / blocks);
  const Index first = blockIdx.x % blocks * rows, count = std::min<Index>(rows, shape.rows - first);
  Scalar* const queries = shared_memory<Scalar>();
  Scalar* const keys = queries + rows * Tile::stride;
  Scalar* const values = keys + Tile::keys * Tile::stride;
  const auto size_of = [&](Index key) { return std::min<Index>(Tile::keys, shape.k.tokens - key); };
  const auto copy_keys = [&](Index key) {
    copy_rows<Tile>(keys, Tile::keys, size_of(key), shape.k.width,
                    [&](Index i) { return at.key_of(shape.k, key + i); });
  };
  const auto copy_values = [&](Index key) {
    copy_rows<Tile>(values, Tile::keys, size_of(key), shape.v.width,
                    [&](Index i) { return at.key_of(shape.v, key + i); });
  };

  const int warp = static_cast<int>(threadIdx.x) / 32;
  const Scalar* const own_queries = queries + warp * warp_rows * Tile::stride;
  WarpAttention<Tile, Scalar> own(at, first + warp * warp_rows);
  const KeyRange range = at.keys_of(first, first + count);
  Index key = range.begin / Tile::keys * Tile::keys;
  copy_rows<Tile>(queries, rows, count, shape.q.width,
                  [&](Index r) { return at.row_of(shape.q, first + r); });
  if (key < range.end) copy_keys(key);
  group_copies();
  for (; key < range.end; key += Tile::keys) {
    copy_values(key);
    group_copies();
    wait_for_copies<1>();  // the keys are there
    __syncthreads();
    own.multiply_keys(own_queries, keys);
    __syncthreads();  // nobody reads them any more
    if (key + Tile::keys < range.end) copy_keys(key + Tile::keys);
    group_copies();
    const bool all = own.sees_all(key, size_of(key));
    own.exponentiate(key, size_of(key), all);
    wait_for_copies<1>();  // the values are there
    __syncthreads();
    bool finite = true;
    if (!all)
      for (int i = static_cast<int>(threadIdx.x) % 32; i < Tile::keys * width; i += 32)
        finite = finite && wide(values[i / width * Tile::stride + i % width]) * 0 == 0;
    if (__all_sync(0xffffffffu, finite))
      own.multiply_values(values);
    else
      own.multiply_seen_values(values);
    own.forget_hidden();
    __syncthreads();  // nobody reads the values any more
  }
  wait_for_copies<0>();
  own.finish(out, log_sum_exp);
}

}  // namespace hyperblocks::cuda::kernels
