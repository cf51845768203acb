// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The nearest adapter of a smaller rank: of every scale B A = sum_i s_i u_i v_i^T the largest s_i are kept,
// which no matrix of that rank betters (Eckart, Young). B = U sqrt(S), A = sqrt(S) V^T, scale 1; C stays.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include <hyperblocks/lora/host_adapter.hpp>
#include <hyperblocks/lora/host_tasks.hpp>
#include <hyperblocks/ops/cpu/product_svd.hpp>

namespace hyperblocks {

/// Sums of squares of the numbers of scale B A, before factors are rounded to float.
struct Energy {
  double whole = 0, discarded = 0;
  /// The squared relative error; 0 of nothing.
  double error() const { return whole > 0 ? discarded / whole : 0; }
};

struct CompressedAdapter {
  HostAdapter adapter;
  std::map<HostAdapter::Place, Energy> linears;
  Energy total;
};

namespace detail {
/// A linear's factors of at most so many ranks, and what they lose.
template <class Number>
std::pair<HostFactors, Energy> compressed(const HostFactors& factors, Index rank, const std::string& where) {
  const auto [in, out] = factors.size;
  HostFactors kept{.size = factors.size, .bias = factors.bias};
  kept.rank = std::min({rank, factors.rank, in, out});
  Energy energy;
  check_finite(factors, where);
  if (factors.rank == 0) return {kept, energy};
  auto svd = cpu::product_svd<Number>(factors.b, factors.a, out, factors.rank, in, kept.rank);
  for (double& value : svd.values) value *= std::abs(factors.scale);
  const auto count = static_cast<std::size_t>(kept.rank);
  for (std::size_t i = 0; i < svd.values.size(); ++i) {
    const double square = svd.values[i] * svd.values[i];
    energy.whole += square;
    if (i >= count) energy.discarded += square;
  }
  check(std::isfinite(energy.whole), [&] {
    return Error("scale B A is too large", where, "singular values with finite squares",
                 shown(svd.values.front()));
  });
  const auto width = static_cast<std::size_t>(in), height = static_cast<std::size_t>(out);
  kept.a.resize(count * width), kept.b.resize(height * count);
  const double sign = factors.scale < 0 ? -1 : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const double root = std::sqrt(svd.values[i]);
    for (std::size_t j = 0; j < width; ++j)
      kept.a[i * width + j] = static_cast<float>(root * svd.right[i * width + j]);
    for (std::size_t j = 0; j < height; ++j)
      kept.b[j * count + i] = static_cast<float>(sign * root * svd.left[i * height + j]);
  }
  check_finite(kept, where);
  return {std::move(kept), energy};
}
}  // namespace detail

/// Every linear at rank min(rank, its own, in, out); one whose rank is no more than asked for changes in form
/// only. The host's work, by a Cpu's threads.
template <class Device>
CompressedAdapter compress(Device& device, const HostAdapter& adapter, Index rank) {
  check(rank > 0, [&] { return Error("impossible rank", "compress", "one or more", std::to_string(rank)); });
  check_adapter(adapter, "compress");
  std::vector<std::pair<HostAdapter::Place, const HostFactors*>> linears;
  linears.reserve(adapter.linears.size());
  for (const auto& [place, factors] : adapter.linears) linears.emplace_back(place, &factors);
  std::vector<std::pair<HostFactors, Energy>> results(linears.size());
  detail::run_on_host(device, static_cast<Index>(linears.size()), [&](Index task) {
    const auto& [place, factors] = linears[static_cast<std::size_t>(task)];
    results[static_cast<std::size_t>(task)] =
        detail::compressed<float>(*factors, rank, "compress: " + to_string(place));
  });
  CompressedAdapter result;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    auto& [factors, energy] = results[i];
    result.total.whole += energy.whole;
    result.total.discarded += energy.discarded;
    result.linears[linears[i].first] = energy;
    result.adapter.linears[linears[i].first] = std::move(factors);
  }
  return result;
}

}  // namespace hyperblocks
