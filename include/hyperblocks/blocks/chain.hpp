// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Composition of row blocks. Chain<A, B, ...>: y = ... B(A(x)). Repeated<A, n>: n of one kind. Residual<A>:
// y = x + A(x). Gated<f, A, B>: y = f(A(x)) * B(x).
#pragma once

#include <array>
#include <tuple>

#include <hyperblocks/blocks/block.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

namespace detail {
template <class... Blocks>
using First = std::tuple_element_t<0, std::tuple<Blocks...>>;
template <class... Blocks>
using Last = std::tuple_element_t<sizeof...(Blocks) - 1, std::tuple<Blocks...>>;

/// One sentence for two neighbours that do not fit: Joint<width that comes out, width that goes in>.
template <Index out, Index in>
struct Joint {
  static_assert(out == in,
                "hyperblocks: a Chain's block does not take what the one before gives: Joint<out, in>");
};

template <Index in, Index out>
struct ResidualKeepsWidth {
  static_assert(in == out,
                "hyperblocks: a Residual's block gives as many columns as it takes: ResidualKeepsWidth<in, "
                "out>");
};

template <class Block, class Next, class... Rest>
constexpr bool joined_chain() {
  (void)sizeof(Joint<Block::out, Next::in>);
  if constexpr (sizeof...(Rest) > 0) return joined_chain<Next, Rest...>();
  return true;
}
}  // namespace detail

template <class... Blocks>
struct Chain : RowBlock<typename detail::First<Blocks...>::Scalar, typename detail::First<Blocks...>::Device,
                        detail::First<Blocks...>::in, detail::Last<Blocks...>::out> {
  static_assert(sizeof...(Blocks) >= 2, "hyperblocks: a Chain has two blocks or more");
  static_assert(detail::joined_chain<Blocks...>());
  using Base = RowBlock<typename detail::First<Blocks...>::Scalar, typename detail::First<Blocks...>::Device,
                        detail::First<Blocks...>::in, detail::Last<Blocks...>::out>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  template <std::size_t i>
  using At = std::tuple_element_t<i, std::tuple<Blocks...>>;

  template <Role role>
  using Parts = std::tuple<typename Blocks::template Parts<role>...>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::tuple<typename Blocks::Tape...>;

  static void initialise(Device& device, Params& params, Random& random) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (Blocks::initialise(device, std::get<i>(params), random), ...);
    }
    (std::index_sequence_for<Blocks...>());
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    step<0>(device, params, x, y, tape);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    step_back<sizeof...(Blocks) - 1>(device, params, tape, dy, dx, gradients, write);
  }

 private:
  template <std::size_t i>
  static void step(Device& device, const Params& params, View<const Scalar, Device, dyn, At<i>::in> x,
                   Output y, Tape* tape) {
    auto* const own = tape ? &std::get<i>(*tape) : nullptr;
    if constexpr (i + 1 == sizeof...(Blocks)) {
      At<i>::forward(device, std::get<i>(params), x, y, own);
    } else {
      const auto between = take<Scalar, dyn, At<i>::out>(device, x.rows());
      At<i>::forward(device, std::get<i>(params), x, between, own);
      step<i + 1>(device, params, between, y, tape);
    }
  }

  template <std::size_t i>
  static void step_back(Device& device, const Params& params, const Tape& tape,
                        typename At<i>::OutputGradient dy, InputGradient dx, Gradients& gradients,
                        Write write) {
    if constexpr (i == 0) {
      At<0>::backward(device, std::get<0>(params), std::get<0>(tape), dy, dx, std::get<0>(gradients), write);
    } else {
      const auto between = take<Scalar, dyn, At<i>::in>(device, dy.rows());
      At<i>::backward(device, std::get<i>(params), std::get<i>(tape), dy, between, std::get<i>(gradients),
                      write);
      step_back<i - 1>(device, params, tape, between, dx, gradients, write);
    }
  }
};

/// A chain of `count` blocks of one type, each with weights of its own; of none it is a copy.
template <class Inner, Index count>
struct Repeated : RowBlock<typename Inner::Scalar, typename Inner::Device, Inner::in, Inner::out> {
  static_assert(count >= 0 && Inner::in == Inner::out,
                "hyperblocks: a Repeated's block gives as many columns as it takes");
  using Base = RowBlock<typename Inner::Scalar, typename Inner::Device, Inner::in, Inner::out>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  static constexpr auto depth = static_cast<std::size_t>(count);
  template <Role role>
  using Parts = std::array<typename Inner::template Parts<role>, depth>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::array<typename Inner::Tape, depth>;

  static void initialise(Device& device, Params& params, Random& random) {
    for (auto& block : params) Inner::initialise(device, block, random);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    if constexpr (depth == 0) ops::cast<Scalar, Scalar>(device, x, y);
    for (std::size_t i = 0; i < depth; ++i) {
      const auto next = i + 1 < depth ? take<Scalar, dyn, Base::in>(device, x.rows()) : y;
      Inner::forward(device, params[i], x, next, tape ? &(*tape)[i] : nullptr);
      x = next;
    }
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    if constexpr (depth == 0)
      if (dx) ops::cast<Scalar, Scalar>(device, dy, dx);
    for (std::size_t i = depth; i-- > 0;) {
      const auto previous = i > 0 ? take<Scalar, dyn, Base::in>(device, dy.rows()) : dx;
      Inner::backward(device, params[i], tape[i], dy, previous, gradients[i], write);
      dy = previous;
    }
  }
};

/// Parameters, initialisation and tape are the inner block's own.
template <class Inner>
struct Residual : Inner {
  static_assert(sizeof(detail::ResidualKeepsWidth<Inner::in, Inner::out>) > 0);
  using typename Inner::Device, typename Inner::Scalar, typename Inner::Input, typename Inner::Output,
      typename Inner::InputGradient, typename Inner::OutputGradient, typename Inner::Params,
      typename Inner::Gradients, typename Inner::Tape;

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    Inner::forward(device, params, input, y, tape);
    ops::add<Scalar>(device, rows_of(input), y, y);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    Inner::backward(device, params, tape, dy, dinput, gradients, write);
    if (const auto dx = rows_of(dinput)) ops::add<Scalar>(device, dx, dy, dx);
  }
};

/// Two blocks of one input, the first of which gates the second.
template <Activation activation, class Gate, class Value>
struct Gated : RowBlock<typename Gate::Scalar, typename Gate::Device, Gate::in, Gate::out> {
  static_assert(Gate::in == Value::in && Gate::out == Value::out,
                "hyperblocks: a Gated's blocks take and give as many columns");
  using Base = RowBlock<typename Gate::Scalar, typename Gate::Device, Gate::in, Gate::out>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;

  template <Role role>
  struct Parts {
    typename Gate::template Parts<role> gate;
    typename Value::template Parts<role> value;
    static constexpr auto fields() {
      return std::tuple{Field{"gate", &Parts::gate}, Field{"value", &Parts::value}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Gate::Tape gate;
    typename Value::Tape value;
    View<Scalar, Device, dyn, Gate::out> gate_output, value_output;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Gate::initialise(device, params.gate, random);
    Value::initialise(device, params.value, random);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const auto gate = take<Scalar, dyn, Gate::out>(device, x.rows());
    const auto value = take<Scalar, dyn, Gate::out>(device, x.rows());
    Gate::forward(device, params.gate, x, gate, tape ? &tape->gate : nullptr);
    Value::forward(device, params.value, x, value, tape ? &tape->value : nullptr);
    ops::glu<Scalar>(device, activation, gate, value, y);
    if (tape) tape->gate_output = gate, tape->value_output = value;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto dgate = take<Scalar, dyn, Gate::out>(device, dy.rows());
    const auto dvalue = take<Scalar, dyn, Gate::out>(device, dy.rows());
    ops::glu_backward<Scalar>(device, activation, tape.gate_output, tape.value_output, dy, dgate, dvalue);
    const auto dsecond = dx ? take<Scalar, dyn, Gate::in>(device, dy.rows()) : dx;
    Gate::backward(device, params.gate, tape.gate, dgate, dx, gradients.gate, write);
    Value::backward(device, params.value, tape.value, dvalue, dsecond, gradients.value, write);
    if (dx) ops::add<Scalar>(device, dx, dsecond, dx);
  }
};

}  // namespace hyperblocks
