// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Repeats: rows made of fewer rows, each for many (a layer's embedding for every linear and text), and the
// sums that go back.
#pragma once

#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

/// Rows (outer, count, inner), of which row (i, j, k) repeats row j of `count` others.
struct Repeats {
  Index outer = 1, count = 1, inner = 1;
};

/// Writes the others, repeated, into columns of the rows, from the column `first` on.
template <RealScalar Scalar, class Device>
void repeat(Device& device, const Repeats& repeats, ops::Rows<const Scalar, Device> from,
            ops::Rows<Scalar, Device> to, Index first = 0) {
  const auto& [outer, count, inner] = repeats;
  const Index width = from.columns(), stride = to.columns();
  ops::copy_heads<Scalar>(
      device, {from.data(), outer, count, inner, width, 0, width, 0},
      {to.data() + first, outer, count, inner, width, count * inner * stride, inner * stride, stride});
}

/// The way back: sums over what was repeated.
template <RealScalar Scalar, class Device>
void sum_repeats(Device& device, const Repeats& repeats, ops::Rows<const Scalar, Device> from,
                 ops::Rows<Scalar, Device> to, Index first = 0) {
  const ArenaScope scope(device);
  const auto& [outer, count, inner] = repeats;
  const Index width = to.columns(), stride = from.columns(), all = count * width;
  const auto terms = take<Scalar, dyn, dyn>(device, outer * inner, all);
  ops::copy_heads<Scalar>(
      device,
      {from.data() + first, outer, inner, count, width, count * inner * stride, stride, inner * stride},
      {terms.data(), outer, inner, count, width, inner * all, all, width});
  ops::column_sums<Scalar>(device, terms, to.template reshape<dyn>(all), Write::assign);
}

}  // namespace hyperblocks
