// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// y (m, n) = start + sum over segments of x (m, k) * packed panels (k, n): thin and large products with
// packed right operands. Two segments make the fused low-rank update y = W x + B' (A x) without a second pass
// over y. Each element of y is one chain of multiply-adds over k, segment after segment: its bits depend
// neither on m nor on the number of threads.
#pragma once

#include <hyperblocks/ops/cpu/isa.hpp>
#include <hyperblocks/ops/cpu/panels.hpp>

namespace hyperblocks::cpu {

/// Who computes, and with which instructions.
struct Execution {
  Parallel& threads;
  Isa isa = best_isa();
};

/// One summand: x (m, k) with any strides times packed panels (k, n).
template <RealScalar X, RealScalar Panel>
struct Segment {
  Strided<const X> x;
  const Panel* panels;
  Index k;
};

// What y starts from: nothing, its present value, or a row of n numbers for every row.
struct FromZero {};
struct Accumulate {};
template <RealScalar B>
struct FromBias {
  const B* row;
};

/// Allocates nothing. Sums are in float (double for double); y is rounded once. k and n of zero are allowed.
/// The first segment should be the longest: it is blocked for the caches, the others ride along.
template <RealScalar Y, class Start, RealScalar... X, RealScalar... Panel>
void packed_product(const Execution& execution, Strided<Y> y, Index m, Index n, Start start,
                    const Segment<X, Panel>&... segments);

}  // namespace hyperblocks::cpu
