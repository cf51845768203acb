// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PooledMlp: the plainest hypernetwork. A text's mean hidden state goes through an MLP of each layer, whose
// output is read as that layer's factors. What every other one is to be compared with.
#pragma once

#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/hypernets/factor_layout.hpp>
#include <hyperblocks/hypernets/generated.hpp>
#include <hyperblocks/models/embed.hpp>

namespace hyperblocks {

struct PooledMlpSpec {
  Index rank = 8;
  Targets targets = {};
  Index inner = 256;
  double scale = 0.01;  ///< of the factors
};

template <class Model_, PooledMlpSpec spec_, class Weights = Trainable>
struct PooledMlp {
  using Model = Model_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr PooledMlpSpec spec = spec_;
  static constexpr Index layers = Model::spec.layers, hidden = Model::hidden;
  using Layout = FactorLayout<Model::spec, spec.rank, spec.targets>;
  using Layer =
      Mlp<MlpSpec{.in = hidden, .inner = spec.inner, .out = Layout::numbers}, Scalar, Device, Weights>;

  template <Role role>
  using Parts = std::array<typename Layer::template Parts<role>, static_cast<std::size_t>(layers)>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::array<typename Layer::Tape, static_cast<std::size_t>(layers)>;
  using Input = View<const Scalar, Device, dyn, hidden>;              // (texts, hidden)
  using Output = View<Scalar, Device, layers, dyn, Layout::numbers>;  // (layers, texts, numbers)
  using OutputGradient = View<const Scalar, Device, layers, dyn, Layout::numbers>;
  using InputGradient = View<Scalar, Device, dyn, hidden>;

  static void initialise(Device& device, Params& params, Random& random) {
    for (auto& layer : params) Layer::initialise(device, layer, random);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    for (Index i = 0; i < layers; ++i)
      Layer::forward(device, params[at(i)], x, of_layer(y, i), tape ? &(*tape)[at(i)] : nullptr);
    ops::scale<Scalar>(device, spec.scale, rows(OutputGradient(y)), rows(y));
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto dscaled = take<Scalar, dyn, Layout::numbers>(device, dy.extent(1));
    const auto dread = take<Scalar, dyn, hidden>(device, dx.rows());
    for (Index i = 0; i < layers; ++i) {
      ops::scale<Scalar>(device, spec.scale, of_layer(dy, i), dscaled);
      const InputGradient read = !dx || i == 0 ? dx : InputGradient(dread);
      Layer::backward(device, params[at(i)], tape[at(i)], dscaled, read, gradients[at(i)], write);
      if (dx && i > 0) ops::add<Scalar>(device, dx, dread, dx);
    }
  }

  /// The adapters of some texts.
  static Generated<Model> generate(Device& device, const typename Model::Params& model, const Params& params,
                                   const typename Model::Positions& positions,
                                   std::span<const Tokens> texts) {
    std::vector<Scalar> means;
    for (const Tokens& text : texts)
      for (const float number : embed<Model>(device, model, positions, text, {.pooling = Pooling::mean}))
        means.push_back(scalar_cast<Scalar>(number));
    const auto count = static_cast<Index>(texts.size());
    Tensor<Scalar, Device, dyn, hidden> x(device, count);
    x.upload(device, means);
    std::vector<Tensor<Scalar, Device, dyn>> numbers;
    numbers.emplace_back(device, layers * count * Layout::numbers);
    const Output y = numbers.back().view().template reshape<layers, dyn, Layout::numbers>(count);
    forward(device, params, x, y);
    std::vector<std::vector<typename Model::template Updates<const Scalar>>> adapters;
    adapters.reserve(texts.size());
    for (Index i = 0; i < count; ++i) adapters.push_back({updates<const Scalar>(y, i)});
    return {std::move(numbers), std::move(adapters)};
  }

  /// One text's factors as a decoder's input takes them; of mutable numbers, what receives gradients.
  template <class S>
  static auto updates(View<S, Device, layers, dyn, Layout::numbers> y, Index text) {
    return Layout::template updates<Model>(y, text, FactorForm::rows, FactorForm::columns);
  }

 private:
  static constexpr std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  template <class S>
  static View<S, Device, dyn, Layout::numbers> rows(View<S, Device, layers, dyn, Layout::numbers> y) {
    return y.template reshape<dyn, Layout::numbers>(layers * y.extent(1));
  }
  template <class S>
  static auto of_layer(View<S, Device, layers, dyn, Layout::numbers> y, Index layer) {
    return rows(y).slice(layer * y.extent(1), y.extent(1));
  }
};

}  // namespace hyperblocks
