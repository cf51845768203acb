// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Random: the generator's known numbers, moments within five standard errors, and fills that depend neither
// on the device's threads nor, but for rounding, on the scalar.
#include <doctest/doctest.h>

#include <cmath>
#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <vector>

using namespace hyperblocks;

namespace {

constexpr int draws = 400000;

/// Mean of f(draw) over many draws lies within five standard errors of `expected`.
template <class Draw, class F>
void check_mean(double expected, double variance, Draw draw, F f) {
  double sum = 0;
  for (int i = 0; i < draws; ++i) sum += f(draw());
  CHECK(std::abs(sum / draws - expected) < 5 * std::sqrt(variance / draws));
}

template <class S>
std::vector<double> filled(Index threads) {
  Cpu cpu({.threads = threads});
  Tensor<S, Cpu, dyn, 33> tensor(cpu, 41);
  Random random(11);
  fill_normal(cpu, tensor, random, 0.5);
  std::vector<double> values;
  for (const S value : tensor.span()) values.push_back(scalar_cast<double>(value));
  return values;
}

}  // namespace

TEST_CASE("SplitMix64's numbers, the same for the same seed") {
  Random zero;
  CHECK(zero.bits() == 0xe220a8397b1dcdafu);
  CHECK(zero.bits() == 0x6e789e6aa1b965f4u);
  Random first(42), second(42), other(43);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const double value = first.normal();
    REQUIRE(value == second.normal());
    differs = differs || value != other.normal();
  }
  CHECK(differs);
}

TEST_CASE("uniform numbers: range and moments") {
  Random random(1);
  double lowest = 1, highest = 0;
  for (int i = 0; i < draws; ++i) {
    const double value = random.uniform();
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  CHECK(lowest >= 0);
  CHECK(lowest < 1e-4);
  CHECK(highest < 1);
  CHECK(highest > 1 - 1e-4);
  const auto draw = [&] { return random.uniform(-3, 5); };
  check_mean(1, 64.0 / 12, draw, [](double x) { return x; });
  // The fourth central moment of a width w is w^4 / 80.
  check_mean(64.0 / 12, 4096.0 / 80 - 4096.0 / 144, draw, [](double x) { return (x - 1) * (x - 1); });
}

TEST_CASE("normal numbers: moments, and neighbours that do not correlate") {
  Random random(2);
  const auto draw = [&] { return random.normal(); };
  check_mean(0, 1, draw, [](double x) { return x; });
  check_mean(1, 2, draw, [](double x) { return x * x; });
  check_mean(0, 15, draw, [](double x) { return x * x * x; });
  check_mean(3, 96, draw, [](double x) { return x * x * x * x; });
  const double within = std::erf(std::sqrt(0.5));
  check_mean(within, within * (1 - within), draw, [](double x) { return std::abs(x) < 1 ? 1.0 : 0.0; });
  double before = draw();
  check_mean(0, 1, draw, [&](double x) { return x * std::exchange(before, x); });
}

TEST_CASE("a fill depends on the seed alone") {
  const std::vector<double> exact = filled<double>(1);
  CHECK(filled<double>(3) == exact);
  const auto check_scalar = [&]<class S>(S) {
    const std::vector<double> found = filled<S>(2);
    REQUIRE(found.size() == exact.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      REQUIRE(found[i] == scalar_cast<double>(scalar_cast<S>(exact[i])));
  };
  check_scalar(float{});
  check_scalar(bf16(0.0f));
  check_scalar(half(0.0f));
}

TEST_CASE("the other fills, and their order") {
  Cpu cpu;
  Tensor<float, Cpu, 3, 5> tensor(cpu);
  Random random(4), again(4);
  fill_uniform(cpu, tensor, random, 0.25);
  for (const float value : tensor.span()) CHECK(value == static_cast<float>(again.uniform(-0.25, 0.25)));
  fill_constant(cpu, tensor, -1.5);
  for (const float value : tensor.span()) CHECK(value == -1.5f);
  int next = 0;
  fill(cpu, tensor, [&] { return next++; });
  CHECK(tensor(0, 0) == 0);
  CHECK(tensor(1, 2) == 7);
  CHECK(tensor(2, 4) == 14);
}
