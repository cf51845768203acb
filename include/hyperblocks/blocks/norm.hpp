// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// RmsNorm: y = x / sqrt(mean(x^2) + epsilon) * (weight + shift). LayerNorm: y = (x - mean) / sqrt(variance +
// epsilon) * weight + bias. UnitLength: y = x / |x|. Row by row; statistics in float (double for double).
#pragma once

#include <hyperblocks/blocks/block.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

struct RmsNormSpec {
  Index width = 0;
  double epsilon = 1e-6;
  double shift = 0;  ///< Gemma stores weight - 1: its shift is 1
};

template <RmsNormSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
struct RmsNorm : RowBlock<Scalar, Device, spec.width, spec.width> {
  static_assert(spec.width > 0, "hyperblocks: an RmsNorm needs a width of one or more");
  using Base = RowBlock<Scalar, Device, spec.width, spec.width>;
  using typename Base::Input, typename Base::Output, typename Base::InputGradient,
      typename Base::OutputGradient;

  template <Role role>
  struct Parts {
    Parameter<role, Weights, true, Scalar, Device, spec.width> weight;
    static constexpr auto fields() { return std::tuple{Field{"weight", &Parts::weight}}; }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Input input;
  };

  /// The identity on normalised rows.
  static void initialise(Device& device, Params& params, Random&) {
    fill_constant(device, params.weight, 1.0 - spec.shift);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->input = x;
    ops::rms_norm<Scalar>(device, x, params.weight, y, spec.epsilon, spec.shift);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    detail::check_tape("RmsNorm", tape.input.rows(), dy.rows());
    View<Scalar, Device, dyn> dweight;
    if constexpr (std::same_as<Weights, Trainable>) dweight = gradients.weight.view();
    ops::rms_norm_backward<Scalar>(device, tape.input, params.weight, dy, dx, dweight, spec.epsilon,
                                   spec.shift, write);
  }
};

struct LayerNormSpec {
  Index width = 0;
  double epsilon = 1e-5;
  bool bias = true;
};

template <LayerNormSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
struct LayerNorm : RowBlock<Scalar, Device, spec.width, spec.width> {
  static_assert(spec.width > 0, "hyperblocks: a LayerNorm needs a width of one or more");
  using Base = RowBlock<Scalar, Device, spec.width, spec.width>;
  using typename Base::Input, typename Base::Output, typename Base::InputGradient,
      typename Base::OutputGradient;

  template <Role role>
  struct Parts {
    Parameter<role, Weights, true, Scalar, Device, spec.width> weight;
    Parameter<role, Weights, spec.bias, Scalar, Device, spec.width> bias;
    static constexpr auto fields() {
      return std::tuple{Field{"weight", &Parts::weight}, Field{"bias", &Parts::bias}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Input input;
  };

  static void initialise(Device& device, Params& params, Random&) {
    fill_constant(device, params.weight, 1.0);
    if constexpr (spec.bias) fill_constant(device, params.bias, 0.0);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->input = x;
    View<const Scalar, Device, dyn> bias;
    if constexpr (spec.bias) bias = params.bias.view();
    ops::layer_norm<Scalar>(device, x, params.weight, bias, y, spec.epsilon);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    detail::check_tape("LayerNorm", tape.input.rows(), dy.rows());
    View<Scalar, Device, dyn> dweight, dbias;
    if constexpr (std::same_as<Weights, Trainable>) {
      dweight = gradients.weight.view();
      if constexpr (spec.bias) dbias = gradients.bias.view();
    }
    ops::layer_norm_backward<Scalar>(device, tape.input, params.weight, dy, dx, dweight, dbias, spec.epsilon,
                                     write);
  }
};

/// y = x / |x|, row by row.
template <Index width, RealScalar Scalar_, class Device_>
struct UnitLength : RowBlock<Scalar_, Device_, width, width> {
  using Base = RowBlock<Scalar_, Device_, width, width>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  template <Role role>
  using Parts = Nothing;
  using Params = Nothing;
  using Gradients = Nothing;
  struct Tape {
    Input input;
  };

  static void initialise(Device&, Params&, Random&) {}
  /// An RMSNorm whose weights are all 1 / sqrt(width), as its shift.
  static void forward(Device& device, const Params&, Input x, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device);
    if (tape != nullptr) tape->input = x;
    ops::rms_norm<Scalar>(device, x, zeros(device), y, 0, shift());
  }
  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient dx,
                       Gradients&, Write) {
    const ArenaScope scope(device);
    detail::check_tape("UnitLength", tape.input.rows(), dy.rows());
    if (dx)
      ops::rms_norm_backward<Scalar>(device, tape.input, zeros(device), dy, dx, {}, 0, shift(),
                                     Write::assign);
  }

 private:
  static double shift() { return 1 / std::sqrt(static_cast<double>(width)); }
  static View<const Scalar, Device, dyn> zeros(Device& device) {
    const auto result = take<Scalar, dyn>(device, width);
    device.fill(result.data(), 0, result.bytes());
    return result;
  }
};

}  // namespace hyperblocks
