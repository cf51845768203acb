// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// c (m, n) = [c +] a (m, k) * b (k, n) by Eigen, or by the BLAS beneath it (EIGEN_USE_BLAS): the path of
// other processors. Unlike our own kernels, Eigen may allocate inside, and bits may depend on m, on the
// number of threads and on the BLAS.
#pragma once

#include <Eigen/Core>

#include <hyperblocks/ops/cpu/packed_product.hpp>

namespace hyperblocks::cpu {

namespace detail {

/// Calls f with the Eigen map that says most about the strides: Eigen copies matrices without a contiguous
/// direction.
template <class T, class F>
void with_map(Strided<T> matrix, Index rows, Index columns, F f) {
  using Scalar = std::remove_const_t<T>;
  const auto as = [&]<class Layout>(const Layout&, const auto& stride) {
    using Map = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Layout, Layout>, Eigen::Unaligned,
                           std::remove_cvref_t<decltype(stride)>>;
    f(Map(matrix.data, rows, columns, stride));
  };
  using RowMajor = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using ColumnMajor = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
  if (matrix.column_stride == 1) {
    as(RowMajor{}, Eigen::OuterStride<>(matrix.row_stride));
  } else if (matrix.row_stride == 1) {
    as(ColumnMajor{}, Eigen::OuterStride<>(matrix.column_stride));
  } else {
    as(RowMajor{}, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(matrix.row_stride, matrix.column_stride));
  }
}

}  // namespace detail

/// `start` is FromZero{} or Accumulate{}; y has contiguous rows.
template <std::floating_point Scalar, class Start>
void eigen_product(Parallel& threads, Strided<Scalar> y, Strided<const Scalar> a, Strided<const Scalar> b,
                   Index m, Index n, Index k, Start) {
  static_assert(std::same_as<Start, FromZero> || std::same_as<Start, Accumulate>);
  const bool across = n >= m;
  const Index length = across ? n : m, parts = detail::smaller(threads.count(), length);
  threads.run(parts, [&](Index part) {
    const Index first = length * part / parts, count = length * (part + 1) / parts - first;
    const Index i = across ? 0 : first, j = across ? first : 0;
    const Index rows = across ? m : count, columns = across ? count : n;
    detail::with_map(a.block(i, 0), rows, k, [&](const auto& left) {
      detail::with_map(b.block(0, j), k, columns, [&](const auto& right) {
        using Result = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
        Eigen::Map<Result, Eigen::Unaligned, Eigen::OuterStride<>> result(&y(i, j), rows, columns,
                                                                          Eigen::OuterStride<>(y.row_stride));
        if constexpr (std::same_as<Start, FromZero>) {
          result.noalias() = left * right;
        } else {
          result.noalias() += left * right;
        }
      });
    });
  });
}

}  // namespace hyperblocks::cpu
