// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// f(x) and f'(x) of every activation, for a host's or a device's code: one formula for all devices.
// (constexpr, so that nvcc's relaxed constexpr lets kernels call them.)
#pragma once

#include <cmath>
#include <numbers>
#include <string>
#include <type_traits>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/ops/activation.hpp>

namespace hyperblocks {

/// Where, in float and in double, an activation's gate has become exactly 0 or 1: from there on it is
/// evaluated at this magnitude, so that neither a square overflows nor infinity meets a zero.
template <Activation activation, class T>
inline constexpr T saturated_at =
    activation == Activation::silu || activation == Activation::sigmoid ? T{1000} : T{64};

template <class T>
struct ValueAndSlope {
  T value, slope;
};

template <Activation activation, class T>
constexpr ValueAndSlope<T> evaluate(T x) {
  constexpr T limit = saturated_at<activation, T>;
  const T above = x < -limit ? -limit : x, bounded = above > limit ? limit : above;
  if constexpr (activation == Activation::identity) {
    return {x, T{1}};
  } else if constexpr (activation == Activation::relu) {
    return {x < 0 ? T{0} : x, x > 0 ? T{1} : (x != x ? x : T{0})};
  } else if constexpr (activation == Activation::silu) {
    const T sigmoid = T{1} / (T{1} + std::exp(-bounded));
    return {above * sigmoid, sigmoid * (T{1} + bounded * (T{1} - sigmoid))};
  } else if constexpr (activation == Activation::sigmoid) {
    const T sigmoid = T{1} / (T{1} + std::exp(-bounded));
    return {sigmoid, sigmoid * (T{1} - sigmoid)};
  } else if constexpr (activation == Activation::gelu_exact) {
    const T half_root = T(std::numbers::sqrt2) / 2;
    const T probability = T(0.5) * (T{1} + std::erf(bounded * half_root));
    const T density = std::exp(-bounded * bounded / 2) * half_root * T(std::numbers::inv_sqrtpi);
    return {above * probability, probability + bounded * density};
  } else {
    const T factor = T(std::numbers::sqrt2 * std::numbers::inv_sqrtpi), cubic = T(0.044715);
    const T tangent = std::tanh(factor * (bounded + cubic * bounded * bounded * bounded));
    const T inner_slope = factor * (T{1} + 3 * cubic * bounded * bounded);
    const T gate = T(0.5) * (T{1} + tangent);
    return {above * gate, gate + T(0.5) * bounded * (T{1} - tangent * tangent) * inner_slope};
  }
}

/// Calls f with the activation as a compile-time constant: f(std::integral_constant<Activation, ...>).
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
    case Activation::sigmoid:
      return call.template operator()<Activation::sigmoid>();
  }
  throw Error("unknown activation", "ops::activate", "a named one",
              std::to_string(static_cast<int>(activation)));
}

}  // namespace hyperblocks
