// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of rows with plain and frozen weights, of batches of matrices, and low-rank updates; with
// gradients.
#pragma once

#include <hyperblocks/ops/elementwise.hpp>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/matrices.hpp>

namespace hyperblocks::ops {

/// y (m, out) = x (m, in) W (out, in)^T + bias (out), for a plain weight.
template <RealScalar Scalar, class Device>
void product(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
             Row<const Scalar, Device> bias, Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", weight.columns(), x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", weight.rows(), y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", y.columns(), bias.size());
  Ops<Device>::template product<Scalar>(device, x, weight, bias, y);
}

/// The same for a frozen weight.
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void product(Device& device, Rows<const Scalar, Device> x,
             const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
             Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", in, x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", out, y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", out, bias.size());
  Ops<Device>::template product_packed<Scalar, Stored>(device, x, weight.packed(), bias, y);
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
  Ops<Device>::template input_gradient<Scalar>(device, dy, weight, dx, write == Write::add);
}

template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void input_gradient(Device& device, Rows<const Scalar, Device> dy,
                    const FrozenMatrix<Stored, Device, out, in>& weight, Rows<Scalar, Device> dx,
                    Write write) {
  detail::check_extent("ops::input_gradient", "columns of dy and rows of the weight", out, dy.columns());
  detail::check_extent("ops::input_gradient", "columns of the weight and of dx", in, dx.columns());
  detail::check_extent("ops::input_gradient", "rows of dy and of dx", dy.rows(), dx.rows());
  Ops<Device>::template input_gradient_packed<Scalar, Stored>(device, dy, weight.packed(), dx,
                                                              write == Write::add);
}

/// dW (out, in) [+]= dy (m, out)^T x (m, in)
template <RealScalar Scalar, class Device>
void weight_gradient(Device& device, Rows<const Scalar, Device> dy, Rows<const Scalar, Device> x,
                     Rows<Scalar, Device> dweight, Write write) {
  detail::check_extent("ops::weight_gradient", "columns of dy and rows of dW", dweight.rows(), dy.columns());
  detail::check_extent("ops::weight_gradient", "columns of x and of dW", dweight.columns(), x.columns());
  detail::check_extent("ops::weight_gradient", "rows of dy and of x", dy.rows(), x.rows());
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
  Ops<Device>::template batched_product<Scalar>(device, a, b, y, write == Write::add);
}

namespace detail {
template <class X, class Scalar, class Device, Index out, Index in>
void check_low_rank(const char* where, const X& x, const Row<Scalar, Device>& bias,
                    const LowRank<Scalar, Device, out, in>& update,
                    const Rows<std::remove_const_t<Scalar>, Device>& y) {
  check_extent(where, "columns of x and of A", in, x.columns());
  check_extent(where, "columns of y and rows of B", out, y.columns());
  check_extent(where, "rows of x and of y", x.rows(), y.rows());
  check_extent(where, "the rank of A and B", update.a.rows(), update.b.columns());
  if (bias) check_extent(where, "elements of the bias", out, bias.size());
}

/// The bias that an updated linear starts from: bias + C, in scratch where both are there.
template <RealScalar Scalar, class Device>
Row<const Scalar, Device> updated_bias(Device& device, Row<const Scalar, Device> bias,
                                       Row<const Scalar, Device> c) {
  if (!bias) return c;
  if (!c) return bias;
  const auto both = take<Scalar, dyn>(device, c.size());
  Ops<Device>::template add<Scalar>(device, bias, c, both);
  return both;
}
}  // namespace detail

/// y = x W^T + bias + scale (x A^T) B^T + C in one pass over y, for a plain weight W (out, in).
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
                     Row<const Scalar, Device> bias, const LowRank<const Scalar, Device, out, in>& update,
                     Rows<Scalar, Device> y) {
  detail::check_extent("ops::low_rank_update", "columns of the weight", in, weight.columns());
  detail::check_extent("ops::low_rank_update", "rows of the weight", out, weight.rows());
  detail::check_low_rank("ops::low_rank_update", x, bias, update, y);
  const ArenaScope scope(device);
  Ops<Device>::template low_rank_update<Scalar>(device, x, weight,
                                                detail::updated_bias<Scalar>(device, bias, update.bias),
                                                update.a, update.b, update.scale, y);
}

/// The same for a frozen weight.
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x,
                     const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
                     const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> y) {
  detail::check_low_rank("ops::low_rank_update", x, bias, update, y);
  const ArenaScope scope(device);
  Ops<Device>::template low_rank_update_packed<Scalar, Stored>(
      device, x, weight.packed(), detail::updated_bias<Scalar>(device, bias, update.bias), update.a, update.b,
      update.scale, y);
}

/// What the update itself sends back: dx += scale (dy B) A; dA [+]= scale (dy B)^T x, dB [+]= scale dy^T (x
/// A^T), dC [+]= the sums of dy's columns. dx and each member of `gradient` are optional.
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_gradient(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> dy,
                       const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> dx,
                       const LowRank<Scalar, Device, out, in>& gradient, Write write) {
  const ArenaScope scope(device);
  const Index rank = update.a.rows();
  if (dx || gradient.a) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, dy.rows(), rank);  // scale dy B (tokens, rank)
    input_gradient<Scalar>(device, dy, update.b, shrunk, Write::assign);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    if (dx) input_gradient<Scalar>(device, shrunk, update.a, dx, Write::add);
    if (gradient.a) weight_gradient<Scalar>(device, shrunk, x, gradient.a, write);
  }
  if (gradient.b) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, x.rows(), rank);  // scale x A^T (tokens, rank)
    product<Scalar>(device, x, update.a, {}, shrunk);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    weight_gradient<Scalar>(device, dy, shrunk, gradient.b, write);
  }
  if (gradient.bias) column_sums<Scalar>(device, dy, gradient.bias, write);
}

}  // namespace hyperblocks::ops
