// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Random: seeded numbers that are the same on every machine and standard library (SplitMix64, Box-Muller).
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

class Random {
 public:
  constexpr explicit Random(std::uint64_t seed = 0) : state_(seed) {}
  /// One of many that have nothing to do with each other: of a seed and, say, an epoch.
  static Random of(std::uint64_t seed, std::uint64_t number) {
    Random first(seed), second(number ^ first.bits());
    return Random(second.bits());
  }
  /// Random(random.state()) goes on as `random` would.
  std::uint64_t state() const { return state_; }

  constexpr std::uint64_t bits() {
    std::uint64_t z = (state_ += step);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// What Random(seed).bits() gives behind `skipped` calls.
  static constexpr std::uint64_t bits(std::uint64_t seed, std::uint64_t skipped) {
    return Random(seed + skipped * step).bits();
  }

  /// In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// A whole number in [0, limit).
  std::size_t below(std::size_t limit) {
    return static_cast<std::size_t>(uniform() * static_cast<double>(limit));
  }

  /// Mean 0, variance 1.
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  static constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  std::uint64_t state_;
};

/// Fills a tensor on any device with draw(), in row-major order.
template <class Device, class Parameter, class Draw>
void fill(Device& device, Parameter& tensor, Draw&& draw) {
  std::vector<typename Parameter::ScalarType> host(static_cast<std::size_t>(tensor.size()));
  for (auto& element : host)
    element = scalar_cast<typename Parameter::ScalarType>(static_cast<double>(draw()));
  tensor.upload(device, host);
}

template <class Device, class Parameter>
void fill_uniform(Device& device, Parameter& tensor, Random& random, double bound) {
  fill(device, tensor, [&] { return random.uniform(-bound, bound); });
}

template <class Device, class Parameter>
void fill_normal(Device& device, Parameter& tensor, Random& random, double deviation) {
  fill(device, tensor, [&] { return deviation * random.normal(); });
}

template <class Device, class Parameter>
void fill_constant(Device& device, Parameter& tensor, double value) {
  fill(device, tensor, [&] { return value; });
}

}  // namespace hyperblocks
