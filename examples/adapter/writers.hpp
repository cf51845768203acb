// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Writer: a hypernetwork with its parameters, that makes an adapter of a document in pieces, of features or
// of an embedding; one for SHINE, for SHINE-R, for Doc-to-LoRA and for Text-to-LoRA. Each but SHINE-R fills
// `dump`, where there is one, with its stages.
#pragma once

#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/hypernets/recurrent_shine.hpp>
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/hypernets/text_to_lora.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

#include "options.hpp"
#include "tensors.hpp"

namespace hyperblocks::example {

/// What all of them are given of the base.
template <class Model>
struct Base {
  Cpu& cpu;
  const typename Model::Params& params;
  const typename Model::Positions& positions;
};

/// Of the system that a spec belongs to.
template <class Model, auto spec>
struct Writer;

template <class Model, ShineSpec spec>
struct Writer<Model, spec> {
  using Net = Shine<Model, spec, Frozen<float>>;
  static constexpr Index memory_tokens = Net::memory_tokens;
  typename Net::Params net;

  Writer(Cpu& cpu, const Options& options) : net(loaded_hypernet<Net>(cpu, options.hypernet)) {}

  HostAdapter of_pieces(const Base<Model>& base, const std::vector<Tokens>& pieces,
                        NamedTensors* dump) const {
    using Numbers = Tensor<float, Cpu, Net::layers, dyn, Net::layer_numbers>;
    std::vector<HostAdapter> parts;
    for (const Tokens& piece : pieces) {
      const PaddedTexts<Cpu> text(base.cpu, {&piece, 1}, {.appended = Net::memory_tokens});
      Numbers factors(base.cpu, 1), states(base.cpu, 1), plain(base.cpu, 1);
      Net::forward(base.cpu, net, {.model = &base.params, .ids = text.ids(), .rotary = base.positions},
                   {factors, states, plain});
      parts.push_back(to_host<Model>(base.cpu, Net::template updates<const float>(factors, 0)));
      if (dump == nullptr) continue;
      const std::string end = pieces.size() == 1 ? "" : "." + std::to_string(parts.size() - 1);
      const auto stage = [&](const std::string& name, const Numbers& numbers) {
        (*dump)[name + end] = {{Net::layers, Net::memory_tokens, Net::hidden},
                               {numbers.span().begin(), numbers.span().end()}};
      };
      stage("memory_states", states), stage("plain_output", plain);
    }
    return parts.size() == 1 ? std::move(parts.front()) : concat(parts);
  }
};

template <class Model, ShineSpec spec>
requires(spec.recurrent_rank > 0) struct Writer<Model, spec> {
  using Net = RecurrentShine<Model, spec, Frozen<float>>;
  static constexpr Index memory_tokens = Net::Shine::memory_tokens;
  typename Net::Params net;

  Writer(Cpu& cpu, const Options& options) : net(loaded_hypernet<Net>(cpu, options.hypernet)) {}

  HostAdapter of_pieces(const Base<Model>& base, const std::vector<Tokens>& pieces, NamedTensors*) const {
    return Net::generate(base.cpu, base.params, net, base.positions, pieces).to_host(base.cpu);
  }
};

template <class Model, DocToLoraSpec spec>
struct Writer<Model, spec> {
  using Net = DocToLora<Model, spec, Frozen<float>>;
  typename Net::Params net;

  Writer(Cpu& cpu, const Options& options) : net(loaded_hypernet<Net>(cpu, options.hypernet)) {}

  static void check_features(const NamedTensor& given, const std::string& file) {
    const std::vector<Index>& shape = given.shape;
    const bool fits = (shape.size() == 3 && shape[0] == Net::states && shape[2] == Net::width) ||
                      (shape.size() == 2 && Net::states == 1 && shape[1] == Net::width);
    check(fits && !given.numbers.empty(), [&] {
      return Error("features of another shape", file + ": 'features'",
                   "(" + std::to_string(Net::states) + ", tokens, " + std::to_string(Net::width) + ")",
                   hyperblocks::detail::shape_text(shape));
    });
  }

  static DocToLoraOptions call_options(const Options& options, std::size_t pieces) {
    const auto scales = parse_numbers(options.chunk_scales, "--chunk-scales").size();
    check(scales == 0 || scales == pieces, [&] {
      return Error("not a scale for every piece", "--chunk-scales", std::to_string(pieces),
                   std::to_string(scales));
    });
    return {.piece_scales = parse_numbers(options.chunk_scales, "--chunk-scales"),
            .scale = options.scale,
            .bias_scale = options.bias_scale,
            .iterative = options.iterative,
            .progress = [bar = ProgressBar("reading")](Index done, Index all) mutable {
              bar(static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(all), "");
            }};
  }

  template <class Reader>
  HostAdapter of_pieces(Cpu& cpu, const Reader& reader, const std::vector<Tokens>& pieces,
                        const Options& options, NamedTensors* dump) const {
    if (dump != nullptr) dump_stages(cpu, reader, pieces, *dump);
    const auto made =
        Net::generate(cpu, net, reader, std::span(&pieces, 1), call_options(options, pieces.size()));
    return of_usual_rank(made.to_host(cpu), std::ssize(pieces));
  }

  HostAdapter of_features(Cpu& cpu, const NamedTensor& given, const Options& options,
                          NamedTensors* dump) const {
    Tensor<float, Cpu, dyn, Net::width> features(cpu, static_cast<Index>(given.numbers.size()) / Net::width);
    features.upload(cpu, given.numbers);
    if (dump != nullptr) {
      (*dump)["features"] = given;
      Tensor<float, Cpu, dyn, Net::latent> latents(cpu, Net::states * Net::Perceiver::outputs);
      Net::Perceiver::forward(cpu, net.perceiver, {features, {Net::states, features.extent(0) / Net::states}},
                              latents);
      add_latents(std::vector<float>(latents.span().begin(), latents.span().end()), 1, *dump);
    }
    return of_usual_rank(Net::generate(cpu, net, features, call_options(options, 1)).to_host(cpu), 1);
  }

 private:
  /// Files have room for the learned factors whether there are any or not, as other implementations' have.
  static HostAdapter of_usual_rank(HostAdapter adapter, Index pieces) {
    for (auto& [place, factors] : adapter.linears)
      factors = padded(std::move(factors), (pieces + 1) * spec.rank);
    return adapter;
  }

  /// Of each piece alone.
  template <class Reader>
  void dump_stages(Cpu& cpu, const Reader& reader, const std::vector<Tokens>& pieces,
                   NamedTensors& dump) const {
    std::vector<float> all;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const PaddedTexts<Cpu> text(cpu, {&pieces[i], 1});
      std::vector<float> features;
      reader.read(cpu, text.ids(), 1, [&](Index, View<const float, Cpu, dyn, Net::width> rows) {
        features.insert(features.end(), rows.data(), rows.data() + rows.size());
      });
      NamedTensor given{{text.length(), Net::width}, std::move(features)};
      if (spec.layer_to_layer) given.shape.insert(given.shape.begin(), Net::states);
      dump["features" + (pieces.size() == 1 ? "" : "." + std::to_string(i))] = std::move(given);
      Tensor<float, Cpu, dyn, Net::latent> latents(cpu, Net::states * Net::Perceiver::outputs);
      Net::read(cpu, net, reader, text, true, latents);
      all.insert(all.end(), latents.span().begin(), latents.span().end());
    }
    add_latents(std::move(all), static_cast<Index>(pieces.size()), dump);
  }

  /// Latents (pieces, layers, linears, ranks, latent), their linears in the alphabetical order of their
  /// Hugging Face names, as other implementations have them.
  static void add_latents(const std::vector<float>& ours, Index pieces, NamedTensors& dump) {
    constexpr std::array alphabetical = {Projection::down,   Projection::gate,  Projection::key,
                                         Projection::output, Projection::query, Projection::up,
                                         Projection::value};
    constexpr Index reads = Net::Head::reads, each = reads * Net::latent, layers = Net::layers;
    std::vector<float> sorted;
    for (Index group = 0; group < pieces * layers; ++group)
      for (const Projection wanted : alphabetical) {
        if (!spec.targets.contains(wanted)) continue;
        Index number = 0;
        for (const Projection projection : all_projections)
          number += projection < wanted && spec.targets.contains(projection) ? 1 : 0;
        const auto from = ours.begin() + (group * Net::linears + number) * each;
        sorted.insert(sorted.end(), from, from + each);
      }
    NamedTensor& latents = dump["latents"];
    latents = {{layers, Net::linears, reads, Net::latent}, std::move(sorted)};
    if (pieces > 1) latents.shape.insert(latents.shape.begin(), pieces);
  }
};

template <class Model, TextToLoraSpec spec>
struct Writer<Model, spec> {
  using Net = TextToLora<Model, spec, Frozen<float>>;
  typename Net::Params net;

  Writer(Cpu& cpu, const Options& options) : net(loaded_hypernet<Net>(cpu, options.hypernet)) {}

  HostAdapter of_embedding(Cpu& cpu, const std::vector<float>& embedding, NamedTensors* dump) const {
    const auto made = Net::generate(cpu, net, std::span(&embedding, 1));
    if (dump != nullptr) {
      Tensor<float, Cpu, dyn, spec.embedding> x(cpu, 1);
      x.upload(cpu, task_embedding(embedding));
      Tensor<float, Cpu, dyn, Net::Encoder::out> code(cpu, 1);
      Tensor<float, Cpu, dyn> factors(cpu, Net::numbers);
      Net::forward(cpu, net, {.x = x}, {.factors = factors, .code = code});
      (*dump)["task_code"] = {{Net::Encoder::out}, {code.span().begin(), code.span().end()}};
    }
    return made.to_host(cpu);
  }
};

}  // namespace hyperblocks::example
