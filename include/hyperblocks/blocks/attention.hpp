// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention: y = W_o softmax(scale q k^T) v with q = W_q x and k, v from x (self) or from a context (cross),
// in heads of which several may share keys and values; on the way, as the spec says, RMSNorm of q's and k's
// heads, rotary positions, soft cap, causality, sliding window. Rows of many sequences lie in one matrix.
#pragma once

#include <span>

#include <hyperblocks/blocks/absorbed_attention.hpp>
#include <hyperblocks/blocks/linear.hpp>
#include <hyperblocks/blocks/norm.hpp>

namespace hyperblocks {

struct AttentionSpec {
  Index hidden = 0;
  Index heads = 0;
  Index kv_heads = 0;    ///< 0: as many as heads
  Index head_width = 0;  ///< 0: hidden / heads
  Index context = 0;     ///< cross attention: how wide the context is; 0: self attention
  bool bias = false;     ///< of q, k and v
  bool output_bias = false;
  bool causal = false;
  Index window = 0;     ///< a query sees that many keys, itself the last; 0: all
  Index rotated = 0;    ///< how many numbers of a head rotary positions turn; 0: no rotary positions
  double scale = 0;     ///< 0: 1 / sqrt(head_width)
  double soft_cap = 0;  ///< scores become cap tanh(score / cap); 0: they stay
  RopeLayout layout = RopeLayout::half_split;
  bool head_norm = false;  ///< q's and k's heads go through an RMSNorm before rotary positions
  double epsilon = 1e-6;   ///< of the heads' norms, as the next
  double shift = 0;
  /// Cross attention with frozen weights: queries are far fewer than the context's rows, so that without a
  /// tape no keys and values are made of it: see absorbed_attention.hpp.
  bool few_queries = false;

  constexpr Index key_heads() const { return kv_heads != 0 ? kv_heads : heads; }
  constexpr Index width() const { return head_width != 0 || heads == 0 ? head_width : hidden / heads; }
};

/// Keys and values of the tokens before a pass's own, (sequences, key heads, capacity, width), and how many
/// there are of each sequence. Forward writes the pass's behind them; the caller counts them when all layers
/// are done.
template <class Scalar, class Device>
struct AttentionCache {
  View<Scalar, Device, dyn, dyn, dyn, dyn> keys = {}, values = {};
  View<const std::int32_t, Device, dyn> past = {};
};

/// What a pass says about its rows besides their numbers.
template <class Scalar, class Device, Index context_width>
struct AttentionSetup {
  Sequences sequences = {};
  View<const Scalar, Device, dyn, context_width> context = {};  ///< cross attention only, as the next
  Sequences context_sequences = {};
  Rotary<Accumulator<Scalar>, Device> rotary = {};
  AttentionMask mask = {};  ///< where a query may see a key; kept by the caller until backward is done
  Index window = 0;         ///< in place of the spec's, unless 0
  AttentionCache<Scalar, Device> cache = {};  ///< generation: no backward pass follows
};

namespace detail {
/// One sentence for heads that do not fit, with the numbers in the type.
template <Index hidden, Index heads>
struct HeadsDivide {
  static_assert(
      heads > 0 && hidden > 0 && hidden % heads == 0,
      "hyperblocks: an Attention's heads must divide hidden, or head_width be given: HeadsDivide<hidden, "
      "heads>");
};
template <Index heads, Index kv_heads>
struct GroupsDivide {
  static_assert(heads % kv_heads == 0,
                "hyperblocks: an Attention's kv_heads must divide its heads: GroupsDivide<heads, kv_heads>");
};
template <Index rotated, Index width>
struct RotatedFits {
  static_assert(
      rotated % 2 == 0 && rotated <= width,
      "hyperblocks: an Attention's rotated must be even and within the heads' width: RotatedFits<rotated, "
      "width>");
};
}  // namespace detail

template <AttentionSpec spec_, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct Attention {
  static constexpr AttentionSpec spec = spec_;  // clang 19 reads a template argument's doubles wrongly
  static_assert(sizeof(detail::HeadsDivide < spec.head_width == 0 ? spec.hidden : spec.heads, spec.heads >) >
                0);
  static_assert(sizeof(detail::GroupsDivide<spec.heads, std::max<Index>(spec.key_heads(), 1)>) > 0);
  static_assert(sizeof(detail::RotatedFits<spec.rotated, spec.width()>) > 0);
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr bool crosses = spec.context > 0;
  static constexpr Index rotated = spec.rotated;
  static constexpr Index in = spec.hidden, out = spec.hidden, context_width = spec.context,
                         width = spec.width();
  static constexpr Index query_width = spec.heads * width, key_width = spec.key_heads() * width;
  static constexpr Index key_source = crosses ? spec.context : spec.hidden;
  static_assert(!crosses || spec.rotated == 0, "hyperblocks: cross attention has no rotary positions");
  static constexpr bool absorbs = [] {
    if constexpr (std::same_as<Weights, Trainable> || !spec.few_queries || spec.bias || spec.head_norm) {
      return false;
    } else {
      using Stored =
          typename Parameter<Role::value, Weights, true, Scalar, Device, key_width, key_source>::ScalarType;
      constexpr Index widest = 2048 / sizeof(Accumulator<Scalar>);  // that devices attend with
      return crosses && !spec.causal && spec.window == 0 && key_source <= widest &&
             width % Ops<Device>::template rows_together<Stored>() == 0;
    }
  }();

  using Query = Linear<LinearSpec{spec.hidden, query_width, spec.bias}, Scalar, Device, Weights>;
  using Key = Linear<LinearSpec{key_source, key_width, spec.bias}, Scalar, Device, Weights>;
  using Merge = Linear<LinearSpec{query_width, spec.hidden, spec.output_bias}, Scalar, Device, Weights>;
  using HeadNorm = RmsNorm<RmsNormSpec{width, spec.epsilon, spec.shift}, Scalar, Device, Weights>;
  template <Role role>
  using HeadNormParts = OptionalParts<std::conditional_t<spec.head_norm, HeadNorm, Nothing>, role>;

  using Setup = AttentionSetup<Scalar, Device, spec.context>;
  template <class S>
  struct Updates {
    typename Query::template Updates<S> query = {};
    typename Key::template Updates<S> key = {}, value = {};
    typename Merge::template Updates<S> output = {};
    static constexpr auto fields() {
      return std::tuple{Field{"query", &Updates::query}, Field{"key", &Updates::key},
                        Field{"value", &Updates::value}, Field{"output", &Updates::output}};
    }
  };
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};  // (rows, hidden)
    Setup setup = {};
    Updates<const Scalar> updates = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
    View<Scalar, Device, dyn, spec.context> context = {};
    Updates<Scalar> updates = {};
  };
  using Output = View<Scalar, Device, dyn, out>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    typename Query::template Parts<role> query;
    typename Key::template Parts<role> key, value;
    typename Merge::template Parts<role> output;
    HeadNormParts<role> query_norm, key_norm;
    static constexpr auto fields() {
      return std::tuple{Field{"query", &Parts::query},           Field{"key", &Parts::key},
                        Field{"value", &Parts::value},           Field{"output", &Parts::output},
                        Field{"query_norm", &Parts::query_norm}, Field{"key_norm", &Parts::key_norm}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Query::Tape query_linear;
    typename Key::Tape key_linear, value_linear;
    typename HeadNorm::Tape query_norm, key_norm;
    typename Merge::Tape merge;
    Setup setup;
    Sequences sequences, key_sequences;
    View<Scalar, Device, dyn, query_width> query, merged;  // as the attention op took and gave them
    View<Scalar, Device, dyn, key_width> key, value;
    View<Accumulator<Scalar>, Device, dyn> log_sum_exp;
  };

  /// Query, key and value together are Xavier uniform, as one matrix of three parts; biases are zero.
  static void initialise(Device& device, Params& params, Random& random) {
    const double bound = std::sqrt(6.0 / static_cast<double>(spec.hidden + query_width + 2 * key_width));
    fill_uniform(device, params.query.weight, random, bound);
    fill_uniform(device, params.key.weight, random, bound);
    fill_uniform(device, params.value.weight, random, bound);
    Merge::initialise(device, params.output, random);
    if constexpr (spec.bias) {
      fill_constant(device, params.query.bias, 0);
      fill_constant(device, params.key.bias, 0);
      fill_constant(device, params.value.bias, 0);
    }
    if constexpr (spec.output_bias) fill_constant(device, params.output.bias, 0);
    if constexpr (spec.head_norm) {
      HeadNorm::initialise(device, params.query_norm, random);
      HeadNorm::initialise(device, params.key_norm, random);
    }
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    Tape own;
    Tape& t = tape ? *tape : own;
    t.setup = input.setup;
    t.sequences = input.setup.sequences.of(input.x.rows());
    t.key_sequences = crosses ? context_sequences(input.setup, t.sequences) : t.sequences;
    const auto source = key_rows(input);
    const auto& updates = input.updates;
    if constexpr (absorbs)
      if (tape == nullptr && can_absorb(t, updates)) return forward_absorbed(device, params, input, t, y);

    const auto query = take<Scalar, dyn, query_width>(device, input.x.rows());
    const auto key = take<Scalar, dyn, key_width>(device, source.rows());
    t.value = take<Scalar, dyn, key_width>(device, source.rows());
    const LinearPass<Query> query_pass{params.query, updates.query, query, &t.query_linear};
    const LinearPass<Key> key_pass{params.key, updates.key, key, &t.key_linear};
    const LinearPass<Key> value_pass{params.value, updates.value, t.value, &t.value_linear};
    if constexpr (crosses) {
      forward_together(device, input.x, query_pass);
      forward_together(device, source, key_pass, value_pass);
    } else {
      forward_together(device, input.x, query_pass, key_pass, value_pass);
    }
    if constexpr (spec.head_norm) {
      t.query = normed(device, params.query_norm, query, tape ? &tape->query_norm : nullptr);
      t.key = normed(device, params.key_norm, key, tape ? &tape->key_norm : nullptr);
    } else {
      t.query = query, t.key = key;
    }
    t.merged = take<Scalar, dyn, query_width>(device, input.x.rows());
    if (t.setup.cache.keys) {
      attend_cached(device, t, tape != nullptr);
    } else {
      turn(device, t.setup.rotary, t, t.query, t.key, false);
      if (tape) t.log_sum_exp = take<Accumulator<Scalar>, dyn>(device, input.x.rows() * spec.heads);
      ops::attention<Scalar>(device, options(t.setup), queries(t, t.query), keys(t, t.key), keys(t, t.value),
                             queries(t, t.merged), t.log_sum_exp);
    }
    Merge::forward(device, params.output, {t.merged, updates.output}, y, &t.merge);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index rows = tape.query.rows(), key_rows = tape.key.rows();
    const auto dmerged = take<Scalar, dyn, query_width>(device, rows);
    const auto dquery = take<Scalar, dyn, query_width>(device, rows);
    const auto dkey = take<Scalar, dyn, key_width>(device, key_rows);
    const auto dvalue = take<Scalar, dyn, key_width>(device, key_rows);
    const auto& [dx, dcontext, updates] = dinput;

    Merge::backward(device, params.output, tape.merge, dy, {dmerged, updates.output}, gradients.output,
                    write);
    ops::attention_backward<Scalar>(device, options(tape.setup), queries(tape, tape.query),
                                    keys(tape, tape.key), keys(tape, tape.value), queries(tape, tape.merged),
                                    tape.log_sum_exp, queries(tape, dmerged), queries(tape, dquery),
                                    keys(tape, dkey), keys(tape, dvalue));
    turn(device, tape.setup.rotary, tape, dquery, dkey, true);
    const auto dprojected_query =
        unnormed(device, params.query_norm, tape.query_norm, dquery, gradients.query_norm, write);
    const auto dprojected_key =
        unnormed(device, params.key_norm, tape.key_norm, dkey, gradients.key_norm, write);

    View<Scalar, Device, dyn, key_source> dsource;
    if constexpr (crosses)
      dsource = dcontext;
    else
      dsource = dx;
    Query::backward(device, params.query, tape.query_linear, dprojected_query, {dx, updates.query},
                    gradients.query, write);
    Key::backward(device, params.key, tape.key_linear, dprojected_key, {dsource, updates.key}, gradients.key,
                  write, crosses ? Write::assign : Write::add);
    Key::backward(device, params.value, tape.value_linear, dvalue, {dsource, updates.value}, gradients.value,
                  write, Write::add);
  }

 private:
  /// Where keys and values come from.
  static View<const Scalar, Device, dyn, key_source> key_rows(const Input& input) {
    if constexpr (crosses)
      return input.setup.context;
    else
      return input.x;
  }

  /// The sequences of the context: one for each of the rows'.
  static Sequences context_sequences(const Setup& setup, const Sequences& sequences) {
    const bool given = static_cast<bool>(setup.context);
    const Sequences found = given ? setup.context_sequences.of(setup.context.rows()) : Sequences();
    check(given && found.count == sequences.count, [&] {
      return Error("the context does not fit the rows", "Attention",
                   "a context of " + std::to_string(sequences.count) + " sequences",
                   given ? std::to_string(found.count) : "none");
    });
    return found;
  }

  static bool can_absorb(const Tape& t, const Updates<const Scalar>& updates) {
    const AttentionMask& mask = t.setup.mask;
    return !updates.key && !updates.value && t.sequences.length_stride == 1 && mask.query_stride == 0 &&
           mask.head_stride == 0 && t.setup.window == 0;
  }
  static void forward_absorbed(Device& device, const Params& params, const Input& input, const Tape& t,
                               Output y) {
    const auto query = take<Scalar, dyn, query_width>(device, input.x.rows());
    const auto merged = take<Scalar, dyn, query_width>(device, input.x.rows());
    Query::forward(device, params.query, {input.x, input.updates.query}, query);
    detail::attend_absorbed<Scalar>(device, options(t.setup),
                                    View<const Scalar, Device, dyn, query_width>(query), t.sequences,
                                    params.key.weight, params.value.weight, input.setup.context,
                                    t.key_sequences, spec.key_heads(), merged);
    Merge::forward(device, params.output, {merged, input.updates.output}, y);
  }

  static AttentionOptions options(const Setup& setup) {
    const double scale = spec.scale != 0 ? spec.scale : 1 / std::sqrt(static_cast<double>(width));
    return {scale, spec.soft_cap, spec.causal, setup.window != 0 ? setup.window : spec.window, setup.mask};
  }

  template <class S>
  static Heads<S> queries(const Tape& tape, View<S, Device, dyn, query_width> x) {
    return tape.sequences.heads_of(x, spec.heads);
  }
  template <class S>
  static Heads<S> keys(const Tape& tape, View<S, Device, dyn, key_width> x) {
    return tape.key_sequences.heads_of(x, spec.key_heads());
  }

  /// Queries against the cached keys and those of this pass, which join the cache.
  static void attend_cached(Device& device, const Tape& t, bool keeps_tape) {
    const auto& cache = t.setup.cache;
    const Index count = t.sequences.count, capacity = cache.keys.extent(2);
    check(!keeps_tape && !crosses && t.sequences.length_stride == 1, [] {
      return Error("a cache does not fit this pass", "Attention: setup.cache",
                   "self attention without a tape, along rows", "another");
    });
    check(cache.keys.shape().all() == cache.values.shape().all() && cache.keys.extent(0) == count &&
              cache.keys.extent(1) == spec.key_heads() && cache.keys.columns() == width &&
              cache.past.size() == count,
          [&] {
            return Error("the cache does not fit the rows", "Attention: setup.cache",
                         "(" + std::to_string(count) + ", " + std::to_string(spec.key_heads()) +
                             ", capacity, " + std::to_string(width) + ") and as many lengths",
                         to_string(cache.keys.shape().all()) + " and " + std::to_string(cache.past.size()));
          });
    auto rotary = t.setup.rotary;
    rotary.past = cache.past;
    turn(device, rotary, t, t.query, t.key, false);
    const auto all = [&](const auto& cached) {
      return Heads<Scalar>{cached.data(),        count, capacity,        spec.key_heads(), width,
                           capacity * key_width, width, capacity * width};
    };
    ops::append_heads<Scalar>(device, keys(t, t.key), all(cache.keys), cache.past);
    ops::append_heads<Scalar>(device, keys(t, t.value), all(cache.values), cache.past);
    AttentionOptions choice = options(t.setup);
    choice.past = cache.past.data();
    ops::attention<Scalar>(device, choice, queries(t, t.query), all(cache.keys), all(cache.values),
                           queries(t, t.merged), {});
  }

  /// Rotary positions of queries and keys, or of their gradients.
  static void turn(Device& device, const Rotary<Accumulator<Scalar>, Device>& rotary, const Tape& tape,
                   View<Scalar, Device, dyn, query_width> query, View<Scalar, Device, dyn, key_width> key,
                   bool inverse) {
    if constexpr (spec.rotated > 0) {
      const Sequences& sequences = tape.sequences;
      check(2 * rotary.cosines.columns() == spec.rotated, [&] {
        return Error("the rotary tables do not fit the heads", "Attention: setup.rotary",
                     "(positions, " + std::to_string(spec.rotated / 2) + ")",
                     rotary.cosines ? to_string(rotary.cosines.shape().all()) : "none");
      });
      check(rotary.positions || sequences.length_stride == 1 || sequences.count <= 1, [] {
        return Error("interleaved sequences do not say their positions", "Attention: setup.rotary",
                     "the position of every row", "none");
      });
      ops::rope<Scalar>(device, query, rotary, sequences.length, spec.heads, spec.layout, inverse);
      ops::rope<Scalar>(device, key, rotary, sequences.length, spec.key_heads(), spec.layout, inverse);
    }
  }

  /// The norm of every head, in place unless a backward pass follows.
  template <Index columns>
  static View<Scalar, Device, dyn, columns> normed(Device& device, const typename HeadNorm::Params& params,
                                                   View<Scalar, Device, dyn, columns> x,
                                                   typename HeadNorm::Tape* tape) {
    const auto y = tape ? take<Scalar, dyn, columns>(device, x.rows()) : x;
    const Index heads = x.size() / width;
    HeadNorm::forward(device, params, x.template reshape<dyn, width>(heads),
                      y.template reshape<dyn, width>(heads), tape);
    return y;
  }

  template <Index columns, class NormParams, class NormGradients>
  static View<Scalar, Device, dyn, columns> unnormed(Device& device, const NormParams& params,
                                                     const typename HeadNorm::Tape& tape,
                                                     View<Scalar, Device, dyn, columns> dy,
                                                     NormGradients& gradients, Write write) {
    if constexpr (spec.head_norm) {
      const auto dx = take<Scalar, dyn, columns>(device, dy.rows());
      const Index heads = dy.size() / width;
      HeadNorm::backward(device, params, tape, dy.template reshape<dyn, width>(heads),
                         dx.template reshape<dyn, width>(heads), gradients, write);
      return dx;
    } else {
      return dy;
    }
  }
};

}  // namespace hyperblocks
