// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// RecurrentShine (SHINE-R): a long text chunk by chunk. Each chunk's memory states go through the M2P
// Transformer twice: as it is, for the chunk's part of the adapter; and with a LoRA on its own linears, for a
// new meta LoRA, which joins those that read all later chunks. Parts are added up, along the rank.
#pragma once

#include <hyperblocks/hypernets/shine.hpp>

namespace hyperblocks {

/// Factors for the linears of an EncoderStack's blocks.
template <class Stack, Index rank>
struct EncoderStackAdapter {
  using Scalar = typename Stack::Scalar;
  using Device = typename Stack::Device;
  static constexpr Index hidden = Stack::in, inner = Stack::inner;
  template <Index in, Index out>
  using Of = Factors<FactorsSpec{.in = in, .out = out, .rank = rank}, Scalar, Device>;
  struct Layer {
    Of<hidden, hidden> query, key, value, output;
    Of<hidden, inner> expand;
    Of<inner, hidden> project;
    static constexpr auto fields() {
      return std::tuple{Field{"attention.query", &Layer::query}, Field{"attention.key", &Layer::key},
                        Field{"attention.value", &Layer::value}, Field{"attention.output", &Layer::output},
                        Field{"mlp.expand", &Layer::expand},     Field{"mlp.project", &Layer::project}};
    }
  };
  std::array<Layer, Stack::depth> blocks;
  static constexpr auto fields() { return std::tuple{Field{"blocks", &EncoderStackAdapter::blocks}}; }

  typename Stack::template Updates<const Scalar> updates() const {
    return filled<const Scalar>(*this, [](const auto& factors) { return factors.update(); });
  }
  typename Stack::template Updates<Scalar> gradients() {
    return filled<Scalar>(*this, [](auto& factors) { return factors.gradient(); });
  }

  /// A normal of this deviation, B zero.
  static void initialise(Device& device, EncoderStackAdapter& adapter, Random& random, double deviation) {
    for (Layer& layer : adapter.blocks) {
      const auto one = [&]<class F>(F& factors) { F::initialise(device, factors, random, deviation); };
      one(layer.query), one(layer.key), one(layer.value), one(layer.output);
      one(layer.expand), one(layer.project);
    }
  }

 private:
  template <class S, class Self, class F>
  static typename Stack::template Updates<S> filled(Self& self, F f) {
    typename Stack::template Updates<S> result;
    for (std::size_t i = 0; i < Stack::depth; ++i) {
      auto& [attention, mlp] = result[i];
      auto& layer = self.blocks[i];
      attention.query = f(layer.query), attention.key = f(layer.key);
      attention.value = f(layer.value), attention.output = f(layer.output);
      mlp.expand = f(layer.expand), mlp.project = f(layer.project);
    }
    return result;
  }
};

template <class Shine_, Index rank>
struct RecurrentShine {
  using Shine = Shine_;
  using Model = typename Shine::Model;
  using Scalar = typename Shine::Scalar;
  using Device = typename Shine::Device;
  static_assert(Shine::Network::attends, "hyperblocks: a RecurrentShine's network is a transformer");
  using M2pAdapter = EncoderStackAdapter<typename Shine::Network::Blocks, rank>;

  struct Params {
    typename Shine::Params shine;
    M2pAdapter m2p;
    static constexpr auto fields() {
      return std::tuple{Field{"shine", &Params::shine}, Field{"m2p", &Params::m2p}};
    }
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Shine::initialise(device, params.shine, random);
    M2pAdapter::initialise(device, params.m2p, random, std::sqrt(Shine::spec.scale));
  }

  /// The adapter of one text, given in chunks.
  static Generated<Model> generate(Device& device, const typename Model::Params& model, const Params& params,
                                   const typename Model::Rotaries& rotary, std::span<const Tokens> chunks) {
    using Updates = typename Model::template Updates<const Scalar>;
    std::vector<Tensor<Scalar, Device, dyn>> kept, metas;
    std::vector<Updates> parts, more_meta;
    for (const Tokens& chunk : chunks) {
      const ArenaScope scope(device);
      const PaddedTexts<Device> text(device, {&chunk, 1});
      const auto space = [&](auto& list) {
        list.emplace_back(device, Shine::layers * Shine::layer_numbers);
        return list.back().view().template reshape<Shine::layers, dyn, Shine::layer_numbers>(1);
      };
      const auto factors = space(kept);
      const auto states = take<Scalar, Shine::layers, dyn, Shine::layer_numbers>(device, 1);
      const Batch<Updates> earlier(more_meta.empty() ? std::vector<Updates>(1) : more_meta);
      Shine::forward(device, params.shine,
                     {.model = &model, .ids = text.ids(), .rotary = rotary, .meta = earlier.front()},
                     {.factors = factors, .memory_states = states});
      parts.push_back(Shine::template updates<const Scalar>(factors, 0));
      if (parts.size() == chunks.size()) break;
      const auto meta = space(metas);
      Shine::write_factors(device, params.shine, states, params.m2p.updates(), {.factors = meta});
      more_meta.push_back(Shine::template updates<const Scalar>(meta, 0));
    }
    return {std::move(kept), {std::move(parts)}};
  }
};

}  // namespace hyperblocks
