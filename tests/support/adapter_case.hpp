// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Random adapters on the host, and what they add as dense matrices in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/lora/host_adapter.hpp>

namespace hyperblocks::test {

inline std::vector<float> random_numbers(Random& random, Index count) {
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

inline HostFactors random_factors(Random& random, LinearSize size, Index rank, double scale = 1,
                                  bool biased = false) {
  return {.size = size,
          .rank = rank,
          .a = random_numbers(random, rank * size.in),
          .b = random_numbers(random, size.out * rank),
          .bias = random_numbers(random, biased ? size.out : 0),
          .scale = scale};
}

/// scale B A (out, in)
inline std::vector<double> dense(const HostFactors& factors) {
  const auto in = static_cast<std::size_t>(factors.size.in), out = static_cast<std::size_t>(factors.size.out);
  const auto rank = static_cast<std::size_t>(factors.rank);
  std::vector<double> result(out * in);
  for (std::size_t row = 0; row < out; ++row)
    for (std::size_t i = 0; i < rank; ++i)
      for (std::size_t column = 0; column < in; ++column)
        result[row * in + column] += factors.scale * static_cast<double>(factors.b[row * rank + i]) *
                                     static_cast<double>(factors.a[i * in + column]);
  return result;
}

/// C (out), zeros where there is none.
inline std::vector<double> dense_bias(const HostFactors& factors) {
  std::vector<double> result(factors.bias.begin(), factors.bias.end());
  result.resize(static_cast<std::size_t>(factors.size.out));
  return result;
}

/// sum += weight numbers
inline void add(std::vector<double>& sum, double weight, const std::vector<double>& numbers) {
  sum.resize(std::max(sum.size(), numbers.size()));
  for (std::size_t i = 0; i < numbers.size(); ++i) sum[i] += weight * numbers[i];
}

inline double square_sum(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number * number;
  return sum;
}

/// The distance of two matrices over the length of the first, or the distance from nothing.
inline double distance(const std::vector<double>& expected, std::vector<double> found) {
  add(found, -1, expected);
  const double length = square_sum(expected);
  return std::sqrt(square_sum(found) / (length > 0 ? length : 1));
}

}  // namespace hyperblocks::test
