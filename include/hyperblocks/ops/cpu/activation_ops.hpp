// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Activations and gated units of the Cpu device, forward and backward: y = f(x), and y = f(gate) * up.
// Computed in float (double for double); a NaN comes out as NaN.
#pragma once

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/activation_functions.hpp>
#include <hyperblocks/ops/cpu/device.hpp>

namespace hyperblocks::cpu {

namespace detail {

/// f(i) for 0 <= i < size, in blocks that are worth a thread.
template <class F>
void for_elements(Cpu& cpu, Index size, F f) {
  constexpr Index block = 4096;
  cpu.threads().run(ceil_divide(size, block), [&](Index index) {
    const Index last = smaller(size, (index + 1) * block);
    for (Index i = index * block; i < last; ++i) f(i);
  });
}

}  // namespace detail

struct ActivationOps {
  template <class Scalar>
  using Row = View<Scalar, Cpu, dyn>;
  template <class Scalar>
  using Rows = View<Scalar, Cpu, dyn, dyn>;

  /// y may be x.
  template <RealScalar Scalar>
  static void activate(Cpu& cpu, Activation activation, Row<const Scalar> x, Row<Scalar> y) {
    with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, x.size(), [from = x.data(), to = y.data()](Index i) {
        const auto value = scalar_cast<Accumulator<Scalar>>(from[i]);
        to[i] = scalar_cast<Scalar>(evaluate<decltype(known)::value>(value).value);
      });
    });
  }

  /// dx = dy f'(x); dx may be dy.
  template <RealScalar Scalar>
  static void activate_backward(Cpu& cpu, Activation activation, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    using Sum = Accumulator<Scalar>;
    with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, x.size(), [x = x.data(), dy = dy.data(), dx = dx.data()](Index i) {
        const Sum slope = evaluate<decltype(known)::value>(scalar_cast<Sum>(x[i])).slope;
        dx[i] = scalar_cast<Scalar>(scalar_cast<Sum>(dy[i]) * slope);
      });
    });
  }

  /// y = f(gate) * up; y may be gate or up.
  template <RealScalar Scalar>
  static void glu(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                  Rows<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, gate.size(), [gate = gate.data(), up = up.data(), y = y.data()](Index i) {
        const Sum value = evaluate<decltype(known)::value>(scalar_cast<Sum>(gate[i])).value;
        y[i] = scalar_cast<Scalar>(value * scalar_cast<Sum>(up[i]));
      });
    });
  }

  template <RealScalar Scalar>
  static void glu_backward(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                           Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    using Sum = Accumulator<Scalar>;
    with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, gate.size(), [&](Index i) {
        const auto [value, slope] = evaluate<decltype(known)::value>(scalar_cast<Sum>(gate.data()[i]));
        const Sum direction = scalar_cast<Sum>(dy.data()[i]);
        dgate.data()[i] = scalar_cast<Scalar>(direction * scalar_cast<Sum>(up.data()[i]) * slope);
        dup.data()[i] = scalar_cast<Scalar>(direction * value);
      });
    });
  }
};

}  // namespace hyperblocks::cpu
