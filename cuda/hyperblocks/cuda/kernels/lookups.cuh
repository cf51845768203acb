// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Kernels that look rows up by ids or positions: embedding and its gradient, rotary positions; and copies
// between strides. What lies outside of a table is reported as a fault, and read nowhere.
#pragma once

#include <hyperblocks/cuda/faults.cuh>
#include <hyperblocks/cuda/kernels/packs.cuh>
#include <hyperblocks/ops/attention.hpp>

namespace hyperblocks::cuda::kernels {

/// y(i) = scale table(ids(i)), a block to a row; NaN where the id is none.
template <int width, class Sum, class Scalar, class Table>
__global__ void embedding(const std::int32_t* ids, const Table* table, Index entries, Scalar* y, Index packs,
                          double scale, FaultReport faults) {
  const std::int32_t id = ids[blockIdx.x];
  const bool known = id >= 0 && id < entries;
  if (!known && threadIdx.x == 0) faults(Fault::embedding_id, id);
  for (Index i = threadIdx.x; i < packs; i += blockDim.x) {
    Pack<Scalar, width> result;
    if (known) {
      const auto row = load<width>(table, id * packs + i);
      each<width>([&](int k) {
        result.values[k] = scalar_cast<Scalar>(static_cast<Sum>(scale) * scalar_cast<Sum>(row.values[k]));
      });
    } else {
      each<width>([&](int k) { result.values[k] = scalar_cast<Scalar>(static_cast<Sum>(NAN)); });
    }
    store(y, blockIdx.x * packs + i, result);
  }
}

/// ids and the rows that they stand in, to be sorted. (A template, as a kernel in a header has to be.)
template <class Row>
__global__ void number_rows(Index size, const std::int32_t* ids, std::uint32_t* keys, Row* rows) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < size) keys[i] = static_cast<std::uint32_t>(ids[i]), rows[i] = static_cast<Row>(i);
}

/// dtable(id) += scale * the sum of dy over the rows of id, which the first block of a run of one id does, in
/// the rows' order.
template <class Scalar>
__global__ void embedding_backward(Index size, const std::uint32_t* keys, const std::int32_t* rows,
                                   const Scalar* dy, Scalar* dtable, Index entries, Index columns,
                                   double scale, FaultReport faults) {
  using Sum = Accumulator<Scalar>;
  const Index first = blockIdx.x;
  const std::uint32_t id = keys[first];
  if (first > 0 && keys[first - 1] == id) return;
  if (id >= entries) {
    if (threadIdx.x == 0) faults(Fault::embedding_backward_id, static_cast<std::int32_t>(id));
    return;
  }
  for (Index j = threadIdx.x; j < columns; j += blockDim.x) {
    Sum sum = 0;
    for (Index i = first; i < size && keys[i] == id; ++i)
      sum += static_cast<Sum>(scale) * wide(dy[rows[i] * columns + j]);
    Scalar& target = dtable[id * columns + j];
    target = scalar_cast<Scalar>(wide(target) + sum);
  }
}

template <class Scalar>
struct Rotation {
  Scalar* x;  // (tokens, heads * width)
  Index tokens, heads, width, half;
  const Accumulator<Scalar>*cosines, *sines;  // (positions, half)
  const std::int32_t *positions, *past;       ///< of the tokens, of the sequences; or null
  Index first, tokens_per_sequence, size;
  bool interleaved, inverse;
  FaultReport faults;

  __device__ Index position(Index token) const {
    if (positions != nullptr) return positions[token];
    return (past != nullptr ? past[token / tokens_per_sequence] : 0) + first + token % tokens_per_sequence;
  }
};

/// A thread turns a pair: (a c - b s, b c + a s).
template <class Scalar>
__global__ void rope(Rotation<Scalar> r) {
  using Sum = Accumulator<Scalar>;
  const Index pairs = r.tokens * r.heads * r.half, stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs; i += stride) {
    const Index pair = i % r.half, head = i / r.half % r.heads, token = i / r.half / r.heads;
    const Index position = r.position(token);
    if (position < 0 || position >= r.size) {
      r.faults(Fault::position, static_cast<std::int32_t>(position));
      continue;
    }
    Scalar* const numbers = r.x + (token * r.heads + head) * r.width;
    Scalar& first = numbers[r.interleaved ? 2 * pair : pair];
    Scalar& second = numbers[r.interleaved ? 2 * pair + 1 : pair + r.half];
    const Sum a = wide(first), b = wide(second), cosine = r.cosines[position * r.half + pair];
    const Sum sine = r.inverse ? -r.sines[position * r.half + pair] : r.sines[position * r.half + pair];
    first = scalar_cast<Scalar>(a * cosine - b * sine);
    second = scalar_cast<Scalar>(b * cosine + a * sine);
  }
}

/// to = from; a sequence's tokens to those behind its past ones, where such are given.
template <class Scalar>
__global__ void copy_heads(Heads<const Scalar> from, Heads<Scalar> to, const std::int32_t* past,
                           FaultReport faults) {
  const Index size = from.batch * from.tokens * from.heads * from.width,
              stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const Index column = i % from.width, head = i / from.width % from.heads;
    const Index token = i / from.width / from.heads % from.tokens,
                sequence = i / from.width / from.heads / from.tokens;
    const Index place = token + (past != nullptr ? past[sequence] : 0);
    if (place >= 0 && place < to.tokens)
      to.row(sequence, place, head)[column] = from.row(sequence, token, head)[column];
    else
      faults(Fault::cache, static_cast<std::int32_t>(place));
  }
}

}  // namespace hyperblocks::cuda::kernels
