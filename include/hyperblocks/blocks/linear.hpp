// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Linear: y (tokens, out) = x (tokens, in) W (out, in)^T + bias (out)
#pragma once

#include <hyperblocks/blocks/block.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

struct LinearSpec {
  Index in = 0;
  Index out = 0;
  bool bias = true;
};

template <LinearSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
struct Linear : RowBlock<Scalar, Device, spec.in, spec.out> {
  static_assert(spec.in > 0 && spec.out > 0, "hyperblocks: a Linear needs in and out of one or more");
  using Base = RowBlock<Scalar, Device, spec.in, spec.out>;
  using typename Base::Input, typename Base::Output, typename Base::InputGradient,
      typename Base::OutputGradient;

  template <Role role>
  struct Parts {
    Parameter<role, Weights, true, Scalar, Device, spec.out, spec.in> weight;
    Parameter<role, Weights, spec.bias, Scalar, Device, spec.out> bias;
    static constexpr auto fields() {
      return std::tuple{Field{"weight", &Parts::weight}, Field{"bias", &Parts::bias}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Input input;
  };

  /// Weight and bias uniform in +-1/sqrt(in).
  static void initialise(Device& device, Params& params, Random& random) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(spec.in));
    visit([&](const std::string&, auto& tensor) { fill_uniform(device, tensor, random, bound); }, params);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->input = x;
    ops::product<Scalar>(device, x, params.weight, bias_of(params), y);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    if (dx) ops::input_gradient<Scalar>(device, dy, params.weight, dx);
    if constexpr (std::same_as<Weights, Trainable>) {
      ops::weight_gradient<Scalar>(device, dy, tape.input, gradients.weight, write);
      if constexpr (spec.bias) ops::column_sums<Scalar>(device, dy, gradients.bias, write);
    }
  }

 private:
  static View<const Scalar, Device, dyn> bias_of(const Params& params) {
    if constexpr (spec.bias)
      return params.bias.view();
    else
      return {};
  }
};

}  // namespace hyperblocks
