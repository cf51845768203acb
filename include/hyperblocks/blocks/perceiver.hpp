// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PerceiverLayer: latents x look at a context c: x += RMSNorm(Attention(RMSNorm(x), RMSNorm(c))), then x +=
// RMSNorm(GluMlp(RMSNorm(x))); with a context as wide as 0 they look at themselves. Resampler: learned
// latents through blocks of one cross and some self layers, and a last RMSNorm: any number of context rows
// in, a fixed number out.
#pragma once

#include <vector>

#include <hyperblocks/blocks/transformer_block.hpp>

namespace hyperblocks {

struct PerceiverLayerSpec {
  Index hidden = 0;
  Index context = 0;  ///< 0: self attention
  Index heads = 0;
  Index kv_heads = 0;    ///< 0: as many as heads
  Index head_width = 0;  ///< 0: hidden / heads
  Index inner = 0;
  double epsilon = 1e-6;
  bool few_queries = false;  ///< as in AttentionSpec
};

namespace detail {
/// A struct around the alias: g++ 12 crashes on aliases whose spec still depends on a template argument.
template <PerceiverLayerSpec spec, RealScalar Scalar, class Device, class Weights>
struct PerceiverLayerOf {
  template <Index width>
  using Norm = RmsNorm<RmsNormSpec{width, spec.epsilon}, Scalar, Device, Weights>;
  using Type = TransformerBlock<
      Attention<AttentionSpec{.hidden = spec.hidden,
                              .heads = spec.heads,
                              .kv_heads = spec.kv_heads,
                              .head_width = spec.head_width,
                              .context = spec.context,
                              .few_queries = spec.few_queries},
                Scalar, Device, Weights>,
      GluMlp<GluMlpSpec{.hidden = spec.hidden, .inner = spec.inner}, Scalar, Device, Weights>,
      Norm<spec.hidden>, NormPlacement::sandwich,
      std::conditional_t<(spec.context > 0), Norm<std::max<Index>(spec.context, 1)>, Nothing>>;
};
}  // namespace detail

template <PerceiverLayerSpec spec, RealScalar Scalar, class Device, class Weights = Trainable>
using PerceiverLayer = typename detail::PerceiverLayerOf<spec, Scalar, Device, Weights>::Type;

struct ResamplerSpec {
  Index latents = 0;  ///< rows that come out, per sequence
  Index blocks = 1;
  Index self_layers = 0;        ///< in each block, behind its cross layer
  bool shares_weights = false;  ///< all blocks have the same layers, but for the first cross layer
  PerceiverLayerSpec layer = {};
};

template <ResamplerSpec spec, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct Resampler {
  static_assert(spec.latents > 0 && spec.blocks > 0 && spec.layer.context > 0 && spec.layer.heads > 0,
                "hyperblocks: a Resampler needs latents, blocks, a context width and heads of one or more");
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index in = spec.layer.context, out = spec.layer.hidden, latents = spec.latents;
  /// Latents are few queries where, for a long context, what they cost as such is less than its keys and
  /// values.
  static constexpr PerceiverLayerSpec cross_spec = [] {
    PerceiverLayerSpec cross = spec.layer;
    const Index width =
        cross.head_width != 0 || cross.heads == 0 ? cross.head_width : cross.hidden / cross.heads;
    const Index key_heads = cross.kv_heads != 0 ? cross.kv_heads : cross.heads;
    cross.few_queries = spec.latents * cross.heads * (in - width) < in * key_heads * width;
    return cross;
  }();
  static constexpr PerceiverLayerSpec self_spec = [] {
    PerceiverLayerSpec self = spec.layer;
    self.context = 0;
    return self;
  }();
  using Cross = PerceiverLayer<cross_spec, Scalar, Device, Weights>;
  using Self = PerceiverLayer<self_spec, Scalar, Device, Weights>;
  using Norm = RmsNorm<RmsNormSpec{out, spec.layer.epsilon}, Scalar, Device, Weights>;
  static constexpr std::size_t cross_count =
      spec.shares_weights ? std::min<Index>(spec.blocks, 2) : spec.blocks;
  static constexpr std::size_t self_count = spec.self_layers * (spec.shares_weights ? 1 : spec.blocks);

  /// Context rows (sequences.count * sequences.length, in); `mask` says which of them count.
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};
    Sequences sequences = {};
    AttentionMask mask = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
  };
  using Output = View<Scalar, Device, dyn, out>;  // (sequences.count * latents, hidden)
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    Table<role, Weights, Scalar, Device, spec.latents, out> latents;
    std::array<typename Cross::template Parts<role>, cross_count> cross;
    std::array<typename Self::template Parts<role>, self_count> self;
    typename Norm::template Parts<role> norm;
    static constexpr auto fields() {
      return std::tuple{Field{"latents", &Parts::latents}, Field{"cross", &Parts::cross},
                        Field{"self", &Parts::self}, Field{"norm", &Parts::norm}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    std::array<typename Cross::Tape, spec.blocks> cross;
    std::array<typename Self::Tape, spec.blocks * spec.self_layers> self;
    typename Norm::Tape norm;
  };

  /// Latents are standard normal, the layers as their own.
  static void initialise(Device& device, Params& params, Random& random) {
    fill_normal(device, params.latents, random, 1);
    for (auto& layer : params.cross) Cross::initialise(device, layer, random);
    for (auto& layer : params.self) Self::initialise(device, layer, random);
    Norm::initialise(device, params.norm, random);
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Sequences context = input.sequences.of(input.x.rows()), kept(context.count, spec.latents);
    auto x = take<Scalar, dyn, out>(device, context.count * spec.latents);
    using Stored = typename decltype(params.latents)::ScalarType;
    ops::broadcast<Scalar, Stored>(device, params.latents.view().template reshape<dyn>(spec.latents * out),
                                   x.template reshape<dyn, dyn>(context.count, spec.latents * out));
    const auto next = [&] {
      return tape ? take<Scalar, dyn, out>(device, x.rows()) : x;
    };  // in place if free
    for (Index block = 0; block < spec.blocks; ++block) {
      const auto looked = next();
      Cross::forward(
          device, params.cross[cross_of(block)],
          {x, {.sequences = kept, .context = input.x, .context_sequences = context, .mask = input.mask}},
          looked, tape ? &tape->cross[at(block)] : nullptr);
      x = looked;
      for (Index i = 0; i < spec.self_layers; ++i) {
        const auto mixed = next();
        Self::forward(device, params.self[self_of(block, i)], {x, {.sequences = kept}}, mixed,
                      tape ? &tape->self[at(block * spec.self_layers + i)] : nullptr);
        x = mixed;
      }
    }
    Norm::forward(device, params.norm, x, y, tape ? &tape->norm : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    auto dx = take<Scalar, dyn, out>(device, dy.rows()), other = take<Scalar, dyn, out>(device, dy.rows());
    const auto dcontext = take<Scalar, dyn, in>(device, dinput.x.rows());
    Norm::backward(device, params.norm, tape.norm, dy, dx, gradients.norm, write);
    for (Index block = spec.blocks - 1; block >= 0; --block) {
      // Shared weights: the last block comes first and writes, the others add.
      const bool first = block == spec.blocks - 1;
      const Write shared = spec.shares_weights && !first ? Write::add : write;
      for (Index i = spec.self_layers - 1; i >= 0; --i, std::swap(dx, other))
        Self::backward(device, params.self[self_of(block, i)], tape.self[at(block * spec.self_layers + i)],
                       dx, {other}, gradients.self[self_of(block, i)], shared);
      const auto dseen = first ? dinput.x : View<Scalar, Device, dyn, in>(dinput.x ? dcontext : dinput.x);
      Cross::backward(device, params.cross[cross_of(block)], tape.cross[at(block)], dx, {other, dseen},
                      gradients.cross[cross_of(block)], block == 0 ? write : shared);
      std::swap(dx, other);
      if (dinput.x && !first) ops::add<Scalar>(device, dinput.x, dcontext, dinput.x);
    }
    if constexpr (std::same_as<Weights, Trainable>)
      ops::column_sums<Scalar>(device,
                               dx.template reshape<dyn, dyn>(dx.rows() / spec.latents, spec.latents * out),
                               gradients.latents.view().template reshape<dyn>(spec.latents * out), write);
  }

 private:
  static constexpr std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  static constexpr std::size_t cross_of(Index block) {
    return at(spec.shares_weights ? std::min<Index>(block, 1) : block);
  }
  static constexpr std::size_t self_of(Index block, Index i) {
    return at(spec.shares_weights ? i : block * spec.self_layers + i);
  }
};

}  // namespace hyperblocks
