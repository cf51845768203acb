// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The library's plainer hypernetworks as architectures: an MLP on a text's mean state, and fast weights.
#pragma once

#include <hyperblocks/hypernets/generative_adapter.hpp>
#include <hyperblocks/hypernets/pooled_mlp.hpp>

#include "architecture.hpp"

namespace hyperblocks::compare {

template <class Model_, PooledMlpSpec spec>
struct PooledMlpOf {
  using Model = Model_;
  using Net = PooledMlp<Model, spec>;
  using Document = std::vector<float>;  ///< the mean of its states
  using Numbers = typename Net::Output;
  struct Tape {
    typename Net::Tape net;
    Numbers gradient = {};
  };
  static constexpr MeanOver mean = MeanOver::lessons;
  const example::Setting<Model>& setting;

  explicit PooledMlpOf(const example::Setting<Model>& base) : setting(base) {}
  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }

  Document read(Cpu& cpu, std::span<const std::string> texts, Random*) const {
    return embed<Model>(cpu, setting.model, setting.positions, setting.conversation.documents(texts));
  }

  std::vector<WrittenPart<Model>> write(Cpu& cpu, const typename Net::Params& params,
                                        const std::vector<Document>& documents, Tape& tape) const {
    const auto count = static_cast<Index>(documents.size());
    const auto x = take<float, dyn, Model::hidden>(cpu, count);
    for (std::size_t i = 0; i < documents.size(); ++i)
      std::ranges::copy(documents[i], x.data() + static_cast<Index>(i) * Model::hidden);
    const auto take_numbers = [&] { return take<float, Net::layers, dyn, Net::Layout::numbers>(cpu, count); };
    const Numbers numbers = take_numbers();
    tape.gradient = take_numbers();
    cpu.fill(tape.gradient.data(), 0, tape.gradient.bytes());
    Net::forward(cpu, params, x, numbers, &tape.net);
    std::vector<WrittenPart<Model>> parts;
    for (Index i = 0; i < count; ++i)
      parts.push_back({Net::template updates<const float>(numbers, i),
                       Net::template updates<float>(tape.gradient, i), static_cast<std::size_t>(i)});
    return parts;
  }

  double backward(Cpu& cpu, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    Net::backward(cpu, params, tape.net, tape.gradient, {}, gradients, write);
    return 0;
  }
};

template <class Model_, GenerativeAdapterSpec spec>
struct GenerativeAdapterOf {
  using Model = Model_;
  using Net = GenerativeAdapter<Model, spec>;
  using Document = Tokens;
  using Numbers = View<float, Cpu, dyn>;
  /// B is a parameter, the same for all documents: each has a gradient of its own, which are then added up.
  struct Written {
    typename Net::Tape net;
    Numbers gradient = {};
    std::unique_ptr<typename Net::Gradients> parameters;
  };
  using Tape = std::vector<Written>;
  static constexpr MeanOver mean = MeanOver::lessons;
  const example::Setting<Model>& setting;

  explicit GenerativeAdapterOf(const example::Setting<Model>& base) : setting(base) {}
  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }
  Document read(Cpu&, std::span<const std::string> texts, Random*) const {
    return setting.conversation.documents(texts);
  }

  std::vector<WrittenPart<Model>> write(Cpu& cpu, const typename Net::Params& params,
                                        const std::vector<Document>& documents, Tape& tape) const {
    std::vector<WrittenPart<Model>> parts;
    for (const Tokens& text : documents) {
      Written& own = tape.emplace_back();
      const PaddedTexts<Cpu> padded(cpu, {&text, 1});
      const auto states = take<float, dyn, dyn, Model::hidden>(cpu, Net::depth + 1, padded.length());
      Model::forward(cpu, setting.model, {.ids = padded.ids(), .rotary = setting.positions},
                     {.states = states});
      const Numbers numbers = take<float, dyn>(cpu, Net::numbers_of_a());
      own.gradient = take<float, dyn>(cpu, Net::numbers_of_a());
      cpu.fill(own.gradient.data(), 0, own.gradient.bytes());
      own.parameters = std::make_unique<typename Net::Gradients>(make<typename Net::Gradients>(cpu));
      Net::forward(cpu, params, states, Net::template updates<float>(params, numbers), &own.net);
      parts.push_back({Net::template updates<const float>(params, View<const float, Cpu, dyn>(numbers)),
                       Net::template updates<float>(*own.parameters, own.gradient), parts.size()});
    }
    return parts;
  }

  double backward(Cpu& cpu, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    if (write == Write::assign)
      visit([&](const std::string&, auto& to) { cpu.fill(to.data(), 0, to.view().bytes()); }, gradients);
    for (const Written& own : tape) {
      const auto received =
          Net::template updates<const float>(*own.parameters, View<const float, Cpu, dyn>(own.gradient));
      Net::backward(cpu, params, own.net, received, {}, gradients, Write::add);
      visit(
          [&](const std::string&, auto& to, const auto& from) {
            const Index size = from.size();
            ops::scale_add<float>(cpu, 1, from.view().template reshape<1, dyn>(size),
                                  to.view().template reshape<1, dyn>(size));
          },
          gradients, std::as_const(*own.parameters));
    }
    return 0;
  }
};

template <class Model>
using MeanStateMlp = PooledMlpOf<Model, PooledMlpSpec{.rank = 4, .inner = 64}>;
template <class Model>
using FastWeights = GenerativeAdapterOf<Model, GenerativeAdapterSpec{.rank = 16}>;

}  // namespace hyperblocks::compare
