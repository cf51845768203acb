// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Embedding: y(i) = scale * weight(ids(i)). A frozen table stays row-major, as rows are looked up.
#pragma once

#include <hyperblocks/blocks/block.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

struct EmbeddingSpec {
  Index vocabulary = 0;
  Index width = 0;
  double scale = 1;  ///< Gemma: sqrt(width)
};

template <EmbeddingSpec spec, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct Embedding {
  static_assert(spec.vocabulary > 0 && spec.width > 0,
                "hyperblocks: an Embedding needs a vocabulary and a width of one or more");
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index vocabulary = spec.vocabulary, out = spec.width;
  using Input = View<const std::int32_t, Device, dyn>;
  using Output = View<Scalar, Device, dyn, out>;
  using InputGradient = Nothing;
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    Table<role, Weights, Scalar, Device, spec.vocabulary, spec.width> weight;
    static constexpr auto fields() { return std::tuple{Field{"weight", &Parts::weight}}; }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Input ids;
  };

  /// Standard normal.
  static void initialise(Device& device, Params& params, Random& random) {
    fill_normal(device, params.weight, random, 1);
  }

  static void forward(Device& device, const Params& params, Input ids, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->ids = ids;
    using Stored = typename decltype(params.weight)::ScalarType;
    ops::embedding<Scalar, Stored>(device, ids, params.weight, y, spec.scale);
  }

  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient,
                       Gradients& gradients, Write write) {
    detail::check_tape("Embedding", tape.ids.size(), dy.rows());
    if constexpr (std::same_as<Weights, Trainable>)
      ops::embedding_backward<Scalar>(device, tape.ids, dy, gradients.weight, spec.scale, write);
  }
};

}  // namespace hyperblocks
