// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses of the Cuda device over rows of logits.
#pragma once

#include <hyperblocks/cuda/kernels/losses.cuh>
#include <hyperblocks/cuda/ops/row_ops.cuh>

namespace hyperblocks::cuda {

struct LossOps {
  template <RealScalar Scalar>
  static void cross_entropy(Cuda& cuda, Rows<const Scalar> logits, Ids labels, double label_smoothing,
                            Row<Accumulator<Scalar>> losses, Rows<Scalar> dlogits,
                            Row<const Accumulator<Scalar>> weights) {
    if (logits.size() == 0) return;
    with_block_rows(
        [&]<int width, int threads>(std::integral_constant<int, width>,
                                    std::integral_constant<int, threads>) {
          launch(cuda, kernels::cross_entropy<width, threads, Scalar>,
                 {static_cast<unsigned>(logits.rows()), threads},
                 rows_of<Scalar>(cuda, logits, losses, dlogits, weights), labels.data(), label_smoothing);
        },
        logits.columns(), logits.data(), dlogits.data());
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void topk_kl(Cuda& cuda, Rows<const Scalar> logits, View<const std::int32_t, Cuda, dyn, dyn> ids,
                      Rows<const Stored> log_probabilities, Row<Accumulator<Scalar>> losses,
                      Rows<Scalar> dlogits, Row<const Accumulator<Scalar>> weights) {
    if (logits.size() == 0) return;
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cuda);
    const auto probabilities = take<Sum, dyn, dyn>(cuda, ids.rows(), ids.columns());
    const auto logs = take<Sum, dyn, dyn>(cuda, ids.rows(), ids.columns());
    with_block_rows(
        [&]<int width, int threads>(std::integral_constant<int, width>,
                                    std::integral_constant<int, threads>) {
          launch(cuda, kernels::topk_kl<width, threads, Scalar, Stored>,
                 {static_cast<unsigned>(logits.rows()), threads},
                 rows_of<Scalar>(cuda, logits, losses, dlogits, weights), ids.data(),
                 log_probabilities.data(), ids.columns(), probabilities.data(), logs.data());
        },
        logits.columns(), logits.data(), dlogits.data());
  }

 private:
  template <class Scalar>
  static kernels::LossRows<Scalar> rows_of(const Cuda& cuda, Rows<const Scalar> logits,
                                           Row<Accumulator<Scalar>> losses, Rows<Scalar> dlogits,
                                           Row<const Accumulator<Scalar>> weights) {
    return {logits.data(), losses.data(), dlogits.data(), weights.data(), logits.columns(), cuda.faults()};
  }
};

}  // namespace hyperblocks::cuda
