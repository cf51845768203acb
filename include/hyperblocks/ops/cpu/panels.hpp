// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Panels: the packed form of a right operand (k, n). Panel p holds columns [32p, 32p + 32) (16 for double) of
// every row k, row after row; 16-bit scalars interleave rows 2i and 2i+1 column by column, as dot-product
// instructions want pairs. The layout is the same for every instruction set. Missing columns, and the row
// that makes k even, are zeros.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>
#include <hyperblocks/ops/cpu/kernels/target.hpp>
#include <hyperblocks/ops/cpu/parallel.hpp>

namespace hyperblocks::cpu {

/// A matrix in memory: element (i, j) is data[i * row_stride + j * column_stride].
template <class T>
struct Strided {
  T* data;
  Index row_stride;
  Index column_stride = 1;

  T& operator()(Index i, Index j) const { return data[i * row_stride + j * column_stride]; }
  Strided transposed() const { return {data, column_stride, row_stride}; }
  /// No reference is formed: an empty matrix may have no memory.
  Strided block(Index i, Index j) const {
    return {data + i * row_stride + j * column_stride, row_stride, column_stride};
  }
  operator Strided<const T>() const requires(!std::is_const_v<T>) {
    return {data, row_stride, column_stride};
  }
};

/// How many columns a panel has: 128 bytes of what sums are kept in.
template <RealScalar Panel>
inline constexpr Index panel_columns = 128 / static_cast<Index>(sizeof(Accumulator<Panel>));

/// How many rows of a panel lie interleaved.
template <RealScalar Panel>
inline constexpr Index panel_interleave = sizeof(Panel) == 2 ? 2 : 1;

/// Elements of one panel of a (k, n) matrix.
template <RealScalar Panel>
constexpr Index panel_size(Index k) {
  return (k + panel_interleave<Panel> - 1) / panel_interleave<Panel> * panel_interleave<Panel> *
         panel_columns<Panel>;
}

/// Elements of all panels of a (k, n) matrix: what a caller allocates (64-byte aligned for full speed).
template <RealScalar Panel>
constexpr Index packed_size(Index k, Index n) {
  return (n + panel_columns<Panel> - 1) / panel_columns<Panel> * panel_size<Panel>(k);
}

namespace detail {

template <class T>
HYPERBLOCKS_INLINE void transpose_4x4(const T* from, Index from_stride, T* to, Index to_stride) {
  using Element = std::conditional_t<sizeof(T) == 2, std::uint16_t, T>;
  typedef Element Row __attribute__((vector_size(4 * sizeof(Element))));
  Row a, b, c, d;
  std::memcpy(&a, from, sizeof a);
  std::memcpy(&b, from + from_stride, sizeof b);
  std::memcpy(&c, from + 2 * from_stride, sizeof c);
  std::memcpy(&d, from + 3 * from_stride, sizeof d);
  const Row ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
            ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Row cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
            cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  std::memcpy(to, &a, sizeof a);
  std::memcpy(to + to_stride, &b, sizeof b);
  std::memcpy(to + 2 * to_stride, &c, sizeof c);
  std::memcpy(to + 3 * to_stride, &d, sizeof d);
}

/// to (columns, rows) = the transpose of from (rows, columns).
template <class T>
void transpose(const T* from, Index from_stride, Index rows, Index columns, T* to, Index to_stride) {
  const Index whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (Index c = 0; c < whole_columns; c += 4)
    for (Index r = 0; r < whole_rows; r += 4)
      transpose_4x4(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
  for (Index c = 0; c < columns; ++c)
    for (Index r = c < whole_columns ? whole_rows : 0; r < rows; ++r)
      to[c * to_stride + r] = from[r * from_stride + c];
}

template <RealScalar Panel>
Index panel_offset(Index i, Index column) {
  constexpr Index interleave = panel_interleave<Panel>;
  return i / interleave * interleave * panel_columns<Panel> + column * interleave + i % interleave;
}

/// Rows [first, k) of a panel, element by element; what is missing becomes zero.
template <RealScalar Panel, RealScalar Source>
void pack_panel_slowly(Strided<const Source> matrix, Index first, Index k, Index columns, Panel* panel) {
  const Index rows = panel_size<Panel>(k) / panel_columns<Panel>;
  for (Index i = first; i < rows; ++i)
    for (Index j = 0; j < panel_columns<Panel>; ++j)
      panel[panel_offset<Panel>(i, j)] =
          i < k && j < columns ? scalar_cast<Panel>(matrix(i, j)) : scalar_cast<Panel>(0.0f);
}

/// One panel of at most panel_columns columns.
template <RealScalar Panel, RealScalar Source>
void pack_panel(Strided<const Source> matrix, Index k, Index columns, Panel* panel) {
  constexpr Index width = panel_columns<Panel>;
  if constexpr (std::same_as<Panel, Source>) {
    if (columns == width &&
        matrix.row_stride == 1) {  // columns lie contiguous, as those of a weight (n, k) do
      if constexpr (panel_interleave<Panel> == 1) {
        transpose(matrix.data, matrix.column_stride, width, k, panel, width);
        return;
      } else if (matrix.column_stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(matrix.data) % 4 == 0) {
        // Pairs of rows are single 32-bit numbers then.
        using Pair [[gnu::may_alias]] = std::uint32_t;
        transpose(reinterpret_cast<const Pair*>(matrix.data), matrix.column_stride / 2, width, k / 2,
                  reinterpret_cast<Pair*>(panel), width);
        pack_panel_slowly(matrix, k / 2 * 2, k, columns, panel);
        return;
      }
    }
    if (columns == width && matrix.column_stride == 1 && panel_interleave<Panel> == 1) {
      for (Index i = 0; i < k; ++i) std::memcpy(panel + i * width, &matrix(i, 0), sizeof(Panel) * width);
      return;
    }
  }
  pack_panel_slowly(matrix, 0, k, columns, panel);
}

}  // namespace detail

/// Packs a (k, n) matrix, converting its elements where the types differ. A linear layer's weight W (n, k),
/// row-major, is the (k, n) matrix {W, 1, k}.
template <RealScalar Panel, class Source>
void pack(Parallel& threads, Strided<Source> matrix, Index k, Index n, Panel* panels) {
  constexpr Index width = panel_columns<Panel>;
  threads.run((n + width - 1) / width, [&](Index p) {
    const Index columns = n - p * width < width ? n - p * width : width;
    detail::pack_panel(Strided<const Source>(matrix.block(0, p * width)), k, columns,
                       panels + p * panel_size<Panel>(k));
  });
}

/// Element (i, j) of a packed (k, n) matrix.
template <RealScalar Panel>
Panel packed_element(const Panel* panels, Index k, Index i, Index j) {
  const Index p = j / panel_columns<Panel>;
  return panels[p * panel_size<Panel>(k) + detail::panel_offset<Panel>(i, j % panel_columns<Panel>)];
}

/// Packs the transpose (n, k) of a packed (k, n) matrix: for the input gradient of a weight that keeps one
/// packed copy.
template <RealScalar Panel>
void repack_transposed(Parallel& threads, const Panel* panels, Index k, Index n, Panel* transposed) {
  constexpr Index width = panel_columns<Panel>;
  threads.run((k + width - 1) / width,
              [&](Index q) {  // a panel of the transpose: rows [q width, (q + 1) width) of the matrix
                const Index rows = k - q * width < width ? k - q * width : width;
                Panel* target = transposed + q * panel_size<Panel>(n);
                for (Index p = 0; p * width < n; ++p) {
                  const Index columns = n - p * width < width ? n - p * width : width;
                  const Panel* source = panels + p * panel_size<Panel>(k) + q * width * width;
                  if constexpr (panel_interleave<Panel> == 1) {
                    if (rows == width) {
                      detail::transpose(source, width, rows, columns, target + p * width * width, width);
                      continue;
                    }
                  }
                  const Index padded = panel_size<Panel>(columns) / width;
                  for (Index j = 0; j < padded; ++j)
                    for (Index i = 0; i < width; ++i)
                      target[p * width * width + detail::panel_offset<Panel>(j, i)] =
                          i < rows && j < columns ? source[detail::panel_offset<Panel>(i, j)]
                                                  : scalar_cast<Panel>(0.0f);
                }
              });
}

}  // namespace hyperblocks::cpu
