// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LowRank: what an adapter adds to one linear, y += scale (x A^T) B^T + C, as views. Of const numbers it is
// an operand, of others it receives gradients. Linked, several adapters serve one batch, each its own rows.
//   LowRank<const float, Cpu, out, in> update{.a = a, .b = b, .scale = 2};    a (rank, in), b (out, rank)
#pragma once

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/dropout.hpp>

namespace hyperblocks {

/// How the vectors of a factor lie in its matrix.
enum class FactorForm : std::uint8_t { rows, columns };

/// `rank` vectors of `width` numbers: a matrix (rank, width) in the form rows, (width, rank) in the form
/// columns. It converts from both; a matrix whose type does not tell is taken to be `usual`.
template <class Scalar, class Device, Index width_, FactorForm usual>
class Factor {
 public:
  static constexpr Index width = width_;
  using Rows = View<Scalar, Device, dyn, width>;
  using Columns = View<Scalar, Device, width, dyn>;

 private:
  template <Index first, Index second>
  static constexpr FactorForm form_of = first == second || (first != width && second != width) ? usual
                                        : second == width ? FactorForm::rows
                                                          : FactorForm::columns;
  template <FactorForm form>
  using Matrix = std::conditional_t<form == FactorForm::rows, Rows, Columns>;
  /// Whether the conversion can fail at compile time only.
  template <Index first, Index second>
  static constexpr bool certain =
      detail::ShapesAgree<typename Matrix<form_of<first, second>>::ShapeType, Shape<first, second>>::certain;

 public:
  constexpr Factor() noexcept = default;  // stated, as View's is, for g++ 12
  Factor(Scalar* data, Index rank, FactorForm form = usual) : data_(data), rank_(rank), form_(form) {}
  template <class Other, Index first, Index second>
  explicit(!certain<first, second>) Factor(const View<Other, Device, first, second>& matrix)
      : form_(form_of<first, second>) {
    const Matrix<form_of<first, second>> checked(matrix);
    data_ = checked.data(), rank_ = checked.extent(form_ == FactorForm::rows ? 0 : 1);
  }
  template <class Other, Index first, Index second>
  Factor(const View<Other, Device, first, second>& matrix, FactorForm form)
      : data_(matrix.data()), form_(form) {
    const bool rows = form == FactorForm::rows;
    rank_ = matrix.extent(rows ? 0 : 1);
    check(matrix.extent(rows ? 1 : 0) == width, [&] {
      return Error("a factor's vectors have another width", rows ? "Factor of rows" : "Factor of columns",
                   std::to_string(width), to_string(matrix.shape().all()));
    });
  }

  explicit operator bool() const { return data_ != nullptr; }
  Scalar* data() const { return data_; }
  Index rank() const { return rank_; }
  FactorForm form() const { return form_; }
  Rows rows() const { return {data_, typename Rows::ShapeType(rank_)}; }
  Columns columns() const { return {data_, typename Columns::ShapeType(rank_)}; }

 private:
  Scalar* data_ = nullptr;
  Index rank_ = 0;
  FactorForm form_ = usual;
};

template <class Scalar, class Device, Index out, Index in>
struct LowRank {
  Factor<Scalar, Device, in, FactorForm::rows> a = {};      // (rank, in), or (in, rank)
  Factor<Scalar, Device, out, FactorForm::columns> b = {};  // (out, rank), or (rank, out)
  double scale = 1;                                         ///< not used where gradients are received
  View<Scalar, Device, out> bias = {};                      // C, optional
  Scalar* packed_b = nullptr;       ///< B in the device's own form, if it was packed: lora/factors.hpp
  Index first_row = 0, rows = all;  ///< the rows of x and y that it is for
  const LowRank* next = nullptr;    ///< one more update, of the same rows or of others
  Dropout dropout = {};             ///< of x, on its way to this update and those linked to it

  static constexpr Index all = -1;

  /// Whether any part is given; A and B come together, C also alone.
  bool given() const { return a || b || bias; }
  /// Whether there is anything to add, here or linked.
  explicit operator bool() const { return given() || next != nullptr; }
  Index rank() const { return a.rank(); }
  Index row_count(Index of) const { return rows == all ? of - first_row : rows; }
};

/// One of several products with the same rows x: y = x W^T + bias + updates, the weight in the device's own
/// packed form, the bias optional.
template <class Scalar, class Stored, class Device, Index out, Index in>
struct UpdatedProduct {
  const Stored* weight;
  View<const Scalar, Device, dyn> bias;
  LowRank<const Scalar, Device, out, in> updates;
  View<Scalar, Device, dyn, dyn> y;
};

/// f(update) for an update and those linked to it.
template <class Update, class F>
void each_update(const Update& first, F f) {
  for (const Update* update = &first; update != nullptr; update = update->next) f(*update);
}

}  // namespace hyperblocks
