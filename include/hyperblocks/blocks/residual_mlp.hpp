// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ResidualMlp: y = x + tail(W2 act(W1 LayerNorm(x) + b1) + b2), where the tail is another LayerNorm, the
// activation once more, or nothing. Its linears are shared by all rows, or there is a pair for each of
// `layers` equal parts of the rows; norms are shared always. PerLayer and Activate are the blocks that this
// takes.
#pragma once

#include <array>

#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/linear.hpp>
#include <hyperblocks/blocks/norm.hpp>

namespace hyperblocks {

/// y = activation(x), of which a tape may say before forward that numbers are dropped
template <Activation activation, Index width, RealScalar Scalar_, class Device_>
struct Activate : RowBlock<Scalar_, Device_, width, width> {
  using Base = RowBlock<Scalar_, Device_, width, width>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  template <Role role>
  using Parts = Nothing;
  using Params = Nothing;
  using Gradients = Nothing;
  struct Tape {
    Input input;
    Dropout dropout;
  };

  static void initialise(Device&, Params&, Random&) {}
  static void forward(Device& device, const Params&, Input x, Output y, Tape* tape = nullptr) {
    ops::activate<Scalar>(device, activation, x, y);
    if (tape == nullptr) return;
    tape->input = x;
    if (tape->dropout) ops::dropout<Scalar>(device, y, tape->dropout, y);
  }
  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient dx,
                       Gradients&, Write) {
    detail::check_tape("Activate", tape.input.rows(), dy.rows());
    if (!dx) return;
    if (tape.dropout) ops::dropout<Scalar>(device, dy, tape.dropout, dx), dy = dx;
    ops::activate_backward<Scalar>(device, activation, tape.input, dy, dx);
  }
};

/// The rows in `layers` equal parts, one after the other, each through weights of its own.
template <Index layers, class Inner>
struct PerLayer : RowBlock<typename Inner::Scalar, typename Inner::Device, Inner::in, Inner::out> {
  static_assert(layers > 0, "hyperblocks: PerLayer needs one layer or more");
  using Base = RowBlock<typename Inner::Scalar, typename Inner::Device, Inner::in, Inner::out>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  template <Role role>
  using Parts = std::array<typename Inner::template Parts<role>, layers>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::array<typename Inner::Tape, layers>;

  static void initialise(Device& device, Params& params, Random& random) {
    for (auto& layer : params) Inner::initialise(device, layer, random);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    for (std::size_t i = 0; i < layers; ++i)
      Inner::forward(device, params[i], part(x, i), part(y, i), tape ? &(*tape)[i] : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    for (std::size_t i = 0; i < layers; ++i)
      Inner::backward(device, params[i], tape[i], part(dy, i), part(dx, i), gradients[i], write);
  }

 private:
  template <class V>
  static V part(V x, std::size_t i) {
    check(x.rows() % layers == 0, [&] {
      return Error("the layers do not divide the rows", "PerLayer", "a multiple of " + std::to_string(layers),
                   std::to_string(x.rows()));
    });
    const Index count = x.rows() / layers;
    return x ? V(x.slice(static_cast<Index>(i) * count, count)) : V();
  }
};

enum class MlpTail { none, layer_norm, activation };

struct ResidualMlpSpec {
  Index width = 0;
  Index inner = 0;
  Index layers = 1;  ///< 1: weights shared by all rows
  Activation activation = Activation::silu;
  MlpTail tail = MlpTail::layer_norm;
  double epsilon = 1e-5;
};

namespace detail {
template <ResidualMlpSpec spec, class Scalar, class Device, class Weights>
struct ResidualMlpParts {
  using Norm = LayerNorm<LayerNormSpec{spec.width, spec.epsilon}, Scalar, Device, Weights>;
  using Expand = Linear<LinearSpec{spec.width, spec.inner}, Scalar, Device, Weights>;
  using Project = Linear<LinearSpec{spec.inner, spec.width}, Scalar, Device, Weights>;
  template <class Block>
  using Own = std::conditional_t<spec.layers == 1, Block, PerLayer<spec.layers, Block>>;
  using Inner = Activate<spec.activation, spec.inner, Scalar, Device>;
  using Last = std::conditional_t<spec.tail == MlpTail::layer_norm, Norm,
                                  Activate<spec.activation, spec.width, Scalar, Device>>;
  using Type =
      std::conditional_t<spec.tail == MlpTail::none, Residual<Chain<Norm, Own<Expand>, Inner, Own<Project>>>,
                         Residual<Chain<Norm, Own<Expand>, Inner, Own<Project>, Last>>>;
};
}  // namespace detail

/// Parameters are those of the chain: "0" and "4" the norms, "1" and "3" the linears, by layer "1.0", "1.1",
/// ...
template <ResidualMlpSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
using ResidualMlp = typename detail::ResidualMlpParts<spec, Scalar, Device, Weights>::Type;

}  // namespace hyperblocks
