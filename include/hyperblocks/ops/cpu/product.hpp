// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// c (m, n) = [c +] a (m, k) * b (k, n) where neither operand is packed (both change at every call): the
// smaller one is packed into the caller's scratch, then the kernels of packed_product.hpp do the rest.
#pragma once

#include <hyperblocks/ops/cpu/packed_product.hpp>

namespace hyperblocks::cpu {

/// Elements of scratch, of type Scalar, that product() needs.
template <RealScalar Scalar>
constexpr Index product_scratch(Index m, Index n, Index k);

/// All operands with any strides; `start` is FromZero{} or Accumulate{}.
template <RealScalar Y, RealScalar Scalar, class Start>
void product(const Execution& execution, Strided<Y> y, Strided<const Scalar> a, Strided<const Scalar> b,
             Index m, Index n, Index k, Start start, Scalar* scratch);

/// The same for `batch` products at once; operand i of the batch begins `i * stride` elements after the
/// first.
struct BatchStrides {
  Index y, a, b;
};
/// Elements of scratch that batched_product() needs on `threads` threads.
template <RealScalar Scalar>
constexpr Index batched_product_scratch(Index m, Index n, Index k, Index threads);

template <RealScalar Y, RealScalar Scalar, class Start>
void batched_product(const Execution& execution, Index batch, BatchStrides strides, Strided<Y> y,
                     Strided<const Scalar> a, Strided<const Scalar> b, Index m, Index n, Index k, Start start,
                     Scalar* scratch);

}  // namespace hyperblocks::cpu
