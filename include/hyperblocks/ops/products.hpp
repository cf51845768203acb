// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of rows with plain and frozen weights, of batches of matrices, and low-rank updates; with
// gradients.
#pragma once

#include <hyperblocks/ops/elementwise.hpp>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/matrices.hpp>

namespace hyperblocks::ops {

namespace detail {
/// y (rows, out) of x (rows, in) and a weight of Stored numbers.
template <class Scalar, class Stored, class Device>
void count_product(Device& device, const Rows<Scalar, Device>& y, Index in) {
  device.work().add_product(1, y.rows(), y.columns(), in, sizeof(Scalar), sizeof(Stored));
}

/// Of each update the products with A and with B, of its own rows.
template <class Device, class Scalar, Index out, Index in>
void count_updates(Device& device, const LowRank<const Scalar, Device, out, in>& updates, Index rows) {
  each_update(updates, [&](const auto& update) {
    if (!update.a) return;
    for (const Index width : {in, out})
      device.work().add_product(1, update.row_count(rows), width, update.rank(), sizeof(Scalar),
                                sizeof(Scalar));
  });
}
}  // namespace detail

/// y (m, out) = x (m, in) W (out, in)^T + bias (out), for a plain weight.
template <RealScalar Scalar, class Device>
void product(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
             Row<const Scalar, Device> bias, Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", weight.columns(), x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", weight.rows(), y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", y.columns(), bias.size());
  detail::count_product<Scalar, Scalar>(device, y, x.columns());
  Ops<Device>::template product<Scalar>(device, x, weight, bias, y);
}

/// The same for a frozen weight, or for some of its rows.
template <RealScalar Scalar, class Device, RealScalar Stored>
void product(Device& device, Rows<const Scalar, Device> x, const FrozenRows<Stored>& weight,
             Row<const Scalar, Device> bias, Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", weight.columns, x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", weight.rows, y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", weight.rows, bias.size());
  detail::count_product<Scalar, Stored>(device, y, x.columns());
  Ops<Device>::template product_packed<Scalar, Stored>(device, x, weight.packed, bias, y);
}
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void product(Device& device, Rows<const Scalar, Device> x,
             const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
             Rows<Scalar, Device> y) {
  product<Scalar>(device, x, weight.rows(0, out), bias, y);
}

/// dx (m, in) [+]= dy (m, out) W (out, in)
template <RealScalar Scalar, class Device>
void input_gradient(Device& device, Rows<const Scalar, Device> dy, Rows<const Scalar, Device> weight,
                    Rows<Scalar, Device> dx, Write write) {
  detail::check_extent("ops::input_gradient", "columns of dy and rows of the weight", weight.rows(),
                       dy.columns());
  detail::check_extent("ops::input_gradient", "columns of the weight and of dx", weight.columns(),
                       dx.columns());
  detail::check_extent("ops::input_gradient", "rows of dy and of dx", dy.rows(), dx.rows());
  detail::count_product<Scalar, Scalar>(device, dx, dy.columns());
  Ops<Device>::template input_gradient<Scalar>(device, dy, weight, dx, write == Write::add);
}

template <RealScalar Scalar, class Device, RealScalar Stored>
void input_gradient(Device& device, Rows<const Scalar, Device> dy, const FrozenRows<Stored>& weight,
                    Rows<Scalar, Device> dx, Write write) {
  detail::check_extent("ops::input_gradient", "columns of dy and rows of the weight", weight.rows,
                       dy.columns());
  detail::check_extent("ops::input_gradient", "columns of the weight and of dx", weight.columns,
                       dx.columns());
  detail::check_extent("ops::input_gradient", "rows of dy and of dx", dy.rows(), dx.rows());
  detail::count_product<Scalar, Stored>(device, dx, dy.columns());
  Ops<Device>::template input_gradient_packed<Scalar, Stored>(device, dy, weight.packed, dx,
                                                              write == Write::add);
}
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void input_gradient(Device& device, Rows<const Scalar, Device> dy,
                    const FrozenMatrix<Stored, Device, out, in>& weight, Rows<Scalar, Device> dx,
                    Write write) {
  input_gradient<Scalar>(device, dy, weight.rows(0, out), dx, write);
}

/// dW (out, in) [+]= dy (m, out)^T x (m, in)
template <RealScalar Scalar, class Device>
void weight_gradient(Device& device, Rows<const Scalar, Device> dy, Rows<const Scalar, Device> x,
                     Rows<Scalar, Device> dweight, Write write) {
  detail::check_extent("ops::weight_gradient", "columns of dy and rows of dW", dweight.rows(), dy.columns());
  detail::check_extent("ops::weight_gradient", "columns of x and of dW", dweight.columns(), x.columns());
  detail::check_extent("ops::weight_gradient", "rows of dy and of x", dy.rows(), x.rows());
  detail::count_product<Scalar, Scalar>(device, dweight, x.rows());
  Ops<Device>::template weight_gradient<Scalar>(device, dy, x, dweight, write == Write::add);
}

/// y(i) (m, n) [+]= a(i) (m, k) b(i) (k, n) for a batch of plain matrices with any strides.
template <RealScalar Scalar, class Device>
void batched_product(Device& device, Matrices<const Scalar> a, Matrices<const Scalar> b, Matrices<Scalar> y,
                     Write write) {
  check(a.batch == y.batch && b.batch == y.batch && a.rows == y.rows && b.columns == y.columns &&
            a.columns == b.rows,
        [&] {
          return Error("the shapes do not fit", "ops::batched_product",
                       "a (b, m, k), b (b, k, n), y (b, m, n)",
                       to_string(a.shape()) + ", " + to_string(b.shape()) + ", " + to_string(y.shape()));
        });
  device.work().add_product(y.batch, y.rows, y.columns, a.columns, sizeof(Scalar), sizeof(Scalar));
  Ops<Device>::template batched_product<Scalar>(device, a, b, y, write == Write::add);
}

namespace detail {

template <class Scalar, class Device, Index out, Index in>
void check_low_rank(const char* where, const LowRank<Scalar, Device, out, in>& update, Index rows) {
  check(!update.a == !update.b, [&] {
    return Error("half an update", where, "A and B, or neither", update.a ? "A alone" : "B alone");
  });
  check_extent(where, "the rank of A and B", update.a.rank(), update.b.rank());
  const Index count = update.row_count(rows);
  check(update.first_row >= 0 && count >= 0 && update.first_row <= rows - count, [&] {
    return Error("an update's rows are not among those of x", where, "some of " + std::to_string(rows),
                 std::to_string(count) + " from " + std::to_string(update.first_row));
  });
}

template <class Scalar, class Device, Index out, Index in>
void check_updates(const Rows<const Scalar, Device>& x, const Row<const Scalar, Device>& bias,
                   const LowRank<const Scalar, Device, out, in>& updates, const Rows<Scalar, Device>& y) {
  constexpr const char* where = "ops::low_rank_update";
  check_extent(where, "columns of x and of A", in, x.columns());
  check_extent(where, "columns of y and rows of B", out, y.columns());
  check_extent(where, "rows of x and of y", x.rows(), y.rows());
  if (bias) check_extent(where, "elements of the bias", out, bias.size());
  check(!updates.dropout, [] {
    return Error("an update with dropout", where, "ops::add_update of the dropped rows", "rows as they are");
  });
  each_update(updates, [&](const auto& update) { check_low_rank(where, update, x.rows()); });
}

/// x (m, width) times the factor's vectors: (m, rank).
template <RealScalar Scalar, class Device, Index width, FactorForm usual>
void shrink(Device& device, Rows<const Scalar, Device> x,
            const Factor<const Scalar, Device, width, usual>& factor, Rows<Scalar, Device> y) {
  if (factor.form() == FactorForm::rows)
    product<Scalar>(device, x, factor.rows(), {}, y);
  else
    input_gradient<Scalar>(device, x, factor.columns(), y, Write::assign);
}

/// y (m, width) += x (m, rank) times the transpose of that.
template <RealScalar Scalar, class Device, Index width, FactorForm usual>
void add_expanded(Device& device, Rows<const Scalar, Device> x,
                  const Factor<const Scalar, Device, width, usual>& factor, Rows<Scalar, Device> y) {
  if (factor.form() == FactorForm::rows)
    return input_gradient<Scalar>(device, x, factor.rows(), y, Write::add);
  const ArenaScope scope(device);
  const auto expanded = take<Scalar, dyn, dyn>(device, y.rows(), width);
  product<Scalar>(device, x, factor.columns(), {}, expanded);
  add<Scalar>(device, expanded, y, y);
}

/// The gradient of a factor whose vectors x (m, width) met: `shrunk` (m, rank) is what came of them, or goes.
template <RealScalar Scalar, class Device, Index width, FactorForm usual>
void factor_gradient(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> shrunk,
                     const Factor<Scalar, Device, width, usual>& gradient, Write write) {
  if (gradient.form() == FactorForm::rows)
    weight_gradient<Scalar>(device, shrunk, x, gradient.rows(), write);
  else
    weight_gradient<Scalar>(device, x, shrunk, gradient.columns(), write);
}

}  // namespace detail

/// y = x W^T + bias + scale (x A^T) B^T + C in one pass over y, for a plain weight W (out, in); linked
/// updates are added in turn, each to its own rows.
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
                     Row<const Scalar, Device> bias, const LowRank<const Scalar, Device, out, in>& updates,
                     Rows<Scalar, Device> y) {
  detail::check_extent("ops::low_rank_update", "columns of the weight", in, weight.columns());
  detail::check_extent("ops::low_rank_update", "rows of the weight", out, weight.rows());
  detail::check_updates(x, bias, updates, y);
  detail::count_product<Scalar, Scalar>(device, y, in);
  detail::count_updates(device, updates, x.rows());
  Ops<Device>::template low_rank_update<Scalar>(device, x, weight, bias, updates, y);
}

/// UpdatedProducts of one x with frozen weights: q, k and v, or gate and up, or one alone. x is read once.
template <RealScalar Scalar, class Device, class... Stored, Index... out, Index in>
void updated_products(Device& device, View<const Scalar, Device, dyn, in> x,
                      const UpdatedProduct<Scalar, Stored, Device, out, in>&... products) {
  (detail::check_updates<Scalar>(x, products.bias, products.updates, products.y), ...);
  (detail::count_product<Scalar, Stored>(device, products.y, in), ...);
  (detail::count_updates(device, products.updates, x.rows()), ...);
  Ops<Device>::template updated_products<Scalar>(device, x, products...);
}

/// The same for one frozen weight.
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x,
                     const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
                     const LowRank<const Scalar, Device, out, in>& updates, Rows<Scalar, Device> y) {
  const UpdatedProduct<Scalar, Stored, Device, out, in> product{weight.packed(), bias, updates, y};
  detail::check_updates<Scalar>(x, bias, updates, y);
  detail::count_product<Scalar, Stored>(device, y, in);
  detail::count_updates(device, updates, x.rows());
  Ops<Device>::template updated_products<Scalar>(device, x, product);
}

/// y += scale (x A^T) B^T + C, of one update without those linked to it, to its own rows.
template <RealScalar Scalar, class Device, Index out, Index in>
void add_update(Device& device, Rows<const Scalar, Device> x,
                const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> y) {
  detail::check_low_rank("ops::add_update", update, x.rows());
  const ArenaScope scope(device);
  const Index count = update.row_count(x.rows());
  const auto own = [&](auto rows) { return rows.slice(update.first_row, count); };
  if (update.a) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, count, update.rank());
    detail::shrink<Scalar>(device, own(x), update.a, shrunk);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    detail::add_expanded<Scalar>(device, shrunk, update.b, own(y));
  }
  if (update.bias) add_rows<Scalar>(device, own(y), update.bias, own(y));
}

/// What one update, without those linked to it, sends back: dx += scale (dy B) A; dA [+]= scale (dy B)^T x,
/// dB [+]= scale dy^T (x A^T), dC [+]= the sums of dy's columns. dx and each member of `gradient` are
/// optional.
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_gradient(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> dy,
                       const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> dx,
                       const LowRank<Scalar, Device, out, in>& gradient, Write write) {
  detail::check_low_rank("ops::low_rank_gradient", update, x.rows());
  const ArenaScope scope(device);
  const Index count = update.row_count(x.rows()), rank = update.rank();
  const auto own = [&](auto rows) { return rows.slice(update.first_row, count); };
  x = own(x), dy = own(dy);
  if ((dx || gradient.a) && update.a) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, count, rank);  // scale dy B (tokens, rank)
    detail::shrink<Scalar>(device, dy, update.b, shrunk);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    if (dx) detail::add_expanded<Scalar>(device, shrunk, update.a, own(dx));
    if (gradient.a) detail::factor_gradient<Scalar>(device, x, shrunk, gradient.a, write);
  }
  if (gradient.b) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, count, rank);  // scale x A^T (tokens, rank)
    detail::shrink<Scalar>(device, x, update.a, shrunk);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    detail::factor_gradient<Scalar>(device, dy, shrunk, gradient.b, write);
  }
  if (gradient.bias) column_sums<Scalar>(device, dy, gradient.bias, write);
}

}  // namespace hyperblocks::ops
