// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Block concept. A block is a type with static functions and no state: its Params are values, its
// Gradients mirror them (Nothing where a weight is frozen), its Tape is what forward leaves for backward.
//   forward(device, params, input, output, tape)    tape null: inference, all scratch is given back on return
//   backward(device, params, tape, doutput, dinput, gradients, write)
// The views in a tape point into the arena and to the input: keep the input, and an ArenaScope open, until
// backward is done. dinput is assigned, and may be an empty view if nobody needs it.
#pragma once

#include <concepts>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

template <class B>
concept Block = requires(typename B::Device& device, typename B::Params& params,
                         typename B::Gradients& gradients, typename B::Tape& tape,
                         const typename B::Tape& kept, typename B::Input input, typename B::Output output,
                         typename B::OutputGradient doutput, typename B::InputGradient dinput,
                         Random& random) {
  requires RealScalar<typename B::Scalar>;
  B::initialise(device, params, random);
  B::forward(device, std::as_const(params), input, output, &tape);
  B::backward(device, std::as_const(params), kept, doutput, dinput, gradients, Write::add);
};

/// Blocks from rows to rows: (tokens, in) to (tokens, out), as Linear, the norms and the MLPs are.
template <RealScalar Scalar_, class Device_, Index in_, Index out_>
struct RowBlock {
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index in = in_, out = out_;
  using Input = View<const Scalar, Device, dyn, in>;
  using Output = View<Scalar, Device, dyn, out>;
  using InputGradient = View<Scalar, Device, dyn, in>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;
};

}  // namespace hyperblocks
