// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DocToLora (Doc-to-LoRA): a document becomes a LoRA, piece by piece (arXiv 2602.15902).
//   features (states, pieces, tokens, width) = what a frozen model makes of the pieces: context_reader.hpp
//   latents (layers, linears, pieces, ranks, latent) = a Perceiver over them, each layer's features for
//   itself (layer to layer) or one state for all;  factors = heads of them: A and B of each (layer, linear)
// A document's pieces lie behind one another along the rank, and learned factors that no document changes
// come behind them.
#pragma once

#include <cmath>
#include <functional>

#include <hyperblocks/hypernets/context_perceiver.hpp>
#include <hyperblocks/hypernets/factor_heads.hpp>
#include <hyperblocks/hypernets/generated.hpp>

namespace hyperblocks {

inline constexpr Targets down_alone{
    .query = false, .key = false, .value = false, .output = false, .gate = false, .up = false};

struct DocToLoraSpec {
  Index rank = 8;  ///< of a piece
  Targets targets = down_alone;
  Index features = 0;                   ///< their width; 0: as the base's hidden states
  bool layer_to_layer = true;           ///< each layer's factors from its own features
  ContextPerceiverSpec perceiver = {};  ///< what goes in and comes out follows
  bool per_rank = true;                 ///< a latent for every rank, or one for all
  Index mlps = 4;                       ///< residual MLPs before the heads
  Index mlp_inner = 0;                  ///< 0: 4 latent
  bool mlps_per_layer = false;
  bool bias = true;  ///< with factors that no document changes
  double alpha = 0;  ///< what an update is multiplied by; 0: 2 rank^1.5

  double scale() const { return alpha != 0 ? alpha : 2 * std::pow(static_cast<double>(rank), 1.5); }
};

/// How documents are read.
struct DocToLoraOptions {
  std::vector<double> piece_scales = {};  ///< of A, one for each piece of all documents; none: 1
  double scale = 1;                       ///< of the generated A and B
  double bias_scale = 1;                  ///< of A and B that no document changes
  bool iterative = false;      ///< layer by layer: no more than one layer's features are held; the same bits
  Index tokens_at_once = 512;  ///< short pieces are read together, so many tokens of them
  std::function<void(Index done, Index all)> progress = {};  ///< after some pieces
};

template <class Model_, DocToLoraSpec spec_, class Weights = Trainable>
struct DocToLora {
  using Model = Model_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr DocToLoraSpec spec = spec_;
  static constexpr Index layers = Model::spec.layers, rank = spec.rank;
  static constexpr Index width = spec.features != 0 ? spec.features : Model::hidden;
  static constexpr Index states = spec.layer_to_layer ? layers : 1;
  using Head = FactorHeads<Model,
                           FactorHeadsSpec{.rank = spec.rank,
                                           .targets = spec.targets,
                                           .latent = spec.perceiver.latent,
                                           .per_rank = spec.per_rank,
                                           .mlps = spec.mlps,
                                           .mlp_inner = spec.mlp_inner,
                                           .mlps_per_layer = spec.mlps_per_layer,
                                           .bias = spec.bias},
                           Weights>;
  static constexpr Index linears = Head::linears, latent = Head::latent;
  static constexpr ContextPerceiverSpec perceiver_spec() {
    ContextPerceiverSpec result = spec.perceiver;
    result.in = width, result.outputs = (layers / states) * linears * Head::reads;
    return result;
  }
  using Perceiver = ContextPerceiver<perceiver_spec(), Scalar, Device, Weights>;
  using Updates = typename Model::template Updates<const Scalar>;
  /// (states * pieces * outputs, latent): of each piece's linears the ranks, where a state is a layer, else
  /// of each piece's layers the linears.
  using Latents = View<Scalar, Device, dyn, latent>;
  using ConstLatents = View<const Scalar, Device, dyn, latent>;

  template <Role role>
  struct Parts {
    typename Perceiver::template Parts<role> perceiver;
    typename Head::template Parts<role> heads;
    static constexpr auto fields() {
      return std::tuple{Field{"perceiver", &Parts::perceiver}, Field{"heads", &Parts::heads}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;

  struct Input {
    View<const Scalar, Device, dyn, width> features = {};  // (states * pieces * tokens, width)
    Index pieces = 1;
    AttentionMask mask = {};  ///< which tokens count, of every sequence in `features`
    View<const Scalar, Device, dyn> piece_scales = {};  ///< of A, optional
    double scale = 1;                                   ///< of A and of B
  };
  struct InputGradient {
    View<Scalar, Device, dyn, width> features = {};
  };
  struct Output {
    typename Model::template Updates<Scalar> factors = {};  ///< their memory is written: see updates()
    Latents latents = {};                                   ///< optional: the stage before
  };
  using OutputGradient = Updates;
  struct Tape {
    Index pieces = 0;
    typename Perceiver::Tape perceiver;
    typename Head::Tape heads;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Perceiver::initialise(device, params.perceiver, random);
    Head::initialise(device, params.heads, random);
  }

  static void forward(Device& device, const Params& params, const Input& input, const Output& output,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index pieces = input.pieces, sequences = states * pieces;
    check(pieces > 0 && input.features.rows() > 0 && input.features.rows() % sequences == 0, [&] {
      return Error(
          "the pieces do not divide the features", "DocToLora",
          "a multiple of " + std::to_string(states) + " states times " + std::to_string(pieces) + " pieces",
          std::to_string(input.features.rows()) + " rows");
    });
    const auto latents =
        output.latents ? output.latents : take<Scalar, dyn, latent>(device, sequences * Perceiver::outputs);
    Perceiver::forward(device, params.perceiver,
                       {input.features, {sequences, input.features.rows() / sequences}, input.mask}, latents,
                       tape ? &tape->perceiver : nullptr);
    if (tape) tape->pieces = pieces;
    write_factors(device, params, latents, input, output.factors, tape ? &tape->heads : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& doutput,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index rows = layers * linears * tape.pieces * Head::reads;
    const auto dordered = take<Scalar, dyn, latent>(device, rows);
    const auto dlatents = take<Scalar, dyn, latent>(device, rows);
    Head::backward(device, params.heads, tape.heads, doutput, {dordered}, gradients.heads, write);
    ops::copy_heads<Scalar>(device, by_linear(ConstLatents(dordered), tape.pieces),
                            by_piece(dlatents, tape.pieces));
    Perceiver::backward(device, params.perceiver, tape.perceiver, dlatents, {dinput.features},
                        gradients.perceiver, write);
  }

  /// The second half alone.
  static void write_factors(Device& device, const Params& params, ConstLatents latents, const Input& input,
                            const typename Model::template Updates<Scalar>& factors,
                            typename Head::Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const auto ordered = take<Scalar, dyn, latent>(device, latents.rows());
    ops::copy_heads<Scalar>(device, by_piece(latents, input.pieces), by_linear(ordered, input.pieces));
    Head::forward(device, params.heads, {ordered, input.piece_scales, input.scale}, factors, tape);
  }

  /// How many numbers the factors of so many pieces are.
  static Index numbers_of(Index pieces) {
    Index each = 0;
    Head::each_head([&]<Projection projection>(std::size_t) {
      const LinearSize size = size_of(Model::spec, projection);
      each += rank * (size.in + size.out);
    });
    return pieces * each;
  }

  /// The factors of `count` pieces from `first` on, where `numbers` are those of all: as a decoder's input
  /// takes them; of mutable numbers, as forward writes them and as a decoder gives gradients.
  template <class S>
  static typename Model::template Updates<S> updates(View<S, Device, dyn> numbers, Index first, Index count) {
    const Index all = numbers.size() / numbers_of(1);
    check(numbers.size() == numbers_of(all) && first >= 0 && count > 0 && first <= all - count, [&] {
      return Error("there are not so many pieces", "DocToLora",
                   std::to_string(first) + " and " + std::to_string(count) + " more",
                   std::to_string(numbers.size()) + " numbers, " + std::to_string(all) + " pieces");
    });
    typename Model::template Updates<S> result;
    S* at = numbers.data();
    Head::each_head([&]<Projection projection>(std::size_t layer) {
      const LinearSize size = size_of(Model::spec, projection);
      auto& update = linear_of<projection>(result.layers[layer]);
      update.a = {at + first * rank * size.in, count * rank, FactorForm::rows};
      at += all * rank * size.in;
      update.b = {at + first * rank * size.out, count * rank, FactorForm::rows};
      at += all * rank * size.out;
      update.scale = spec.scale();
    });
    return result;
  }

  /// The adapters of some documents, each given in pieces.
  template <class Reader>
  static Generated<Model> generate(Device& device, const Params& params, const Reader& reader,
                                   std::span<const std::vector<Tokens>> documents,
                                   const DocToLoraOptions& options = {}) {
    static_assert(Reader::width == width && Reader::states == states,
                  "hyperblocks: a DocToLora's reader gives features of its width, and its number of states");
    std::vector<Tokens> pieces;
    std::vector<Index> counts;
    for (const auto& document : documents) {
      counts.push_back(static_cast<Index>(document.size()));
      pieces.insert(pieces.end(), document.begin(), document.end());
    }
    const std::span<const Tokens> all(pieces);
    return assembled(device, params, counts, options, [&](Index first, const auto& write) {
      const Index some = together(all.subspan(static_cast<std::size_t>(first)), options.tokens_at_once);
      const PaddedTexts<Device> texts(
          device, all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(some)),
          {.side = PaddingSide::right, .passes = states});
      const auto latents = take<Scalar, dyn, latent>(device, states * some * Perceiver::outputs);
      read(device, params, reader, texts, options.iterative, latents);
      write(latents, some);
      return some;
    });
  }

  /// The adapter of one document of one piece, of which features (states * tokens, width) are given.
  static Generated<Model> generate(Device& device, const Params& params,
                                   View<const Scalar, Device, dyn, width> features,
                                   const DocToLoraOptions& options = {}) {
    return assembled(device, params, {1}, options, [&](Index, const auto& write) {
      const auto latents = take<Scalar, dyn, latent>(device, states * Perceiver::outputs);
      Perceiver::forward(device, params.perceiver, {features, {states, features.rows() / states}}, latents);
      write(latents, 1);
      return Index{1};
    });
  }

  /// Latents of some pieces. Layer by layer, a layer's features are gone before the next one's are there.
  template <class Reader>
  static void read(Device& device, const Params& params, const Reader& reader,
                   const PaddedTexts<Device>& texts, bool iterative, Latents latents) {
    const ArenaScope scope(device);
    const Index pieces = texts.count(), rows = pieces * texts.length(), each = pieces * Perceiver::outputs;
    if (iterative) {
      reader.read(device, texts.ids(), pieces, [&](Index state, View<const Scalar, Device, dyn, width> x) {
        Perceiver::forward(device, params.perceiver, {x, {pieces, texts.length()}, texts.mask()},
                           latents.slice(state * each, each));
      });
      return;
    }
    const auto features = take<Scalar, dyn, width>(device, states * rows);
    reader.read(device, texts.ids(), pieces, [&](Index state, View<const Scalar, Device, dyn, width> x) {
      ops::cast<Scalar, Scalar>(device, x, features.slice(state * rows, rows));
    });
    Perceiver::forward(device, params.perceiver, {features, {states * pieces, texts.length()}, texts.mask()},
                       latents);
  }

 private:
  /// Latents as (layers, pieces, linears, ranks * latent) or (1, pieces, layers * linears, ranks * latent),
  /// as they come from the Perceiver; and the same with pieces and linears swapped in memory.
  template <class S>
  static Heads<S> by_piece(View<S, Device, dyn, latent> latents, Index pieces) {
    constexpr Index each = Head::reads * latent, kinds = layers / states * linears;
    return {latents.data(), states, pieces, kinds, each, pieces * kinds * each, kinds * each, each};
  }
  template <class S>
  static Heads<S> by_linear(View<S, Device, dyn, latent> latents, Index pieces) {
    constexpr Index each = Head::reads * latent, kinds = layers / states * linears;
    return {latents.data(), states, pieces, kinds, each, pieces * kinds * each, each, pieces * each};
  }

  /// How many of the first pieces are read together: one at least.
  static Index together(std::span<const Tokens> pieces, Index tokens) {
    std::size_t longest = 0;
    Index count = 0;
    for (const Tokens& piece : pieces) {
      longest = std::max(longest, piece.size());
      if (count > 0 && (count + 1) * static_cast<Index>(longest) > tokens) break;
      ++count;
    }
    return count;
  }

  /// Documents of so many pieces each. read(first, write) makes latents of some pieces from `first` on, calls
  /// write(latents, how many), and returns how many.
  template <class Read>
  static Generated<Model> assembled(Device& device, const Params& params, const std::vector<Index>& counts,
                                    const DocToLoraOptions& options, Read read) {
    const Index all = check_documents(counts, options);
    std::vector<Tensor<Scalar, Device, dyn>> numbers;
    numbers.emplace_back(device, numbers_of(all));
    for (Index first = 0; first < all;) {
      const ArenaScope scope(device);
      first += read(first, [&](ConstLatents latents, Index some) {
        Input input{.pieces = some, .scale = options.scale};
        if (!options.piece_scales.empty()) {
          std::vector<Scalar> host;
          for (Index i = first; i < first + some; ++i)
            host.push_back(scalar_cast<Scalar>(options.piece_scales[static_cast<std::size_t>(i)]));
          const auto scales = take<Scalar, dyn>(device, some);
          device.upload(scales.data(), host.data(), host.size() * sizeof(Scalar));
          input.piece_scales = scales;
        }
        write_factors(device, params, latents, input, updates(numbers.front().view(), first, some));
      });
      if (options.progress) options.progress(first, all);
    }
    const View<const Scalar, Device, dyn> written = numbers.front();
    std::vector<std::vector<Updates>> texts;
    Index first = 0;
    for (const Index count : counts) {
      texts.push_back({updates(written, first, count)});
      first += count;
    }
    if constexpr (spec.bias) {
      const Updates bias = bias_updates(device, params, options.bias_scale, numbers);
      for (auto& parts : texts) parts.push_back(bias);
    }
    return {std::move(numbers), std::move(texts)};
  }

  static Index check_documents(const std::vector<Index>& counts, const DocToLoraOptions& options) {
    Index all = 0;
    for (const Index count : counts) {
      check(count > 0, [] { return Error("an empty document", "DocToLora", "one piece or more", "none"); });
      all += count;
    }
    check(all > 0, [] { return Error("nothing to read", "DocToLora", "one document or more", "none"); });
    check(options.piece_scales.empty() || options.piece_scales.size() == static_cast<std::size_t>(all), [&] {
      return Error("not a scale for every piece", "DocToLora", std::to_string(all),
                   std::to_string(options.piece_scales.size()));
    });
    return all;
  }

  /// Those of the parameters themselves, or copies where they are scaled.
  static Updates bias_updates(Device& device, const Params& params, double scale,
                              std::vector<Tensor<Scalar, Device, dyn>>& numbers) {
    Updates result = Head::template bias_updates<const Scalar>(params.heads, spec.scale());
    if (scale == 1) return result;
    numbers.emplace_back(device, numbers_of(1));
    const auto copies = updates(numbers.back().view(), 0, 1);
    Head::each_head([&]<Projection projection>(std::size_t layer) {
      auto& from = linear_of<projection>(result.layers[layer]);
      const auto& to = linear_of<projection>(copies.layers[layer]);
      ops::scale<Scalar>(device, scale, from.a.rows(), to.a.rows());
      ops::scale<Scalar>(device, scale, from.b.rows(), to.b.rows());
      from.a = {to.a.data(), rank, FactorForm::rows}, from.b = {to.b.data(), rank, FactorForm::rows};
    });
    return result;
  }
};

}  // namespace hyperblocks
