// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Decoder: a language model of the Llama, Qwen, Mistral or Gemma family, frozen unless said otherwise:
//   x = embedding(ids), then appended rows;  x = layer(x) for every layer;  logits = head(norm(x))
// with low-rank updates of any linear. Logits and hidden states are given where the caller wants them, and
// backward leads from them to the inputs and the updates' factors.
#pragma once

#include <algorithm>
#include <array>

#include <hyperblocks/blocks/decoder_block.hpp>
#include <hyperblocks/blocks/embedding.hpp>
#include <hyperblocks/models/decoder_spec.hpp>

namespace hyperblocks {

namespace detail {
/// The block that all layers of a model share; what differs between layers comes with the input.
constexpr DecoderBlockSpec layer_spec(const DecoderSpec& spec) {
  return {.hidden = spec.hidden,
          .heads = spec.heads,
          .kv_heads = spec.kv_heads,
          .head_width = spec.head_width,
          .inner = spec.inner,
          .activation = spec.activation,
          .epsilon = spec.epsilon,
          .norm_shift = spec.norm_shift,
          .output_norms = spec.output_norms,
          .head_norm = spec.head_norm,
          .bias = spec.bias,
          .output_bias = spec.output_bias,
          .attention_scale = spec.attention_scale,
          .attention_soft_cap = spec.attention_soft_cap};
}

/// One sentence for a spec without sizes, with the numbers in the type.
template <Index vocabulary, Index hidden, Index layers, Index heads, Index inner>
struct DecoderSizes {
  static_assert(vocabulary > 0 && hidden > 0 && layers > 0 && heads > 0 && inner > 0,
                "hyperblocks: a Decoder needs sizes of one or more: DecoderSizes<vocabulary, hidden, layers, "
                "heads, inner>");
};
}  // namespace detail

template <DecoderSpec spec_, RealScalar Scalar_, class Device_, class Weights = Frozen<Scalar_>>
struct Decoder {
  static constexpr DecoderSpec spec = spec_;
  static_assert(
      sizeof(detail::DecoderSizes<spec.vocabulary, spec.hidden, spec.layers, spec.heads, spec.inner>) > 0);
  static_assert(!(spec.tied && std::same_as<Weights, Trainable>),
                "hyperblocks: the weights of a Decoder with a tied head are Frozen");
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index hidden = spec.hidden, vocabulary = spec.vocabulary;
  static constexpr auto depth = static_cast<std::size_t>(spec.layers);
  using Table = Embedding<EmbeddingSpec{vocabulary, hidden, spec.embedding_scale}, Scalar, Device, Weights>;
  using Layer = DecoderBlock<detail::layer_spec(spec), Scalar, Device, Weights>;
  using Norm = RmsNorm<RmsNormSpec{hidden, spec.epsilon, spec.norm_shift}, Scalar, Device, Weights>;
  using Head = Linear<LinearSpec{hidden, vocabulary, false}, Scalar, Device, Weights>;

  template <Role role>
  struct Parts {
    typename Table::template Parts<role> embedding;
    std::array<typename Layer::template Parts<role>, depth> layers;
    typename Norm::template Parts<role> norm;
    typename Head::template Parts<role> head;  ///< of a tied model the embedding's numbers, packed
    static constexpr auto fields() {
      return std::tuple{Field{"embedding", &Parts::embedding}, Field{"layers", &Parts::layers},
                        Field{"norm", &Parts::norm}, Field{"head", &Parts::head}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;

  /// Low-rank updates of the linears: updates.layers[3].attention.query = {.a = a, .b = b}.
  template <class S>
  struct Updates {
    std::array<typename Layer::template Updates<S>, depth> layers = {};
    static constexpr auto fields() { return std::tuple{Field{"layers", &Updates::layers}}; }
  };

  using Rotary = hyperblocks::Rotary<Accumulator<Scalar>, Device>;
  /// The rotary tables of layers that see everything, and of those with a window.
  struct Rotaries {
    Rotary full = {}, window = {};
  };
  /// Tables of the first so many positions, with their memory; the input takes them as they are.
  struct Positions {
    RopeTables<Accumulator<Scalar>, Device> full, window;
    explicit Positions(Device& device, Index count = spec.positions)
        : full(device, spec.rope_base, spec.width(), count, spec.rope_scaling),
          window(device, spec.window_rope_base, spec.width(), spec.window_rope_base != 0 ? count : 0) {}
    operator Rotaries() const { return {full, spec.window_rope_base != 0 ? Rotary(window) : Rotary(full)}; }
  };

  /// Generation: keys and values of earlier tokens, and how many there are of each sequence. Forward appends.
  class Cache {
   public:
    Tensor<Scalar, Device, dyn, dyn, dyn, dyn, dyn> keys,
        values;  // (layers, sequences, key heads, capacity, head width)
    std::vector<Index> lengths;
    Cache(Device& device, Index sequences, Index capacity)
        : keys(device, spec.layers, sequences, spec.key_heads(), capacity, spec.width()),
          values(device, spec.layers, sequences, spec.key_heads(), capacity, spec.width()),
          lengths(static_cast<std::size_t>(sequences)),
          past_(device, sequences),
          known_(lengths.size()) {}  // zeros, as the device's are
    Index capacity() const { return keys.extent(3); }

    /// The device's lengths of `count` sequences to which a pass is about to append so many tokens;
    /// forward's, and of who runs a recorded forward again.
    View<const std::int32_t, Device, dyn> prepare(Device& device, Index first, Index count, Index tokens) {
      for (std::size_t i = 0; i < lengths.size(); ++i) {
        const bool appends = static_cast<Index>(i) >= first && static_cast<Index>(i) < first + count;
        check(lengths[i] >= 0 && lengths[i] <= capacity() - (appends ? tokens : 0), [&] {
          return Error("the cache is full", "Decoder::Cache",
                       "at most " + std::to_string(capacity()) + " tokens",
                       std::to_string(lengths[i]) + " and " + std::to_string(appends ? tokens : 0) + " more");
        });
      }
      if (!std::ranges::equal(lengths, known_)) {
        std::ranges::copy(lengths, known_.begin());
        past_.upload(device, known_);
      }
      return past_.view().slice(first, count);
    }

    /// Sequence `to` becomes a copy of sequence `from`.
    void copy(Device& device, Index from, Index to) {
      const Index length = lengths[static_cast<std::size_t>(from)];
      const auto rows = [&](auto& cached, Index layer, Index sequence, Index head) {
        const Index at = (layer * cached.extent(1) + sequence) * cached.extent(2) + head;
        return cached.view()
            .template reshape<dyn, dyn>(cached.size() / spec.width(), spec.width())
            .slice(at * capacity(), length);
      };
      for (Tensor<Scalar, Device, dyn, dyn, dyn, dyn, dyn>* cached : {&keys, &values})
        for (Index layer = 0; layer < spec.layers; ++layer)
          for (Index head = 0; head < spec.key_heads(); ++head)
            ops::cast<Scalar, Scalar>(device, rows(*cached, layer, from, head),
                                      rows(*cached, layer, to, head));
      lengths[static_cast<std::size_t>(to)] = length;
    }

   private:
    Tensor<std::int32_t, Device, dyn> past_;
    std::vector<std::int32_t> known_;  ///< what past_ holds
  };

  /// What is read is `ids`, or `x` in their place, and `appended` behind every sequence.
  struct Input {
    View<const std::int32_t, Device, dyn> ids = {};              // (sequences * tokens)
    View<const Scalar, Device, dyn, spec.hidden> x = {};         // (sequences * tokens, hidden): embeddings
    View<const Scalar, Device, dyn, spec.hidden> appended = {};  // (rows, hidden), the same for all sequences
    Index sequences = 1;
    Rotaries rotary = {};
    AttentionMask mask = {};
    Index first_layer = 0;       ///< x is what the layers before it gave
    Index layers = spec.layers;  ///< where to stop: early exit
    bool final_norm = false;     ///< the last state goes through the final norm, as on the way to logits
    Updates<const Scalar> updates = {};
    Cache* cache = nullptr;
    Index first_cached = 0;  ///< the place in the cache of the pass's first sequence
    bool recompute = false;  ///< of each layer the tape keeps what it reads; backward runs it once more
  };
  /// Each is optional; states are those of layers that ran and of what they read. Fewer rows than were read
  /// are each sequence's last ones.
  struct Output {
    View<Scalar, Device, dyn, spec.vocabulary> logits = {};   // (sequences * rows, vocabulary)
    View<Scalar, Device, dyn, dyn, spec.hidden> states = {};  // (layers run + 1, sequences * rows, hidden)
    View<Scalar, Device, dyn, spec.hidden> state = {};        // (sequences * rows, hidden): the last of them
  };
  struct OutputGradient {
    View<const Scalar, Device, dyn, spec.vocabulary> logits = {};
    View<const Scalar, Device, dyn, dyn, spec.hidden> states = {};
    View<const Scalar, Device, dyn, spec.hidden> state = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, spec.hidden> x = {};  ///< of the embeddings, whether they were given or ids
    View<Scalar, Device, dyn, spec.hidden> appended = {};
    Updates<Scalar> updates = {};
  };
  struct Tape {
    Sequences sequences;  // with what was appended
    Index tokens = 0;     // of a sequence, without
    Index first_layer = 0, end_layer = 0;
    bool final_norm = false, recompute = false;
    typename Table::Tape embedding;
    std::array<typename Layer::Tape, depth> layers;
    std::array<typename Layer::Input, depth> reads;  // where they are computed once more
    typename Norm::Tape norm;
    typename Head::Tape head;
  };

  /// For tests: real models are loaded.
  static void initialise(Device& device, Params& params, Random& random) {
    Table::initialise(device, params.embedding, random);
    for (auto& layer : params.layers) Layer::initialise(device, layer, random);
    Norm::initialise(device, params.norm, random);
    Head::initialise(device, params.head, random);
    if constexpr (spec.tied) {
      using Stored = typename decltype(params.embedding.weight)::ScalarType;
      std::vector<Stored> host(static_cast<std::size_t>(params.embedding.weight.size()));
      params.embedding.weight.download(device, host);
      params.head.weight.upload(device, host);
    }
  }

  static void forward(Device& device, const Params& params, const Input& input, const Output& output,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Sequences sequences = check_input(input, output, tape != nullptr);
    View<const std::int32_t, Device, dyn> past;
    if (input.cache)
      past = input.cache->prepare(device, input.first_cached, sequences.count, sequences.length);
    auto x = read(device, params, input, sequences);
    if (tape) {
      tape->sequences = sequences;
      tape->tokens = (input.ids ? input.ids.size() : input.x.rows()) / sequences.count;
      tape->first_layer = input.first_layer, tape->end_layer = input.layers;
      tape->final_norm = input.final_norm, tape->recompute = input.recompute;
      tape->embedding.ids = input.ids;
    }
    const auto keep = [&](Index state) {
      if (output.states) copy_last(device, x, sequences, state_of(output.states, state - input.first_layer));
      if (output.state && state == input.layers) copy_last(device, x, sequences, output.state);
    };
    for (Index i = input.first_layer; i < input.layers; ++i) {
      keep(i);
      const auto at = static_cast<std::size_t>(i);
      const auto y = tape ? take<Scalar, dyn, hidden>(device, x.rows()) : x;
      const typename Layer::Input read{x, setup(input, sequences, past, i), input.updates.layers[at]};
      Layer::forward(device, params.layers[at], read, y,
                     tape && !input.recompute ? &tape->layers[at] : nullptr);
      if (tape && input.recompute) tape->reads[at] = read;
      x = y;
    }
    if (input.cache)
      for (Index& length : cached_lengths(input)) length += sequences.length;
    if (!input.final_norm) keep(input.layers);
    if (!output.logits && !input.final_norm) return;
    const auto normed = tape ? take<Scalar, dyn, hidden>(device, x.rows()) : x;
    Norm::forward(device, params.norm, x, normed, tape ? &tape->norm : nullptr);
    x = normed;
    if (input.final_norm) keep(input.layers);
    if (output.logits) give_logits(device, params, x, sequences, output.logits, tape);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& doutput,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index rows = tape.sequences.count * tape.sequences.length;
    const auto& dstates = doutput.states;
    const auto& dstate = doutput.state;
    if (dstate) check_rows("the last state's gradient's", dstate.rows(), tape.sequences);
    check(!dstates ||
              (dstates.extent(0) == tape.end_layer - tape.first_layer + 1 && dstates.extent(1) <= rows &&
               dstates.extent(1) % std::max<Index>(tape.sequences.count, 1) == 0),
          [&] {
            return Error("the states' gradient does not fit the tape", "Decoder",
                         "(" + std::to_string(tape.end_layer - tape.first_layer + 1) + ", at most " +
                             std::to_string(rows) + ", a multiple of " +
                             std::to_string(tape.sequences.count) + ", hidden)",
                         to_string(dstates.shape().all()));
          });
    auto dx = zeros(device, rows), dnext = take<Scalar, dyn, hidden>(device, rows);
    const auto add_state = [&](Index state) {
      if (dstates) add_last(device, state_of(dstates, state - tape.first_layer), tape.sequences, dx);
      if (dstate && state == tape.end_layer) add_last(device, dstate, tape.sequences, dx);
    };
    if (tape.final_norm) add_state(tape.end_layer);
    if (doutput.logits) add_logits_gradient(device, params, tape, doutput.logits, gradients, write, dx);
    if (doutput.logits || ((dstates || dstate) && tape.final_norm)) {
      Norm::backward(device, params.norm, tape.norm, dx, dnext, gradients.norm, write);
      std::swap(dx, dnext);
    }
    if (!tape.final_norm) add_state(tape.end_layer);
    for (Index i = tape.end_layer - 1; i >= tape.first_layer; --i) {
      const auto at = static_cast<std::size_t>(i);
      layer_backward(device, params.layers[at], tape, at, dx, {dnext, {}, dinput.updates.layers[at]},
                     gradients.layers[at], write);
      std::swap(dx, dnext);
      add_state(i);
    }
    give_input_gradients(device, params, tape, dx, dinput, gradients, write);
  }

 private:
  using RowsOf = View<Scalar, Device, dyn, spec.hidden>;
  using ConstRows = View<const Scalar, Device, dyn, spec.hidden>;

  /// The sequences that a pass reads, the appended rows with them.
  static Sequences check_input(const Input& input, const Output& output, bool taped) {
    const Index count = input.sequences, given = input.ids ? input.ids.size() : input.x.rows();
    check(static_cast<bool>(input.ids) != static_cast<bool>(input.x), [&] {
      return Error("what to read is not clear", "Decoder", "either ids or x", input.ids ? "both" : "neither");
    });
    check(count > 0 && given % count == 0, [&] {
      return Error("the sequences do not divide the rows", "Decoder",
                   "a number that divides " + std::to_string(given), std::to_string(count));
    });
    const Index length = given / count + (input.appended ? input.appended.rows() : 0), rows = count * length;
    check(input.layers >= input.first_layer && input.first_layer >= 0 && input.layers <= spec.layers, [&] {
      return Error("impossible layers", "Decoder", "in order, of 0 .. " + std::to_string(spec.layers),
                   std::to_string(input.first_layer) + " .. " + std::to_string(input.layers));
    });
    const Index states = input.layers - input.first_layer + 1;
    if (output.logits) check_rows("the logits'", output.logits.rows(), {count, length});
    if (output.state) check_rows("the last state's", output.state.rows(), {count, length});
    check(!output.states || (output.states.extent(0) == states && output.states.extent(1) % count == 0 &&
                             output.states.extent(1) <= rows),
          [&] {
            return Error("the states' shape does not fit", "Decoder",
                         "(" + std::to_string(states) + ", at most " + std::to_string(rows) +
                             ", a multiple of " + std::to_string(count) + ", hidden)",
                         to_string(output.states.shape().all()));
          });
    check(!input.cache || !taped,
          [] { return Error("a pass with a cache leaves no tape", "Decoder", "one of them", "both"); });
    const Index cached = input.cache ? input.cache->keys.extent(1) : count;
    check(input.first_cached >= 0 && input.first_cached <= cached - count, [&] {
      return Error("the cache has other sequences", "Decoder",
                   std::to_string(count) + " from " + std::to_string(input.first_cached),
                   std::to_string(cached) + " in all");
    });
    return {count, length};
  }

  static void check_rows(const std::string& whose, Index found, const Sequences& sequences) {
    check(found % std::max<Index>(sequences.count, 1) == 0 && found <= sequences.count * sequences.length,
          [&] {
            return Error(whose + " rows do not fit", "Decoder",
                         "at most " + std::to_string(sequences.count * sequences.length) +
                             ", a multiple of " + std::to_string(sequences.count),
                         std::to_string(found));
          });
  }

  /// What the layers read: embeddings, with the appended rows behind every sequence.
  static RowsOf read(Device& device, const Params& params, const Input& input, const Sequences& sequences) {
    const auto x = take<Scalar, dyn, hidden>(device, sequences.count * sequences.length);
    const Index appended = input.appended ? input.appended.rows() : 0, tokens = sequences.length - appended;
    for (Index i = 0; i < sequences.count; ++i) {
      const auto to = x.slice(i * sequences.length, tokens);
      if (input.ids)
        Table::forward(device, params.embedding, input.ids.slice(i * tokens, tokens), to);
      else
        ops::cast<Scalar, Scalar>(device, input.x.slice(i * tokens, tokens), to);
      if (appended > 0)
        ops::cast<Scalar, Scalar>(device, input.appended, x.slice(i * sequences.length + tokens, appended));
    }
    return x;
  }

  /// Of the pass's sequences.
  static std::span<Index> cached_lengths(const Input& input) {
    return std::span(input.cache->lengths)
        .subspan(static_cast<std::size_t>(input.first_cached), static_cast<std::size_t>(input.sequences));
  }

  static typename Layer::Setup setup(const Input& input, const Sequences& sequences,
                                     View<const std::int32_t, Device, dyn> past, Index layer) {
    typename Layer::Setup result;
    result.sequences = sequences;
    result.rotary = spec.slides(layer) ? input.rotary.window : input.rotary.full;
    result.mask = input.mask;
    result.window = spec.slides(layer) ? spec.window : 0;
    if (input.cache) {
      const auto of_layer = [&](auto& cached) {
        const auto all = cached.view().slice(layer, 1).template reshape<dyn, dyn, dyn, dyn>(
            cached.extent(1), cached.extent(2), cached.extent(3), cached.extent(4));
        return all.slice(input.first_cached, sequences.count);
      };
      result.cache = {of_layer(input.cache->keys), of_layer(input.cache->values), past};
    }
    return result;
  }

  static void layer_backward(Device& device, const typename Layer::Params& params, const Tape& tape,
                             std::size_t layer, ConstRows dy, const typename Layer::InputGradient& dinput,
                             typename Layer::Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    if (!tape.recompute)
      return Layer::backward(device, params, tape.layers[layer], dy, dinput, gradients, write);
    typename Layer::Tape again;
    const auto y = take<Scalar, dyn, hidden>(device, dy.rows());
    Layer::forward(device, params, tape.reads[layer], y, &again);
    Layer::backward(device, params, again, dy, dinput, gradients, write);
  }

  template <class S>
  static View<S, Device, dyn, spec.hidden> state_of(const View<S, Device, dyn, dyn, spec.hidden>& states,
                                                    Index state) {
    return states.slice(state, 1).template reshape<dyn, spec.hidden>(states.extent(1));
  }

  static RowsOf zeros(Device& device, Index rows) {
    const auto result = take<Scalar, dyn, hidden>(device, rows);
    device.fill(result.data(), 0, result.bytes());
    return result;
  }

  /// f(rows, last): the last rows of every sequence, as many as `last` has for each.
  template <class Rows, class Last, class F>
  static void each_last(const Rows& rows, const Sequences& sequences, const Last& last, F f) {
    const Index count = last.rows() / sequences.count;
    for (Index i = 0; i < sequences.count; ++i)
      f(rows.slice((i + 1) * sequences.length - count, count), last.slice(i * count, count));
  }
  static void copy_last(Device& device, ConstRows rows, const Sequences& sequences, RowsOf last) {
    each_last(rows, sequences, last,
              [&](auto from, auto to) { ops::cast<Scalar, Scalar>(device, from, to); });
  }
  static void add_last(Device& device, ConstRows last, const Sequences& sequences, RowsOf rows) {
    each_last(rows, sequences, last, [&](auto to, auto from) { ops::add<Scalar>(device, to, from, to); });
  }

  static void give_logits(Device& device, const Params& params, ConstRows normed, const Sequences& sequences,
                          View<Scalar, Device, dyn, vocabulary> logits, Tape* tape) {
    const auto last = take<Scalar, dyn, hidden>(device, logits.rows());
    copy_last(device, normed, sequences, last);
    Head::forward(device, params.head, last, logits, tape ? &tape->head : nullptr);
    if constexpr (spec.logit_soft_cap > 0) ops::soft_cap<Scalar>(device, spec.logit_soft_cap, logits, logits);
  }

  /// dx += what the logits send back. Under a soft cap they are computed once more: kept, they would be the
  /// largest part of a tape.
  static void add_logits_gradient(Device& device, const Params& params, const Tape& tape,
                                  View<const Scalar, Device, dyn, vocabulary> dlogits, Gradients& gradients,
                                  Write write, RowsOf dx) {
    const ArenaScope scope(device);
    if constexpr (spec.logit_soft_cap > 0) {
      const auto logits = take<Scalar, dyn, vocabulary>(device, dlogits.rows());
      Head::forward(device, params.head, tape.head.input, logits);
      ops::soft_cap_backward<Scalar>(device, spec.logit_soft_cap, logits, dlogits, logits);
      dlogits = logits;
    }
    const auto dlast = take<Scalar, dyn, hidden>(device, dlogits.rows());
    Head::backward(device, params.head, tape.head, dlogits, dlast, gradients.head, write);
    add_last(device, dlast, tape.sequences, dx);
  }

  static void give_input_gradients(Device& device, const Params& params, const Tape& tape, ConstRows dread,
                                   const InputGradient& dinput, Gradients& gradients, Write write) {
    const auto& [count, length, count_stride, length_stride] = tape.sequences;
    const Index tokens = tape.tokens;
    constexpr bool trains = std::same_as<Weights, Trainable>;
    if (dinput.appended) device.fill(dinput.appended.data(), 0, dinput.appended.bytes());
    auto dx = dinput.x;
    if (!dx && trains && tape.embedding.ids) dx = take<Scalar, dyn, hidden>(device, count * tokens);
    for (Index i = 0; i < count; ++i) {
      const auto of_sequence = dread.slice(i * length, length);
      if (dx) ops::cast<Scalar, Scalar>(device, of_sequence.slice(0, tokens), dx.slice(i * tokens, tokens));
      if (dinput.appended)
        ops::add<Scalar>(device, dinput.appended, of_sequence.slice(tokens, length - tokens),
                         dinput.appended);
    }
    if constexpr (trains)
      if (tape.embedding.ids)
        Table::backward(device, params.embedding, tape.embedding, dx, {}, gradients.embedding, write);
  }
};

}  // namespace hyperblocks
