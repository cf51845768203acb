// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A step of AdamW, and the L1 distance with its gradient: number by number, computed in the wide scalar.
#pragma once

#include <hyperblocks/cuda/kernels/packs.cuh>
#include <hyperblocks/ops/optimiser.hpp>

namespace hyperblocks::cuda::kernels {

template <class Scalar>
struct AdamTensor {
  using Wide = Accumulator<Scalar>;
  const Scalar* gradient;
  Wide *weights, *means, *squares;
  Scalar* rounded;  ///< optional
};

template <int width, class Scalar>
__global__ void adam_step(Index packs, ops::AdamFactors<Accumulator<Scalar>> factors,
                          AdamTensor<Scalar> tensor) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride) {
    const auto gradient = load<width>(tensor.gradient, i);
    auto weights = load<width>(tensor.weights, i), means = load<width>(tensor.means, i),
         squares = load<width>(tensor.squares, i);
    Pack<Scalar, width> rounded;
    each<width>([&](int k) {
      auto &weight = weights.values[k], &mean = means.values[k], &square = squares.values[k];
      const auto g = wide(gradient.values[k]) * factors.gradient;
      mean = mean * factors.mean + g * factors.new_mean;
      square = square * factors.square + g * g * factors.new_square;
      weight =
          weight * factors.keep - mean / (std::sqrt(square) * factors.root + factors.epsilon) * factors.rate;
      rounded.values[k] = scalar_cast<Scalar>(weight);
    });
    store(tensor.weights, i, weights), store(tensor.means, i, means), store(tensor.squares, i, squares);
    if (tensor.rounded != nullptr) store(tensor.rounded, i, rounded);
  }
}

/// |x - target| of a number, in double; the target may be null.
template <class Scalar>
struct DistanceTerm {
  const Scalar *x, *target;
  __device__ double operator()(Index i) const {
    const double difference =
        scalar_cast<double>(x[i]) - (target != nullptr ? scalar_cast<double>(target[i]) : 0);
    return difference < 0 ? -difference : difference;
  }
};

/// factor sign(x - target); NaN stays.
template <class Wide>
struct DistanceSlope {
  Wide factor;
  __device__ Wide operator()(Wide x, Wide target = 0, Wide before = 0) const {
    const Wide difference = x - target;
    return before + (difference > 0 ? factor : difference < 0 ? -factor : difference);
  }
};

}  // namespace hyperblocks::cuda::kernels
