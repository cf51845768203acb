// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Block concept. A block is a type with static functions and no state: its Params are values, its
// Gradients mirror them (Nothing where a weight is frozen), its Tape is what forward leaves for backward.
//   forward(device, params, input, output, tape)    tape null: inference, all scratch is given back on return
//   backward(device, params, tape, doutput, dinput, gradients, write)
// Blocks that need more than rows take a struct, whose member x is the rows; their InputGradient has the same
// members for what has a gradient. The views in a tape point into the arena and to the input: keep the input,
// and an ArenaScope open, until backward is done. dinput's rows are assigned, an update's gradients follow
// `write` as parameters' do; each is optional (an empty view), and none may lie where doutput lies.
#pragma once

#include <concepts>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/low_rank.hpp>

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

/// Parameters with their memory, initialised as the block says.
template <Block B>
typename B::Params initialised(typename B::Device& device, Random& random) {
  auto params = make<typename B::Params>(device);
  B::initialise(device, params, random);
  return params;
}

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

/// Rows, and low-rank updates of the linears that they meet: none, unless given. A view alone converts.
template <class Rows, class Updates_>
struct Adapted {
  Rows x;
  Updates_ updates = {};

  Adapted() = default;
  Adapted(Rows rows, const Updates_& given) : x(rows), updates(given) {}
  template <class V>
  requires(V::rank == 2 && std::convertible_to<V, Rows>) Adapted(const V& rows) : x(rows) {}
};

/// The rows of an input or of its gradient.
template <class Input>
constexpr auto rows_of(const Input& input) {
  if constexpr (requires { input.x; })
    return input.x;
  else
    return input;
}

namespace detail {
/// Every backward pass ends in blocks that ask this: a tape that forward did not fill has no rows.
inline void check_tape(const char* where, Index taped, Index found) {
  check(taped == found, [&] {
    return Error("the rows are not those of forward's tape", where,
                 std::to_string(taped) + (taped == 0 ? ", as the tape is empty" : ""), std::to_string(found));
  });
}

/// Parts and tape of a block that may be Nothing.
template <class Block, Role role>
struct PartsOf {
  using Type = typename Block::template Parts<role>;
};
template <Role role>
struct PartsOf<Nothing, role> {
  using Type = Nothing;
};
template <class Block>
struct TapeOf {
  using Type = typename Block::Tape;
};
template <>
struct TapeOf<Nothing> {
  using Type = Nothing;
};
}  // namespace detail
template <class Block, Role role>
using OptionalParts = typename detail::PartsOf<Block, role>::Type;
template <class Block>
using OptionalTape = typename detail::TapeOf<Block>::Type;

}  // namespace hyperblocks
