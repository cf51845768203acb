// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Case: one block of any kind on the Cpu with parameters, inputs as its Input type wants them (rows, ids,
// sequences, a context, rotary tables, a mask, low-rank updates), outputs and a direction dy.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <hyperblocks/blocks/attention.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "update_case.hpp"

namespace hyperblocks::test {

/// What a case feeds a block with: sequences, one after the other or interleaved; keys may be hidden by a
/// mask; linears may be updated.
struct Feed {
  Index count = 1, length = 1;
  bool interleaved = false, masked = false, updated = false;
  Index rows() const { return count * length; }
};

template <class B>
concept TakesIds = std::same_as<typename B::Input, View<const std::int32_t, Cpu, dyn>>;
template <class B>
concept TakesSetup = requires(typename B::Input input) {
  input.setup;
};
template <class B>
concept TakesSequences = requires(typename B::Input input) {
  input.sequences;
};
template <class B>
concept TakesUpdates = requires(typename B::Input input) {
  input.updates;
};
template <class B>
concept TakesContext = TakesSetup<B> &&(B::context_width > 0);

template <class B>
class Case {
 public:
  using Scalar = typename B::Scalar;
  static constexpr Index in = [] {
    if constexpr (TakesIds<B>)
      return 1;
    else
      return B::in;
  }();
  static constexpr Index context_width = [] {
    if constexpr (TakesContext<B>)
      return B::context_width;
    else
      return 0;
  }();

  Case(Cpu& cpu, const Feed& feed, std::uint64_t seed)
      : params(make<typename B::Params>(cpu)),
        gradients(make<typename B::Gradients>(cpu)),
        x(cpu, feed.rows()),
        dx(cpu, feed.rows()),
        context(cpu, context_rows(feed)),
        dcontext(cpu, context_rows(feed)),
        y(cpu, rows_out(feed)),
        dy(cpu, rows_out(feed)),
        feed_(feed) {
    Random random(seed);
    B::initialise(cpu, params, random);
    fill_normal(cpu, x, random, 1.0);
    fill_normal(cpu, context, random, 1.0);
    fill_normal(cpu, dy, random, 1.0);
    if constexpr (TakesIds<B>) {
      ids = Tensor<std::int32_t, Cpu, dyn>(cpu, feed.rows());
      for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.bits() % B::vocabulary);
    }
    if constexpr (TakesSetup<B>) prepare_rotary(cpu);
    if (feed.masked) prepare_mask(random);
    if constexpr (TakesUpdates<B>)
      if (feed.updated) updates_.prepare(cpu, random);
  }

  const Feed& feed() const { return feed_; }

  void forward(Cpu& cpu, typename B::Tape* tape = nullptr) { B::forward(cpu, params, input(), y, tape); }

  /// With all scratch given back.
  void infer(Cpu& cpu) {
    const ArenaScope scope(cpu);
    forward(cpu);
  }

  void train(Cpu& cpu, Write write) { train(cpu, write, input_gradient()); }
  void train(Cpu& cpu, Write write, typename B::InputGradient wanted) {
    const ArenaScope scope(cpu);
    typename B::Tape tape;
    forward(cpu, &tape);
    B::backward(cpu, params, tape, dy, wanted, gradients, write);
  }

  /// <y, dy>, whose gradient backward gives.
  double loss(Cpu& cpu) {
    infer(cpu);
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i)
      sum += scalar_cast<double>(y.data()[i]) * scalar_cast<double>(dy.data()[i]);
    return sum;
  }

  /// f(name, shape, values, gradients, whether `write` says how the gradients are written) for rows, context
  /// and updates.
  template <class F>
  void each_input(F f) {
    using Span = std::span<const Scalar>;
    if constexpr (!TakesIds<B>) f("x", std::vector<Index>{x.extent(0), in}, x.span(), Span(dx.span()), false);
    if constexpr (TakesContext<B>)
      f("context", std::vector<Index>{context.extent(0), context_width}, context.span(),
        Span(dcontext.span()), false);
    for (auto& factor : updates_.factors)
      f(factor.name, factor.shape, factor.values.span(), Span(factor.gradient.span()), true);
  }

  /// f(name, values, gradients, whether `write` says how the gradients are written) for inputs and
  /// parameters.
  template <class F>
  void each(F f) {
    using Span = std::span<const Scalar>;
    each_input([&](const std::string& name, const std::vector<Index>&, std::span<Scalar> values,
                   Span gradient, bool written) { f(name, values, gradient, written); });
    visit([&](const std::string& name, auto& value,
              auto& gradient) { f(name, value.span(), Span(std::as_const(gradient).span()), true); },
          params, gradients);
  }

  typename B::Input input() const {
    typename B::Input result{};
    if constexpr (TakesIds<B>)
      result = ids;
    else if constexpr (std::is_class_v<typename B::Input> && requires { result.x; })
      result.x = x;
    else
      result = x;
    if constexpr (TakesUpdates<B>) result.updates = updates_.values;
    if constexpr (TakesSequences<B>) result.sequences = sequences(), result.mask = mask();
    if constexpr (TakesSetup<B>) {
      result.setup.sequences = sequences();
      result.setup.mask = mask();
      result.setup.rotary = *tables_;
      result.setup.rotary.first = 1;
      if (feed_.interleaved && B::rotated > 0) result.setup.rotary.positions = positions_;
    }
    if constexpr (TakesContext<B>) {
      result.setup.context = context;
      result.setup.context_sequences = Sequences(feed_.count, context_length(feed_));
    }
    return result;
  }

  typename B::InputGradient input_gradient() {
    typename B::InputGradient result{};
    if constexpr (requires { result.x; })
      result.x = dx;
    else if constexpr (!TakesIds<B>)
      result = dx;
    if constexpr (TakesUpdates<B>) result.updates = updates_.gradients;
    if constexpr (TakesContext<B>) result.context = dcontext;
    return result;
  }

  typename B::Params params;
  typename B::Gradients gradients;
  Tensor<Scalar, Cpu, dyn, in> x, dx;
  Tensor<Scalar, Cpu, dyn, context_width> context, dcontext;
  Tensor<Scalar, Cpu, dyn, B::out> y, dy;
  Tensor<std::int32_t, Cpu, dyn> ids;
  std::vector<std::uint8_t> allowed;  ///< (sequences, keys), or empty: the mask

 private:
  static Index context_length(const Feed& feed) { return feed.length + 3; }
  static Index context_rows(const Feed& feed) {
    return TakesContext<B> ? feed.count * context_length(feed) : 0;
  }
  static Index rows_out(const Feed& feed) {
    if constexpr (TakesSequences<B>)
      return feed.count * B::latents;
    else
      return feed.rows();
  }

  Sequences sequences() const {
    return feed_.interleaved ? Sequences(feed_.count, feed_.length, 1, feed_.count)
                             : Sequences(feed_.count, feed_.length);
  }

  void prepare_rotary(Cpu& cpu) {
    tables_.emplace(cpu, 100, B::rotated, feed_.length + 1);
    positions_ = Tensor<std::int32_t, Cpu, dyn>(cpu, feed_.rows());
    for (Index row = 0; row < feed_.rows(); ++row)
      positions_(row) = static_cast<std::int32_t>(1 + row / feed_.count);
  }

  /// Of each sequence about a third of the keys is hidden, never the last.
  void prepare_mask(Random& random) {
    const Index keys = TakesContext<B> ? context_length(feed_) : feed_.length;
    for (Index i = 0; i < feed_.count * keys; ++i)
      allowed.push_back(i % keys == keys - 1 || random.uniform() < 0.67);
  }
  AttentionMask mask() const {
    if (allowed.empty()) return {};
    const Index size = std::ssize(allowed);
    return {.allowed = allowed.data(), .size = size, .batch_stride = size / feed_.count};
  }

  Feed feed_;
  Tensor<std::int32_t, Cpu, dyn> positions_;
  std::optional<RopeTables<Accumulator<Scalar>, Cpu>> tables_;
  std::conditional_t<TakesUpdates<B>, UpdateCase<B>, NoUpdates<Scalar>> updates_;
};

}  // namespace hyperblocks::test
