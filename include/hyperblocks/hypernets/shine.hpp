// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Shine: a text becomes a LoRA by way of the frozen decoder itself (arXiv 2602.06358).
//   states (layers, tokens, hidden) = the decoder over [text, memory tokens], with a meta LoRA on its linears
//   factors = read off M2p(states), layer by layer: q k v o gate up down, of each A, B and C
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include <hyperblocks/hypernets/factor_layout.hpp>
#include <hyperblocks/hypernets/generated.hpp>
#include <hyperblocks/hypernets/m2p.hpp>
#include <hyperblocks/models/decoder.hpp>

namespace hyperblocks {

struct ShineSpec {
  Index rank = 8;
  Index meta_rank = 128;
  FactorForm a = FactorForm::columns;  ///< the published view: A (in, rank), B (rank, out)
  FactorForm b = FactorForm::rows;
  double scale = 0.001;      ///< A and B are multiplied by its root, C by itself
  M2pSpec m2p = {};          ///< its sizes follow from the base
  Index recurrent_rank = 0;  ///< of a RecurrentShine: of the LoRA on the M2P Transformer's linears
};

namespace detail {
/// One sentence for a couple layer that does not fit, with the numbers in the type.
template <Index width, Index a, Index b>
struct CoupleDivides {
  static_assert(width > 0 && a % width == 0 && b % width == 0,
                "hyperblocks: a Shine's couple_width must divide every A and B: CoupleDivides<couple_width, "
                "numbers of A, of B>");
};
template <class Layout, Index width>
constexpr bool couples_divide() {
  static_assert(std::ranges::all_of(all_projections,
                                    [](Projection each) {
                                      const auto place = Layout::place(each);
                                      return width > 0 && (place.end - place.bias) % width == 0;
                                    }),
                "hyperblocks: a Shine's couple_width must divide every C of a base with biases");
  return []<std::size_t... i>(std::index_sequence<i...>) {
    constexpr std::array places = {Layout::place(all_projections[i])...};
    return ((sizeof(CoupleDivides<width, places[i].b - places[i].a, places[i].bias - places[i].b>) > 0) &&
            ...);
  }
  (std::make_index_sequence<all_projections.size()>());
}
}  // namespace detail

template <class Model_, ShineSpec spec_, class Weights = Trainable>
struct Shine {
  using Model = Model_;
  static_assert(Block<Model> && std::same_as<decltype(Model::Gradients::norm.weight), Nothing>,
                "hyperblocks: a Shine's decoder is frozen");
  static_assert(spec_.recurrent_rank == 0, "hyperblocks: a Shine with a recurrent_rank is a RecurrentShine");
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr ShineSpec spec = spec_;
  static constexpr auto base = Model::spec;
  static constexpr Index layers = base.layers, hidden = base.hidden;
  using Layout = FactorLayout<base, spec.rank>;
  /// As many as hold a layer's factors; what is left of the last one's numbers is not used.
  static constexpr Index memory_tokens = (Layout::numbers + hidden - 1) / hidden;
  static constexpr Index layer_numbers = memory_tokens * hidden;
  static_assert([] {
    if constexpr (spec.m2p.couple_blocks > 0) return detail::couples_divide<Layout, spec.m2p.couple_width>();
    return true;
  }());

  static constexpr M2pSpec m2p_spec() {
    M2pSpec result = spec.m2p;
    result.layers = layers, result.tokens = memory_tokens, result.hidden = hidden;
    return result;
  }
  using Network = M2p<m2p_spec(), Scalar, Device, Weights>;
  using Meta = Adapter<base, AdapterSpec{.rank = spec.meta_rank, .bias = biased(base)}, Scalar, Device>;
  using Updates = typename Model::template Updates<const Scalar>;

  template <Role role>
  struct Parts {
    Tensor<Scalar, Device, memory_tokens, hidden> memory;
    Meta meta;
    typename Network::template Parts<role> m2p;
    static constexpr auto fields() {
      return std::tuple{Field{"memory", &Parts::memory}, Field{"meta", &Parts::meta},
                        Field{"m2p", &Parts::m2p}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;

  /// Texts of one length: shorter ones begin with padding, which the mask hides.
  struct Input {
    const typename Model::Params* model = nullptr;
    View<const std::int32_t, Device, dyn> ids = {};  // (documents * tokens)
    Index documents = 1;
    typename Model::Rotaries rotary = {};
    AttentionMask mask = {};
    typename Model::template Updates<const Scalar> meta = {};  ///< besides the meta LoRA among the parameters
    typename Network::template Updates<const Scalar> m2p = {};  ///< of the M2P Transformer's linears
  };
  using Factors = View<Scalar, Device, layers, dyn, layer_numbers>;  // (layers, documents, numbers)
  using ConstFactors = View<const Scalar, Device, layers, dyn, layer_numbers>;
  /// Of the memory tokens: what the decoder's first layer reads, then what each layer gives.
  using States = View<Scalar, Device, dyn, dyn, hidden>;  // (1 + layers, documents * tokens, hidden)
  struct Output {
    Factors factors = {};
    Factors memory_states = {}, plain = {};  ///< optional: the stages before
  };
  struct OutputGradient {
    ConstFactors factors = {};
    ConstFactors plain = {};
  };
  /// Of what the input has besides the parameters.
  struct InputGradient {
    typename Model::template Updates<Scalar> meta = {};
    typename Network::template Updates<Scalar> m2p = {};
  };
  struct Tape {
    const typename Model::Params* model = nullptr;
    typename Model::Tape decoder;
    typename Network::Tape m2p;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    fill_constant(device, params.memory, 0);
    Meta::initialise(device, params.meta, random, std::sqrt(spec.scale));
    Network::initialise(device, params.m2p, random);
  }

  static void forward(Device& device, const Params& params, const Input& input, const Output& output,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    if (output.memory_states) check_documents("the memory states", output.memory_states, input.documents);
    if (tape) tape->model = input.model;

    const Factors memory_states = memory_of(read(device, params, input, tape ? &tape->decoder : nullptr));
    if (output.memory_states)
      ops::cast<Scalar, Scalar>(device, as_rows(memory_states), as_rows(output.memory_states));
    write_factors(device, params, memory_states, input.m2p, output, tape ? &tape->m2p : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& doutput,
                       const InputGradient& dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index documents = doutput.factors ? doutput.factors.extent(1) : 0;
    const States dstates = take_states(device, documents);
    write_factors_backward(device, params, tape.m2p, doutput, memory_of(dstates), dinput.m2p, gradients,
                           write);
    read_backward(device, *tape.model, tape.decoder, dstates, dinput.meta, gradients, write);
  }

  /// The first half alone: memory states, in the arena of the caller's scope.
  static States read(Device& device, const Params& params, const Input& input,
                     typename Model::Tape* tape = nullptr) {
    check(input.model != nullptr, [] { return Error("no decoder", "Shine", "its parameters", "none"); });
    const States states = take_states(device, input.documents);
    Model::forward(device, *input.model, reading(params, input), {.states = states}, tape);
    return states;
  }

  static void read_backward(Device& device, const typename Model::Params& model,
                            const typename Model::Tape& tape, const States& dstates,
                            const typename Model::template Updates<Scalar>& dmore_meta, Gradients& gradients,
                            Write write) {
    const ArenaScope scope(device);
    device.fill(dstates.data(), 0, dstates.slice(0, 1).bytes());
    const auto dmemory = take<Scalar, dyn, hidden>(device, memory_tokens);
    auto dmeta = gradients.meta.template gradients<Model>();
    link(dmeta, dmore_meta);
    typename Model::Gradients none;
    Model::backward(device, model, tape, {.states = dstates}, {.appended = dmemory, .updates = dmeta}, none,
                    write);
    const View<Scalar, Device, dyn, hidden> to = gradients.memory.view();
    if (write == Write::assign)
      ops::cast<Scalar, Scalar>(device, dmemory, to);
    else
      ops::add<Scalar>(device, to, dmemory, to);
  }

  static States take_states(Device& device, Index documents) {
    return take<Scalar, dyn, dyn, hidden>(device, layers + 1, documents * memory_tokens);
  }
  static Factors memory_of(const States& states) {
    return states.slice(1, layers).template reshape<layers, dyn, layer_numbers>(states.extent(1) /
                                                                                memory_tokens);
  }

  template <class S>
  static View<S, Device, dyn, Model::hidden> as_rows(View<S, Device, layers, dyn, layer_numbers> factors) {
    return factors.template reshape<dyn, hidden>(factors.size() / hidden);
  }

  /// The second half alone: factors of memory states, (layers, documents, tokens * hidden). A chunk of a long
  /// text goes through it twice: see recurrent_shine.hpp.
  static void write_factors(Device& device, const Params& params, ConstFactors memory_states,
                            const typename Network::template Updates<const Scalar>& updates,
                            const Output& output, typename Network::Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index documents = memory_states.extent(1);
    check_documents("the factors", output.factors, documents);
    if (output.plain) check_documents("the plain output", output.plain, documents);
    const auto plain =
        output.plain ? output.plain : take<Scalar, layers, dyn, layer_numbers>(device, documents);
    Network::forward(device, params.m2p, {as_rows(memory_states), couple_mask(device), updates},
                     as_rows(plain), tape);
    scale(device, plain, output.factors);
  }

  static void write_factors_backward(Device& device, const Params& params, const typename Network::Tape& tape,
                                     const OutputGradient& doutput, Factors dmemory_states,
                                     const typename Network::template Updates<Scalar>& dupdates,
                                     Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    check_documents("the factors' gradient", doutput.factors, dmemory_states.extent(1));
    const auto dplain = take<Scalar, layers, dyn, layer_numbers>(device, dmemory_states.extent(1));
    scale(device, doutput.factors, dplain);
    if (doutput.plain) ops::add<Scalar>(device, as_rows(dplain), as_rows(doutput.plain), as_rows(dplain));
    Network::backward(device, params.m2p, tape, as_rows(ConstFactors(dplain)),
                      {as_rows(dmemory_states), dupdates}, gradients.m2p, write);
  }

  /// The adapters of some texts; `more_meta` is added to the meta LoRA.
  static Generated<Model> generate(Device& device, const typename Model::Params& model, const Params& params,
                                   const typename Model::Rotaries& rotary, std::span<const Tokens> texts,
                                   const typename Model::template Updates<const Scalar>& more_meta = {}) {
    const PaddedTexts<Device> padded(device, texts, {.appended = memory_tokens});
    std::vector<Tensor<Scalar, Device, dyn>> numbers;
    numbers.emplace_back(device, layers * padded.count() * layer_numbers);
    const auto factors = numbers.back().view().template reshape<layers, dyn, layer_numbers>(padded.count());
    const ArenaScope scope(device);
    forward(device, params,
            {.model = &model,
             .ids = padded.ids(),
             .documents = padded.count(),
             .rotary = rotary,
             .mask = padded.mask(),
             .meta = more_meta},
            {.factors = factors});
    std::vector<std::vector<typename Model::template Updates<const Scalar>>> adapters(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i)
      adapters[i] = {updates<const Scalar>(factors, static_cast<Index>(i))};
    return {std::move(numbers), std::move(adapters)};
  }

  /// The factors of one document as a decoder's input takes them; of mutable numbers, as it gives gradients.
  template <class S>
  static typename Model::template Updates<S> updates(View<S, Device, layers, dyn, layer_numbers> factors,
                                                     Index document) {
    return Layout::template updates<Model>(factors, document, spec.a, spec.b);
  }

 private:
  static typename Model::Input reading(const Params& params, const Input& input) {
    typename Model::Input result;
    result.ids = input.ids, result.appended = params.memory, result.sequences = input.documents;
    result.rotary = input.rotary, result.mask = input.mask;
    result.updates = params.meta.template updates<Model>();
    link(result.updates, input.meta);
    return result;
  }

  /// The tokens of a linear's A see those of its B, and the reverse; tokens of neither see themselves.
  static AttentionMask couple_mask(Device& device) {
    if constexpr (spec.m2p.couple_blocks == 0) {
      return {};
    } else {
      constexpr Index tokens = Network::couple_tokens;
      static const std::vector<std::uint8_t> host = couples();  // made once: the type says all of it
      const auto mask = take<std::uint8_t, tokens, tokens>(device);
      device.upload(mask.data(), host.data(), host.size());
      return {.allowed = mask.data(), .size = mask.size(), .query_stride = tokens};
    }
  }

  static std::vector<std::uint8_t> couples() {
    constexpr Index width = spec.m2p.couple_width, tokens = Network::couple_tokens;
    std::vector<std::uint8_t> host(static_cast<std::size_t>(tokens * tokens));
    const auto see = [&](Index first, Index last, Index first_seen, Index last_seen) {
      for (Index i = first; i < last; ++i)
        for (Index j = first_seen; j < last_seen; ++j) host[static_cast<std::size_t>(i * tokens + j)] = 1;
    };
    Index done = 0;
    const auto see_themselves = [&](Index until) {
      for (; done < until; ++done) see(done, done + 1, done, done + 1);
    };
    each_projection([&]<Projection projection>() {
      static constexpr auto place = Layout::place(projection);
      see_themselves(place.a / width);
      see(place.a / width, place.b / width, place.b / width, place.bias / width);
      see(place.b / width, place.bias / width, place.a / width, place.b / width);
      done = place.bias / width;
    });
    see_themselves(tokens);
    return host;
  }

  /// Factors from plain output, and gradients the other way.
  static void scale(Device& device, ConstFactors from, Factors to) {
    const double root = std::sqrt(spec.scale);
    ops::scale<Scalar>(device, root, as_rows(from), as_rows(to));
    if constexpr (base.bias || base.output_bias)
      for (Index run = 0; run < layers * from.extent(1); ++run)
        each_projection([&]<Projection projection>() {
          static constexpr auto place = Layout::place(projection);
          const auto biases = [&](auto factors) {
            return View<std::remove_pointer_t<decltype(factors.data())>, Device, dyn, 1>(
                factors.data() + run * layer_numbers + place.bias, Shape<dyn, 1>(place.end - place.bias));
          };
          if constexpr (Layout::has_bias(projection))
            ops::scale<Scalar>(device, spec.scale, biases(from), biases(to));
        });
  }

  template <class S>
  static void check_documents(const char* what, const View<S, Device, layers, dyn, layer_numbers>& factors,
                              Index expected) {
    check(static_cast<bool>(factors) && factors.extent(1) == expected, [&] {
      return Error(std::string(what) + " do not fit the documents", "Shine",
                   std::to_string(expected) + " documents",
                   factors ? std::to_string(factors.extent(1)) : "none");
    });
  }
};

}  // namespace hyperblocks
