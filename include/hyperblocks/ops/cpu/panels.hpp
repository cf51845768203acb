// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Panels: the packed form of a right operand (k, n). Panel p holds columns [32p, 32p + 32) (16 for double) of
// every row k, row after row; 16-bit scalars interleave rows 2i and 2i+1 column by column, as dot-product
// instructions want pairs. The layout is the same for every instruction set. Missing columns, and the row
// that makes k even, are zeros.
#pragma once

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>
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
  Strided block(Index i, Index j) const { return {&(*this)(i, j), row_stride, column_stride}; }
  operator Strided<const T>() const { return {data, row_stride, column_stride}; }
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

/// Packs a (k, n) matrix, converting its elements where the types differ. A linear layer's weight W (n, k),
/// row-major, is the (k, n) matrix {W, 1, k}.
template <RealScalar Panel, RealScalar Source>
void pack(Parallel& threads, Strided<const Source> matrix, Index k, Index n, Panel* panels);

/// Element (i, j) of a packed (k, n) matrix.
template <RealScalar Panel>
Panel packed_element(const Panel* panels, Index k, Index i, Index j);

/// Packs the transpose (n, k) of a packed (k, n) matrix: for the input gradient of a weight that keeps one
/// packed copy.
template <RealScalar Panel>
void repack_transposed(Parallel& threads, const Panel* panels, Index k, Index n, Panel* transposed);

}  // namespace hyperblocks::cpu
