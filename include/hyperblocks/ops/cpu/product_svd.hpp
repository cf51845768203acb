// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The singular values and vectors of a product B A without the product itself: B = Q1 R1, A^T = Q2 R2, and
// the small R1 R2^T = U S V^T give B A = (Q1 U) S (Q2 V)^T. In double, by Eigen, whose decompositions take
// many seconds to compile: all is a template, so that only programs that call it pay.
#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include <Eigen/QR>
#include <Eigen/SVD>

#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::cpu {

struct Svd {
  std::vector<double> values;       ///< all, falling
  std::vector<double> left, right;  ///< the vectors of the leading `kept`, one a row
};

namespace detail {
/// A = U S V^T. At rank 64 Eigen's other way, Jacobi's, takes 1.4 times as long as this, at 256 19 times.
template <class Matrix>
auto svd(const Matrix& matrix) {
#if EIGEN_VERSION_AT_LEAST(3, 4, 90)
  return Eigen::BDCSVD<Matrix, Eigen::ComputeThinU | Eigen::ComputeThinV>(matrix);
#else
  return Eigen::BDCSVD<Matrix>(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
#endif
}

/// A matrix as Q R with as many columns of Q as it has rows or columns, whichever are fewer.
template <class Matrix>
class ThinQr {
 public:
  explicit ThinQr(const Matrix& matrix) : qr_(matrix) {}

  Matrix r() const {
    const Index least = std::min(qr_.rows(), qr_.cols());
    return qr_.matrixQR().topRows(least).template triangularView<Eigen::Upper>();
  }

  /// Q times each of the leading columns of a matrix, one after the other.
  std::vector<double> rotated(const Matrix& vectors, Index leading) const {
    std::vector<double> result(static_cast<std::size_t>(qr_.rows() * leading));
    Eigen::Map<Matrix> columns(result.data(), qr_.rows(), leading);
    columns.topRows(vectors.rows()) = vectors.leftCols(leading);
    columns.applyOnTheLeft(qr_.householderQ());
    return result;
  }

 private:
  Eigen::HouseholderQR<Matrix> qr_;
};

template <class Matrix, class Number>
Matrix matrix_of(std::span<const Number> row_major, Index rows, Index columns) {
  using RowMajor = Eigen::Matrix<Number, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const RowMajor>(row_major.data(), rows, columns).template cast<double>();
}
}  // namespace detail

/// Of b (out, rank) a (rank, in), row-major finite numbers, every extent one or more; there are
/// min(out, rank, in) singular values.
template <std::floating_point Number, class Matrix = Eigen::MatrixXd>
Svd product_svd(std::span<const Number> b, std::span<const Number> a, Index out, Index rank, Index in,
                Index kept) {
  const detail::ThinQr<Matrix> left(detail::matrix_of<Matrix>(b, out, rank));
  const detail::ThinQr<Matrix> right(detail::matrix_of<Matrix>(a, rank, in).transpose());
  const Matrix core = left.r() * right.r().transpose();  // (min(out, rank), min(in, rank))
  const auto svd = detail::svd(core);
  const auto& values = svd.singularValues();
  return {{values.data(), values.data() + values.size()},
          left.rotated(svd.matrixU(), kept),
          right.rotated(svd.matrixV(), kept)};
}

}  // namespace hyperblocks::cpu
