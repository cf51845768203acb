// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses against naive double formulas and central differences.
#include "support/row_check.hpp"

#include <hyperblocks/ops/cpu/loss_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::LossOps;

namespace {
constexpr Index rows = 5, columns = 77, k = 3;

template <class S>
std::vector<double> naive_log_softmax(const Tensor<S, Cpu, dyn, dyn>& x, Index row) {
  std::vector<double> result;
  double sum = 0;
  for (Index j = 0; j < columns; ++j) sum += std::exp(number(x(row, j)));
  result.reserve(columns);
  for (Index j = 0; j < columns; ++j) result.push_back(number(x(row, j)) - std::log(sum));
  return result;
}

Tensor<std::int32_t, Cpu, dyn> some_labels(Cpu& cpu) {
  Tensor<std::int32_t, Cpu, dyn> labels(cpu, rows);
  labels.upload(cpu, std::vector<std::int32_t>{0, 76, -100, 5, 33});
  return labels;
}

// An id that occurs twice is among them.
Tensor<std::int32_t, Cpu, dyn, dyn> some_ids(Cpu& cpu) {
  Tensor<std::int32_t, Cpu, dyn, dyn> ids(cpu, rows, k);
  ids.upload(cpu, std::vector<std::int32_t>{0, 1, 2, 76, 5, 76, 9, 8, 7, 3, 30, 31, 70, 60, 50});
  return ids;
}
}  // namespace

TEST_CASE_TEMPLATE("losses have the naive values", S, float, double, bf16, half) {
  Cpu cpu;
  const auto x = random_tensor<S, dyn, dyn>(cpu, 1, rows, columns);
  const auto labels = some_labels(cpu);
  const auto ids = some_ids(cpu);
  const auto logs = random_tensor<half, dyn, dyn>(cpu, 2, rows, k);
  using Sum = Accumulator<S>;
  std::vector<double> entropies, divergences;
  for (Index i = 0; i < rows; ++i) {
    const auto p = naive_log_softmax(x, i);
    double mean = 0, divergence = 0;
    for (const double value : p) mean += value / columns;
    entropies.push_back(labels(i) < 0 ? 0.0 : -0.9 * p[static_cast<std::size_t>(labels(i))] - 0.1 * mean);
    for (Index j = 0; j < k; ++j)
      divergence -= std::exp(number(logs(i, j))) * p[static_cast<std::size_t>(ids(i, j))];
    divergences.push_back(divergence);
  }
  check_everywhere(entropies, 3e-6, [&](Cpu& device) {
    Tensor<Sum, Cpu, dyn> losses(device, rows);
    LossOps::cross_entropy<S>(device, x, labels, 0.1, losses, {}, {});
    return numbers(losses);
  });
  check_everywhere(divergences, 3e-6, [&](Cpu& device) {
    Tensor<Sum, Cpu, dyn> losses(device, rows);
    LossOps::topk_kl<S, half>(device, x, ids, logs, losses, {}, {});
    return numbers(losses);
  });
}

TEST_CASE("losses' gradients, weighted, also in place of the logits") {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  auto x = random_tensor<double, dyn, dyn>(cpu, 3, rows, columns);
  const auto weights = random_tensor<double, dyn>(cpu, 4, rows);
  const auto labels = some_labels(cpu);
  const auto ids = some_ids(cpu);
  const auto logs = random_tensor<double, dyn, dyn>(cpu, 5, rows, k);
  Tensor<double, Cpu, dyn> losses(cpu, rows);
  const auto check = [&](auto run) {
    Tensor<double, Cpu, dyn, dyn> dx(cpu, rows, columns);
    std::copy_n(x.data(), x.size(), dx.data());
    run(dx.view(), dx.view());
    check_gradient(x.span(), dx.span(), [&] {
      run(x.view(), View<double, Cpu, dyn, dyn>());
      return dot(losses.span(), weights.span());
    });
  };
  for (const double smoothing : {0.0, 0.2})
    check([&](auto logits, auto dlogits) {
      LossOps::cross_entropy<double>(cpu, logits, labels, smoothing, losses, dlogits, weights);
    });
  check([&](auto logits, auto dlogits) {
    LossOps::topk_kl<double, double>(cpu, logits, ids, logs, losses, dlogits, weights);
  });
}

TEST_CASE("a label out of range is an error; NaN comes out") {
  Cpu cpu;
  auto x = random_tensor<float, dyn, dyn>(cpu, 3, 1, 4);
  Tensor<std::int32_t, Cpu, dyn> label(cpu, 1);
  Tensor<float, Cpu, dyn> losses(cpu, 1);
  label(0) = 4;
  CHECK_THROWS_AS(LossOps::cross_entropy<float>(cpu, x, label, 0, losses, {}, {}), Error);
  label(0) = 3;
  x(0, 1) = std::nanf("");
  LossOps::cross_entropy<float>(cpu, x, label, 0, losses, {}, {});
  CHECK(std::isnan(losses(0)));
}
