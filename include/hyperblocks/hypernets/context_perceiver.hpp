// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ContextPerceiver: features of any number of tokens, (sequences, tokens, in), to a fixed number of latents,
// (sequences, outputs, latent): a SwiGLU projection, a resampler whose latents read the context block by
// block, and one more, of a single block, whose latents, the outputs, read those of the first.
#pragma once

#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/perceiver.hpp>

namespace hyperblocks {

struct ContextPerceiverSpec {
  Index in = 0;
  Index outputs = 0;  ///< latents per sequence that come out
  Index latent = 512;
  Index latents = 8;  ///< of the first resampler
  Index blocks = 9;   ///< of the first resampler, each of one cross layer and `self_layers` more
  Index self_layers = 0;
  bool shares_weights = false;
  Index heads = 16, kv_heads = 4, head_width = 128;
  Index inner = 0;             ///< of the resamplers' layers; 0: 4 latent
  Index projection_inner = 0;  ///< 0: 4 in
};

template <ContextPerceiverSpec spec, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct ContextPerceiver {
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index in = spec.in, out = spec.latent, outputs = spec.outputs;
  using Projection = GluMlp<GluMlpSpec{.hidden = in,
                                       .inner = spec.projection_inner != 0 ? spec.projection_inner : 4 * in,
                                       .out = out},
                            Scalar, Device, Weights>;
  static constexpr PerceiverLayerSpec layer{.hidden = out,
                                            .context = out,
                                            .heads = spec.heads,
                                            .kv_heads = spec.kv_heads,
                                            .head_width = spec.head_width,
                                            .inner = spec.inner != 0 ? spec.inner : 4 * out};
  using Encoder = Resampler<ResamplerSpec{.latents = spec.latents,
                                          .blocks = spec.blocks,
                                          .self_layers = spec.self_layers,
                                          .shares_weights = spec.shares_weights,
                                          .layer = layer},
                            Scalar, Device, Weights>;
  using Decoder = Resampler<ResamplerSpec{.latents = outputs, .layer = layer}, Scalar, Device, Weights>;

  /// `mask` says which tokens count.
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};  // (sequences * tokens, in)
    Sequences sequences = {};
    AttentionMask mask = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
  };
  using Output = View<Scalar, Device, dyn, out>;  // (sequences * outputs, latent)
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    typename Projection::template Parts<role> projection;
    typename Encoder::template Parts<role> encoder;
    typename Decoder::template Parts<role> decoder;
    static constexpr auto fields() {
      return std::tuple{Field{"projection", &Parts::projection}, Field{"encoder", &Parts::encoder},
                        Field{"decoder", &Parts::decoder}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Index rows = 0;
    typename Projection::Tape projection;
    typename Encoder::Tape encoder;
    typename Decoder::Tape decoder;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Projection::initialise(device, params.projection, random);
    Encoder::initialise(device, params.encoder, random);
    Decoder::initialise(device, params.decoder, random);
  }

  static void forward(Device& device, const Params& params, const Input& input, Output y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index rows = input.x.rows(), count = input.sequences.of(rows).count;
    const auto projected = take<Scalar, dyn, out>(device, rows);
    if (tape) {
      tape->rows = rows;
      Projection::forward(device, params.projection, input.x, projected, &tape->projection);
    } else {
      // Its inner rows are the widest of all: not all of them at once.
      for (Index first = 0; first < rows; first += projected_at_once) {
        const Index some = std::min(projected_at_once, rows - first);
        Projection::forward(device, params.projection, input.x.slice(first, some),
                            projected.slice(first, some));
      }
    }
    const auto read = take<Scalar, dyn, out>(device, count * spec.latents);
    Encoder::forward(device, params.encoder, {projected, input.sequences, input.mask}, read,
                     tape ? &tape->encoder : nullptr);
    Decoder::forward(device, params.decoder, {read, {count, spec.latents}}, y,
                     tape ? &tape->decoder : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto dread = take<Scalar, dyn, out>(device, dy.rows() / outputs * spec.latents);
    const auto dprojected = take<Scalar, dyn, out>(device, tape.rows);
    Decoder::backward(device, params.decoder, tape.decoder, dy, {dread}, gradients.decoder, write);
    Encoder::backward(device, params.encoder, tape.encoder, dread, {dprojected}, gradients.encoder, write);
    Projection::backward(device, params.projection, tape.projection, dprojected, dinput.x,
                         gradients.projection, write);
  }

 private:
  static constexpr Index projected_at_once = 1024;
};

}  // namespace hyperblocks
