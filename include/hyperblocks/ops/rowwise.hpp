// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Operations row by row: norms, softmax, rotary positions, embedding; forward and backward.
#pragma once

#include <hyperblocks/ops/operands.hpp>
#include <hyperblocks/ops/rope.hpp>

namespace hyperblocks::ops {

/// y = x / sqrt(mean(x^2) + epsilon) * (weight + shift), row by row; Gemma's shift is 1.
template <RealScalar Scalar, class Device>
void rms_norm(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
              Rows<Scalar, Device> y, double epsilon, double shift) {
  detail::check_same("ops::rms_norm", x, y);
  detail::check_extent("ops::rms_norm", "elements of the weight", x.columns(), weight.size());
  Ops<Device>::template rms_norm<Scalar>(device, x, weight, y, epsilon, shift);
}

/// dx and dweight are optional; dx is neither x nor dy.
template <RealScalar Scalar, class Device>
void rms_norm_backward(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                       Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx, Row<Scalar, Device> dweight,
                       double epsilon, double shift, Write write) {
  detail::check_same("ops::rms_norm_backward", x, dy);
  if (dx) detail::check_same("ops::rms_norm_backward", x, dx);
  detail::check_extent("ops::rms_norm_backward", "elements of the weight", x.columns(), weight.size());
  if (dweight)
    detail::check_extent("ops::rms_norm_backward", "elements of dweight", x.columns(), dweight.size());
  Ops<Device>::template rms_norm_backward<Scalar>(device, x, weight, dy, dx, dweight, epsilon, shift,
                                                  write == Write::add);
}

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row; bias is optional.
template <RealScalar Scalar, class Device>
void layer_norm(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                Row<const Scalar, Device> bias, Rows<Scalar, Device> y, double epsilon) {
  detail::check_same("ops::layer_norm", x, y);
  detail::check_extent("ops::layer_norm", "elements of the weight", x.columns(), weight.size());
  if (bias) detail::check_extent("ops::layer_norm", "elements of the bias", x.columns(), bias.size());
  Ops<Device>::template layer_norm<Scalar>(device, x, weight, bias, y, epsilon);
}

/// dx, dweight and dbias are optional; dx is neither x nor dy.
template <RealScalar Scalar, class Device>
void layer_norm_backward(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                         Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx, Row<Scalar, Device> dweight,
                         Row<Scalar, Device> dbias, double epsilon, Write write) {
  detail::check_same("ops::layer_norm_backward", x, dy);
  if (dx) detail::check_same("ops::layer_norm_backward", x, dx);
  detail::check_extent("ops::layer_norm_backward", "elements of the weight", x.columns(), weight.size());
  if (dweight)
    detail::check_extent("ops::layer_norm_backward", "elements of dweight", x.columns(), dweight.size());
  if (dbias) detail::check_extent("ops::layer_norm_backward", "elements of dbias", x.columns(), dbias.size());
  Ops<Device>::template layer_norm_backward<Scalar>(device, x, weight, dy, dx, dweight, dbias, epsilon,
                                                    write == Write::add);
}

/// y = e^x / sum(e^x), row by row; y may be x. A row of -infinity alone gives zeros.
template <RealScalar Scalar, class Device>
void softmax(Device& device, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::softmax", x, y);
  Ops<Device>::template softmax<Scalar>(device, x, y);
}

/// dx = y (dy - sum(y dy)), with forward's y; dx may be dy.
template <RealScalar Scalar, class Device>
void softmax_backward(Device& device, Rows<const Scalar, Device> y, Rows<const Scalar, Device> dy,
                      Rows<Scalar, Device> dx) {
  detail::check_same("ops::softmax_backward", y, dy);
  detail::check_same("ops::softmax_backward", y, dx);
  Ops<Device>::template softmax_backward<Scalar>(device, y, dy, dx);
}

/// Turns the pairs of every head of x (tokens, heads * width) in place by their token's position. `inverse`
/// turns back, which is the backward pass.
template <RealScalar Scalar, class Device>
void rope(Device& device, Rows<Scalar, Device> x,
          const Rotary<Accumulator<Scalar>, std::type_identity_t<Device>>& rotary, Index tokens_per_sequence,
          Index heads, RopeLayout layout, bool inverse) {
  detail::check_same("ops::rope: cosines and sines", rotary.cosines, rotary.sines);
  check(heads > 0 && x.columns() % heads == 0 && 2 * rotary.cosines.columns() <= x.columns() / heads, [&] {
    return Error("the shapes do not fit: heads and tables", "ops::rope",
                 "heads that divide " + std::to_string(x.columns()) + " into widths of at least " +
                     std::to_string(2 * rotary.cosines.columns()),
                 std::to_string(heads) + " heads");
  });
  if (rotary.positions)
    detail::check_extent("ops::rope", "rows of x and positions", x.rows(), rotary.positions.size());
  else
    check(tokens_per_sequence > 0 || x.rows() == 0, [&] {
      return Error("sequences need tokens", "ops::rope", "one or more tokens per sequence",
                   std::to_string(tokens_per_sequence));
    });
  if (rotary.past)
    detail::check_extent("ops::rope", "rows of x and sequences of past", x.rows(),
                         rotary.past.size() * tokens_per_sequence);
  Ops<Device>::template rope<Scalar>(device, x, rotary, tokens_per_sequence, heads, layout, inverse);
}

/// y(i) = scale * table(ids(i)); an id outside of the table is an Error.
template <RealScalar Scalar, RealScalar Table, class Device>
void embedding(Device& device, Ids<Device> ids, Rows<const Table, Device> table, Rows<Scalar, Device> y,
               double scale) {
  detail::check_extent("ops::embedding", "ids and rows of y", ids.size(), y.rows());
  detail::check_extent("ops::embedding", "columns of the table and of y", table.columns(), y.columns());
  Ops<Device>::template embedding<Scalar, Table>(device, ids, table, y, scale);
}

/// dtable(id) [+]= scale * the sum of dy(i) over ids(i) = id.
template <RealScalar Scalar, class Device>
void embedding_backward(Device& device, Ids<Device> ids, Rows<const Scalar, Device> dy,
                        Rows<Scalar, Device> dtable, double scale, Write write) {
  detail::check_extent("ops::embedding_backward", "ids and rows of dy", ids.size(), dy.rows());
  detail::check_extent("ops::embedding_backward", "columns of dy and of the table", dtable.columns(),
                       dy.columns());
  Ops<Device>::template embedding_backward<Scalar>(device, ids, dy, dtable, scale, write == Write::add);
}

}  // namespace hyperblocks::ops
