// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// GenerativeAdapter: fast weights after arXiv 2411.05877. What a layer h of the frozen decoder says of a
// text's tokens is summed up as outer products, S = sum over t of (K h_t) (V h_t)^T, for each linear; its
// update is B (S / |S|) A, with K, V, A, B learned. S of a long text is the sum of its pieces'. (There the
// singular values of S are all made one; here S as a whole gets the length one.)
#pragma once

#include <cmath>

#include <hyperblocks/blocks/linear.hpp>
#include <hyperblocks/blocks/norm.hpp>
#include <hyperblocks/hypernets/generated.hpp>

namespace hyperblocks {

struct GenerativeAdapterSpec {
  Index rank = 16;
  Targets targets = {.query = false, .key = false, .value = false, .gate = false, .up = false, .down = false};
};

template <class Model_, GenerativeAdapterSpec spec_>
struct GenerativeAdapter {
  using Model = Model_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr GenerativeAdapterSpec spec = spec_;
  static constexpr Index rank = spec.rank, hidden = Model::hidden, depth = Model::spec.layers;
  using Look = Linear<LinearSpec{hidden, rank, false}, Scalar, Device>;
  using Unit = UnitLength<rank * rank, Scalar, Device>;

  template <Role role, Projection projection>
  struct Maker {
    typename Look::template Parts<role> key, value;
    Tensor<Scalar, Device, rank, size_of(Model::spec, projection).in> a;
    Tensor<Scalar, Device, size_of(Model::spec, projection).out, rank> b;
    static constexpr auto fields() {
      return std::tuple{Field{"key", &Maker::key}, Field{"value", &Maker::value}, Field{"a", &Maker::a},
                        Field{"b", &Maker::b}};
    }
  };
  struct MakerTape {
    typename Look::Tape key_linear, value_linear;
    View<Scalar, Device, dyn, rank> key, value;
    View<Scalar, Device, dyn, rank * rank> unit;
    typename Unit::Tape unit_tape;
  };
  template <Projection projection, class Chosen>
  using IfTarget = std::conditional_t<spec.targets.contains(projection), Chosen, Nothing>;
  template <Role role>
  struct MakerOf {
    template <Projection projection>
    using Of = IfTarget<projection, Maker<role, projection>>;
  };
  template <Projection projection>
  using TapeOf = IfTarget<projection, MakerTape>;

  template <Role role>
  struct Parts {
    std::array<PerLinear<MakerOf<role>::template Of>, static_cast<std::size_t>(depth)> layers;
    static constexpr auto fields() { return std::tuple{Field{"layers", &Parts::layers}}; }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::array<PerLinear<TapeOf>, static_cast<std::size_t>(depth)>;
  /// What every layer reads of the tokens, (layers or more, tokens, hidden): a decoder's states.
  using Input = View<const Scalar, Device, dyn, dyn, hidden>;
  using InputGradient = Nothing;  // the decoder is frozen
  /// Of each update A is written; B is a parameter: see updates().
  using Output = typename Model::template Updates<Scalar>;
  using OutputGradient = typename Model::template Updates<const Scalar>;

  /// As the linears are initialised; B is zero, so that at first nothing changes.
  static void initialise(Device& device, Params& params, Random& random) {
    each_maker([&]<Projection projection>(std::size_t layer) {
      auto& maker = linear_of<projection>(params.layers[layer]);
      Look::initialise(device, maker.key, random);
      Look::initialise(device, maker.value, random);
      fill_uniform(device, maker.a, random,
                   1 / std::sqrt(static_cast<double>(size_of(Model::spec, projection).in)));
      fill_constant(device, maker.b, 0);
    });
  }

  static void forward(Device& device, const Params& params, Input states, const Output& y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    each_maker([&]<Projection projection>(std::size_t layer) {
      const ArenaScope inner(device, tape != nullptr);
      MakerTape own;
      MakerTape& t = tape ? linear_of<projection>((*tape)[layer]) : own;
      const auto& maker = linear_of<projection>(params.layers[layer]);
      const auto x = state_of(states, layer);
      t.key = take<Scalar, dyn, rank>(device, x.rows()), t.value = take<Scalar, dyn, rank>(device, x.rows());
      Look::forward(device, maker.key, x, t.key, &t.key_linear);
      Look::forward(device, maker.value, x, t.value, &t.value_linear);
      const auto sums = take<Scalar, dyn, rank * rank>(device, 1);
      ops::weight_gradient<Scalar>(device, t.key, t.value, square(sums), Write::assign);
      t.unit = take<Scalar, dyn, rank * rank>(device, 1);
      Unit::forward(device, {}, sums, t.unit, &t.unit_tape);
      ops::input_gradient<Scalar>(device, square(t.unit), maker.a,
                                  linear_of<projection>(y.layers[layer]).a.rows(), Write::assign);
    });
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& dy,
                       InputGradient, Gradients& gradients, Write write) {
    each_maker([&]<Projection projection>(std::size_t layer) {
      const ArenaScope scope(device);
      const auto& maker = linear_of<projection>(params.layers[layer]);
      const MakerTape& t = linear_of<projection>(tape[layer]);
      auto& gradient = linear_of<projection>(gradients.layers[layer]);
      const auto da = linear_of<projection>(dy.layers[layer]).a.rows();
      const auto dunit = take<Scalar, dyn, rank * rank>(device, 1);
      const auto dsums = take<Scalar, dyn, rank * rank>(device, 1);
      const auto dlook = take<Scalar, dyn, rank>(device, t.key.rows());
      Nothing nothing;
      ops::product<Scalar>(device, da, maker.a, {}, square(dunit));
      ops::weight_gradient<Scalar>(device, square(t.unit), da, gradient.a, write);
      Unit::backward(device, {}, t.unit_tape, dunit, dsums, nothing, write);
      ops::product<Scalar>(device, t.value, square(dsums), {}, dlook);
      Look::backward(device, maker.key, t.key_linear, dlook, {}, gradient.key, write);
      ops::input_gradient<Scalar>(device, t.key, square(dsums), dlook, Write::assign);
      Look::backward(device, maker.value, t.value_linear, dlook, {}, gradient.value, write);
    });
  }

  /// The adapters of some texts.
  static Generated<Model> generate(Device& device, const typename Model::Params& model, const Params& params,
                                   const typename Model::Rotaries& rotary, std::span<const Tokens> texts) {
    std::vector<Tensor<Scalar, Device, dyn>> numbers;
    std::vector<std::vector<OutputGradient>> adapters;
    for (const Tokens& text : texts) {
      const ArenaScope scope(device);
      const PaddedTexts<Device> padded(device, {&text, 1});
      const auto states = take<Scalar, dyn, dyn, hidden>(device, depth + 1, padded.length());
      Model::forward(device, model, {.ids = padded.ids(), .rotary = rotary}, {.states = states});
      numbers.emplace_back(device, numbers_of_a());
      forward(device, params, states, updates<Scalar>(params, numbers.back().view()));
      adapters.push_back({updates<const Scalar>(params, std::as_const(numbers.back()).view())});
    }
    return {std::move(numbers), std::move(adapters)};
  }

  /// How many numbers the generated factors are.
  static Index numbers_of_a() {
    Index count = 0;
    each_maker(
        [&]<Projection projection>(std::size_t) { count += rank * size_of(Model::spec, projection).in; });
    return count;
  }

  /// Generated numbers with the parameters' B as a decoder's input takes them. Mutable ones are what forward
  /// writes; with gradients in the place of parameters, what receives a decoder's.
  template <class S, class Parameters>
  static typename Model::template Updates<S> updates(Parameters& params, View<S, Device, dyn> numbers) {
    typename Model::template Updates<S> result;
    S* at = numbers.data();
    each_maker([&]<Projection projection>(std::size_t layer) {
      auto& update = linear_of<projection>(result.layers[layer]);
      update.a = {at, rank, FactorForm::rows};
      if constexpr (std::is_const_v<S> || !std::is_const_v<Parameters>)
        update.b = {linear_of<projection>(params.layers[layer]).b.data(), rank, FactorForm::columns};
      at += rank * size_of(Model::spec, projection).in;
    });
    return result;
  }

 private:
  template <class F>
  static void each_maker(F f) {
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(depth); ++layer)
      each_projection([&]<Projection projection>() {
        if constexpr (spec.targets.contains(projection)) f.template operator()<projection>(layer);
      });
  }
  static View<const Scalar, Device, dyn, hidden> state_of(Input states, std::size_t layer) {
    return states.slice(static_cast<Index>(layer), 1).template reshape<dyn, hidden>(states.extent(1));
  }
  static View<Scalar, Device, rank, rank> square(View<Scalar, Device, dyn, rank * rank> row) {
    return row.template reshape<rank, rank>();
  }
};

}  // namespace hyperblocks
