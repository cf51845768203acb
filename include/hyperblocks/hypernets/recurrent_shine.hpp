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

template <class Model_, ShineSpec spec_, class Weights = Trainable>
struct RecurrentShine {
  static constexpr ShineSpec spec = spec_;
  static constexpr ShineSpec at_once = [] {
    ShineSpec without = spec_;
    without.recurrent_rank = 0;
    return without;
  }();
  static_assert(spec.recurrent_rank > 0, "hyperblocks: a RecurrentShine's spec has a recurrent_rank");
  using Model = Model_;
  using Shine = hyperblocks::Shine<Model, at_once, Weights>;
  using Scalar = typename Shine::Scalar;
  using Device = typename Shine::Device;
  static_assert(Shine::Network::attends, "hyperblocks: a RecurrentShine's network is a transformer");
  using Updates = typename Shine::Updates;
  using M2pAdapter = EncoderStackAdapter<typename Shine::Network::Blocks, spec.recurrent_rank>;

  template <Role role>
  struct Parts {
    typename Shine::template Parts<role> shine;
    M2pAdapter m2p;
    static constexpr auto fields() {
      return std::tuple{Field{"shine", &Parts::shine}, Field{"m2p", &Parts::m2p}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;

  struct Input {
    const typename Model::Params* model = nullptr;
    std::span<const Tokens> chunks = {};
    typename Model::Rotaries rotary = {};
  };
  using Output = View<Scalar, Device, dyn, Shine::layers, Shine::layer_numbers>;  // (chunks, layers, numbers)
  using OutputGradient = View<const Scalar, Device, dyn, Shine::layers, Shine::layer_numbers>;
  using InputGradient = Nothing;
  struct Tape {
    struct Chunk {
      typename Shine::Input
          input;  ///< its `meta` is that of the chunk before, linked to the ones before that
      typename Model::Tape decoder;
      typename Shine::Network::Tape own, of_meta;
    };
    std::vector<Chunk> chunks;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Shine::initialise(device, params.shine, random);
    M2pAdapter::initialise(device, params.m2p, random, std::sqrt(Shine::spec.scale));
  }

  static void forward(Device& device, const Params& params, const Input& input, Output factors,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const std::size_t count = input.chunks.size();
    check_chunks(input.chunks, factors.extent(0));
    const auto metas = take<Scalar, dyn, Shine::layers, Shine::layer_numbers>(device, factors.extent(0));
    Tape untaped;  // chunks look at those before them, so each has its place in any case
    auto& chunks = (tape ? *tape : untaped).chunks;
    chunks.assign(count, {});
    for (std::size_t i = 0; i < count; ++i) {
      const ArenaScope scope_of_chunk(device, tape != nullptr);
      auto& chunk = chunks[i];
      const auto ids = take<std::int32_t, dyn>(device, static_cast<Index>(input.chunks[i].size()));
      device.upload(ids.data(), input.chunks[i].data(), ids.bytes());
      chunk.input.model = input.model, chunk.input.ids = ids, chunk.input.rotary = input.rotary;
      const auto states =
          Shine::memory_of(Shine::read(device, params.shine, chunk.input, tape ? &chunk.decoder : nullptr));
      Shine::write_factors(device, params.shine, states, {}, {.factors = part(factors, i)},
                           tape ? &chunk.own : nullptr);
      if (i + 1 == count) break;
      Shine::write_factors(device, params.shine, states, params.m2p.updates(), {.factors = part(metas, i)},
                           tape ? &chunk.of_meta : nullptr);
      chunks[i + 1].input.meta = Shine::template updates<const Scalar>(part(metas, i), 0);
      link(chunks[i + 1].input.meta, chunk.input.meta);
    }
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dfactors,
                       InputGradient, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const std::size_t count = tape.chunks.size();
    detail::check_tape("RecurrentShine", static_cast<Index>(count), dfactors.extent(0));
    // The last chunk comes first and writes to all metas before it.
    const auto dmetas = take<Scalar, dyn, Shine::layers, Shine::layer_numbers>(device, dfactors.extent(0));
    device.fill(dmetas.data(), 0, dmetas.bytes());
    std::vector<typename Model::template Updates<Scalar>> dmeta(count);
    for (std::size_t i = 1; i < count; ++i) {
      dmeta[i] = Shine::template updates<Scalar>(part(dmetas, i - 1), 0);
      link(dmeta[i], dmeta[i - 1]);
    }
    if (write == Write::assign)
      visit([&](const std::string&,
                auto& gradient) { device.fill(gradient.data(), 0, gradient.view().bytes()); },
            gradients.m2p);
    for (std::size_t i = count; i-- > 0; write = Write::add) {
      const ArenaScope scope_of_chunk(device);
      const auto& chunk = tape.chunks[i];
      const auto dstates = Shine::take_states(device, 1);
      const auto dmemory = Shine::memory_of(dstates);
      Shine::write_factors_backward(device, params.shine, chunk.own, {.factors = part(dfactors, i)}, dmemory,
                                    {}, gradients.shine, write);
      if (i + 1 < count) {
        const auto more = Shine::memory_of(Shine::take_states(device, 1));
        Shine::write_factors_backward(device, params.shine, chunk.of_meta, {.factors = part(dmetas, i)}, more,
                                      gradients.m2p.gradients(), gradients.shine, Write::add);
        ops::add<Scalar>(device, Shine::as_rows(dmemory), Shine::as_rows(more), Shine::as_rows(dmemory));
      }
      Shine::read_backward(device, *chunk.input.model, chunk.decoder, dstates, dmeta[i], gradients.shine,
                           write);
    }
  }

  /// The adapter of one text, given in chunks.
  static Generated<Model> generate(Device& device, const typename Model::Params& model, const Params& params,
                                   const typename Model::Rotaries& rotary, std::span<const Tokens> chunks) {
    std::vector<Tensor<Scalar, Device, dyn>> numbers;
    const auto count = static_cast<Index>(chunks.size());
    numbers.emplace_back(device, count * Shine::layers * Shine::layer_numbers);
    const Output factors =
        numbers.back().view().template reshape<dyn, Shine::layers, Shine::layer_numbers>(count);
    forward(device, params, {&model, chunks, rotary}, factors);
    std::vector<Updates> parts;
    parts.reserve(chunks.size());
    for (std::size_t i = 0; i < chunks.size(); ++i)
      parts.push_back(Shine::template updates<const Scalar>(part(factors, i), 0));
    return {std::move(numbers), {std::move(parts)}};
  }

 private:
  /// A chunk's numbers, as those of one document.
  template <class S>
  static View<S, Device, Shine::layers, dyn, Shine::layer_numbers> part(
      const View<S, Device, dyn, Shine::layers, Shine::layer_numbers>& factors, std::size_t chunk) {
    return factors.slice(static_cast<Index>(chunk), 1)
        .template reshape<Shine::layers, dyn, Shine::layer_numbers>(1);
  }

  static void check_chunks(std::span<const Tokens> chunks, Index parts) {
    check(!chunks.empty() && std::ranges::none_of(chunks, &Tokens::empty), [&] {
      return Error("nothing to read", "RecurrentShine", "chunks of one token or more",
                   chunks.empty() ? "no chunk" : "an empty one");
    });
    check(static_cast<Index>(chunks.size()) == parts, [&] {
      return Error("the factors do not fit the chunks", "RecurrentShine", std::to_string(chunks.size()),
                   std::to_string(parts));
    });
  }
};

}  // namespace hyperblocks
