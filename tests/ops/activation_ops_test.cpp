// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Activations and gated units against naive double formulas and central differences.
#include "support/row_check.hpp"
#include "support/worse.hpp"

#include <limits>

#include <hyperblocks/ops/cpu/activation_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::ActivationOps;

namespace {
constexpr Activation all_activations[] = {Activation::identity,   Activation::relu,      Activation::silu,
                                          Activation::gelu_exact, Activation::gelu_tanh, Activation::sigmoid};

double naive(Activation activation, double x) {
  const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_exact:
      return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    case Activation::gelu_tanh:
      return x * (1 + std::tanh(u)) / 2;
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return 0;
}
}  // namespace

TEST_CASE_TEMPLATE("activations and gated units have the naive values", S, float, double, bf16, half) {
  Cpu cpu;
  const auto x = random_tensor<S, dyn, dyn>(cpu, 1, 37, 1001),
             up = random_tensor<S, dyn, dyn>(cpu, 2, 37, 1001);
  for (const Activation activation : all_activations) {
    std::vector<double> expected, gated;
    for (Index i = 0; i < x.size(); ++i) {
      expected.push_back(naive(activation, number(x.data()[i])));
      gated.push_back(expected.back() * number(up.data()[i]));
    }
    check_everywhere(expected, tolerance<S>(), [&](Cpu& device) {
      Tensor<S, Cpu, dyn, dyn> y(device, 37, 1001);
      ActivationOps::activate<S>(device, activation, x.view().template reshape<dyn>(x.size()),
                                 y.view().template reshape<dyn>(y.size()));
      return numbers(y);
    });
    check_everywhere(gated, tolerance<S>(), [&](Cpu& device) {
      Tensor<S, Cpu, dyn, dyn> y(device, 37, 1001);
      ActivationOps::glu<S>(device, activation, x, up, y);
      return numbers(y);
    });
  }
}

TEST_CASE("the exponential of float stays within a few units in the last place") {
  std::vector<float> x, y;
  for (float value = -87; value < 88; value += 0.0037f) x.push_back(value);
  y.resize(x.size());
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    const auto kernel = cpu::kernels::row_kernel(
        isa, [](auto set) { return &decltype(set)::template scaled_exponentials<float>; });
    kernel(x.data(), y.data(), static_cast<Index>(x.size()), 0, 1, 0);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = test::worse(worst, std::abs(y[i] / std::exp(static_cast<double>(x[i])) - 1));
    CHECK(worst < 2.5e-7);
  }
}

TEST_CASE("activations' derivatives") {
  Cpu cpu;
  auto x = random_tensor<double, dyn, dyn>(cpu, 3, 3, 7), up = random_tensor<double, dyn, dyn>(cpu, 4, 3, 7);
  const auto dy = random_tensor<double, dyn, dyn>(cpu, 5, 3, 7);
  Tensor<double, Cpu, dyn, dyn> y(cpu, 3, 7), dx(cpu, 3, 7), dup(cpu, 3, 7);
  const auto flat = [](auto& tensor) { return tensor.view().template reshape<dyn>(21); };
  for (const Activation activation : all_activations) {
    ActivationOps::activate_backward<double>(cpu, activation, flat(x), flat(dy), flat(dx));
    check_gradient(x.span(), dx.span(), [&] {
      ActivationOps::activate<double>(cpu, activation, flat(x), flat(y));
      return dot(y.span(), dy.span());
    });
    const auto loss = [&] {
      ActivationOps::glu<double>(cpu, activation, x, up, y);
      return dot(y.span(), dy.span());
    };
    ActivationOps::glu_backward<double>(cpu, activation, x, up, dy, dx, dup);
    check_gradient(x.span(), dx.span(), loss);
    check_gradient(up.span(), dup.span(), loss);
  }
}

TEST_CASE("NaN comes out as NaN, large numbers stay finite") {
  for (const Activation activation : all_activations) {
    check_everywhere({naive(activation, -100.0), naive(activation, 100.0)}, 1e-6, [&](Cpu& cpu) {
      Tensor<float, Cpu, dyn> x(cpu, 3);
      x.upload(cpu, std::vector<float>{-100, 100, std::numeric_limits<float>::quiet_NaN()});
      ActivationOps::activate<float>(cpu, activation, x, x);
      CHECK(std::isnan(x(2)));
      return std::vector<double>{x(0), x(1)};
    });
  }
}

namespace {
/// The limits of value and slope far from zero, where every activation is the identity or constant.
template <class T>
ValueAndSlope<double> far_away(Activation activation, T x) {
  if (x != x) return {x, activation == Activation::identity ? 1.0 : static_cast<double>(x)};
  if (activation == Activation::sigmoid) return {x > 0 ? 1.0 : 0.0, 0};
  if (activation == Activation::identity || x > 0) return {static_cast<double>(x), 1};
  return {0, 0};
}

bool same(double expected, double found) {
  return std::isnan(expected) ? std::isnan(found) : expected == found;
}

template <class T>
std::vector<T> far_numbers() {
  constexpr T infinity = std::numeric_limits<T>::infinity(), largest = std::numeric_limits<T>::max();
  std::vector<T> result;
  for (const T x : {T(800), T(1e4), T(1e7), T(1e13), T(1.5e19), T(2e19), T(1e30), largest, infinity})
    result.insert(result.end(), {x, -x});
  result.push_back(std::numeric_limits<T>::quiet_NaN());
  while (result.size() < 45) result.push_back(result[result.size() % 19]);  // whole vectors and a rest
  return result;
}
}  // namespace

TEST_CASE_TEMPLATE("far away from zero: values and slopes of all finite numbers, infinity, NaN", T, float,
                   double) {
  const std::vector<T> numbers = far_numbers<T>();
  const auto size = static_cast<Index>(numbers.size());
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    Cpu cpu({.threads = 1, .isa = isa});
    Tensor<T, Cpu, dyn> x(cpu, size), dy(cpu, size), y(cpu, size), dx(cpu, size);
    x.upload(cpu, numbers);
    fill_constant(cpu, dy, 1);
    for (const Activation activation : all_activations) {
      ActivationOps::activate<T>(cpu, activation, x, y);
      ActivationOps::activate_backward<T>(cpu, activation, x, dy, dx);
      for (Index i = 0; i < size; ++i) {
        const auto [value, slope] = far_away(activation, x(i));
        CAPTURE(static_cast<int>(activation));
        CAPTURE(x(i));
        CHECK(same(value, static_cast<double>(y(i))));
        CHECK(same(slope, static_cast<double>(dx(i))));
      }
    }
  }
}

TEST_CASE_TEMPLATE("the formulas that all devices share", T, float, double) {
  for (const Activation activation : all_activations)
    with_activation(activation, [&]<Activation known>(std::integral_constant<Activation, known>) {
      CAPTURE(static_cast<int>(known));
      for (const T x : far_numbers<T>()) {
        const auto expected = far_away(known, x);
        const auto found = evaluate<known>(x);
        CAPTURE(x);
        CHECK(same(expected.value, static_cast<double>(found.value)));
        CHECK(same(expected.slope, static_cast<double>(found.slope)));
      }
      for (double x = -12.03; x < 12; x += 0.11) {
        const double slope = (naive(known, x + 1e-5) - naive(known, x - 1e-5)) / 2e-5;
        const auto found = evaluate<known>(static_cast<T>(x));
        CHECK(std::abs(static_cast<double>(found.value) - naive(known, x)) < tolerance<T>() * 4);
        CHECK(std::abs(static_cast<double>(found.slope) - slope) < 2e-6 + tolerance<T>());
      }
    });
}

TEST_CASE("an activation without a name is an error") {
  CHECK_THROWS_WITH_AS(
      with_activation(static_cast<Activation>(99), [](auto) {}),
      doctest::Contains("unknown activation (ops::activate): expected a named one, found 99"), Error);
}
