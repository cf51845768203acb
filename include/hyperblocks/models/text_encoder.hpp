// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextEncoder: token ids to hidden states.
//   x = LayerNorm(words(ids) + positions + the first token type);  x = layer(x) for every layer
#pragma once

#include <array>
#include <vector>

#include <hyperblocks/blocks/embedding.hpp>
#include <hyperblocks/blocks/encoder_block.hpp>
#include <hyperblocks/models/text_encoder_spec.hpp>

namespace hyperblocks {

template <TextEncoderSpec spec_, RealScalar Scalar_, class Device_, class Weights = Frozen<Scalar_>>
struct TextEncoder {
  static constexpr TextEncoderSpec spec = spec_;
  static_assert(spec.vocabulary > 0 && spec.hidden > 0 && spec.layers > 0 && spec.heads > 0 &&
                    spec.inner > 0 && spec.positions > 0,
                "hyperblocks: a TextEncoder needs sizes of one or more");
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index hidden = spec.hidden;
  static constexpr bool learned_positions = spec.rope_base == 0, has_types = spec.token_types > 0;
  template <Index rows>
  using Table = Embedding<EmbeddingSpec{std::max<Index>(rows, 1), hidden}, Scalar, Device, Weights>;
  using Words = Table<spec.vocabulary>;
  using Layer = EncoderBlock<EncoderBlockSpec{.hidden = hidden,
                                              .heads = spec.heads,
                                              .inner = spec.inner,
                                              .activation = spec.activation,
                                              .epsilon = spec.epsilon,
                                              .rotary = !learned_positions,
                                              .gated = spec.gated},
                             Scalar, Device, Weights>;
  using Norm = LayerNorm<LayerNormSpec{hidden, spec.epsilon}, Scalar, Device, Weights>;

  struct Params {
    typename Words::Params words;
    OptionalParts<std::conditional_t<learned_positions, Table<spec.positions>, Nothing>, Role::value>
        positions;
    OptionalParts<std::conditional_t<has_types, Table<spec.token_types>, Nothing>, Role::value> types;
    typename Norm::Params norm;
    std::array<typename Layer::Params, static_cast<std::size_t>(spec.layers)> layers;
    static constexpr auto fields() {
      return std::tuple{Field{"words", &Params::words}, Field{"positions", &Params::positions},
                        Field{"types", &Params::types}, Field{"norm", &Params::norm},
                        Field{"layers", &Params::layers}};
    }
  };

  using Rotary = hyperblocks::Rotary<Accumulator<Scalar>, Device>;
  /// Rotary tables with their memory; empty where positions are learned.
  struct Positions : RopeTables<Accumulator<Scalar>, Device> {
    explicit Positions(Device& device)
        : RopeTables<Accumulator<Scalar>, Device>(device, spec.rope_base,
                                                  learned_positions ? 0 : hidden / spec.heads,
                                                  learned_positions ? 0 : spec.positions, spec.rope_scaling) {
    }
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Words::initialise(device, params.words, random);
    if constexpr (learned_positions) Table<spec.positions>::initialise(device, params.positions, random);
    if constexpr (has_types) Table<spec.token_types>::initialise(device, params.types, random);
    Norm::initialise(device, params.norm, random);
    for (auto& layer : params.layers) Layer::initialise(device, layer, random);
  }

  /// The last hidden states y (tokens, hidden) of one text.
  static void forward(Device& device, const Params& params, View<const std::int32_t, Device, dyn> ids,
                      const Rotary& rotary, View<Scalar, Device, dyn, hidden> y) {
    check(ids.size() > 0 && ids.size() <= spec.positions, [&] {
      return Error("the text's length does not fit", "TextEncoder",
                   "1 .. " + std::to_string(spec.positions) + " tokens", std::to_string(ids.size()));
    });
    const ArenaScope scope(device);
    const auto x = take<Scalar, dyn, hidden>(device, ids.size());
    Words::forward(device, params.words, ids, x);
    if constexpr (learned_positions) {
      const auto places = take<Scalar, dyn, hidden>(device, ids.size());
      using Stored = typename decltype(params.positions.weight)::ScalarType;
      ops::cast<Scalar, Stored>(device, params.positions.weight.view().slice(0, ids.size()), places);
      ops::add<Scalar>(device, x, places, x);
    }
    if constexpr (has_types) {
      const auto first = take<Scalar, dyn, hidden>(device, ids.size());
      using Stored = typename decltype(params.types.weight)::ScalarType;
      ops::broadcast<Scalar, Stored>(
          device, params.types.weight.view().slice(0, 1).template reshape<dyn>(hidden), first);
      ops::add<Scalar>(device, x, first, x);
    }
    Norm::forward(device, params.norm, x, x);
    typename Layer::Setup setup;
    setup.rotary = rotary;
    for (std::size_t i = 0; i < params.layers.size(); ++i)
      Layer::forward(device, params.layers[i], {x, setup, {}}, i + 1 < params.layers.size() ? x : y);
  }
};

}  // namespace hyperblocks
