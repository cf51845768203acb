// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Activations and gated units of the Cpu device, forward and backward: y = f(x), and y = f(gate) * up.
// Computed in float (double for double); a NaN comes out as NaN.
#pragma once

#include <cmath>
#include <numbers>

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/activation.hpp>
#include <hyperblocks/ops/cpu/device.hpp>

namespace hyperblocks::cpu {

namespace detail {

template <class T>
struct ValueAndSlope {
  T value, slope;
};

template <Activation activation, class T>
ValueAndSlope<T> evaluate(T x) {
  if constexpr (activation == Activation::identity) {
    return {x, T{1}};
  } else if constexpr (activation == Activation::relu) {
    return {x < 0 ? T{0} : x, x > 0 ? T{1} : T{0}};
  } else if constexpr (activation == Activation::silu) {
    const T sigmoid = T{1} / (T{1} + std::exp(-x));
    return {x * sigmoid, sigmoid * (T{1} + x * (T{1} - sigmoid))};
  } else if constexpr (activation == Activation::gelu_exact) {
    const T half_root = std::numbers::sqrt2_v<T> / 2;
    const T probability = T{0.5} * (T{1} + std::erf(x * half_root));
    const T density = std::exp(-x * x / 2) * half_root * std::numbers::inv_sqrtpi_v<T>;
    return {x * probability, probability + x * density};
  } else {
    const T factor = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>, cubic = T(0.044715);
    const T tangent = std::tanh(factor * (x + cubic * x * x * x));
    const T inner_slope = factor * (T{1} + 3 * cubic * x * x);
    const T gate = T{0.5} * (T{1} + tangent);
    return {x * gate, gate + T{0.5} * x * (T{1} - tangent * tangent) * inner_slope};
  }
}

/// Calls f with the activation as a compile-time constant.
template <class F>
void with_activation(Activation activation, F f) {
  const auto call = [&]<Activation known>() { f(std::integral_constant<Activation, known>()); };
  switch (activation) {
    case Activation::identity:
      return call.template operator()<Activation::identity>();
    case Activation::relu:
      return call.template operator()<Activation::relu>();
    case Activation::silu:
      return call.template operator()<Activation::silu>();
    case Activation::gelu_exact:
      return call.template operator()<Activation::gelu_exact>();
    case Activation::gelu_tanh:
      return call.template operator()<Activation::gelu_tanh>();
  }
  throw Error("unknown activation", "ops::activate", "a named one",
              std::to_string(static_cast<int>(activation)));
}

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
    detail::with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, x.size(), [from = x.data(), to = y.data()](Index i) {
        const auto value = scalar_cast<Accumulator<Scalar>>(from[i]);
        to[i] = scalar_cast<Scalar>(detail::evaluate<decltype(known)::value>(value).value);
      });
    });
  }

  /// dx = dy f'(x); dx may be dy.
  template <RealScalar Scalar>
  static void activate_backward(Cpu& cpu, Activation activation, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    using Sum = Accumulator<Scalar>;
    detail::with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, x.size(), [x = x.data(), dy = dy.data(), dx = dx.data()](Index i) {
        const Sum slope = detail::evaluate<decltype(known)::value>(scalar_cast<Sum>(x[i])).slope;
        dx[i] = scalar_cast<Scalar>(scalar_cast<Sum>(dy[i]) * slope);
      });
    });
  }

  /// y = f(gate) * up; y may be gate or up.
  template <RealScalar Scalar>
  static void glu(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                  Rows<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    detail::with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, gate.size(), [gate = gate.data(), up = up.data(), y = y.data()](Index i) {
        const Sum value = detail::evaluate<decltype(known)::value>(scalar_cast<Sum>(gate[i])).value;
        y[i] = scalar_cast<Scalar>(value * scalar_cast<Sum>(up[i]));
      });
    });
  }

  template <RealScalar Scalar>
  static void glu_backward(Cpu& cpu, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                           Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    using Sum = Accumulator<Scalar>;
    detail::with_activation(activation, [&](auto known) {
      detail::for_elements(cpu, gate.size(), [&](Index i) {
        const auto [value, slope] =
            detail::evaluate<decltype(known)::value>(scalar_cast<Sum>(gate.data()[i]));
        const Sum direction = scalar_cast<Sum>(dy.data()[i]);
        dgate.data()[i] = scalar_cast<Scalar>(direction * scalar_cast<Sum>(up.data()[i]) * slope);
        dup.data()[i] = scalar_cast<Scalar>(direction * value);
      });
    });
  }
};

}  // namespace hyperblocks::cpu
