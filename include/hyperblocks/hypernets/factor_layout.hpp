// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// FactorLayout: where the factors of a layer's linears lie in one run of numbers: those of q, k, v, o, gate,
// up, down, or of chosen ones; of each A (rank * in), B (rank * out), and C (out) where the base's linear has
// a bias.
#pragma once

#include <hyperblocks/lora/adapter.hpp>

namespace hyperblocks {

template <auto base, Index rank, Targets targets = Targets{}>
struct FactorLayout {
  struct Place {
    Index a, b, bias, end;  ///< bias == end: there is none
  };

  static constexpr bool has_bias(Projection projection) { return biased(base).contains(projection); }

  static constexpr Place place(Projection projection) {
    Index at = 0;
    for (const Projection each : all_projections) {
      const LinearSize size = targets.contains(each) ? size_of(base, each) : LinearSize{0, 0};
      const Index b = at + rank * size.in, bias = b + rank * size.out;
      const Index end = bias + (has_bias(each) ? size.out : 0);
      if (each == projection) return {at, b, bias, end};
      at = end;
    }
    return {at, at, at, at};
  }

  /// Of a layer.
  static constexpr Index numbers = place(Projection::down).end;

  /// The factors of one document, of numbers (layers, documents, numbers or more); of mutable numbers, what
  /// receives gradients.
  template <class Model, class S, class Device, Index layers, Index layer_numbers>
  static typename Model::template Updates<S> updates(const View<S, Device, layers, dyn, layer_numbers>& all,
                                                     Index document, FactorForm a, FactorForm b) {
    static_assert(layer_numbers >= numbers && layers == base.layers,
                  "hyperblocks: a FactorLayout's numbers are those of all layers");
    typename Model::template Updates<S> result;
    for (Index layer = 0; layer < layers; ++layer) {
      S* const data = all.data() + (layer * all.extent(1) + document) * layer_numbers;
      each_projection([&]<Projection projection>() {
        if constexpr (targets.contains(projection)) {
          static constexpr auto at = place(projection);
          auto& update = linear_of<projection>(result.layers[static_cast<std::size_t>(layer)]);
          update.a = {data + at.a, rank, a};
          update.b = {data + at.b, rank, b};
          if constexpr (has_bias(projection)) update.bias = {data + at.bias, {}};
        }
      });
    }
    return result;
  }
};

}  // namespace hyperblocks
