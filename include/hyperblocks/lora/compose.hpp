// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Sums of adapters as one adapter: sum_i w_i (s_i B_i A_i) = [.. w_i s_i B_i ..] [.. A_i ..], and sum_i w_i
// C_i. Ranks add up, so nothing is lost; compress.hpp makes them small again.
#pragma once

#include <cmath>
#include <span>

#include <hyperblocks/lora/host_adapter.hpp>

namespace hyperblocks {

namespace detail {
struct WeightedAdapter {
  const HostAdapter* adapter;
  double weight;
};
struct WeightedFactors {
  const HostFactors* factors;
  double weight;
  double scale() const { return weight * factors->scale; }
};

/// The scale of a sum: the first's where all have its magnitude (then B changes signs at most: exact),
/// else 1.
inline double common_scale(const std::vector<WeightedFactors>& summands) {
  const double first = summands.front().scale();
  for (const auto& summand : summands)
    if (std::abs(summand.scale()) != std::abs(first)) return 1;
  return first;
}

/// What is left of a summand's scale for its B.
inline double rest_of_scale(double scale, double common) {
  if (std::abs(scale) != std::abs(common)) return scale / common;
  return std::signbit(scale) == std::signbit(common) ? 1 : -1;  // zeros too
}

/// The factors side by side; scales that go into B, and sums of C, are rounded once.
inline HostFactors sum_of(const std::vector<WeightedFactors>& summands) {
  HostFactors sum{.size = summands.front().factors->size, .scale = common_scale(summands)};
  const auto out = static_cast<std::size_t>(sum.size.out);
  std::vector<double> bias;
  for (const auto& [factors, weight] : summands) {
    sum.rank += factors->rank;
    sum.a.insert(sum.a.end(), factors->a.begin(), factors->a.end());
    if (!factors->bias.empty()) bias.resize(out);
    for (std::size_t i = 0; i < factors->bias.size(); ++i)
      bias[i] += weight * static_cast<double>(factors->bias[i]);
  }
  sum.bias.assign(bias.begin(), bias.end());
  sum.b.reserve(out * static_cast<std::size_t>(sum.rank));
  for (std::size_t row = 0; row < out; ++row)
    for (const auto& summand : summands) {
      const double rest = rest_of_scale(summand.scale(), sum.scale);
      const auto rank = static_cast<std::size_t>(summand.factors->rank);
      for (std::size_t i = 0; i < rank; ++i)
        sum.b.push_back(static_cast<float>(rest * static_cast<double>(summand.factors->b[row * rank + i])));
    }
  return sum;
}

inline HostAdapter sum_of(const std::vector<WeightedAdapter>& adapters, const std::string& where) {
  std::map<HostAdapter::Place, std::vector<WeightedFactors>> places;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const auto& [adapter, weight] = adapters[i];
    const std::string which = where + ": adapter " + std::to_string(i);
    check(std::isfinite(weight),
          [&] { return Error("a number is not finite", which, "a finite weight", shown(weight)); });
    check_adapter(*adapter, which);
    for (const auto& [place, factors] : adapter->linears) {
      auto& summands = places[place];
      summands.push_back({&factors, weight});
      const LinearSize expected = summands.front().factors->size, found = factors.size;
      check(found == expected, [&, &at = place] {
        return Error("the linears' sizes differ", which + ": " + to_string(at), to_string(expected),
                     to_string(found));
      });
    }
  }
  HostAdapter sum;
  for (const auto& [place, summands] : places) {
    const auto& factors = sum.linears[place] = sum_of(summands);
    check_finite(factors, where + ": " + to_string(place));
  }
  return sum;
}
}  // namespace detail

/// sum_i weights[i] adapters[i], over the linears that any of them has; of no adapters the empty one. The
/// scale of a linear is kept where all weighted scales have one magnitude, else it is 1.
inline HostAdapter weighted_sum(std::span<const HostAdapter> adapters, std::span<const double> weights) {
  check(adapters.size() == weights.size(), [&] {
    return Error("not a weight for every adapter", "weighted_sum", std::to_string(adapters.size()),
                 std::to_string(weights.size()));
  });
  std::vector<detail::WeightedAdapter> summands;
  summands.reserve(adapters.size());
  for (std::size_t i = 0; i < adapters.size(); ++i) summands.push_back({&adapters[i], weights[i]});
  return detail::sum_of(summands, "weighted_sum");
}

/// What adds what all of them add.
inline HostAdapter concat(std::span<const HostAdapter> adapters) {
  std::vector<detail::WeightedAdapter> summands;
  summands.reserve(adapters.size());
  for (const HostAdapter& adapter : adapters) summands.push_back({&adapter, 1});
  return detail::sum_of(summands, "concat");
}
template <std::same_as<HostAdapter>... Adapters>
HostAdapter concat(const HostAdapter& first, const Adapters&... rest) {
  return detail::sum_of({{&first, 1}, {&rest, 1}...}, "concat");
}

/// factor times what the adapter adds; A and B stay as they are.
inline HostAdapter scaled(const HostAdapter& adapter, double factor) {
  return detail::sum_of({{&adapter, factor}}, "scaled");
}

/// first - second, exactly: of an adapter and itself it adds nothing.
inline HostAdapter difference(const HostAdapter& first, const HostAdapter& second) {
  return detail::sum_of({{&first, 1}, {&second, -1}}, "difference");
}

}  // namespace hyperblocks
