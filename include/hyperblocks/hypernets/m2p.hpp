// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// M2p: SHINE's network from memory states to factors, (layers, documents, tokens, hidden) to the same shape:
//   x += layer position + token position;  x = block(x) along layers, tokens, layers ...;  couple blocks
// with encoder blocks (the M2P Transformer), or with a stack of linears, or that with a gate, in their place.
#pragma once

#include <array>
#include <string>

#include <hyperblocks/blocks/encoder_block.hpp>
#include <hyperblocks/blocks/residual_mlp.hpp>

namespace hyperblocks {

enum class M2pKind : std::uint8_t { transformer, linear, linear_gate };

/// Which axis blocks attend along: alternating, or one for all.
enum class M2pAxes : std::uint8_t { layers_first, tokens_first, layers_only, tokens_only };

struct M2pSpec {
  Index layers = 0, tokens = 0, hidden = 0;  ///< as part of a ShineSpec they follow from the base
  M2pKind kind = M2pKind::transformer;
  Index blocks = 4;  ///< encoder blocks, or linears of the other kinds
  M2pAxes axes = M2pAxes::layers_first;
  Index heads = 0;  ///< 0: of 128 numbers where that divides hidden, else of 64, else one
  Index inner = 0;  ///< 0: 2 hidden; of the other kinds 8192
  NormPlacement placement = NormPlacement::post;
  bool linear_bias = false;  ///< of the other kinds
  Index couple_blocks = 0;
  Index couple_width = 0;  ///< how many numbers a couple block's token has: a divisor of every A and B
  Index couple_heads = 0;  ///< as heads
  Index couple_inner = 0;  ///< as inner

  static constexpr Index usual_heads(Index width) {
    return width % 128 == 0 ? width / 128 : width % 64 == 0 ? width / 64 : 1;
  }
};

/// y(l, d, t) = x(l, d, t) + layer(l) + token(t), rows of any number of documents; the tables begin as zeros.
template <Index layers, Index tokens, Index hidden, RealScalar Scalar, class Device,
          class Weights = Trainable>
struct LayerTokenPositions : RowBlock<Scalar, Device, hidden, hidden> {
  using Base = RowBlock<Scalar, Device, hidden, hidden>;
  using typename Base::Input, typename Base::Output, typename Base::InputGradient,
      typename Base::OutputGradient;
  static constexpr bool frozen = !std::same_as<Weights, Trainable>;

  template <Role role>
  struct Parts {
    Plain<role, Weights, Scalar, Device, layers, hidden> layer;
    Plain<role, Weights, Scalar, Device, tokens, hidden> token;
    static constexpr auto fields() {
      return std::tuple{Field{"layer", &Parts::layer}, Field{"token", &Parts::token}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Index rows = 0;
  };

  static void initialise(Device& device, Params& params, Random&) {
    fill_constant(device, params.layer, 0);
    fill_constant(device, params.token, 0);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    if (tape) tape->rows = x.rows();
    each_run(x.rows(), [&](Index layer, Index first) {
      const auto to = y.slice(first, tokens);
      ops::add<Scalar>(device, x.slice(first, tokens), params.token, to);
      ops::add_rows<Scalar>(device, to, row_of(params.layer, layer), to);
    });
  }

  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient dx,
                       Gradients& gradients, Write write) {
    detail::check_tape("LayerTokenPositions", tape.rows, dy.rows());
    if (dx) ops::cast<Scalar, Scalar>(device, dy, dx);
    if constexpr (!frozen) {
      const View<Scalar, Device, dyn, hidden> token = gradients.token.view();
      each_run(dy.rows(), [&](Index layer, Index first) {
        const auto from = dy.slice(first, tokens);
        if (first == 0 && write == Write::assign)
          ops::cast<Scalar, Scalar>(device, from, token);
        else
          ops::add<Scalar>(device, token, from, token);
        const bool begins = first % (dy.rows() / layers) == 0;
        ops::column_sums<Scalar>(device, from, row_of(gradients.layer, layer), begins ? write : Write::add);
      });
    }
  }

 private:
  /// f(layer, first row) of every layer's every document.
  template <class F>
  static void each_run(Index rows, F f) {
    check(rows % (layers * tokens) == 0, [&] {
      return Error(
          "the rows are not whole documents", "LayerTokenPositions",
          "a multiple of " + std::to_string(layers) + " layers times " + std::to_string(tokens) + " tokens",
          std::to_string(rows));
    });
    for (Index first = 0; first < rows; first += tokens) f(first / (rows / layers), first);
  }
  template <class Table>
  static auto row_of(Table& table, Index row) {
    return table.view().slice(row, 1).template reshape<hidden>();
  }
};

/// Encoder blocks one after the other; those of even and of odd numbers have a setup each.
template <EncoderBlockSpec spec, Index count, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct EncoderStack {
  using Scalar = Scalar_;
  using Device = Device_;
  using Inner = EncoderBlock<spec, Scalar, Device, Weights>;
  static constexpr Index in = spec.hidden, out = spec.hidden, inner = spec.inner;
  static constexpr auto depth = static_cast<std::size_t>(count);
  using Setups = std::array<typename Inner::Setup, 2>;
  template <class S>
  using Updates = std::array<typename Inner::template Updates<S>, depth>;
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};
    Setups setups = {};
    Updates<const Scalar> updates = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
    Updates<Scalar> updates = {};
  };
  using Output = View<Scalar, Device, dyn, out>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;
  template <Role role>
  using Parts = std::array<typename Inner::template Parts<role>, depth>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  using Tape = std::array<typename Inner::Tape, depth>;

  static void initialise(Device& device, Params& params, Random& random) {
    for (auto& block : params) Inner::initialise(device, block, random);
  }

  static void forward(Device& device, const Params& params, const Input& input, Output y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    auto x = input.x;
    for (std::size_t i = 0; i < params.size(); ++i) {
      const auto next = tape && i + 1 < params.size() ? take<Scalar, dyn, in>(device, x.rows()) : y;
      Inner::forward(device, params[i], {x, input.setups[i % 2], input.updates[i]}, next,
                     tape ? &(*tape)[i] : nullptr);
      x = next;
    }
    if (depth == 0) ops::cast<Scalar, Scalar>(device, x, y);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    auto to = take<Scalar, dyn, in>(device, dy.rows()), other = take<Scalar, dyn, in>(device, dy.rows());
    for (std::size_t i = depth; i-- > 0;) {
      const auto dx = i == 0 ? dinput.x : to;
      Inner::backward(device, params[i], tape[i], dy, {dx, {}, dinput.updates[i]}, gradients[i], write);
      dy = dx;
      std::swap(to, other);
    }
    if (depth == 0 && dinput.x) ops::cast<Scalar, Scalar>(device, dy, dinput.x);
  }
};

namespace detail {
template <M2pSpec spec, class Scalar, class Device, class Weights>
struct M2pParts {
  static constexpr Index heads = spec.heads != 0 ? spec.heads : M2pSpec::usual_heads(spec.hidden);
  using Positions = LayerTokenPositions<spec.layers, spec.tokens, spec.hidden, Scalar, Device, Weights>;
  using Stack = EncoderStack<EncoderBlockSpec{.hidden = spec.hidden,
                                              .heads = heads,
                                              .inner = spec.inner != 0 ? spec.inner : 2 * spec.hidden,
                                              .placement = spec.placement},
                             spec.blocks, Scalar, Device, Weights>;

  static constexpr Index inner = spec.inner != 0 ? spec.inner : 8192;
  template <Index in, Index out>
  using LinearGelu = Chain<Linear<LinearSpec{in, out, spec.linear_bias}, Scalar, Device, Weights>,
                           Activate<Activation::gelu_exact, out, Scalar, Device>>;
  template <Index in, Index count>
  struct LinearsFrom {
    using type = Chain<LinearGelu<in, inner>, typename LinearsFrom<inner, count - 1>::type>;
  };
  template <Index in>
  struct LinearsFrom<in, 1> {
    using Last = LinearGelu<in, spec.hidden>;
    using type =
        std::conditional_t<spec.kind == M2pKind::linear_gate, Gated<Activation::sigmoid, Last, Last>, Last>;
  };

  using Blocks = typename std::conditional_t<spec.kind == M2pKind::transformer, std::type_identity<Stack>,
                                             LinearsFrom<spec.hidden, spec.blocks>>::type;

  static constexpr Index couple_width = spec.couple_width != 0 ? spec.couple_width : spec.hidden;
  using Couple =
      EncoderStack<EncoderBlockSpec{.hidden = couple_width,
                                    .heads = spec.couple_heads != 0 ? spec.couple_heads
                                                                    : M2pSpec::usual_heads(couple_width),
                                    .inner = spec.couple_inner != 0 ? spec.couple_inner : 2 * couple_width,
                                    .placement = spec.placement},
                   spec.couple_blocks, Scalar, Device, Weights>;
};

/// One sentence for sizes that cannot be, with the numbers in the type.
template <Index layers, Index tokens, Index hidden, Index couple_width>
struct M2pSizes {
  static_assert(
      layers > 0 && tokens > 0 && hidden > 0,
      "hyperblocks: an M2p needs sizes of one or more: M2pSizes<layers, tokens, hidden, couple_width>");
  static_assert(tokens * hidden % couple_width == 0,
                "hyperblocks: an M2p's couple_width must divide a layer's numbers: M2pSizes<layers, tokens, "
                "hidden, couple_width>");
};
}  // namespace detail

template <M2pSpec spec_, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct M2p {
  static constexpr M2pSpec spec = spec_;
  using Scalar = Scalar_;
  using Device = Device_;
  using Pieces = detail::M2pParts<spec, Scalar, Device, Weights>;
  static_assert(sizeof(detail::M2pSizes<spec.layers, spec.tokens, spec.hidden, Pieces::couple_width>) > 0);
  static constexpr bool attends = spec.kind == M2pKind::transformer;
  static constexpr Index in = spec.hidden, out = spec.hidden;
  /// How many tokens a couple block sees of a layer.
  static constexpr Index couple_tokens = spec.tokens * spec.hidden / Pieces::couple_width;
  using Positions = typename Pieces::Positions;
  using Blocks = typename Pieces::Blocks;
  using Couple = typename Pieces::Couple;

  /// Of the blocks' linears, where there are encoder blocks.
  template <class S>
  using Updates = std::conditional_t<attends, typename Pieces::Stack::template Updates<S>, Nothing>;
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};  // (layers * documents * tokens, hidden)
    AttentionMask couple_mask = {};              // (couple_tokens, couple_tokens)
    Updates<const Scalar> updates = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
    Updates<Scalar> updates = {};
  };
  using Output = View<Scalar, Device, dyn, out>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    typename Positions::template Parts<role> positions;
    typename Blocks::template Parts<role> blocks;
    typename Couple::template Parts<role> couple;
    static constexpr auto fields() {
      return std::tuple{Field{"positions", &Parts::positions}, Field{"blocks", &Parts::blocks},
                        Field{"couple", &Parts::couple}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Positions::Tape positions;
    typename Blocks::Tape blocks;
    typename Couple::Tape couple;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Positions::initialise(device, params.positions, random);
    Blocks::initialise(device, params.blocks, random);
    Couple::initialise(device, params.couple, random);
  }

  static void forward(Device& device, const Params& params, const Input& input, Output y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index rows = input.x.rows();
    const auto placed = take<Scalar, dyn, in>(device, rows), between = take<Scalar, dyn, in>(device, rows);
    Positions::forward(device, params.positions, input.x, placed, tape ? &tape->positions : nullptr);
    Blocks::forward(device, params.blocks, blocks_input(placed, input), between,
                    tape ? &tape->blocks : nullptr);
    Couple::forward(device, params.couple,
                    {as_couples(View<const Scalar, Device, dyn, in>(between)), couple_setups(rows, input)},
                    as_couples(y), tape ? &tape->couple : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto dbetween = take<Scalar, dyn, in>(device, dy.rows());
    const auto dplaced = take<Scalar, dyn, in>(device, dy.rows());
    Couple::backward(device, params.couple, tape.couple, as_couples(dy), {as_couples(dbetween)},
                     gradients.couple, write);
    if constexpr (attends)
      Blocks::backward(device, params.blocks, tape.blocks, dbetween, {dplaced, dinput.updates},
                       gradients.blocks, write);
    else
      Blocks::backward(device, params.blocks, tape.blocks, dbetween, dplaced, gradients.blocks, write);
    Positions::backward(device, params.positions, tape.positions, dplaced, dinput.x, gradients.positions,
                        write);
  }

 private:
  template <class S>
  static View<S, Device, dyn, Pieces::couple_width> as_couples(View<S, Device, dyn, spec.hidden> rows) {
    return rows.template reshape<dyn, Pieces::couple_width>(rows.size() / Pieces::couple_width);
  }

  static auto couple_setups(Index rows, const Input& input) {
    typename Couple::Setups setups;
    for (auto& setup : setups) {
      setup.sequences = {rows / spec.tokens, couple_tokens};
      setup.mask = input.couple_mask;
    }
    return setups;
  }

  static auto blocks_input(View<const Scalar, Device, dyn, in> x, const Input& input) {
    if constexpr (attends) {
      const Index columns = x.rows() / spec.layers;  // documents times tokens
      const Sequences along_layers{columns, spec.layers, 1, columns};
      const Sequences along_tokens{x.rows() / spec.tokens, spec.tokens};
      const auto setup = [&](bool odd) {
        const bool layers = spec.axes == M2pAxes::layers_only ||
                            (spec.axes == M2pAxes::layers_first && !odd) ||
                            (spec.axes == M2pAxes::tokens_first && odd);
        typename Blocks::Inner::Setup result;
        result.sequences = layers ? along_layers : along_tokens;
        return result;
      };
      return typename Blocks::Input{x, {setup(false), setup(true)}, input.updates};
    } else {
      return x;
    }
  }
};

}  // namespace hyperblocks
