// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A step of AdamW on the Cpu: element by element, the same bits for any number of threads.
#pragma once

#include <hyperblocks/ops/cpu/rows.hpp>
#include <hyperblocks/ops/optimiser.hpp>

namespace hyperblocks::cpu {

struct OptimiserOps {
  template <RealScalar Scalar>
  static void adam_step(Cpu& cpu, const ops::AdamFactors<Accumulator<Scalar>>& factors,
                        Row<const Scalar> gradient, Row<Accumulator<Scalar>> weights,
                        Row<Accumulator<Scalar>> means, Row<Accumulator<Scalar>> squares,
                        Row<Scalar> rounded) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, adam_step<Scalar>);
    detail::for_elements(cpu, gradient.size(), [&](Index first, Index count) {
      kernel(factors, gradient.data() + first, weights.data() + first, means.data() + first,
             squares.data() + first, rounded ? rounded.data() + first : nullptr, count);
    });
  }
};

}  // namespace hyperblocks::cpu
