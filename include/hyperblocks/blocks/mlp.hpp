// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// MLPs. Mlp: y = W2 act(W1 x + b1) + b2. GluMlp: y = W_down (act(W_gate x) * (W_up x)), SwiGLU with silu.
#pragma once

#include <hyperblocks/blocks/linear.hpp>

namespace hyperblocks {

struct MlpSpec {
  Index in = 0;
  Index inner = 0;
  Index out = 0;
  Activation activation = Activation::gelu_exact;
  bool bias = true;
};

namespace detail {
/// One sentence for a spec without sizes, with the numbers in the type.
template <Index in, Index inner, Index out>
struct MlpSizes {
  static_assert(in > 0 && inner > 0 && out > 0,
                "hyperblocks: an MLP needs sizes of one or more: MlpSizes<in, inner, out>");
};
}  // namespace detail

template <MlpSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
struct Mlp : RowBlock<Scalar, Device, spec.in, spec.out> {
  static_assert(sizeof(detail::MlpSizes<spec.in, spec.inner, spec.out>) > 0);
  using Base = RowBlock<Scalar, Device, spec.in, spec.out>;
  using typename Base::Output, typename Base::OutputGradient;
  using Expand = Linear<LinearSpec{spec.in, spec.inner, spec.bias}, Scalar, Device, Weights>;
  using Project = Linear<LinearSpec{spec.inner, spec.out, spec.bias}, Scalar, Device, Weights>;
  template <class S>
  struct Updates {
    typename Expand::template Updates<S> expand = {};
    typename Project::template Updates<S> project = {};
    static constexpr auto fields() {
      return std::tuple{Field{"expand", &Updates::expand}, Field{"project", &Updates::project}};
    }
  };
  using Input = Adapted<typename Base::Input, Updates<const Scalar>>;
  using InputGradient = Adapted<typename Base::InputGradient, Updates<Scalar>>;

  template <Role role>
  struct Parts {
    typename Expand::template Parts<role> expand;
    typename Project::template Parts<role> project;
    static constexpr auto fields() {
      return std::tuple{Field{"expand", &Parts::expand}, Field{"project", &Parts::project}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Expand::Tape expand;
    typename Project::Tape project;
    View<Scalar, Device, dyn, spec.inner> expanded;  // before the activation
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Expand::initialise(device, params.expand, random);
    Project::initialise(device, params.project, random);
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const auto& [x, updates] = input;
    const auto expanded = take<Scalar, dyn, spec.inner>(device, x.rows());  // (tokens, inner)
    const auto active =
        tape ? take<Scalar, dyn, spec.inner>(device, x.rows()) : expanded;  // in place if free
    Expand::forward(device, params.expand, {x, updates.expand}, expanded, tape ? &tape->expand : nullptr);
    ops::activate<Scalar>(device, spec.activation, expanded, active);
    Project::forward(device, params.project, {active, updates.project}, y, tape ? &tape->project : nullptr);
    if (tape) tape->expanded = expanded;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto& [dx, updates] = dinput;
    const auto dinner = take<Scalar, dyn, spec.inner>(device, dy.rows());  // (tokens, inner)
    Project::backward(device, params.project, tape.project, dy, {dinner, updates.project}, gradients.project,
                      write);
    ops::activate_backward<Scalar>(device, spec.activation, tape.expanded, dinner, dinner);
    Expand::backward(device, params.expand, tape.expand, dinner, {dx, updates.expand}, gradients.expand,
                     write);
  }
};

struct GluMlpSpec {
  Index hidden = 0;
  Index inner = 0;
  Index out = 0;  ///< 0 means as wide as the input
  Activation activation = Activation::silu;
  bool bias = false;       ///< of gate, up and down
  bool down_bias = false;  ///< of down alone
};

template <GluMlpSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
struct GluMlp : RowBlock<Scalar, Device, spec.hidden, (spec.out != 0 ? spec.out : spec.hidden)> {
  static_assert(sizeof(detail::MlpSizes < spec.hidden, spec.inner, spec.out != 0 ? spec.out : spec.hidden >) >
                0);
  using Base = RowBlock<Scalar, Device, spec.hidden, (spec.out != 0 ? spec.out : spec.hidden)>;
  using typename Base::Output, typename Base::OutputGradient;
  using Expand = Linear<LinearSpec{spec.hidden, spec.inner, spec.bias}, Scalar, Device, Weights>;
  using Down =
      Linear<LinearSpec{spec.inner, Base::out, spec.bias || spec.down_bias}, Scalar, Device, Weights>;
  template <class S>
  struct Updates {
    typename Expand::template Updates<S> gate = {}, up = {};
    typename Down::template Updates<S> down = {};
    static constexpr auto fields() {
      return std::tuple{Field{"gate", &Updates::gate}, Field{"up", &Updates::up},
                        Field{"down", &Updates::down}};
    }
  };
  using Input = Adapted<typename Base::Input, Updates<const Scalar>>;
  using InputGradient = Adapted<typename Base::InputGradient, Updates<Scalar>>;

  template <Role role>
  struct Parts {
    typename Expand::template Parts<role> gate, up;
    typename Down::template Parts<role> down;
    static constexpr auto fields() {
      return std::tuple{Field{"gate", &Parts::gate}, Field{"up", &Parts::up}, Field{"down", &Parts::down}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Expand::Tape gate_linear, up_linear;
    typename Down::Tape down;
    View<Scalar, Device, dyn, spec.inner> gate, up;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Expand::initialise(device, params.gate, random);
    Expand::initialise(device, params.up, random);
    Down::initialise(device, params.down, random);
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const auto& [x, updates] = input;
    const auto gate = take<Scalar, dyn, spec.inner>(device, x.rows());                   // (tokens, inner)
    const auto up = take<Scalar, dyn, spec.inner>(device, x.rows());                     // (tokens, inner)
    const auto product = tape ? take<Scalar, dyn, spec.inner>(device, x.rows()) : gate;  // in place if free
    forward_together(device, x,
                     LinearPass<Expand>{params.gate, updates.gate, gate, tape ? &tape->gate_linear : nullptr},
                     LinearPass<Expand>{params.up, updates.up, up, tape ? &tape->up_linear : nullptr});
    ops::glu<Scalar>(device, spec.activation, gate, up, product);
    Down::forward(device, params.down, {product, updates.down}, y, tape ? &tape->down : nullptr);
    if (tape) tape->gate = gate, tape->up = up;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto& [dx, updates] = dinput;
    const auto dproduct = take<Scalar, dyn, spec.inner>(device, dy.rows());  // (tokens, inner)
    const auto dgate = take<Scalar, dyn, spec.inner>(device, dy.rows());
    const auto dup = take<Scalar, dyn, spec.inner>(device, dy.rows());
    Down::backward(device, params.down, tape.down, dy, {dproduct, updates.down}, gradients.down, write);
    ops::glu_backward<Scalar>(device, spec.activation, tape.gate, tape.up, dproduct, dgate, dup);
    Expand::backward(device, params.gate, tape.gate_linear, dgate, {dx, updates.gate}, gradients.gate, write);
    Expand::backward(device, params.up, tape.up_linear, dup, {dx, updates.up}, gradients.up, write,
                     Write::add);
  }
};

}  // namespace hyperblocks
