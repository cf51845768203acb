// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses of rows of logits, one loss per row, with the gradient in the same call; and the L1 distance.
#pragma once

#include <hyperblocks/ops/operands.hpp>

namespace hyperblocks::ops {

/// loss(i) = -(1 - s) log p(label) - s mean(log p) with p = softmax(logits(i)), s = label_smoothing; a row
/// with a negative label is ignored (zero loss, zero gradient). dlogits (optional, may be the logits) is the
/// gradient of the sum of the losses, each times its weight (optional).
template <RealScalar Scalar, class Device>
void cross_entropy(Device& device, Rows<const Scalar, Device> logits, Ids<Device> labels,
                   double label_smoothing, Row<Accumulator<Scalar>, Device> losses,
                   Rows<Scalar, Device> dlogits = {}, Row<const Accumulator<Scalar>, Device> weights = {}) {
  detail::check_extent("ops::cross_entropy", "rows of the logits and labels", logits.rows(), labels.size());
  detail::check_extent("ops::cross_entropy", "rows of the logits and losses", logits.rows(), losses.size());
  check(label_smoothing >= 0 && label_smoothing <= 1, [&] {
    return Error("impossible label smoothing", "ops::cross_entropy", "0 to 1",
                 std::to_string(label_smoothing));
  });
  if (dlogits) detail::check_same("ops::cross_entropy", logits, dlogits);
  if (weights)
    detail::check_extent("ops::cross_entropy", "rows of the logits and weights", logits.rows(),
                         weights.size());
  Ops<Device>::template cross_entropy<Scalar>(device, logits, labels, label_smoothing, losses, dlogits,
                                              weights);
}

/// loss(i) = -sum_j p_j log softmax(logits(i))(ids(i, j)) with p_j = e^log_probabilities(i, j): a teacher's
/// top k, not normalised. dlogits and weights as in cross_entropy.
template <RealScalar Scalar, RealScalar Stored, class Device>
void topk_kl(Device& device, Rows<const Scalar, Device> logits, Rows<const std::int32_t, Device> ids,
             Rows<const Stored, Device> log_probabilities, Row<Accumulator<Scalar>, Device> losses,
             Rows<Scalar, Device> dlogits = {}, Row<const Accumulator<Scalar>, Device> weights = {}) {
  detail::check_extent("ops::topk_kl", "rows of the logits and of the ids", logits.rows(), ids.rows());
  detail::check_same("ops::topk_kl", ids, log_probabilities);
  detail::check_extent("ops::topk_kl", "rows of the logits and losses", logits.rows(), losses.size());
  if (dlogits) detail::check_same("ops::topk_kl", logits, dlogits);
  if (weights)
    detail::check_extent("ops::topk_kl", "rows of the logits and weights", logits.rows(), weights.size());
  Ops<Device>::template topk_kl<Scalar, Stored>(device, logits, ids, log_probabilities, losses, dlogits,
                                                weights);
}

/// The sum of |x - target|, without a target of |x|; dx (optional) [+]= factor sign(x - target).
template <RealScalar Scalar, class Device>
double l1_distance(Device& device, Row<const Scalar, Device> x, Row<const Scalar, Device> target,
                   double factor = 1, Row<Scalar, Device> dx = {}, Write write = Write::assign) {
  if (target) detail::check_extent("ops::l1_distance", "numbers of x and target", x.size(), target.size());
  if (dx) detail::check_extent("ops::l1_distance", "numbers of x and dx", x.size(), dx.size());
  return Ops<Device>::template l1_distance<Scalar>(device, x, target, factor, dx, write == Write::add);
}

}  // namespace hyperblocks::ops
