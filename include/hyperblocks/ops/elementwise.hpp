// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Operations element by element: sums of tensors, scaling, casts, activations, gated units; and reductions.
#pragma once

#include <hyperblocks/ops/activation.hpp>
#include <hyperblocks/ops/operands.hpp>

namespace hyperblocks::ops {

/// y = a + b, element by element; y may be a or b.
template <RealScalar Scalar, class Device>
void add(Device& device, Rows<const Scalar, Device> a, Rows<const Scalar, Device> b, Rows<Scalar, Device> y) {
  detail::check_same("ops::add", a, b);
  detail::check_same("ops::add", a, y);
  const Index size = a.size();
  Ops<Device>::template add<Scalar>(device, a.template reshape<dyn>(size), b.template reshape<dyn>(size),
                                    y.template reshape<dyn>(size));
}

/// y += alpha x
template <RealScalar Scalar, class Device>
void scale_add(Device& device, double alpha, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::scale_add", x, y);
  Ops<Device>::template scale_add<Scalar>(device, alpha, x.template reshape<dyn>(x.size()),
                                          y.template reshape<dyn>(y.size()));
}

/// y = alpha x; y may be x.
template <RealScalar Scalar, class Device>
void scale(Device& device, double alpha, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::scale", x, y);
  Ops<Device>::template scale<Scalar>(device, alpha, x.template reshape<dyn>(x.size()),
                                      y.template reshape<dyn>(y.size()));
}

/// y = x in another scalar, rounded once to nearest even.
template <RealScalar To, RealScalar From, class Device>
void cast(Device& device, Rows<const From, Device> x, Rows<To, Device> y) {
  detail::check_same("ops::cast", x, y);
  Ops<Device>::template cast<To, From>(device, x.template reshape<dyn>(x.size()),
                                       y.template reshape<dyn>(y.size()));
}

/// y(i) = x(i) + row, for every row of x; y may be x.
template <RealScalar Scalar, class Device>
void add_rows(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> row,
              Rows<Scalar, Device> y) {
  detail::check_same("ops::add_rows", x, y);
  detail::check_extent("ops::add_rows", "columns of x and elements of the row", x.columns(), row.size());
  Ops<Device>::template add_rows<Scalar>(device, x, row, y);
}

/// y(i) = factors(i) x(i), for every row of x; y may be x.
template <RealScalar Scalar, class Device>
void scale_rows(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> factors,
                Rows<Scalar, Device> y) {
  detail::check_same("ops::scale_rows", x, y);
  detail::check_extent("ops::scale_rows", "rows of x and factors", x.rows(), factors.size());
  Ops<Device>::template scale_rows<Scalar>(device, x, factors, y);
}

/// y(i) = row, for every row of y.
template <RealScalar Scalar, RealScalar Stored, class Device>
void broadcast(Device& device, Row<const Stored, Device> row, Rows<Scalar, Device> y) {
  detail::check_extent("ops::broadcast", "elements of the row and columns of y", y.columns(), row.size());
  Ops<Device>::template broadcast<Scalar, Stored>(device, row, y);
}

/// y = activation(x), element by element; y may be x.
template <RealScalar Scalar, class Device>
void activate(Device& device, Activation activation, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::activate", x, y);
  const Index size = x.size();
  Ops<Device>::template activate<Scalar>(device, activation, x.template reshape<dyn>(size),
                                         y.template reshape<dyn>(size));
}

/// dx = dy activation'(x); dx may be dy.
template <RealScalar Scalar, class Device>
void activate_backward(Device& device, Activation activation, Rows<const Scalar, Device> x,
                       Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx) {
  detail::check_same("ops::activate_backward", x, dy);
  detail::check_same("ops::activate_backward", x, dx);
  const Index size = x.size();
  Ops<Device>::template activate_backward<Scalar>(device, activation, x.template reshape<dyn>(size),
                                                  dy.template reshape<dyn>(size),
                                                  dx.template reshape<dyn>(size));
}

/// y = cap tanh(x / cap), element by element; y may be x.
template <RealScalar Scalar, class Device>
void soft_cap(Device& device, double cap, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::soft_cap", x, y);
  const Index size = x.size();
  Ops<Device>::template soft_cap<Scalar>(device, cap, x.template reshape<dyn>(size),
                                         y.template reshape<dyn>(size));
}

/// dx = dy (1 - tanh(x / cap)^2); dx may be x or dy.
template <RealScalar Scalar, class Device>
void soft_cap_backward(Device& device, double cap, Rows<const Scalar, Device> x,
                       Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx) {
  detail::check_same("ops::soft_cap_backward", x, dy);
  detail::check_same("ops::soft_cap_backward", x, dx);
  const Index size = x.size();
  Ops<Device>::template soft_cap_backward<Scalar>(device, cap, x.template reshape<dyn>(size),
                                                  dy.template reshape<dyn>(size),
                                                  dx.template reshape<dyn>(size));
}

/// y = activation(gate) * up
template <RealScalar Scalar, class Device>
void glu(Device& device, Activation activation, Rows<const Scalar, Device> gate,
         Rows<const Scalar, Device> up, Rows<Scalar, Device> y) {
  detail::check_same("ops::glu", gate, up);
  detail::check_same("ops::glu", gate, y);
  Ops<Device>::template glu<Scalar>(device, activation, gate, up, y);
}

template <RealScalar Scalar, class Device>
void glu_backward(Device& device, Activation activation, Rows<const Scalar, Device> gate,
                  Rows<const Scalar, Device> up, Rows<const Scalar, Device> dy, Rows<Scalar, Device> dgate,
                  Rows<Scalar, Device> dup) {
  detail::check_same("ops::glu_backward", gate, up);
  detail::check_same("ops::glu_backward", gate, dy);
  detail::check_same("ops::glu_backward", gate, dgate);
  detail::check_same("ops::glu_backward", gate, dup);
  Ops<Device>::template glu_backward<Scalar>(device, activation, gate, up, dy, dgate, dup);
}

/// y (n) [+]= the sums of the columns of x (m, n): the gradient of a bias.
template <RealScalar Scalar, class Device>
void column_sums(Device& device, Rows<const Scalar, Device> x, Row<Scalar, Device> y, Write write) {
  detail::check_extent("ops::column_sums", "columns of x and elements of y", x.columns(), y.size());
  Ops<Device>::template column_sums<Scalar>(device, x, y, write == Write::add);
}

/// The sum of all elements.
template <RealScalar Scalar, class Device>
double sum(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template sum<Scalar>(device, x);
}

/// The sum of the squares of all elements.
template <RealScalar Scalar, class Device>
double squared_norm(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template squared_norm<Scalar>(device, x);
}

/// The largest magnitude; NaN if any element is.
template <RealScalar Scalar, class Device>
double max_abs(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template max_abs<Scalar>(device, x);
}

}  // namespace hyperblocks::ops
