// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Helpers of the tests of row-wise operations: random tensors, devices of every instruction set and several
// thread counts, gradients against central differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/device.hpp>

#include "worse.hpp"

namespace hyperblocks::test {

template <class S>
double tolerance() {
  if (std::is_same_v<S, double>) return 1e-12;
  if (std::is_same_v<S, float>) return 3e-6;
  return std::is_same_v<S, half> ? 2e-3 : 1.6e-2;
}

template <class S>
double number(S value) {
  return scalar_cast<double>(value);
}

template <class S, Index... extents, class... RunTime>
Tensor<S, Cpu, extents...> random_tensor(Cpu& cpu, std::uint64_t seed, RunTime... run_time) {
  Tensor<S, Cpu, extents...> tensor(cpu, run_time...);
  Random random(seed);
  fill_normal(cpu, tensor, random, 1.0);
  return tensor;
}

template <class Values>
std::vector<double> numbers(const Values& values) {
  std::vector<double> result;
  for (const auto value : values.span()) result.push_back(number(value));
  return result;
}

/// Every instruction set that runs here with 1, 2 and 3 threads: f(cpu) returns numbers; bits must be equal
/// over threads, values near `expected` for all.
template <class F>
void check_everywhere(const std::vector<double>& expected, double tolerance, F f) {
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    std::vector<double> first;
    for (const Index threads : {1, 2, 3}) {
      Cpu cpu({.threads = threads, .isa = isa});
      cpu.arena().poison(true);
      const std::vector<double> found = f(cpu);
      REQUIRE(found.size() == expected.size());
      if (threads == 1) first = found;
      CHECK(std::memcmp(found.data(), first.data(), found.size() * sizeof(double)) == 0);
      double worst = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const double difference = std::abs(found[i] - expected[i]) / (1 + std::abs(expected[i]));
        worst = worse(worst, difference);
      }
      INFO(name(isa));
      CHECK(worst <= tolerance);
    }
  }
}

/// d loss / d values against `gradient`, by central differences.
template <class Loss>
void check_gradient(std::span<double> values, std::span<const double> gradient, Loss loss) {
  constexpr double step = 1e-5;
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    values[i] = value + step;
    const double above = loss();
    values[i] = value - step;
    const double below = loss();
    values[i] = value;
    const double error = std::abs((above - below) / (2 * step) - gradient[i]) / (1 + std::abs(gradient[i]));
    worst = worse(worst, error);
  }
  CHECK(worst < 1e-7);
}

inline double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace hyperblocks::test
