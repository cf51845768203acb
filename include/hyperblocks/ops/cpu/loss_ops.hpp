// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses of the Cpu device over rows of logits, one loss per row, with the gradient in the same call: cross
// entropy, -sum q log softmax(x), and its form for a teacher's top-k log-probabilities.
#pragma once

#include <algorithm>
#include <cmath>

#include <hyperblocks/ops/cpu/rows.hpp>

namespace hyperblocks::cpu {

struct LossOps {
  /// loss = -(1 - s) log p(label) - s mean(log p), p = softmax(logits), s = label_smoothing; a row with a
  /// negative label is ignored: loss and gradient are zero. dlogits (optional; may be logits) is the gradient
  /// of the sum of weights (optional) times losses. Labels beyond the logits are an Error.
  template <RealScalar Scalar>
  static void cross_entropy(Cpu& cpu, Rows<const Scalar> logits, Ids labels, double label_smoothing,
                            Row<Accumulator<Scalar>> losses, Rows<Scalar> dlogits,
                            Row<const Accumulator<Scalar>> weights) {
    using Sum = Accumulator<Scalar>;
    const Index columns = logits.columns();
    detail::check_ids("ops::cross_entropy", labels.data(), labels.size(), true, columns);
    const auto exponentials = HYPERBLOCKS_ROW_KERNEL_OF(cpu, exponentials<Scalar>);
    const auto scaled = HYPERBLOCKS_ROW_KERNEL_OF(cpu, scaled_exponentials<Scalar>);
    const auto total = HYPERBLOCKS_ROW_KERNEL_OF(cpu, sum<Scalar>);
    const auto smoothing = static_cast<Sum>(label_smoothing), count = static_cast<Sum>(columns);
    detail::for_rows(cpu, logits.rows(), columns, [&](Index i) {
      const Scalar* x = detail::row(logits, i);
      Scalar* const dx = detail::row(dlogits, i);
      const Index label = labels.data()[i];
      if (label < 0) {
        losses.data()[i] = 0;
        if (dx != nullptr) std::fill_n(dx, columns, scalar_cast<Scalar>(0.0f));
        return;
      }
      const auto [largest, sum] = exponentials(x, columns);
      const Sum target = scalar_cast<Sum>(x[label]) - largest, log_sum = std::log(sum);
      Sum loss = log_sum - target;
      if (smoothing != 0)
        loss = (1 - smoothing) * loss +
               smoothing * (log_sum + largest - static_cast<Sum>(total(x, columns)) / count);
      losses.data()[i] = loss;
      if (dx == nullptr) return;
      const Sum weight = weights ? weights.data()[i] : Sum{1}, rest = smoothing / count;
      scaled(x, dx, columns, largest, weight / sum, weight * rest);
      dx[label] = scalar_cast<Scalar>(weight * (std::exp(target) / sum - rest - (1 - smoothing)));
    });
  }

  /// loss = -sum_j p_j log softmax(logits)(ids_j), p_j = e^(log_probabilities_j), not normalised; ids and
  /// log_probabilities are (rows, k). An id may occur twice in a row: its probabilities add up. Gradient,
  /// weights and errors as in cross_entropy; an entry of probability zero still needs a valid id.
  template <RealScalar Scalar, RealScalar Stored>
  static void topk_kl(Cpu& cpu, Rows<const Scalar> logits, Rows<const std::int32_t> ids,
                      Rows<const Stored> log_probabilities, Row<Accumulator<Scalar>> losses,
                      Rows<Scalar> dlogits, Row<const Accumulator<Scalar>> weights) {
    using Sum = Accumulator<Scalar>;
    const Index columns = logits.columns(), k = ids.columns();
    detail::check_ids("ops::topk_kl", ids.data(), ids.size(), false, columns);
    const auto exponentials = HYPERBLOCKS_ROW_KERNEL_OF(cpu, exponentials<Scalar>);
    const auto scaled = HYPERBLOCKS_ROW_KERNEL_OF(cpu, scaled_exponentials<Scalar>);
    const ArenaScope scope(cpu);
    // What is known of the k logits before dlogits, which may be the logits, is written.
    const Rows<Sum> probabilities(take<Sum, dyn, dyn>(cpu, ids.rows(), k));  // p_j
    const Rows<Sum> logs(take<Sum, dyn, dyn>(cpu, ids.rows(), k));           // log softmax(logits)(ids_j)
    detail::for_rows(cpu, logits.rows(), columns, [&](Index i) {
      const Scalar* x = detail::row(logits, i);
      const std::int32_t* id = detail::row(ids, i);
      Sum *const p = detail::row(probabilities, i), *const log = detail::row(logs, i);
      const auto [largest, sum] = exponentials(x, columns);
      Sum loss = 0, mass = 0;
      for (Index j = 0; j < k; ++j) {
        p[j] = std::exp(scalar_cast<Sum>(detail::row(log_probabilities, i)[j]));
        log[j] = scalar_cast<Sum>(x[id[j]]) - largest - std::log(sum);
        if (p[j] != 0) loss -= p[j] * log[j];
        mass += p[j];
      }
      losses.data()[i] = loss;
      if (!dlogits) return;
      const Sum weight = weights ? weights.data()[i] : Sum{1};
      Scalar* const dx = detail::row(dlogits, i);
      scaled(x, dx, columns, largest, weight * mass / sum, 0);
      for (Index j = 0; j < k; ++j) {
        Sum wanted = 0;
        for (Index other = 0; other < k; ++other) wanted += id[other] == id[j] ? p[other] : Sum{0};
        dx[id[j]] = scalar_cast<Scalar>(weight * (mass * std::exp(log[j]) - wanted));
      }
    });
  }
};

}  // namespace hyperblocks::cpu
