// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Activations and gated units against naive double formulas and central differences.
#include "support/row_check.hpp"

#include <limits>

#include <hyperblocks/ops/cpu/activation_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::ActivationOps;

namespace {
constexpr Activation all_activations[] = {Activation::identity, Activation::relu, Activation::silu,
                                          Activation::gelu_exact, Activation::gelu_tanh};

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
      worst = std::max(worst, std::abs(y[i] / std::exp(static_cast<double>(x[i])) - 1));
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
    check_everywhere({naive(activation, -100.0), 100.0}, 1e-6, [&](Cpu& cpu) {
      Tensor<float, Cpu, dyn> x(cpu, 3);
      x.upload(cpu, std::vector<float>{-100, 100, std::numeric_limits<float>::quiet_NaN()});
      ActivationOps::activate<float>(cpu, activation, x, x);
      CHECK(std::isnan(x(2)));
      return std::vector<double>{x(0), x(1)};
    });
  }
}
