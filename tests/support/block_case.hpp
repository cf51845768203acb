// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Case: one block of any kind on the Cpu with parameters, inputs as its Input type wants them (rows, ids,
// sequences, a context, rotary tables, a mask, low-rank updates), outputs and a direction dy.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <hyperblocks/blocks/attention.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

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
      ids_ = Tensor<std::int32_t, Cpu, dyn>(cpu, feed.rows());
      for (auto& id : ids_.span()) id = static_cast<std::int32_t>(random.bits() % B::vocabulary);
    }
    if constexpr (TakesSetup<B>) prepare_rotary(cpu);
    if (feed.masked) prepare_mask(random);
    if constexpr (TakesUpdates<B>)
      if (feed.updated) prepare_updates(cpu, random);
  }

  void forward(Cpu& cpu, typename B::Tape* tape = nullptr) { B::forward(cpu, params, input(), y, tape); }

  /// With all scratch given back.
  void infer(Cpu& cpu) {
    const ArenaScope scope(cpu);
    forward(cpu);
  }

  void train(Cpu& cpu, Write write) {
    const ArenaScope scope(cpu);
    typename B::Tape tape;
    forward(cpu, &tape);
    B::backward(cpu, params, tape, dy, input_gradient(), gradients, write);
  }

  /// <y, dy>, whose gradient backward gives.
  double loss(Cpu& cpu) {
    infer(cpu);
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i)
      sum += scalar_cast<double>(y.data()[i]) * scalar_cast<double>(dy.data()[i]);
    return sum;
  }

  /// f(name, values, gradients, whether `write` says how the gradients are written) for inputs and
  /// parameters.
  template <class F>
  void each(F f) {
    using Span = std::span<const Scalar>;
    if constexpr (!TakesIds<B>) f("input x", x.span(), Span(dx.span()), false);
    if constexpr (TakesContext<B>) f("input context", context.span(), Span(dcontext.span()), false);
    for (std::size_t i = 0; i < factors_.size(); ++i)
      f("update " + std::to_string(i), factors_[i].span(), Span(dfactors_[i].span()), true);
    visit([&](const std::string& name, auto& value,
              auto& gradient) { f(name, value.span(), Span(std::as_const(gradient).span()), true); },
          params, gradients);
  }

  typename B::Params params;
  typename B::Gradients gradients;
  Tensor<Scalar, Cpu, dyn, in> x, dx;
  Tensor<Scalar, Cpu, dyn, context_width> context, dcontext;
  Tensor<Scalar, Cpu, dyn, B::out> y, dy;

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

  typename B::Input input() const {
    typename B::Input result{};
    if constexpr (TakesIds<B>)
      result = ids_;
    else if constexpr (std::is_class_v<typename B::Input> && requires { result.x; })
      result.x = x;
    else
      result = x;
    if constexpr (TakesUpdates<B>) result.updates = updates_.values;
    if constexpr (TakesSequences<B>) result.sequences = sequences(), result.mask = mask();
    if constexpr (TakesSetup<B>) {
      result.setup.sequences = sequences();
      result.setup.mask = mask();
      result.setup.rotary = {cosines_, sines_, {}, 1};
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

  void prepare_rotary(Cpu& cpu) {
    using Sum = Accumulator<Scalar>;
    const Index positions = feed_.length + 1, half = B::rotated / 2;
    cosines_ = Tensor<Sum, Cpu, dyn, dyn>(cpu, positions, half);
    sines_ = Tensor<Sum, Cpu, dyn, dyn>(cpu, positions, half);
    rope_tables<Sum>({}, 100, B::rotated, positions, cosines_.span(), sines_.span());
    positions_ = Tensor<std::int32_t, Cpu, dyn>(cpu, feed_.rows());
    for (Index row = 0; row < feed_.rows(); ++row)
      positions_(row) = static_cast<std::int32_t>(1 + row / feed_.count);
  }

  /// Of each sequence about a third of the keys is hidden, never the last.
  void prepare_mask(Random& random) {
    const Index keys = TakesContext<B> ? context_length(feed_) : feed_.length;
    for (Index i = 0; i < feed_.count * keys; ++i)
      allowed_.push_back(i % keys == keys - 1 || random.uniform() < 0.67);
  }
  AttentionMask mask() const {
    if (allowed_.empty()) return {};
    return {.allowed = allowed_.data(), .batch_stride = static_cast<Index>(allowed_.size()) / feed_.count};
  }

  template <class V, class... RunTime>
  static void look_at(V& view, Scalar* data, RunTime... run_time) {
    view = V(data, typename V::ShapeType(run_time...));
  }

  void prepare_updates(Cpu& cpu, Random& random) {
    constexpr Index rank = 3;
    const auto tensor = [&](std::vector<Tensor<Scalar, Cpu, dyn>>& into, Index size) {
      into.emplace_back(cpu, size);
      fill_normal(cpu, into.back(), random, 0.3);
      return into.back().data();
    };
    visit(
        [&]<class Value, class Gradient>(const std::string&, Value& value, Gradient& gradient) {
          const Index inner = decltype(value.a)::ShapeType::static_extents[1];
          const Index outer = decltype(value.b)::ShapeType::static_extents[0];
          value.scale = 0.7;
          look_at(value.a, tensor(factors_, rank * inner), rank);
          look_at(value.b, tensor(factors_, outer * rank), rank);
          look_at(value.bias, tensor(factors_, outer));
          look_at(gradient.a, tensor(dfactors_, rank * inner), rank);
          look_at(gradient.b, tensor(dfactors_, outer * rank), rank);
          look_at(gradient.bias, tensor(dfactors_, outer));
        },
        updates_.values, updates_.gradients);
  }

  template <class Block>
  struct UpdatesOf {};
  template <TakesUpdates Block>
  struct UpdatesOf<Block> {
    typename Block::template Updates<const Scalar> values;
    typename Block::template Updates<Scalar> gradients;
  };

  Feed feed_;
  Tensor<std::int32_t, Cpu, dyn> ids_, positions_;
  Tensor<Accumulator<Scalar>, Cpu, dyn, dyn> cosines_, sines_;
  std::vector<std::uint8_t> allowed_;
  std::vector<Tensor<Scalar, Cpu, dyn>> factors_, dfactors_;
  UpdatesOf<B> updates_;
};

}  // namespace hyperblocks::test
