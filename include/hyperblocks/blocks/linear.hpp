// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Linear: y (tokens, out) = x (tokens, in) W (out, in)^T + bias (out) [+ a low-rank update of the caller's]
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
  static constexpr bool frozen = !std::same_as<Weights, Trainable>;
  using Base = RowBlock<Scalar, Device, spec.in, spec.out>;
  using typename Base::Output, typename Base::OutputGradient;
  template <class S>
  using Updates = LowRank<S, Device, spec.out, spec.in>;
  using Input = Adapted<typename Base::Input, Updates<const Scalar>>;
  using InputGradient = Adapted<typename Base::InputGradient, Updates<Scalar>>;

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

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->input = input;
    if (input.updates.dropout)
      forward_dropped(device, params, input, y);
    else if constexpr (frozen)
      ops::updated_products<Scalar>(device, input.x, product(params, input.updates, y));
    else if (input.updates)
      ops::low_rank_update<Scalar>(device, input.x, params.weight, bias_of(params), input.updates, y);
    else
      ops::product<Scalar>(device, input.x, params.weight, bias_of(params), y);
  }

  /// The same as an operand, of frozen weights: for several Linears of one x, see forward_together.
  static auto product(const Params& params, const Updates<const Scalar>& updates, Output y) {
    using Stored = typename decltype(params.weight)::ScalarType;
    return UpdatedProduct<Scalar, Stored, Device, spec.out, spec.in>{params.weight.packed(), bias_of(params),
                                                                     updates, y};
  }

  /// `write_x` says how dinput.x is written: where several linears read one x, all but the first add.
  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write,
                       Write write_x = Write::assign) {
    const auto& x = tape.input.x;
    detail::check_tape("Linear", x.rows(), dy.rows());
    if (dinput.x) ops::input_gradient<Scalar>(device, dy, params.weight, dinput.x, write_x);
    update_gradients(device, tape, dy, dinput, write);
    if constexpr (!frozen) {
      ops::weight_gradient<Scalar>(device, dy, x, gradients.weight, write);
      if constexpr (spec.bias) ops::column_sums<Scalar>(device, dy, gradients.bias, write);
    }
  }

 private:
  using Rows = View<Scalar, Device, dyn, spec.in>;

  /// The updates read other rows than the weights do.
  static void forward_dropped(Device& device, const Params& params, const Input& input, Output y) {
    forward(device, params, input.x, y);
    const ArenaScope scope(device);
    const auto x = dropped(device, input.x, input.updates.dropout);
    each_update(input.updates, [&](const auto& update) { ops::add_update<Scalar>(device, x, update, y); });
  }

  static Rows dropped(Device& device, View<const Scalar, Device, dyn, spec.in> x, const Dropout& dropout) {
    const auto y = take<Scalar, dyn, spec.in>(device, x.rows());
    ops::dropout<Scalar>(device, x, dropout, y);
    return y;
  }

  /// Of the linked updates, each into the gradient that stands at its place.
  static void update_gradients(Device& device, const Tape& tape, OutputGradient dy,
                               const InputGradient& dinput, Write write) {
    const auto& [x, updates] = tape.input;
    if (!updates.dropout) return update_gradients(device, x, updates, dy, dinput, write);
    const ArenaScope scope(device);
    const auto read = dropped(device, x, updates.dropout);
    Rows dread;
    if (dinput.x) {
      dread = take<Scalar, dyn, spec.in>(device, x.rows());
      device.fill(dread.data(), 0, dread.bytes());
    }
    update_gradients(device, read, updates, dy, {dread, dinput.updates}, write);
    if (dinput.x) ops::add<Scalar>(device, dropped(device, dread, updates.dropout), dinput.x, dinput.x);
  }

  static void update_gradients(Device& device, View<const Scalar, Device, dyn, spec.in> x,
                               const Updates<const Scalar>& updates, OutputGradient dy,
                               const InputGradient& dinput, Write write) {
    const Updates<Scalar>* gradient = &dinput.updates;
    each_update(updates, [&](const auto& update) {
      const Updates<Scalar> own = gradient != nullptr ? *gradient : Updates<Scalar>();
      check_given(update.given() || !own.given());
      if (update.given()) ops::low_rank_gradient<Scalar>(device, x, dy, update, dinput.x, own, write);
      if (gradient != nullptr) gradient = gradient->next;
    });
    check_given(gradient == nullptr);
  }

  static void check_given(bool given) {
    check(given, [] {
      return Error("gradients of an update that forward did not have", "Linear", "an update in its input",
                   "none");
    });
  }

  static View<const Scalar, Device, dyn> bias_of(const Params& params) {
    if constexpr (spec.bias)
      return params.bias.view();
    else
      return {};
  }
};

/// A Linear's part of a pass of several.
template <class Linear_>
struct LinearPass {
  const typename Linear_::Params& params;
  const typename Linear_::template Updates<const typename Linear_::Scalar>& updates;
  typename Linear_::Output y;
  typename Linear_::Tape* tape;
};

/// What forward() of each does, with one read of x where the weights are frozen.
template <class Device, class X, class... Linears>
void forward_together(Device& device, const X& x, const LinearPass<Linears>&... passes) {
  const bool apart = (static_cast<bool>(passes.updates.dropout) || ...);
  if constexpr ((Linears::frozen && ...)) {
    if (apart)
      return (Linears::forward(device, passes.params, {x, passes.updates}, passes.y, passes.tape), ...);
    ((passes.tape != nullptr ? void(passes.tape->input = {x, passes.updates}) : void()), ...);
    using Scalar = std::common_type_t<typename Linears::Scalar...>;
    ops::updated_products<Scalar>(device, x, Linears::product(passes.params, passes.updates, passes.y)...);
  } else {
    (Linears::forward(device, passes.params, {x, passes.updates}, passes.y, passes.tape), ...);
  }
}

}  // namespace hyperblocks
