// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The body of the kernel for products with a few rows that lie as they came, included by row_kernels.hpp once
// per instruction set behind row_kernel.hpp. No include guard on purpose.
#if defined(HYPERBLOCKS_ROW_KERNEL)

// Lane i of halved()'s result: the lane of its group's lower or upper half, counted through both vectors.
template <std::size_t group>
constexpr int half_lane(std::size_t i, std::size_t upper) {
  return static_cast<int>(i / (group / 2) * group + upper * (group / 2) + i % (group / 2));
}

// Lanes of two vectors, one after the other; written out, as nvcc's front end loses packs in the builtin.
template <std::size_t group, std::size_t upper, class V>
HYPERBLOCKS_INLINE V halves(V a, V b) {
  constexpr auto at = [](std::size_t i) { return half_lane<group>(i, upper); };
  constexpr std::size_t count = sizeof(V) / sizeof(a[0]);
  if constexpr (count == 2) {
    return __builtin_shufflevector(a, b, at(0), at(1));
  } else if constexpr (count == 4) {
    return __builtin_shufflevector(a, b, at(0), at(1), at(2), at(3));
  } else if constexpr (count == 8) {
    return __builtin_shufflevector(a, b, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
  } else {
    static_assert(count == 16);
    return __builtin_shufflevector(a, b, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9),
                                   at(10), at(11), at(12), at(13), at(14), at(15));
  }
}

// Of two vectors that each hold groups of `group` lanes: the groups halved by adding one half to the other,
// those of the first vector before those of the second.
template <class A, Index group>
HYPERBLOCKS_INLINE Vector<A> halved(Vector<A> first, Vector<A> second) {
  constexpr auto lanes_in_group = static_cast<std::size_t>(group);
  return halves<lanes_in_group, 0>(first, second) + halves<lanes_in_group, 1>(first, second);
}

// The sums of the lanes of `count` vectors. Halves are added until one lane is left, whatever the count.
template <Index results, class A, Index count, Index group = lanes<A>>
HYPERBLOCKS_INLINE void sums_of(const Vector<A> (&vectors)[count], A* to) {
  if constexpr (group == 1) {
    std::memcpy(to, vectors, static_cast<std::size_t>(results) * sizeof(A));
  } else {
    constexpr Index fewer = (count + 1) / 2;
    Vector<A> some[fewer];
    HYPERBLOCKS_UNROLL
    for (Index i = 0; i < fewer; ++i)
      some[i] = halved<A, group>(vectors[2 * i], vectors[2 * i + 1 < count ? 2 * i + 1 : 2 * i]);
    sums_of<results, A, fewer, group / 2>(some, to);
  }
}

// Every number is one chain of vectors over k and the sum of its lanes, so that it depends neither on the
// tile nor on what else is computed.
template <class S>
struct Shrink {
  using A = Accumulator<S>;
  const S* x;
  Index x_stride;
  const S* a;
  Index k;
  A scale;
  A* to;
  Index to_stride;

  template <Index rows, Index ranks>
  HYPERBLOCKS_INLINE void tile(Index row, Index rank) const {
    Vector<A> sums[rows][ranks] = {};
    const auto step = [&](Index i, Index count) HYPERBLOCKS_LAMBDA {
      Vector<A> factors[ranks];
      HYPERBLOCKS_UNROLL
      for (Index j = 0; j < ranks; ++j) factors[j] = load<A>(a + (rank + j) * k + i, count);
      HYPERBLOCKS_UNROLL
      for (Index r = 0; r < rows; ++r) {
        const Vector<A> numbers = load<A>(x + (row + r) * x_stride + i, count);
        HYPERBLOCKS_UNROLL
        for (Index j = 0; j < ranks; ++j) sums[r][j] += numbers * factors[j];
      }
    };
    each<A>(k, step);
    HYPERBLOCKS_UNROLL
    for (Index r = 0; r < rows; ++r) {
      HYPERBLOCKS_UNROLL
      for (Index j = 0; j < ranks; ++j) sums[r][j] *= scale;
      sums_of<ranks, A>(sums[r], to + (row + r) * to_stride + rank);
    }
  }

  template <Index rows, Index ranks>
  HYPERBLOCKS_INLINE void row(Index row, Index rank, Index last_rank) const {
    for (; rank + ranks <= last_rank; rank += ranks) tile<rows, ranks>(row, rank);
    if constexpr (ranks > 1) this->template row<rows, ranks / 2>(row, rank, last_rank);
  }
};

struct ShrinkKernels {
  // to (rows, rank) = scale x (rows, k) a (rank, k)^T for ranks [rank, last_rank)
  template <class S, class A = Accumulator<S>>
  static void shrink(const S* x, Index x_stride, Index rows, const S* a, Index rank, Index last_rank, Index k,
                     A scale, A* to, Index to_stride) {
    constexpr Index tile_rows_here = registers >= 32 ? 4 : 2;
    const Shrink<S> shrink{x, x_stride, a, k, scale, to, to_stride};
    Index row = 0;
    for (; row + tile_rows_here <= rows; row += tile_rows_here)
      shrink.template row<tile_rows_here, 4>(row, rank, last_rank);
    for (; row < rows; ++row) shrink.template row<1, 8>(row, rank, last_rank);
  }
};

#endif
