// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Activations, gated units, soft caps and dropout of the Cpu device, forward and backward: y = f(x), y =
// f(gate) * up. Computed in float (double for double); a NaN comes out as NaN.
#pragma once

#include <hyperblocks/ops/activation_functions.hpp>
#include <hyperblocks/ops/cpu/rows.hpp>
#include <hyperblocks/ops/dropout.hpp>

namespace hyperblocks::cpu {

struct ActivationOps {
  /// y may be x.
  template <RealScalar Scalar>
  static void activate(Cpu& cpu, Activation activation, Row<const Scalar> x, Row<Scalar> y) {
    with_activation(activation, [&](auto known) {
      const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, activate<decltype(known)::value, Scalar>);
      detail::for_elements(cpu, x.size(), [&](Index first, Index count) {
        kernel(x.data() + first, y.data() + first, count);
      });
    });
  }

  /// dx = dy f'(x); dx may be dy.
  template <RealScalar Scalar>
  static void activate_backward(Cpu& cpu, Activation activation, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    with_activation(activation, [&](auto known) {
      const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, activate_backward<decltype(known)::value, Scalar>);
      detail::for_elements(cpu, x.size(), [&](Index first, Index count) {
        kernel(x.data() + first, dy.data() + first, dx.data() + first, count);
      });
    });
  }

  /// y = f(gate) * up; y may be gate or up.
  template <RealScalar Scalar>
  static void glu(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                  Rows<Scalar> y) {
    with_activation(activation, [&](auto known) {
      const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, glu<decltype(known)::value, Scalar>);
      detail::for_elements(cpu, gate.size(), [&](Index first, Index count) {
        kernel(gate.data() + first, up.data() + first, y.data() + first, count);
      });
    });
  }

  /// dgate = dy up f'(gate), dup = dy f(gate); outputs may be inputs, each its own.
  template <RealScalar Scalar>
  static void glu_backward(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                           Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    with_activation(activation, [&](auto known) {
      const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, glu_backward<decltype(known)::value, Scalar>);
      detail::for_elements(cpu, gate.size(), [&](Index first, Index count) {
        kernel(gate.data() + first, up.data() + first, dy.data() + first, dgate.data() + first,
               dup.data() + first, count);
      });
    });
  }

  /// y = cap tanh(x / cap); y may be x.
  template <RealScalar Scalar>
  static void soft_cap(Cpu& cpu, double cap, Row<const Scalar> x, Row<Scalar> y) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, soft_cap<Scalar>);
    detail::for_elements(cpu, x.size(), [&](Index first, Index count) {
      kernel(static_cast<Accumulator<Scalar>>(cap), x.data() + first, y.data() + first, count);
    });
  }

  /// dx = dy (1 - tanh(x / cap)^2); dx may be x or dy.
  template <RealScalar Scalar>
  static void soft_cap_backward(Cpu& cpu, double cap, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, soft_cap_backward<Scalar>);
    detail::for_elements(cpu, x.size(), [&](Index first, Index count) {
      kernel(static_cast<Accumulator<Scalar>>(cap), x.data() + first, dy.data() + first, dx.data() + first,
             count);
    });
  }

  /// y(i) = factor(i) x(i); y may be x.
  template <RealScalar Scalar>
  static void dropout(Cpu& cpu, Row<const Scalar> x, const ops::DropoutFactor<Accumulator<Scalar>>& factor,
                      Row<Scalar> y) {
    detail::for_elements(cpu, x.size(), [&](Index first, Index count) {
      for (Index i = first; i < first + count; ++i)
        y(i) = scalar_cast<Scalar>(factor(i) * scalar_cast<Accumulator<Scalar>>(x(i)));
    });
  }
};

}  // namespace hyperblocks::cpu
