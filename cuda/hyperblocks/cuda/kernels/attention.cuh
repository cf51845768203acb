// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention for every scalar and width, by the cores that multiply and add single numbers: online softmax
// over tiles of keys, forward; dk and dv by tiles of keys, dq by tiles of rows, so that every number has one
// writer and the bits are the same every time. The query heads that share a key head are rows of one product:
// row = query * group + head.
#pragma once

#include <algorithm>

#include <hyperblocks/cuda/kernels/reduce.cuh>
#include <hyperblocks/cuda/launch.cuh>
#include <hyperblocks/ops/attention.hpp>

namespace hyperblocks::cuda::kernels {

inline constexpr int attention_threads = 128;

/// What forward and backward are given.
template <class Scalar>
struct AttentionShape {
  AttentionOptions options;
  Heads<const Scalar> q, k, v;
  Index group, rows;  ///< query heads to a key head; rows of a key head: queries times group
  /// The keys of the blocks blockIdx.y: so many each, from the first one on. Several such shares of a row
  /// leave sums that attention_combine puts together.
  Index share, first_key = 0;
};

/// One key head of a sequence.
template <class Scalar>
struct AttentionHead {
  using Sum = Accumulator<Scalar>;
  const AttentionShape<Scalar>& shape;
  Index sequence, head;  ///< of the keys
  Index keys;            ///< of the sequence

  __device__ AttentionHead(const AttentionShape<Scalar>& all, Index number)
      : shape(all),
        sequence(number / all.k.heads),
        head(number % all.k.heads),
        keys(all.options.keys_of(sequence, all.q.tokens, all.k.tokens)) {}

  __device__ Index query(Index row) const { return row / shape.group; }
  __device__ Index query_head(Index row) const { return head * shape.group + row % shape.group; }
  /// Where the log-sum-exp of a row stands.
  __device__ Index number_of(Index row) const {
    return (sequence * shape.q.heads + query_head(row)) * shape.q.tokens + query(row);
  }
  template <class S>
  __device__ S* row_of(const Heads<S>& heads, Index row) const {
    return heads.row(sequence, query(row), query_head(row));
  }
  template <class S>
  __device__ S* key_of(const Heads<S>& heads, Index key) const {
    return heads.row(sequence, key, head);
  }

  /// The keys of this block's share that some of the rows [first, last) see; those that one row sees.
  __device__ KeyRange keys_of(Index first, Index last) const {
    const Index begin = shape.first_key + blockIdx.y * shape.share;
    return {std::max(visible(first).begin, begin), std::min(visible(last - 1).end, begin + shape.share)};
  }
  __device__ KeyRange visible(Index row) const {
    return visible_keys(shape.options, query(row), shape.q.tokens, keys);
  }
  __device__ bool sees(Index row, Index key) const { return sees(row, key, visible(row)); }
  /// The same where the row's visible keys are known.
  __device__ bool sees(Index row, Index key, const KeyRange& range) const {
    if (key < range.begin || key >= range.end) return false;
    const std::uint8_t* const allowed = shape.options.mask.row(sequence, query_head(row), query(row));
    return allowed == nullptr || allowed[key * shape.options.mask.key_stride] != 0;
  }
  __device__ Sum capped(Sum score) const {
    const auto cap = static_cast<Sum>(shape.options.soft_cap);
    return cap > 0 ? cap * std::tanh(score / cap) : score;
  }
};

/// Moves to where this block's share of the keys writes: shares lie one behind the other.
template <class Scalar, class Out>
__device__ void move_to_share(const AttentionShape<Scalar>& shape, Heads<Out>& out,
                              Accumulator<Scalar>*& log_sum_exp) {
  out.data += blockIdx.y * out.batch * out.batch_stride;
  if (log_sum_exp != nullptr) log_sum_exp += blockIdx.y * shape.q.batch * shape.q.heads * shape.q.tokens;
}

/// A tile of rows in shared memory; rows that there are not are zeros. The stride is odd, so that a column
/// lies in different banks.
template <class Sum>
struct StagedRows {
  Sum* numbers;
  Index width;

  __host__ __device__ static constexpr Index stride(Index width) { return width | 1; }
  __device__ Sum& operator()(Index row, Index column) const { return numbers[row * stride(width) + column]; }

  /// row_of(i) for i < count.
  template <int tile, class Row>
  __device__ void load(Index count, Sum factor, Row row_of) const {
    for (Index i = threadIdx.x; i < tile * width; i += attention_threads) {
      const Index row = i / width, column = i % width;
      (*this)(row, column) = row < count ? factor * wide(row_of(row)[column]) : Sum{0};
    }
  }
  template <int tile>
  __device__ void clear() const {
    for (Index i = threadIdx.x; i < tile * stride(width); i += attention_threads) numbers[i] = 0;
  }
  /// row_of(i) = factor(i) times a row, for i < count.
  template <int tile, class Row, class Factor>
  __device__ void write(Index count, Row row_of, Factor factor) const {
    for (Index i = threadIdx.x; i < count * width; i += attention_threads) {
      const Index row = i / width, column = i % width;
      auto& to = row_of(row)[column];
      to = scalar_cast<std::remove_reference_t<decltype(to)>>(factor(row) * (*this)(row, column));
    }
  }
};

/// write(r, c, the sum over k < depth of a(r, k) b(k, c)) for r < rows and c < columns, over the block's
/// threads; terms for which seen(r, k) is false are left out, NaN and all. A thread keeps 4 x 4 sums.
template <int rows, class Sum, class A, class B, class Seen, class Write>
__device__ void multiply(Index columns, Index depth, A a, B b, Seen seen, Write write) {
  constexpr int micro = 4, groups = rows / micro;
  constexpr Index lanes = attention_threads / groups;
  const Index first_row = threadIdx.x % groups * micro;
  for (Index first = threadIdx.x / groups; first < columns; first += lanes * micro) {
    Sum sums[micro][micro] = {};
    for (Index k = 0; k < depth; ++k) {
      Sum right[micro];
#pragma unroll
      for (int j = 0; j < micro; ++j)
        right[j] = first + j * lanes < columns ? b(k, first + j * lanes) : Sum{0};
#pragma unroll
      for (int i = 0; i < micro; ++i) {
        if (!seen(first_row + i, k)) continue;
        const Sum left = a(first_row + i, k);
#pragma unroll
        for (int j = 0; j < micro; ++j) sums[i][j] += left * right[j];
      }
    }
#pragma unroll
    for (int i = 0; i < micro; ++i)
#pragma unroll
      for (int j = 0; j < micro; ++j)
        if (first + j * lanes < columns) write(first_row + i, first + j * lanes, sums[i][j]);
  }
}
struct SeesAll {
  __device__ bool operator()(Index, Index) const { return true; }
};

/// How a tile of scores marks a pair that is hidden; probabilities are not negative, and NaN is not either.
template <class Sum>
inline constexpr Sum hidden_probability = -1;

/// Combines over the threads of a row: neighbours, a power of two.
template <int lanes, class Sum, class F>
__device__ Sum row_reduce(Sum value, F combine) {
  for (int distance = lanes / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}
struct LargestNumber {  // NaN loses: it comes back with the exponentials
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : (b > a ? b : (a == a ? a : b));
  }
};

/// Numbers of shared memory that the kernels want.
template <int tile>
constexpr Index attention_forward_numbers(Index key_width, Index value_width) {
  return tile * ((key_width | 1) + (std::max(key_width, value_width) | 1) + (value_width | 1) + (tile | 1)) +
         tile;
}
template <int tile>
constexpr Index attention_backward_numbers(Index key_width, Index value_width) {
  return tile * (3 * (key_width | 1) + 3 * (value_width | 1) + 2 * (tile | 1));
}

/// Staged rows one behind the other in shared memory.
template <int tile, class Sum>
struct SharedRows {
  Sum* next;
  __device__ StagedRows<Sum> take(Index width) {
    const StagedRows<Sum> rows{next, width};
    next += tile * rows.stride(width);
    return rows;
  }
};

/// A block to `tile` rows of a key head; the blocks of a head follow one another.
template <int tile, class Scalar>
__global__ void __launch_bounds__(attention_threads)
    attention_forward(AttentionShape<Scalar> shape, Heads<Scalar> out, Accumulator<Scalar>* log_sum_exp) {
  using Sum = Accumulator<Scalar>;
  move_to_share(shape, out, log_sum_exp);
  constexpr int lanes = attention_threads / tile;
  const Index tiles = (shape.rows + tile - 1) / tile;
  const AttentionHead<Scalar> at(shape, blockIdx.x / tiles);
  const Index first = blockIdx.x % tiles * tile, count = std::min<Index>(tile, shape.rows - first);
  SharedRows<tile, Sum> shared{shared_memory<Sum>()};
  const auto queries = shared.take(shape.q.width), sums = shared.take(shape.v.width),
             scores = shared.take(tile);
  const StagedRows<Sum> keys{shared.next, shape.k.width}, values{shared.next, shape.v.width};  // in turns
  shared.take(std::max(shape.k.width, shape.v.width));
  Sum* const factors = shared.next;

  queries.template load<tile>(count, static_cast<Sum>(shape.options.scale),
                              [&](Index r) { return at.row_of(shape.q, first + r); });
  sums.template clear<tile>();
  const Index own = threadIdx.x / lanes, lane = threadIdx.x % lanes;  // a row's threads are neighbours
  Sum largest = -HUGE_VAL, sum = 0;
  const KeyRange range = at.keys_of(first, first + count);
  for (Index key = range.begin / tile * tile; key < range.end; key += tile) {
    const Index size = std::min<Index>(tile, at.keys - key);
    __syncthreads();
    keys.template load<tile>(size, 1, [&](Index i) { return at.key_of(shape.k, key + i); });
    __syncthreads();
    multiply<tile, Sum>(
        tile, shape.k.width, [&](Index r, Index k) { return queries(r, k); },
        [&](Index k, Index c) { return keys(c, k); }, SeesAll(),
        [&](Index r, Index c, Sum score) { scores(r, c) = score; });
    __syncthreads();

    Sum most = largest;
    unsigned seen = 0;
    for (Index c = lane, i = 0; c < tile; c += lanes, ++i) {
      if (own >= count || c >= size || !at.sees(first + own, key + c)) continue;
      seen |= 1u << i;
      scores(own, c) = at.capped(scores(own, c));
      most = LargestNumber()(most, scores(own, c));
    }
    most = row_reduce<lanes>(most, LargestNumber());
    const Sum shift = most == Sum(-HUGE_VAL) ? Sum{0} : most, factor = std::exp(largest - shift);
    Sum added = 0;
    for (Index c = lane, i = 0; c < tile; c += lanes, ++i) {
      const bool visible = (seen >> i & 1u) != 0;
      const Sum probability = visible ? std::exp(scores(own, c) - shift) : hidden_probability<Sum>;
      scores(own, c) = probability;
      if (visible) added += probability;
    }
    sum = sum * factor + row_reduce<lanes>(added, Plus());
    largest = most;
    if (lane == 0) factors[own] = factor;
    values.template load<tile>(size, 1, [&](Index i) { return at.key_of(shape.v, key + i); });
    __syncthreads();
    multiply<tile, Sum>(
        shape.v.width, tile, [&](Index r, Index k) { return scores(r, k); },
        [&](Index k, Index c) { return values(k, c); }, [&](Index r, Index k) { return !(scores(r, k) < 0); },
        [&](Index r, Index c, Sum weighted) { sums(r, c) = sums(r, c) * factors[r] + weighted; });
  }
  __syncthreads();
  if (lane == 0) {
    factors[own] = sum == 0 ? Sum{0} : Sum{1} / sum;
    if (log_sum_exp != nullptr && own < count)
      log_sum_exp[at.number_of(first + own)] = largest + std::log(sum);
  }
  __syncthreads();
  sums.template write<tile>(
      count, [&](Index r) { return at.row_of(out, first + r); }, [&](Index r) { return factors[r]; });
}

/// Out of what shares of the keys have given, (shares, rows, width) and the logarithms of their weights
/// (shares, rows), one row to a block, in the order of log_sum_exp: (batch, heads, queries).
template <class Scalar>
__global__ void attention_combine(Index shares, const Accumulator<Scalar>* parts,
                                  const Accumulator<Scalar>* weights, Heads<Scalar> out,
                                  Accumulator<Scalar>* log_sum_exp) {
  using Sum = Accumulator<Scalar>;
  const Index number = blockIdx.x, rows = gridDim.x;
  const Index query = number % out.tokens, head = number / out.tokens % out.heads;
  Sum largest = -HUGE_VAL, total = 0;
  for (Index i = 0; i < shares; ++i) largest = LargestNumber()(largest, weights[i * rows + number]);
  const Sum shift = largest == Sum(-HUGE_VAL) ? Sum{0} : largest;
  for (Index i = 0; i < shares; ++i) total += std::exp(weights[i * rows + number] - shift);
  if (log_sum_exp != nullptr && threadIdx.x == 0) log_sum_exp[number] = largest + std::log(total);
  Scalar* const to = out.row(number / out.tokens / out.heads, query, head);
  for (Index column = threadIdx.x; column < out.width; column += blockDim.x) {
    Sum sum = 0;
    for (Index i = 0; i < shares; ++i)
      sum += std::exp(weights[i * rows + number] - shift) * parts[(i * rows + number) * out.width + column];
    to[column] = scalar_cast<Scalar>(total == 0 ? Sum{0} : sum / total);
  }
}

/// What backward is given besides.
template <class Scalar>
struct AttentionGradients {
  Heads<const Scalar> dout;
  const Accumulator<Scalar>*log_sum_exp, *along;  ///< of every row; along = <dout, out>
  Heads<Scalar> dq, dk, dv;
};

/// along of one row to a block, in the order of log_sum_exp: (batch, heads, queries).
template <int threads, class Scalar>
__global__ void attention_along(Heads<const Scalar> out, Heads<const Scalar> dout,
                                Accumulator<Scalar>* along) {
  using Sum = Accumulator<Scalar>;
  const Index query = blockIdx.x % out.tokens, head = blockIdx.x / out.tokens % out.heads;
  const Index sequence = blockIdx.x / out.tokens / out.heads;
  const Scalar *a = out.row(sequence, query, head), *b = dout.row(sequence, query, head);
  Sum sum = 0;
  for (Index i = threadIdx.x; i < out.width; i += threads) sum += wide(a[i]) * wide(b[i]);
  sum = block_reduce<threads>(sum, Plus());
  if (threadIdx.x == 0) along[blockIdx.x] = sum;
}

/// Both kernels of backward: tiles of q, dout, k, v in shared memory, and of them
///   p = e^(scores - log_sum_exp), ds = p (dout v^T - along) cap'
template <int tile, class Scalar>
struct BackwardTile {
  using Sum = Accumulator<Scalar>;
  const AttentionShape<Scalar>& shape;
  const AttentionGradients<Scalar>& gradients;
  AttentionHead<Scalar> at;
  StagedRows<Sum> queries, douts, keys, values, scores, slopes;  // of q scale times

  __device__ BackwardTile(const AttentionShape<Scalar>& all, const AttentionGradients<Scalar>& given,
                          Index head, SharedRows<tile, Sum>& shared)
      : shape(all),
        gradients(given),
        at(all, head),
        queries(shared.take(all.q.width)),
        douts(shared.take(all.v.width)),
        keys(shared.take(all.k.width)),
        values(shared.take(all.v.width)),
        scores(shared.take(tile)),
        slopes(shared.take(tile)) {}

  __device__ Index row_count(Index first) const { return std::min<Index>(tile, shape.rows - first); }
  __device__ Index key_count(Index key) const { return std::min<Index>(tile, shape.k.tokens - key); }
  __device__ void load_rows(Index first) const {
    const Index count = row_count(first);
    queries.template load<tile>(count, static_cast<Sum>(shape.options.scale),
                                [&](Index r) { return at.row_of(shape.q, first + r); });
    douts.template load<tile>(count, 1, [&](Index r) { return at.row_of(gradients.dout, first + r); });
  }
  __device__ void load_keys(Index key) const {
    const Index count = key_count(key);
    keys.template load<tile>(count, 1, [&](Index i) { return at.key_of(shape.k, key + i); });
    values.template load<tile>(count, 1, [&](Index i) { return at.key_of(shape.v, key + i); });
  }

  /// Probabilities, hidden ones marked, and ds, of what is loaded; ends with a barrier.
  __device__ void compute(Index first, Index key) const {
    multiply<tile, Sum>(
        tile, shape.k.width, [&](Index r, Index k) { return queries(r, k); },
        [&](Index k, Index c) { return keys(c, k); }, SeesAll(),
        [&](Index r, Index c, Sum score) { scores(r, c) = score; });
    multiply<tile, Sum>(
        tile, shape.v.width, [&](Index r, Index k) { return douts(r, k); },
        [&](Index k, Index c) { return values(c, k); }, SeesAll(),
        [&](Index r, Index c, Sum slope) { slopes(r, c) = slope; });
    __syncthreads();
    const Index rows = row_count(first), size = key_count(key);
    const auto cap = static_cast<Sum>(shape.options.soft_cap);
    for (Index i = threadIdx.x; i < tile * tile; i += attention_threads) {
      const Index r = i / tile, c = i % tile;
      Sum probability = hidden_probability<Sum>, slope = 0;
      if (r < rows && c < size && at.sees(first + r, key + c)) {
        const Index number = at.number_of(first + r);
        const Sum reference = gradients.log_sum_exp[number], score = at.capped(scores(r, c));
        probability = std::exp(score - reference);
        if (probability != 0) slope = probability * (slopes(r, c) - gradients.along[number]);
        if (cap > 0) slope *= 1 - score * score / (cap * cap);
      }
      scores(r, c) = probability, slopes(r, c) = slope;
    }
    __syncthreads();
  }
  __device__ bool seen(Index row, Index key) const { return !(scores(row, key) < 0); }
};

/// dk and dv of a tile of keys of a key head, to a block.
template <int tile, class Scalar>
__global__ void __launch_bounds__(attention_threads)
    attention_backward_keys(AttentionShape<Scalar> shape, AttentionGradients<Scalar> gradients) {
  using Sum = Accumulator<Scalar>;
  const Index tiles = (shape.k.tokens + tile - 1) / tile, key = blockIdx.x % tiles * tile;
  SharedRows<tile, Sum> shared{shared_memory<Sum>()};
  const BackwardTile<tile, Scalar> all(shape, gradients, blockIdx.x / tiles, shared);
  const auto dkeys = shared.take(shape.k.width), dvalues = shared.take(shape.v.width);
  const Index size = all.key_count(key);
  all.load_keys(key);
  dkeys.template clear<tile>(), dvalues.template clear<tile>();
  for (Index first = 0; first < shape.rows; first += tile) {
    const KeyRange range = all.at.keys_of(first, first + all.row_count(first));
    if (range.end <= key || range.begin >= key + size) continue;
    __syncthreads();
    all.load_rows(first);
    __syncthreads();
    all.compute(first, key);
    const auto seen = [&](Index i, Index r) { return all.seen(r, i); };
    multiply<tile, Sum>(
        shape.v.width, tile, [&](Index i, Index r) { return all.scores(r, i); },
        [&](Index r, Index c) { return all.douts(r, c); }, seen,
        [&](Index i, Index c, Sum sum) { dvalues(i, c) += sum; });
    multiply<tile, Sum>(
        shape.k.width, tile, [&](Index i, Index r) { return all.slopes(r, i); },
        [&](Index r, Index c) { return all.queries(r, c); }, seen,
        [&](Index i, Index c, Sum sum) { dkeys(i, c) += sum; });
  }
  __syncthreads();
  const auto one = [](Index) { return Sum{1}; };
  dkeys.template write<tile>(
      size, [&](Index i) { return all.at.key_of(gradients.dk, key + i); }, one);
  dvalues.template write<tile>(
      size, [&](Index i) { return all.at.key_of(gradients.dv, key + i); }, one);
}

/// dq of a tile of rows of a key head, to a block.
template <int tile, class Scalar>
__global__ void __launch_bounds__(attention_threads)
    attention_backward_rows(AttentionShape<Scalar> shape, AttentionGradients<Scalar> gradients) {
  using Sum = Accumulator<Scalar>;
  const Index tiles = (shape.rows + tile - 1) / tile, first = blockIdx.x % tiles * tile;
  SharedRows<tile, Sum> shared{shared_memory<Sum>()};
  const BackwardTile<tile, Scalar> all(shape, gradients, blockIdx.x / tiles, shared);
  const auto dqueries = shared.take(shape.q.width);
  const Index count = all.row_count(first);
  all.load_rows(first);
  dqueries.template clear<tile>();
  const KeyRange range = all.at.keys_of(first, first + count);
  for (Index key = range.begin / tile * tile; key < range.end; key += tile) {
    __syncthreads();
    all.load_keys(key);
    __syncthreads();
    all.compute(first, key);
    multiply<tile, Sum>(
        shape.q.width, tile, [&](Index r, Index i) { return all.slopes(r, i); },
        [&](Index i, Index c) { return all.keys(i, c); }, [&](Index r, Index i) { return all.seen(r, i); },
        [&](Index r, Index c, Sum sum) { dqueries(r, c) += sum; });
  }
  __syncthreads();
  const auto scale = static_cast<Sum>(shape.options.scale);
  dqueries.template write<tile>(
      count, [&](Index r) { return all.at.row_of(gradients.dq, first + r); }, [&](Index) { return scale; });
}

}  // namespace hyperblocks::cuda::kernels
