// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A hypernetwork that is none of the published ones, on one page: four latents read what each layer of the
// base makes of a document, and a narrow MLP of each layer makes its factors of them.
#pragma once

#include <hyperblocks/blocks/perceiver.hpp>
#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/factor_layout.hpp>

#include <architecture.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

template <class Model_>
struct Own {
  using Model = Model_;
  static constexpr Index layers = Model::spec.layers, hidden = Model::hidden, latents = 4;
  static constexpr double size = 0.05;              // of the factors at first
  using Layout = hb::FactorLayout<Model::spec, 4>;  // rank 4, all seven linears

  using Reader = hb::ContextReader<Model, hb::ContextSpec{}>;
  static constexpr hb::PerceiverLayerSpec layer{
      .hidden = hidden, .context = hidden, .heads = 4, .inner = 2 * hidden};
  using Read = hb::Resampler<hb::ResamplerSpec{.latents = latents, .layer = layer}, float, Cpu>;
  static constexpr hb::MlpSpec narrow{.in = latents * hidden, .inner = 32, .out = Layout::numbers};
  using Say = hb::PerLayer<layers, hb::Mlp<narrow, float, Cpu>>;
  struct Net {
    template <hb::Role role>
    struct Parts {
      typename Read::template Parts<role> read;
      typename Say::template Parts<role> say;
      static constexpr auto fields() {
        return std::tuple{hb::Field{"read", &Parts::read}, hb::Field{"say", &Parts::say}};
      }
    };
    using Params = Parts<hb::Role::value>;
    using Gradients = Parts<hb::Role::gradient>;
  };

  using Document = hb::Tokens;
  using Numbers = hb::View<float, Cpu, layers, dyn, Layout::numbers>;  // (layers, documents, numbers)
  struct Tape {
    std::optional<hb::PaddedTexts<Cpu>> texts;
    typename Read::Tape read;
    typename Say::Tape say;
    Numbers gradient = {};
  };
  static constexpr hb::MeanOver mean = hb::MeanOver::lessons;
  const hb::example::Setting<Model>& setting;
  explicit Own(const hb::example::Setting<Model>& base) : setting(base) {}

  static typename Net::Params initial(Cpu& cpu, hb::Random& random) {
    auto params = hb::make<typename Net::Params>(cpu);
    Read::initialise(cpu, params.read, random);
    Say::initialise(cpu, params.say, random);
    return params;
  }

  Document read(Cpu&, std::span<const std::string> texts, hb::Random*) const {
    return setting.conversation.documents(texts);
  }

  std::vector<hb::WrittenPart<Model>> write(Cpu& cpu, const typename Net::Params& params,
                                            const std::vector<Document>& documents, Tape& tape) const {
    const auto count = std::ssize(documents);
    const auto& texts = tape.texts.emplace(
        cpu, documents, hb::PaddingOptions{.side = hb::PaddingSide::right, .passes = layers});
    const Index rows = count * texts.length();
    const auto states = hb::take<float, dyn, hidden>(cpu, layers * rows);
    Reader(setting.model, setting.positions).read(cpu, texts.ids(), count, [&](Index of, auto x) {
      hb::ops::cast<float, float>(cpu, x, states.slice(of * rows, rows));
    });
    const auto read = hb::take<float, dyn, hidden>(cpu, layers * count * latents);
    Read::forward(cpu, params.read, {states, {layers * count, texts.length()}, texts.mask()}, read,
                  &tape.read);
    const Numbers numbers = hb::take<float, layers, dyn, Layout::numbers>(cpu, count);
    tape.gradient = hb::take<float, layers, dyn, Layout::numbers>(cpu, count);
    cpu.fill(tape.gradient.data(), 0, tape.gradient.bytes());
    Say::forward(cpu, params.say, side_by_side(read), rows_of(numbers), &tape.say);
    hb::ops::scale<float>(cpu, size, rows_of(numbers), rows_of(numbers));

    std::vector<hb::WrittenPart<Model>> parts;
    for (Index i = 0; i < count; ++i)
      parts.push_back({factors(hb::View<const float, Cpu, layers, dyn, Layout::numbers>(numbers), i),
                       factors(tape.gradient, i), static_cast<std::size_t>(i)});
    return parts;
  }

  double backward(Cpu& cpu, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, hb::Write write) const {
    const hb::ArenaScope scope(cpu);
    const auto dread = hb::take<float, dyn, hidden>(cpu, layers * tape.gradient.extent(1) * latents);
    hb::ops::scale<float>(cpu, size, rows_of(tape.gradient), rows_of(tape.gradient));
    Say::backward(cpu, params.say, tape.say, rows_of(tape.gradient), side_by_side(dread), gradients.say,
                  write);
    Read::backward(cpu, params.read, tape.read, dread, {}, gradients.read, write);  // the base is frozen
    return 0;
  }

 private:
  static auto side_by_side(hb::View<float, Cpu, dyn, hidden> read) {
    return read.template reshape<dyn, latents * hidden>(read.rows() / latents);
  }
  static auto rows_of(Numbers numbers) {
    return numbers.template reshape<dyn, Layout::numbers>(layers * numbers.extent(1));
  }
  static auto factors(const auto& numbers, Index document) {
    return Layout::template updates<Model>(numbers, document, hb::FactorForm::rows, hb::FactorForm::columns);
  }
};
