// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TaskHead: rows to the numbers of a linear's A (rank, in) and B (rank, out), each from a Linear of its own
// or both from one, whose rows come for A first and then for B, and which gives max(in, out) numbers a rank,
// of which the first count. A row gives all ranks, or one.
#pragma once

#include <hyperblocks/blocks/linear.hpp>

namespace hyperblocks {

/// What heads begin as.
enum class HeadStart : std::uint8_t {
  base,   ///< no weights; biases as PEFT begins a LoRA: A random, B zero
  linear  ///< as any Linear
};

struct TaskHeadSpec {
  Index width = 0;  ///< of the rows
  Index in = 0, out = 0, rank = 0;
  bool shared = false;   ///< one Linear for A and B
  bool by_rank = false;  ///< a row is for one rank
  bool bias = true;
  HeadStart start = HeadStart::base;
};

template <TaskHeadSpec spec_, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct TaskHead {
  static constexpr TaskHeadSpec spec = spec_;
  using Scalar = Scalar_;
  using Device = Device_;
  /// How many of a factor's vectors come from one row.
  static constexpr Index ranks = spec.by_rank ? 1 : spec.rank;
  static constexpr Index longest = std::max(spec.in, spec.out);
  template <Index width>
  using Side = Linear<LinearSpec{spec.width, ranks* width, spec.bias}, Scalar, Device, Weights>;
  using A = std::conditional_t<spec.shared, Nothing, Side<spec.in>>;
  using B = std::conditional_t<spec.shared, Nothing, Side<spec.out>>;
  using Both = std::conditional_t<spec.shared, Side<longest>, Nothing>;

  using Input = View<const Scalar, Device, dyn, spec.width>;
  using InputGradient = View<Scalar, Device, dyn, spec.width>;
  /// Vectors as rows; a row of the input gives `ranks` of each.
  template <class S>
  struct Numbers {
    View<S, Device, dyn, spec.in> a = {};
    View<S, Device, dyn, spec.out> b = {};
    static constexpr auto fields() { return std::tuple{Field{"a", &Numbers::a}, Field{"b", &Numbers::b}}; }
  };
  using Output = Numbers<Scalar>;
  using OutputGradient = Numbers<const Scalar>;

  template <Role role>
  struct Parts {
    OptionalParts<A, role> a;
    OptionalParts<B, role> b;
    OptionalParts<Both, role> both;
    static constexpr auto fields() {
      return std::tuple{Field{"a", &Parts::a}, Field{"b", &Parts::b}, Field{"", &Parts::both}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    OptionalTape<A> a;
    OptionalTape<B> b;
    OptionalTape<Both> both;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    const double kaiming = 1 / std::sqrt(static_cast<double>(spec.in));
    const double one_rank = spec.by_rank ? 1 / std::sqrt(static_cast<double>(spec.rank)) : 1;
    const auto begin = [&]<class Part>(std::type_identity<Part>, auto& part, double bound) {
      if constexpr (spec.start == HeadStart::linear) return Part::initialise(device, part, random);
      fill_constant(device, part.weight, 0);
      if constexpr (spec.bias) fill_uniform(device, part.bias, random, bound);
    };
    if constexpr (spec.shared) {
      begin(std::type_identity<Both>(), params.both, kaiming * one_rank / std::sqrt(2.0));
    } else {
      begin(std::type_identity<A>(), params.a, kaiming * one_rank);
      begin(std::type_identity<B>(), params.b, spec.by_rank ? kaiming * one_rank : 0);
    }
  }

  static void forward(Device& device, const Params& params, Input x, const Output& y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    if constexpr (spec.shared) {
      // One product for A and B, as reading the weights is what it costs.
      const auto both = take<Scalar, dyn, ranks * longest>(device, x.rows());
      Both::forward(device, params.both, x, both, tape ? &tape->both : nullptr);
      copy(device, half(both, 0), y.a);
      copy(device, half(both, 1), y.b);
    } else {
      A::forward(device, params.a, x, as_rows<spec.in>(x, y.a), tape ? &tape->a : nullptr);
      B::forward(device, params.b, x, as_rows<spec.out>(x, y.b), tape ? &tape->b : nullptr);
    }
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    if constexpr (spec.shared) {
      const auto dboth = take<Scalar, dyn, ranks * longest>(device, dx.rows());
      device.fill(dboth.data(), 0, dboth.bytes());
      copy(device, dy.a, half(dboth, 0));
      copy(device, dy.b, half(dboth, 1));
      Both::backward(device, params.both, tape.both, dboth, dx, gradients.both, write);
    } else {
      A::backward(device, params.a, tape.a, as_rows<spec.in>(dx, dy.a), dx, gradients.a, write);
      B::backward(device, params.b, tape.b, as_rows<spec.out>(dx, dy.b), dx, gradients.b, write, Write::add);
    }
  }

 private:
  /// As many rows as x has.
  template <Index width, class X, class S>
  static View<S, Device, dyn, ranks * width> as_rows(const X& x, View<S, Device, dyn, width> numbers) {
    return numbers.template reshape<dyn, ranks * width>(x.rows());
  }
  using Halves = View<Scalar, Device, dyn, longest>;
  static Halves half(View<Scalar, Device, dyn, ranks * longest> both, Index which) {
    const Index rows = both.rows() * ranks / 2;
    return both.template reshape<dyn, longest>(2 * rows).slice(which * rows, rows);
  }

  /// The columns that both have.
  static void copy(Device& device, ops::Rows<const Scalar, Device> from, ops::Rows<Scalar, Device> to) {
    const Index rows = from.rows(), width = std::min(from.columns(), to.columns());
    ops::copy_heads<Scalar>(device, {from.data(), 1, rows, 1, width, 0, from.columns(), 0},
                            {to.data(), 1, rows, 1, width, 0, to.columns(), 0});
  }
};

}  // namespace hyperblocks
