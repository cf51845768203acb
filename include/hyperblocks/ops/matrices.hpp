// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Matrices: a batch of matrices of one shape with any strides, so that a transpose, a part of a larger matrix
// or one matrix for the whole batch (batch_stride 0) needs no copy.
#pragma once

#include <array>
#include <concepts>
#include <type_traits>

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

template <class Scalar>
struct Matrices {
  Scalar* data = nullptr;
  Index batch = 0, rows = 0, columns = 0;
  Index batch_stride = 0, row_stride = 0, column_stride = 1;

  std::array<Index, 3> shape() const { return {batch, rows, columns}; }
  Matrices transposed() const {
    return {data, batch, columns, rows, batch_stride, column_stride, row_stride};
  }
  template <class Reader>
  requires(std::same_as<Reader, const Scalar> && !std::is_const_v<Scalar>) operator Matrices<Reader>() const {
    return {data, batch, rows, columns, batch_stride, row_stride, column_stride};
  }
};

/// The matrices of (batch, rows, columns), or the one matrix of (rows, columns).
template <class Scalar, class Device, Index... extents>
Matrices<Scalar> matrices_of(const View<Scalar, Device, extents...>& x) {
  constexpr std::size_t rank = sizeof...(extents);
  static_assert(rank == 2 || rank == 3,
                "hyperblocks: matrices_of takes (rows, columns) or (batch, rows, columns)");
  const Index rows = x.extent(rank - 2), columns = x.columns();
  return {x.data(), rank == 3 ? x.extent(0) : 1, rows, columns, rows * columns, columns, 1};
}

}  // namespace hyperblocks
