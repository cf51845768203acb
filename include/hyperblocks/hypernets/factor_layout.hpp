// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// FactorLayout: where the factors of a layer's linears lie in one run of numbers: those of q, k, v, o, gate,
// up, down; of each A (rank * in), B (rank * out), and C (out) where the base's linear has a bias.
#pragma once

#include <hyperblocks/lora/adapter.hpp>

namespace hyperblocks {

template <auto base, Index rank>
struct FactorLayout {
  struct Place {
    Index a, b, bias, end;  ///< bias == end: there is none
  };

  static constexpr bool has_bias(Projection projection) {
    return base.bias && query_key_value.contains(projection);
  }

  static constexpr Place place(Projection projection) {
    Index at = 0;
    for (const Projection each : all_projections) {
      const LinearSize size = size_of(base, each);
      const Index b = at + rank * size.in, bias = b + rank * size.out;
      const Index end = bias + (has_bias(each) ? size.out : 0);
      if (each == projection) return {at, b, bias, end};
      at = end;
    }
    return {at, at, at, at};
  }

  /// Of a layer.
  static constexpr Index numbers = place(Projection::down).end;
};

}  // namespace hyperblocks
