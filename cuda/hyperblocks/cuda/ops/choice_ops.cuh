// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Choices of the Cuda device.
#pragma once

#include <hyperblocks/cuda/kernels/choices.cuh>
#include <hyperblocks/cuda/ops/element_ops.cuh>

namespace hyperblocks::cuda {

struct ChoiceOps {
  template <RealScalar Scalar>
  static void largest(Cuda& cuda, Rows<const Scalar> x, View<std::int32_t, Cuda, dyn> chosen) {
    choose(cuda, kernels::NumberScore<Scalar>{x.data(), x.columns()}, x.columns(), chosen, Fault::largest);
  }

  template <RealScalar Scalar>
  static void nearest(Cuda& cuda, Rows<const Scalar> x, Rows<const Scalar> codes,
                      View<std::int32_t, Cuda, dyn> chosen) {
    choose(cuda, kernels::NearnessScore<Scalar>{x.data(), codes.data(), x.columns()}, codes.rows(), chosen,
           Fault::nearest);
  }

  template <RealScalar Scalar>
  static void one_hot(Cuda& cuda, Ids chosen, Rows<Scalar> y) {
    if (y.size() != 0)
      launch(cuda, kernels::one_hot<Scalar>, {static_cast<unsigned>(y.rows()), kernels::choice_threads},
             chosen.data(), y.columns(), y.data(), cuda.faults());
  }

 private:
  template <class Score>
  static void choose(Cuda& cuda, const Score& score, Index count, View<std::int32_t, Cuda, dyn> chosen,
                     Fault fault) {
    if (chosen.size() != 0)
      launch(cuda, kernels::choose<Score>, {static_cast<unsigned>(chosen.size()), kernels::choice_threads},
             score, count, chosen.data(), fault, cuda.faults());
  }
};

}  // namespace hyperblocks::cuda
