// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// FactorHeads: latents to the factors of chosen linears. Latents (layers, linears, pieces, ranks) go through
// residual MLPs, are scaled to length one, and through two matrices of each (layer, linear): a row of A and a
// row of B of every rank of every piece; their rows then are multiplied by learned scales. Pieces lie behind
// one another in A (pieces * rank, in) and B (pieces * rank, out): that is their sum. Besides there may be
// learned factors that no latent changes.
#pragma once

#include <cmath>

#include <hyperblocks/blocks/residual_mlp.hpp>
#include <hyperblocks/lora/adapter.hpp>

namespace hyperblocks {

struct FactorHeadsSpec {
  Index rank = 8;
  Targets targets = {};
  Index latent = 512;
  bool per_rank = true;  ///< a latent for each rank, or one that gives all ranks at once
  Index mlps = 4;
  Index mlp_inner = 0;          ///< 0: 4 latent
  bool mlps_per_layer = false;  ///< their linears, not their norms
  bool bias = true;             ///< with factors that no latent changes
};

template <class Model_, FactorHeadsSpec spec_, class Weights = Trainable>
struct FactorHeads {
  using Model = Model_;
  static constexpr FactorHeadsSpec spec = spec_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr Index depth = Model::spec.layers, rank = spec.rank, latent = spec.latent;
  static constexpr Index linears = [] {
    Index count = 0;
    for (const Projection projection : all_projections) count += spec.targets.contains(projection);
    return count;
  }();
  static_assert(rank > 0 && latent > 0 && linears > 0,
                "hyperblocks: FactorHeads need a rank, a latent width and targets of one or more");
  /// How many latents of a piece a linear reads, and how many ranks each of them gives.
  static constexpr Index reads = spec.per_rank ? rank : 1, gives = rank / reads;
  using Mlps =
      Repeated<ResidualMlp<ResidualMlpSpec{.width = latent,
                                           .inner = spec.mlp_inner != 0 ? spec.mlp_inner : 4 * latent,
                                           .layers = spec.mlps_per_layer ? depth : 1},
                           Scalar, Device, Weights>,
               spec.mlps>;
  using Unit = UnitLength<latent, Scalar, Device>;
  template <class S>
  using Updates = typename Model::template Updates<S>;
  using Rows = View<const Scalar, Device, dyn, latent>;

  /// Of one linear of one layer.
  template <Projection projection>
  struct Head {
    static constexpr Index in = size_of(Model::spec, projection).in,
                           out = size_of(Model::spec, projection).out;
    using A = Linear<LinearSpec{latent, gives* in, false}, Scalar, Device, Weights>;
    using B = Linear<LinearSpec{latent, gives* out, false}, Scalar, Device, Weights>;
    template <Role role, Index width>
    using Bias = std::conditional_t<spec.bias, Plain<role, Weights, Scalar, Device, rank, width>, Nothing>;
    template <Role role>
    struct Parts {
      typename A::template Parts<role> a;
      typename B::template Parts<role> b;
      Plain<role, Weights, Scalar, Device, rank> scale_a, scale_b;
      [[no_unique_address]] Bias<role, in> bias_a;
      [[no_unique_address]] Bias<role, out> bias_b;
      static constexpr auto fields() {
        return std::tuple{Field{"a", &Parts::a},
                          Field{"b", &Parts::b},
                          Field{"scale_a", &Parts::scale_a},
                          Field{"scale_b", &Parts::scale_b},
                          Field{"bias_a", &Parts::bias_a},
                          Field{"bias_b", &Parts::bias_b}};
      }
    };
    /// The rows of A and B are those before they are scaled.
    struct Tape {
      typename A::Tape a;
      typename B::Tape b;
      View<Scalar, Device, dyn, in> rows_of_a;
      View<Scalar, Device, dyn, out> rows_of_b;
    };
  };
  template <Projection projection, class Chosen>
  using IfTarget = std::conditional_t<spec.targets.contains(projection), Chosen, Nothing>;
  template <Role role>
  struct PartsOf {
    template <Projection projection>
    using Of = IfTarget<projection, typename Head<projection>::template Parts<role>>;
  };
  template <Projection projection>
  using TapeOf = IfTarget<projection, typename Head<projection>::Tape>;

  struct Input {
    Rows x = {};                                  // (layers * linears * pieces * reads, latent)
    View<const Scalar, Device, dyn> pieces = {};  ///< a factor for each piece's rows of A, optional
    double scale = 1;                             ///< of A's rows and of B's
  };
  struct InputGradient {
    View<Scalar, Device, dyn, latent> x = {};
  };
  /// The updates' memory is written: A (pieces * rank, in), B (pieces * rank, out), both as rows.
  using Output = Updates<Scalar>;
  using OutputGradient = Updates<const Scalar>;

  template <Role role>
  struct Parts {
    typename Mlps::template Parts<role> mlps;
    std::array<PerLinear<PartsOf<role>::template Of>, static_cast<std::size_t>(depth)> layers;
    static constexpr auto fields() {
      return std::tuple{Field{"mlps", &Parts::mlps}, Field{"layers", &Parts::layers}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Index pieces = 0;
    View<const Scalar, Device, dyn> piece_scales;
    double scale = 1;
    typename Mlps::Tape mlps;
    typename Unit::Tape unit;
    std::array<PerLinear<TapeOf>, static_cast<std::size_t>(depth)> layers;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Mlps::initialise(device, params.mlps, random);
    if constexpr (spec.mlps_per_layer) {
      const auto widen = [&](auto& linear) {
        const double in = static_cast<double>(linear.weight.shape().all()[1]);
        fill_uniform(device, linear.weight, random, std::sqrt(3 / in));
      };
      for (auto& mlp : params.mlps) {
        for (auto& linear : std::get<1>(mlp)) widen(linear);
        for (auto& linear : std::get<3>(mlp)) widen(linear);
      }
    }
    each_head([&]<Projection projection>(std::size_t layer) {
      using H = Head<projection>;
      auto& head = linear_of<projection>(params.layers[layer]);
      const double deviation = 0.5 / std::sqrt(static_cast<double>(latent + rank * widest()));
      fill_normal(device, head.a.weight, random, deviation);
      fill_normal(device, head.b.weight, random, deviation);
      fill_constant(device, head.scale_a, 1);
      fill_constant(device, head.scale_b, 0);
      if constexpr (spec.bias) {
        fill_normal(device, head.bias_a, random, 0.2 / std::sqrt(static_cast<double>(H::in * rank)));
        fill_constant(device, head.bias_b, 0);
      }
    });
  }

  static void forward(Device& device, const Params& params, const Input& input, const Output& y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index pieces = check_input(input);
    if (tape) tape->pieces = pieces, tape->piece_scales = input.pieces, tape->scale = input.scale;
    const auto mixed = take<Scalar, dyn, latent>(device, input.x.rows());
    const auto unit = tape ? take<Scalar, dyn, latent>(device, input.x.rows()) : mixed;  // in place if free
    Mlps::forward(device, params.mlps, input.x, mixed, tape ? &tape->mlps : nullptr);
    Unit::forward(device, {}, mixed, unit, tape ? &tape->unit : nullptr);
    Index first = 0;
    each_head([&]<Projection projection>(std::size_t layer) {
      using H = Head<projection>;
      const ArenaScope inner(device, tape != nullptr);
      const auto& head = linear_of<projection>(params.layers[layer]);
      const auto& update = linear_of<projection>(y.layers[layer]);
      check_update(update, pieces);
      const Rows x = unit.slice(first, pieces * reads);
      first += pieces * reads;
      auto* const own = tape ? &linear_of<projection>(tape->layers[layer]) : nullptr;
      write_rows<typename H::A, H::in>(
          device, head.a, x, row_scales(device, head.scale_a, pieces, input.pieces, input.scale),
          update.a.rows(), own ? &own->a : nullptr, own ? &own->rows_of_a : nullptr);
      write_rows<typename H::B, H::out>(
          device, head.b, x, row_scales(device, head.scale_b, pieces, {}, input.scale), update.b.rows(),
          own ? &own->b : nullptr, own ? &own->rows_of_b : nullptr);
    });
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& dy,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index rows = depth * linears * tape.pieces * reads;
    const auto dunit = take<Scalar, dyn, latent>(device, rows);
    const auto dmixed = take<Scalar, dyn, latent>(device, rows);
    Nothing nothing;
    Index first = 0;
    each_head([&]<Projection projection>(std::size_t layer) {
      using H = Head<projection>;
      const ArenaScope inner(device);
      const auto& head = linear_of<projection>(params.layers[layer]);
      const auto& update = linear_of<projection>(dy.layers[layer]);
      const auto& own = linear_of<projection>(tape.layers[layer]);
      auto& gradient = linear_of<projection>(gradients.layers[layer]);
      check_update(update, tape.pieces);
      const auto dx = dunit.slice(first, tape.pieces * reads);
      first += tape.pieces * reads;
      rows_backward<typename H::A, H::in>(device, head.a, head.scale_a, own.a, own.rows_of_a, update.a.rows(),
                                          tape, tape.piece_scales, dx, Write::assign, gradient.a,
                                          gradient.scale_a, write);
      rows_backward<typename H::B, H::out>(device, head.b, head.scale_b, own.b, own.rows_of_b,
                                           update.b.rows(), tape, {}, dx, Write::add, gradient.b,
                                           gradient.scale_b, write);
    });
    Unit::backward(device, {}, tape.unit, dunit, dmixed, nothing, write);
    Mlps::backward(device, params.mlps, tape.mlps, dmixed, dinput.x, gradients.mlps, write);
  }

  /// What no latent changes, as an update of a decoder; of gradients, what receives theirs.
  template <class S, class Parameters>
  static Updates<S> bias_updates(Parameters& params, double scale) requires(spec.bias) {
    Updates<S> result;
    each_head([&]<Projection projection>(std::size_t layer) {
      auto& head = linear_of<projection>(params.layers[layer]);
      auto& update = linear_of<projection>(result.layers[layer]);
      update.a = {head.bias_a.data(), rank, FactorForm::rows};
      update.b = {head.bias_b.data(), rank, FactorForm::rows};
      update.scale = scale;
    });
    return result;
  }

  /// f.operator()<projection>(layer) for every linear that is a target.
  template <class F>
  static void each_head(F f) {
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(depth); ++layer)
      each_projection([&]<Projection projection>() {
        if constexpr (spec.targets.contains(projection)) f.template operator()<projection>(layer);
      });
  }

 private:
  /// What a row of A and one of B have together, at most.
  static constexpr Index widest() {
    Index most = 0;
    for (const Projection projection : all_projections)
      if (spec.targets.contains(projection)) {
        const LinearSize size = size_of(Model::spec, projection);
        most = std::max(most, size.in + size.out);
      }
    return most;
  }

  /// How many pieces there are.
  static Index check_input(const Input& input) {
    constexpr Index each = depth * linears * reads;
    const Index pieces = input.x.rows() / each;
    check(input.x.rows() % each == 0 && (!input.pieces || input.pieces.size() == pieces), [&] {
      return Error(
          "the latents do not fit", "FactorHeads",
          "a multiple of " + std::to_string(each) + ", and a scale for each piece if any",
          std::to_string(input.x.rows()) + " latents, " + std::to_string(input.pieces.size()) + " scales");
    });
    return pieces;
  }

  template <class Update>
  static void check_update(const Update& update, Index pieces) {
    check(update.a && update.b && update.a.rank() == pieces * rank && update.b.rank() == pieces * rank &&
              update.a.form() == FactorForm::rows && update.b.form() == FactorForm::rows,
          [&] {
            return Error(
                "a linear's factors do not fit", "FactorHeads",
                "A and B of rank " + std::to_string(pieces * rank) + ", as rows",
                "rank " + std::to_string(update.a.rank()) + " and " + std::to_string(update.b.rank()));
          });
  }

  /// A linear's scales for the rows of all pieces, (pieces * rank).
  static View<const Scalar, Device, dyn> row_scales(Device& device,
                                                    const Tensor<Scalar, Device, rank>& scales, Index pieces,
                                                    View<const Scalar, Device, dyn> of_pieces, double scale) {
    const auto rows = take<Scalar, dyn, rank>(device, pieces);
    ops::broadcast<Scalar, Scalar>(device, scales, rows);
    scale_pieces(device, rows, of_pieces, scale);
    return rows.template reshape<dyn>(rows.size());
  }
  static void scale_pieces(Device& device, View<Scalar, Device, dyn, rank> rows,
                           View<const Scalar, Device, dyn> of_pieces, double scale) {
    if (of_pieces) ops::scale_rows<Scalar>(device, rows, of_pieces, rows);
    if (scale != 1) ops::scale<Scalar>(device, scale, rows, rows);
  }

  /// A factor's rows from latents; `raw` receives those before they are scaled.
  template <class Linear_, Index width>
  static void write_rows(Device& device, const typename Linear_::Params& linear, Rows x,
                         View<const Scalar, Device, dyn> scales, View<Scalar, Device, dyn, width> y,
                         typename Linear_::Tape* tape, View<Scalar, Device, dyn, width>* raw) {
    if (raw) *raw = take<Scalar, dyn, width>(device, y.rows());
    const auto rows = raw ? *raw : y;
    Linear_::forward(device, linear, x, rows.template reshape<dyn, gives * width>(x.rows()), tape);
    ops::scale_rows<Scalar>(device, rows, scales, y);
  }

  template <class Linear_, Index width, class LinearGradient, class ScaleGradient>
  static void rows_backward(Device& device, const typename Linear_::Params& linear,
                            const Tensor<Scalar, Device, rank>& scales, const typename Linear_::Tape& own,
                            View<Scalar, Device, dyn, width> raw, View<const Scalar, Device, dyn, width> dy,
                            const Tape& tape, View<const Scalar, Device, dyn> of_pieces,
                            View<Scalar, Device, dyn, latent> dx, Write write_x, LinearGradient& dlinear,
                            ScaleGradient& dscales, Write write) {
    const Index rows = dy.rows();
    if constexpr (std::same_as<Weights, Trainable>) {
      const auto dots = take<Scalar, dyn, rank>(device, tape.pieces);
      const auto each = [&]<class S>(S* data, Index row_count, Index column_count) {
        return Matrices<S>{data, rows, row_count, column_count, row_count * column_count, column_count, 1};
      };
      ops::batched_product<Scalar>(device, each(dy.data(), 1, width),
                                   Matrices<const Scalar>(each(raw.data(), width, 1)),
                                   each(dots.data(), 1, 1), Write::assign);
      scale_pieces(device, dots, of_pieces, tape.scale);
      ops::column_sums<Scalar>(device, dots, dscales, write);
    }
    const auto draw = take<Scalar, dyn, width>(device, rows);
    ops::scale_rows<Scalar>(device, dy, row_scales(device, scales, tape.pieces, of_pieces, tape.scale), draw);
    Linear_::backward(device, linear, own, draw.template reshape<dyn, gives * width>(dx.rows()), {dx},
                      dlinear, write, write_x);
  }
};

}  // namespace hyperblocks
