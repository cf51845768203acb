// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What training needs of the Cuda device besides blocks: a step of AdamW, the L1 distance.
#pragma once

#include <hyperblocks/cuda/kernels/optimiser.cuh>
#include <hyperblocks/cuda/ops/element_ops.cuh>

namespace hyperblocks::cuda {

struct OptimiserOps {
  template <RealScalar Scalar>
  static void adam_step(Cuda& cuda, const ops::AdamFactors<Accumulator<Scalar>>& factors,
                        Row<const Scalar> gradient, Row<Accumulator<Scalar>> weights,
                        Row<Accumulator<Scalar>> means, Row<Accumulator<Scalar>> squares,
                        Row<Scalar> rounded) {
    const Index size = gradient.size();
    if (size == 0) return;
    const kernels::AdamTensor<Scalar> tensor{gradient.data(), weights.data(), means.data(), squares.data(),
                                             rounded.data()};
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          launch(cuda, kernels::adam_step<width, Scalar>, striding_grid(size / width), size / width, factors,
                 tensor);
        },
        size, gradient.data(), weights.data(), means.data(), squares.data(), rounded.data());
  }

  template <RealScalar Scalar>
  static double l1_distance(Cuda& cuda, Row<const Scalar> x, Row<const Scalar> target, double factor,
                            Row<Scalar> dx, bool add) {
    using Wide = Accumulator<Scalar>;
    const double sum = ElementOps::reduce_terms(
        cuda, x.size(), kernels::DistanceTerm<Scalar>{x.data(), target.data()}, kernels::Plus());
    if (!dx) return sum;
    const ArenaScope scope(cuda);
    auto aim = target;
    if (!aim) {
      const auto zeros = take<Scalar, dyn>(cuda, x.size());
      cuda.fill(zeros.data(), 0, zeros.bytes());
      aim = zeros;
    }
    const kernels::DistanceSlope<Wide> slope{static_cast<Wide>(factor)};
    if (add)
      ElementOps::map(cuda, slope, dx.size(), dx.data(), x.data(), aim.data(),
                      static_cast<const Scalar*>(dx.data()));
    else
      ElementOps::map(cuda, slope, dx.size(), dx.data(), x.data(), aim.data());
    return sum;
  }
};

}  // namespace hyperblocks::cuda
