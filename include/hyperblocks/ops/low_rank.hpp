// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LowRank: what an adapter adds to one linear, y += scale (x A^T) B^T + C, as views. Of const numbers it is
// an operand, of others it receives gradients.
#pragma once

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

template <class Scalar, class Device, Index out, Index in>
struct LowRank {
  View<Scalar, Device, dyn, in> a = {};   // (rank, in)
  View<Scalar, Device, out, dyn> b = {};  // (out, rank)
  double scale = 1;                       ///< not used where gradients are received
  View<Scalar, Device, out> bias = {};    // C, optional

  /// Whether any part is given; A and B come together, C also alone.
  explicit operator bool() const { return a || b || bias; }
};

}  // namespace hyperblocks
