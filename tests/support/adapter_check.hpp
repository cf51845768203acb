// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapters for tests: drawn ones, what they add to a matrix, and whether two add the same.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/lora/host_adapter.hpp>

#include "worse.hpp"

namespace hyperblocks::test {

inline HostFactors drawn_factors(Random& random, LinearSize size, Index rank, double scale,
                                 bool bias = false) {
  HostFactors factors{.size = size, .rank = rank, .scale = scale};
  factors.a.resize(static_cast<std::size_t>(rank * size.in));
  factors.b.resize(static_cast<std::size_t>(rank * size.out));
  if (bias) factors.bias.resize(static_cast<std::size_t>(size.out));
  for (auto* const numbers : {&factors.a, &factors.b, &factors.bias})
    for (float& number : *numbers) number = static_cast<float>(random.normal());
  return factors;
}

/// scale B A (out, in)
inline std::vector<double> delta(const HostFactors& factors) {
  const auto& [in, out] = factors.size;
  std::vector<double> sums(static_cast<std::size_t>(out * in));
  for (Index row = 0; row < out; ++row)
    for (Index k = 0; k < factors.rank; ++k)
      for (Index column = 0; column < in; ++column)
        sums[static_cast<std::size_t>(row * in + column)] +=
            factors.scale * static_cast<double>(factors.b[static_cast<std::size_t>(row * factors.rank + k)]) *
            static_cast<double>(factors.a[static_cast<std::size_t>(k * in + column)]);
  return sums;
}

/// max |difference| / max |expected|
template <class Found, class Expected>
double relative_difference(const Found& found, const Expected& expected) {
  REQUIRE(std::size(found) == std::size(expected));
  double worst = 0, most = 1e-30;
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    worst = worse(worst, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
    most = std::max(most, std::abs(static_cast<double>(expected[i])));
  }
  return worst / most;
}

inline void check_same(const HostAdapter& found, const HostAdapter& expected, double tolerance) {
  REQUIRE(found.linears.size() == expected.linears.size());
  for (const auto& [at, factors] : expected.linears) {
    CAPTURE(to_string(at));
    REQUIRE(found.linears.contains(at));
    const HostFactors& other = found.linears.at(at);
    REQUIRE(other.size == factors.size);
    CHECK(relative_difference(delta(other), delta(factors)) <= tolerance);
    CHECK(relative_difference(other.bias, factors.bias) <= tolerance);
  }
}

}  // namespace hyperblocks::test
