// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One step of AdamW on a tensor, with t = step and g = factor * gradient:
//   mean = beta1 mean + (1 - beta1) g;   square = beta2 square + (1 - beta2) g^2
//   w = (1 - rate decay) w - rate (mean / (1 - beta1^t)) / (sqrt(square / (1 - beta2^t)) + epsilon)
#pragma once

#include <cmath>

#include <hyperblocks/ops/operands.hpp>

namespace hyperblocks {

struct AdamStep {
  double rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0;
  double factor = 1;  ///< of the gradient: from clipping, of a mean over micro-batches
  Index step = 1;     ///< counts from one
};

namespace ops {

/// What of a step is the same for every number, rounded once.
template <class A>
struct AdamFactors {
  A gradient, mean, new_mean, square, new_square, keep, rate, root, epsilon;

  explicit AdamFactors(const AdamStep& step)
      : gradient(static_cast<A>(step.factor)),
        mean(static_cast<A>(step.beta1)),
        new_mean(static_cast<A>(1 - step.beta1)),
        square(static_cast<A>(step.beta2)),
        new_square(static_cast<A>(1 - step.beta2)),
        keep(static_cast<A>(1 - step.rate * step.decay)),
        rate(static_cast<A>(step.rate / (1 - std::pow(step.beta1, step.step)))),
        root(static_cast<A>(1 / std::sqrt(1 - std::pow(step.beta2, step.step)))),
        epsilon(static_cast<A>(step.epsilon)) {}
};

/// `weights` and the moments are kept in the scalar that sums are kept in. Where parameters have fewer bits,
/// `rounded` are the parameters themselves, which the weights are rounded to.
template <RealScalar Scalar, class Device>
void adam_step(Device& device, const AdamStep& step, Row<const Scalar, Device> gradient,
               Row<Accumulator<Scalar>, Device> weights, Row<Accumulator<Scalar>, Device> means,
               Row<Accumulator<Scalar>, Device> squares, Row<Scalar, Device> rounded = {}) {
  const auto check_size = [&](const char* which, Index size) {
    detail::check_extent("ops::adam_step", which, gradient.size(), size);
  };
  check_size("numbers of the gradient and weights", weights.size());
  check_size("numbers of the gradient and means", means.size());
  check_size("numbers of the gradient and squares", squares.size());
  if (rounded) check_size("numbers of the gradient and parameters", rounded.size());
  check(step.step > 0, [&] {
    return Error("steps count from one", "ops::adam_step", "1 or more", std::to_string(step.step));
  });
  Ops<Device>::template adam_step<Scalar>(device, AdamFactors<Accumulator<Scalar>>(step), gradient, weights,
                                          means, squares, rounded);
}

}  // namespace ops
}  // namespace hyperblocks
