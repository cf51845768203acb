// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ContextReader: what a frozen decoder makes of texts, for a hypernetwork to read: hidden states behind every
// layer, behind an early one, or the embeddings alone. They are given one state at a time, so that a text's
// activations need not be held all at once. Any other type with these members serves as well.
//   ContextReader<Model, ContextSpec{}> reader(model, positions);
//   reader.read(device, ids, sequences, [&](Index state, auto rows) { ... });
#pragma once

#include <hyperblocks/models/decoder.hpp>

namespace hyperblocks {

enum class ContextKind : std::uint8_t { all_layers, early_exit, embeddings };

struct ContextSpec {
  ContextKind kind = ContextKind::all_layers;
  /// all_layers: how many states, 0 for as many as there are layers; the first is the embeddings, the last
  /// has passed the final norm. early_exit: how many layers run before the final norm, 0 for a quarter.
  Index layers = 0;
  friend bool operator==(const ContextSpec&, const ContextSpec&) = default;
};

template <class Model_, ContextSpec spec>
class ContextReader {
 public:
  using Model = Model_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr Index width = Model::hidden;
  static constexpr Index layers = spec.layers != 0                       ? spec.layers
                                  : spec.kind == ContextKind::early_exit ? Model::spec.layers / 4
                                                                         : Model::spec.layers;
  static_assert(layers >= 0 && layers <= Model::spec.layers + (spec.kind == ContextKind::all_layers ? 1 : 0),
                "hyperblocks: a ContextReader's model does not have so many layers");
  /// How many states of a token are given.
  static constexpr Index states = spec.kind == ContextKind::all_layers ? layers : 1;

  /// Both are kept by the caller.
  ContextReader(const typename Model::Params& params, const typename Model::Rotaries& rotary)
      : params_(&params), rotary_(rotary) {}

  /// f(state, rows) for each state, rows (sequences * tokens, width): those of one call until the next.
  template <class F>
  void read(Device& device, View<const std::int32_t, Device, dyn> ids, Index sequences, F f) const {
    const ArenaScope scope(device);
    const auto x = take<Scalar, dyn, width>(device, ids.size());
    typename Model::Input input{.ids = ids, .sequences = sequences, .rotary = rotary_};
    const auto run = [&](Index first, Index end, bool norm) {
      input.first_layer = first, input.layers = end, input.final_norm = norm;
      Model::forward(device, *params_, input, {.state = x});
      input.ids = {}, input.x = x;
    };
    if constexpr (spec.kind != ContextKind::all_layers) {
      run(0, spec.kind == ContextKind::early_exit ? layers : 0, spec.kind == ContextKind::early_exit);
      f(0, x);
    } else {
      for (Index state = 0; state < states; ++state) {
        run(state == 0 ? 0 : state - 1, state, state + 1 == states);
        f(state, x);
      }
    }
  }

 private:
  const typename Model::Params* params_;
  typename Model::Rotaries rotary_;
};

}  // namespace hyperblocks
