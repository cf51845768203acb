// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TaskTrunk: Text-to-LoRA's MLPs between the task's code and the heads, row by row:
//   x = mlp1(mixer([code, layer, linear]))       a row for every linear, layer and text
//   x = x + side(A or B)                         if A and B share a head: a row for each
//   x = mlp2(x), or of every rank its own        a row for each, if ranks come one at a time
//   y = mlp3(x)
// Rows lie in the order (linears, sides, layers, texts, ranks), so that those of a head lie together.
#pragma once

#include <hyperblocks/blocks/residual_mlp.hpp>
#include <hyperblocks/hypernets/repeats.hpp>

namespace hyperblocks {

/// What tells ranks apart that come one at a time.
enum class RankPositions : std::uint8_t { rotary, learned };

struct TaskTrunkSpec {
  Index code = 0;
  Index layers = 0, linears = 0;
  Index places = 0;  ///< how wide a layer's and a linear's embedding is; 0: they are one-hot
  Index out = 0;
  bool sides = false;  ///< rows for A and for B
  Index ranks = 0;     ///< rows for each rank; 0: one for all
  RankPositions positions = RankPositions::rotary;
};

namespace detail {
/// One sentence for a rotation of pairs that leaves a number over.
template <bool rotary, Index width>
struct RotaryWidth {
  static_assert(!rotary || width % 2 == 0,
                "hyperblocks: rotary rank positions turn pairs of numbers: RotaryWidth<true, an even width>");
};
}  // namespace detail

/// y (rows, width) = LayerNorm(table)
template <Index rows, Index width, RealScalar Scalar, class Device, class Weights = Trainable>
struct NormalisedTable {
  using Norm = LayerNorm<LayerNormSpec{width}, Scalar, Device, Weights>;
  using Output = View<Scalar, Device, dyn, width>;
  using OutputGradient = View<const Scalar, Device, dyn, width>;

  template <Role role>
  struct Parts {
    Table<role, Weights, Scalar, Device, rows, width> weight;
    typename Norm::template Parts<role> norm;
    static constexpr auto fields() {
      return std::tuple{Field{"weight", &Parts::weight}, Field{"norm", &Parts::norm}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = typename Norm::Tape;

  /// Standard normal.
  static void initialise(Device& device, Params& params, Random& random) {
    fill_normal(device, params.weight, random, 1);
    Norm::initialise(device, params.norm, random);
  }

  static Output forward(Device& device, const Params& params, Tape* tape = nullptr) {
    using Stored = typename decltype(params.weight)::ScalarType;
    const auto table = take<Scalar, dyn, width>(device, rows), y = take<Scalar, dyn, width>(device, rows);
    ops::cast<Scalar, Stored>(device, params.weight, table);
    Norm::forward(device, params.norm, table, y, tape);
    return y;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       Gradients& gradients, Write write) {
    if constexpr (std::same_as<Weights, Trainable>) {
      const ArenaScope scope(device);
      const auto dtable = take<Scalar, dyn, width>(device, rows);
      Norm::backward(device, params.norm, tape, dy, dtable, gradients.norm, write);
      const View<Scalar, Device, dyn, width> to = gradients.weight.view();
      if (write == Write::assign)
        ops::cast<Scalar, Scalar>(device, dtable, to);
      else
        ops::add<Scalar>(device, to, dtable, to);
    }
  }
};

template <TaskTrunkSpec spec_, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct TaskTrunk {
  static constexpr TaskTrunkSpec spec = spec_;
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr bool one_hot = spec.places == 0, by_rank = spec.ranks > 0;
  static constexpr bool learned = by_rank && spec.positions == RankPositions::learned;
  static constexpr bool rotated = by_rank && !learned;
  static constexpr Index width = spec.code + (one_hot ? spec.layers + spec.linears : 2 * spec.places);
  static_assert(sizeof(detail::RotaryWidth<rotated, width>) > 0);
  static constexpr Index in = spec.code, out = spec.out;
  /// Rows of a linear, of one text.
  static constexpr Index linear_rows = (spec.sides ? 2 : 1) * spec.layers * (by_rank ? spec.ranks : 1);

  template <Index from, Index to>
  using Layer = Linear<LinearSpec{from, to}, Scalar, Device, Weights>;
  template <Index of>
  using Silu = Activate<Activation::silu, of, Scalar, Device>;
  using Norm = LayerNorm<LayerNormSpec{width}, Scalar, Device, Weights>;
  template <bool present, Index rows, Index of>
  using Places =
      std::conditional_t<present, NormalisedTable<rows, std::max<Index>(of, 1), Scalar, Device, Weights>,
                         Nothing>;
  using Depth = Places<!one_hot, spec.layers, spec.places>;
  using Type = Places<!one_hot, spec.linears, spec.places>;
  using Sides = Places<spec.sides, 2 * spec.linears, width>;
  using Ranks = Places<learned, spec.ranks, width>;
  using Mixer = Chain<Layer<width, 4 * width>, Silu<4 * width>, Layer<4 * width, width>, Silu<width>>;
  using Mlp = ResidualMlp<ResidualMlpSpec{.width = width, .inner = 4 * width, .tail = MlpTail::activation},
                          Scalar, Device, Weights>;
  using Last = Chain<Norm, Layer<width, 4 * width>, Silu<4 * width>, Layer<4 * width, out>, Silu<out>>;

  using Input = View<const Scalar, Device, dyn, in>;  // codes (texts, code)
  using Output = View<Scalar, Device, dyn, out>;      // (linears * linear_rows * texts, out)
  using InputGradient = View<Scalar, Device, dyn, in>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    OptionalParts<Depth, role> depth;
    OptionalParts<Type, role> type;
    typename Mixer::template Parts<role> mixer;
    typename Mlp::template Parts<role> mlp1;
    OptionalParts<Sides, role> sides;  ///< of every linear A's row, then B's
    OptionalParts<Ranks, role> ranks;
    typename Mlp::template Parts<role> mlp2;
    typename Last::template Parts<role> mlp3;
    static constexpr auto fields() {
      return std::tuple{Field{"depth", &Parts::depth}, Field{"type", &Parts::type},
                        Field{"mixer", &Parts::mixer}, Field{"mlp1", &Parts::mlp1},
                        Field{"sides", &Parts::sides}, Field{"ranks", &Parts::ranks},
                        Field{"mlp2", &Parts::mlp2},   Field{"mlp3", &Parts::mlp3}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    OptionalTape<Depth> depth;
    OptionalTape<Type> type;
    typename Mixer::Tape mixer;
    typename Mlp::Tape mlp1;
    OptionalTape<Sides> sides;
    OptionalTape<Ranks> ranks;
    typename Mlp::Tape sides_mlp2, mlp2;  ///< with sides and ranks it runs twice
    typename Last::Tape mlp3;
    Dropout dropout;  ///< of what the mixer reads
  };

  static void initialise(Device& device, Params& params, Random& random) {
    if constexpr (!one_hot) {
      Depth::initialise(device, params.depth, random);
      Type::initialise(device, params.type, random);
    }
    Mixer::initialise(device, params.mixer, random);
    Mlp::initialise(device, params.mlp1, random);
    if constexpr (spec.sides) Sides::initialise(device, params.sides, random);
    if constexpr (learned) Ranks::initialise(device, params.ranks, random);
    Mlp::initialise(device, params.mlp2, random);
    Last::initialise(device, params.mlp3, random);
  }

  /// Dropout is for training: of what the mixer reads, and behind activations but the last.
  static void forward(Device& device, const Params& params, Input codes, Output y, Tape* tape = nullptr,
                      const Dropout& dropout = {}) {
    const ArenaScope scope(device, tape != nullptr);
    if (tape) set_dropouts(*tape, dropout);
    const Index rows = spec.linears * spec.layers * codes.rows();
    const Rows placed = scratch(device, rows), mixed = scratch(device, rows), x = scratch(device, rows);
    place(device, params, codes, placed, tape);
    if (dropout) ops::dropout<Scalar>(device, placed, tape->dropout, placed);
    Mixer::forward(device, params.mixer, placed, mixed, tape ? &tape->mixer : nullptr);
    Mlp::forward(device, params.mlp1, mixed, x, tape ? &tape->mlp1 : nullptr);
    const Rows last = to_ranks(device, params, to_sides(device, params, x, tape), tape);
    Last::forward(device, params.mlp3, last, y, tape ? &tape->mlp3 : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dcodes, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Rows dlast = scratch(device, dy.rows());
    Last::backward(device, params.mlp3, tape.mlp3, dy, dlast, gradients.mlp3, write);
    const Rows dranked = from_ranks(device, params, tape, dlast, gradients, write);
    const Rows dx = from_sides(device, params, tape, dranked, gradients, write);
    const Rows dmixed = scratch(device, dx.rows()), dplaced = scratch(device, dx.rows());
    Mlp::backward(device, params.mlp1, tape.mlp1, dx, dmixed, gradients.mlp1, write);
    Mixer::backward(device, params.mixer, tape.mixer, dmixed, dplaced, gradients.mixer, write);
    if (tape.dropout) ops::dropout<Scalar>(device, dplaced, tape.dropout, dplaced);
    place_backward(device, params, tape, dplaced, dcodes, gradients, write);
  }

 private:
  using Rows = View<Scalar, Device, dyn, width>;
  static void set_dropouts(Tape& tape, const Dropout& dropout) {
    Random random(dropout.seed);
    tape.dropout = {dropout.rate, random.bits()};
    for (auto* const mlp : {&tape.mlp1, &tape.sides_mlp2, &tape.mlp2})
      set_dropout(*mlp, dropout.rate, random);
    set_dropout(tape.mixer, dropout.rate, random);
    set_dropout(tape.mlp3, dropout.rate, random);
    std::get<std::tuple_size_v<typename Last::Tape> - 1>(tape.mlp3).dropout = {};
  }
  static Rows scratch(Device& device, Index rows) { return take<Scalar, dyn, width>(device, rows); }
  static void add_repeated(Device& device, const Repeats& repeats, Rows from, Rows to) {
    const ArenaScope scope(device);
    const Rows repeated = scratch(device, to.rows());
    repeat<Scalar>(device, repeats, from, repeated);
    ops::add<Scalar>(device, to, repeated, to);
  }

  /// What the rows of a pass repeat: (linears, layers, texts) those of the texts, of the layers, of the
  /// linears.
  static Repeats of_texts(Index texts) { return {spec.linears * spec.layers, texts, 1}; }
  static Repeats of_layers(Index texts) { return {spec.linears, spec.layers, texts}; }
  static Repeats of_linears(Index texts) { return {1, spec.linears, spec.layers * texts}; }

  static void place(Device& device, const Params& params, Input codes, Rows x, Tape* tape) {
    const Index texts = codes.rows();
    repeat<Scalar>(device, of_texts(texts), codes, x);
    if constexpr (one_hot) {
      static const std::vector<Scalar> host = one_hot_places();  // made once: the type says all of it
      const auto places = take<Scalar, dyn, width - in>(device, spec.linears * spec.layers);
      device.upload(places.data(), host.data(), places.bytes());
      repeat<Scalar>(device, {1, spec.linears * spec.layers, texts}, places, x, in);
    } else {
      const auto depth = Depth::forward(device, params.depth, tape ? &tape->depth : nullptr);
      const auto type = Type::forward(device, params.type, tape ? &tape->type : nullptr);
      repeat<Scalar>(device, of_layers(texts), depth, x, in);
      repeat<Scalar>(device, of_linears(texts), type, x, in + spec.places);
    }
  }

  static void place_backward(Device& device, const Params& params, const Tape& tape, Rows dx,
                             InputGradient dcodes, Gradients& gradients, Write write) {
    const Index texts = dx.rows() / (spec.linears * spec.layers);
    if (dcodes) sum_repeats<Scalar>(device, of_texts(texts), dx, dcodes);
    if constexpr (!one_hot && std::same_as<Weights, Trainable>) {
      const auto ddepth = take<Scalar, dyn, spec.places>(device, spec.layers);
      const auto dtype = take<Scalar, dyn, spec.places>(device, spec.linears);
      sum_repeats<Scalar>(device, of_layers(texts), dx, ddepth, in);
      sum_repeats<Scalar>(device, of_linears(texts), dx, dtype, in + spec.places);
      Depth::backward(device, params.depth, tape.depth, ddepth, gradients.depth, write);
      Type::backward(device, params.type, tape.type, dtype, gradients.type, write);
    }
  }

  static std::vector<Scalar> one_hot_places() {
    std::vector<Scalar> host(static_cast<std::size_t>(spec.linears * spec.layers * (width - in)),
                             scalar_cast<Scalar>(0.0));
    for (Index row = 0; row < spec.linears * spec.layers; ++row)
      for (const Index column : {row % spec.layers, spec.layers + row / spec.layers})
        host[static_cast<std::size_t>(row * (width - in) + column)] = scalar_cast<Scalar>(1.0);
    return host;
  }

  /// Of every linear's rows two copies, the first with A's embedding, the second with B's.
  static Rows to_sides(Device& device, const Params& params, Rows x, Tape* tape) {
    if constexpr (!spec.sides) {
      return x;
    } else {
      const Rows both = scratch(device, 2 * x.rows());
      repeat<Scalar>(device, {1, spec.linears, 2}, linear_by_linear(x, 1), linear_by_linear(both, 2));
      const Rows sides = Sides::forward(device, params.sides, tape ? &tape->sides : nullptr);
      add_repeated(device, {1, 2 * spec.linears, x.rows() / spec.linears}, sides, both);
      if constexpr (!by_rank) return both;
      const Rows y = scratch(device, both.rows());
      Mlp::forward(device, params.mlp2, both, y, tape ? &tape->sides_mlp2 : nullptr);
      return y;
    }
  }

  static Rows from_sides(Device& device, const Params& params, const Tape& tape, Rows dy,
                         Gradients& gradients, Write write) {
    if constexpr (!spec.sides) {
      return dy;
    } else {
      Rows dboth = dy;
      if constexpr (by_rank) {  // mlp2's second gradient, after that of the ranks
        dboth = scratch(device, dy.rows());
        Mlp::backward(device, params.mlp2, tape.sides_mlp2, dy, dboth, gradients.mlp2, Write::add);
      }
      const Rows dsides = scratch(device, 2 * spec.linears), dx = scratch(device, dy.rows() / 2);
      sum_repeats<Scalar>(device, {1, 2 * spec.linears, dx.rows() / spec.linears}, dboth, dsides);
      Sides::backward(device, params.sides, tape.sides, dsides, gradients.sides, write);
      sum_repeats<Scalar>(device, {1, spec.linears, 2}, linear_by_linear(dboth, 2), linear_by_linear(dx, 1));
      return dx;
    }
  }

  /// All numbers of a linear's side as one row.
  static ops::Rows<Scalar, Device> linear_by_linear(Rows x, Index sides) {
    return x.template reshape<dyn, dyn>(spec.linears * sides, x.size() / (spec.linears * sides));
  }

  /// mlp2, of every row's ranks if they come one at a time. With sides a learned position goes through mlp2
  /// alone, and is added.
  static Rows to_ranks(Device& device, const Params& params, Rows x, Tape* tape) {
    Rows ranks = x;
    if constexpr (by_rank) {
      ranks = scratch(device, x.rows() * spec.ranks);
      repeat<Scalar>(device, {1, x.rows(), spec.ranks}, x, ranks);
    }
    if constexpr (rotated) turn(device, ranks, false);
    const auto mlp2 = [&](Rows from) {
      const Rows to = scratch(device, from.rows());
      Mlp::forward(device, params.mlp2, from, to, tape ? &tape->mlp2 : nullptr);
      return to;
    };
    if constexpr (learned) {
      const Rows positions = Ranks::forward(device, params.ranks, tape ? &tape->ranks : nullptr);
      add_repeated(device, {x.rows(), spec.ranks, 1}, spec.sides ? mlp2(positions) : positions, ranks);
      if constexpr (spec.sides) return ranks;
    }
    return mlp2(ranks);
  }

  static Rows from_ranks(Device& device, const Params& params, const Tape& tape, Rows dy,
                         Gradients& gradients, Write write) {
    const auto mlp2 = [&](Rows from) {
      const Rows to = scratch(device, from.rows());
      Mlp::backward(device, params.mlp2, tape.mlp2, from, to, gradients.mlp2, write);
      return to;
    };
    if constexpr (!by_rank) return mlp2(dy);
    const Rows dranks = learned && spec.sides ? dy : mlp2(dy);
    const Rows dx = scratch(device, dy.rows() / std::max<Index>(spec.ranks, 1));
    if constexpr (learned) {
      const Rows dpositions = scratch(device, spec.ranks);
      sum_repeats<Scalar>(device, {dx.rows(), spec.ranks, 1}, dranks, dpositions);
      Ranks::backward(device, params.ranks, tape.ranks, spec.sides ? mlp2(dpositions) : dpositions,
                      gradients.ranks, write);
    }
    if constexpr (rotated) turn(device, dranks, true);
    sum_repeats<Scalar>(device, {1, dx.rows(), spec.ranks}, dranks, dx);
    return dx;
  }

  /// Every row by the rank that it is for.
  static void turn(Device& device, Rows x, bool inverse) {
    using Float = Accumulator<Scalar>;
    const ArenaScope scope(device);
    static const std::array<std::vector<Float>, 2> host = rank_tables();  // as above
    const auto cosines = take<Float, dyn, dyn>(device, spec.ranks, width / 2);
    const auto sines = take<Float, dyn, dyn>(device, spec.ranks, width / 2);
    device.upload(cosines.data(), host[0].data(), cosines.bytes());
    device.upload(sines.data(), host[1].data(), sines.bytes());
    const Rotary<Float, Device> rotary{.cosines = cosines, .sines = sines};
    ops::rope<Scalar>(device, x, rotary, spec.ranks, 1, RopeLayout::half_split, inverse);
  }

  static std::array<std::vector<Accumulator<Scalar>>, 2> rank_tables() {
    std::array<std::vector<Accumulator<Scalar>>, 2> host;
    for (auto& table : host) table.resize(static_cast<std::size_t>(spec.ranks * (width / 2)));
    rope_tables<Accumulator<Scalar>>({}, 10000, width, spec.ranks, host[0], host[1]);
    return host;
  }
};

}  // namespace hyperblocks
