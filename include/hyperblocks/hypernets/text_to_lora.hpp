// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora: the embedding of a task's description to an adapter (arXiv 2506.06105):
//   code = TaskEncoder(embedding)    what the task is
//   rows = TaskTrunk(code)           by MLPs, for every linear and layer (side, rank)
//   A, B = TaskHead(rows)            of every linear, for all layers
//   factors = (A, B) (deviation + 1e-10) + mean, over sqrt(product scale), + offset
// No dropout.
#pragma once

#include <hyperblocks/hypernets/generated.hpp>
#include <hyperblocks/hypernets/text_to_lora_spec.hpp>
#include <hyperblocks/models/decoder.hpp>

namespace hyperblocks {

template <class Model_, TextToLoraSpec spec_, class Weights = Trainable>
struct TextToLora {
  using Model = Model_;
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  static constexpr TextToLoraSpec spec = spec_;
  static constexpr auto base = Model::spec;
  static constexpr Index layers = base.layers, rank = spec.rank;
  static constexpr Index linears = detail::target_count(spec.targets);
  static_assert(sizeof(detail::TextToLoraSizes<rank, linears, spec.embedding, spec.latent, spec.head_in>) >
                0);
  static constexpr bool discrete = spec.code == TaskCode::discrete;
  /// How many numbers a text's factors are.
  static constexpr Index numbers = [] {
    Index sum = 0;
    for (const Projection each : all_projections)
      if (spec.targets.contains(each)) sum += size_of(base, each).in + size_of(base, each).out;
    return layers * rank * sum;
  }();

  using Encoder = TaskEncoder<TaskEncoderSpec{.embedding = spec.embedding,
                                              .out = discrete ? spec.classes : spec.latent / 2,
                                              .codes = spec.codes,
                                              .code = spec.code},
                              Scalar, Device, Weights>;
  using Trunk = TaskTrunk<TaskTrunkSpec{.code = Encoder::out,
                                        .layers = layers,
                                        .linears = linears,
                                        .places = discrete ? 0 : spec.latent / 4,
                                        .out = spec.head_in,
                                        .sides = spec.shared_head,
                                        .ranks = spec.autoregressive ? rank : 0,
                                        .positions = spec.positions},
                          Scalar, Device, Weights>;
  using Linears = detail::TextToLoraLinears<base, spec, Scalar, Device, Weights>;
  using Updates = typename Model::template Updates<const Scalar>;

  template <Role role>
  struct Parts {
    typename Encoder::template Parts<role> task;
    typename Trunk::template Parts<role> trunk;
    typename Linears::template HeadParts<role>::Type heads;
    typename Linears::template Fixed<spec.z_score, role>::Type mean, deviation;
    typename Linears::template Fixed<spec.offset, role>::Type offset;
    static constexpr auto fields() {
      return std::tuple{Field{"task", &Parts::task},           Field{"trunk", &Parts::trunk},
                        Field{"heads", &Parts::heads},         Field{"mean", &Parts::mean},
                        Field{"deviation", &Parts::deviation}, Field{"offset", &Parts::offset}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;

  using Input = typename Encoder::Input;  // x: embeddings (texts, embedding)
  /// Of every target the rows of A, (layers, texts, rank) in order, then those of B: see factors().
  struct Output {
    View<Scalar, Device, dyn> factors = {};             // texts * numbers
    View<Scalar, Device, dyn, Encoder::out> code = {};  ///< optional: the stage before
  };
  struct OutputGradient {
    View<const Scalar, Device, dyn> factors = {};
  };
  using InputGradient = View<Scalar, Device, dyn, spec.embedding>;
  struct Tape {
    typename Encoder::Tape task;
    typename Trunk::Tape trunk;
    typename Linears::HeadTapes::Type heads;
    Index texts = 0;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Encoder::initialise(device, params.task, random);
    Trunk::initialise(device, params.trunk, random);
    each_target([&]<Projection projection>(Index) {
      Head<projection>::initialise(device, linear_of<projection>(params.heads), random);
    });
    visit([&](const std::string&, auto& tensor) { fill_constant(device, tensor, 0); }, params.mean);
    visit([&](const std::string&, auto& tensor) { fill_constant(device, tensor, 1); }, params.deviation);
    visit([&](const std::string&, auto& tensor) { fill_constant(device, tensor, 0); }, params.offset);
  }

  static void forward(Device& device, const Params& params, const Input& input, const Output& output,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const Index texts = input.x.rows();
    check_texts("TextToLora", output.factors, texts);
    const auto code = output.code ? output.code : take<Scalar, dyn, Encoder::out>(device, texts);
    const auto rows = take<Scalar, dyn, spec.head_in>(device, linears * Trunk::linear_rows * texts);
    Encoder::forward(device, params.task, input, code, tape ? &tape->task : nullptr);
    const Dropout dropout{input.dropout.rate, Random::bits(input.dropout.seed, 0)};
    Trunk::forward(device, params.trunk, code, rows, tape ? &tape->trunk : nullptr, dropout);
    const auto to = factors<Scalar>(output.factors);
    each_target([&]<Projection projection>(Index number) {
      const ArenaScope own(device, tape != nullptr);
      const auto& finished = linear_of<projection>(to);
      const auto plain = spec.z_score ? scratch<projection>(device, texts) : finished;
      Head<projection>::forward(device, linear_of<projection>(params.heads), of_linear(rows, number), plain,
                                tape ? &linear_of<projection>(tape->heads) : nullptr);
      each_side([&](auto side) { finish<projection>(device, params, texts, side, plain, finished); });
    });
    if (tape) tape->texts = texts;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, const OutputGradient& doutput,
                       InputGradient dembeddings, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const Index texts = tape.texts;
    check_texts("TextToLora: the tape's texts", doutput.factors, texts);
    const auto drows = take<Scalar, dyn, spec.head_in>(device, linears * Trunk::linear_rows * texts);
    const auto from = factors<const Scalar>(doutput.factors);
    each_target([&]<Projection projection>(Index number) {
      const ArenaScope own(device);
      auto dplain = linear_of<projection>(from);
      if constexpr (spec.z_score || spec.product_scale != 1) {
        const auto to = scratch<projection>(device, texts);
        each_side([&](auto side) { finish_backward<projection>(device, params, texts, side, dplain, to); });
        dplain = {to.a, to.b};
      }
      Head<projection>::backward(device, linear_of<projection>(params.heads),
                                 linear_of<projection>(tape.heads), dplain, of_linear(drows, number),
                                 linear_of<projection>(gradients.heads), write);
    });
    const auto dcode = take<Scalar, dyn, Encoder::out>(device, texts);
    Trunk::backward(device, params.trunk, tape.trunk, drows, dcode, gradients.trunk, write);
    Encoder::backward(device, params.task, tape.task, dcode, dembeddings, gradients.task, write);
  }

  /// The adapters of some texts, whose embeddings are given as a text encoder gives them, of any length.
  static Generated<Model> generate(Device& device, const Params& params,
                                   std::span<const std::vector<float>> embeddings) {
    const auto texts = static_cast<Index>(embeddings.size());
    std::vector<Tensor<Scalar, Device, dyn>> made;
    made.emplace_back(device, texts * numbers);
    const View<Scalar, Device, dyn> to = made.back();
    const ArenaScope scope(device);
    const auto x = take_embeddings(device, embeddings);
    forward(device, params, {.x = x}, {.factors = to});
    std::vector<std::vector<Updates>> adapters;
    adapters.reserve(embeddings.size());
    for (Index text = 0; text < texts; ++text)
      adapters.push_back({updates<const Scalar>(View<const Scalar, Device, dyn>(to), text)});
    return {std::move(made), std::move(adapters)};
  }

  /// Embeddings as a text encoder gives them, of any length, as forward reads them.
  static View<Scalar, Device, dyn, spec.embedding> take_embeddings(
      Device& device, std::span<const std::vector<float>> embeddings) {
    check(!embeddings.empty(),
          [] { return Error("nothing to read", "TextToLora", "one embedding or more", "none"); });
    std::vector<Scalar> host;
    for (const auto& embedding : embeddings) {
      check(static_cast<Index>(embedding.size()) == spec.embedding, [&] {
        return Error("an embedding of another width", "TextToLora", std::to_string(spec.embedding),
                     std::to_string(embedding.size()));
      });
      for (const float number : task_embedding(embedding)) host.push_back(scalar_cast<Scalar>(number));
    }
    const auto x = take<Scalar, dyn, spec.embedding>(device, static_cast<Index>(embeddings.size()));
    device.upload(x.data(), host.data(), x.bytes());
    return x;
  }

  /// Where the factors of every target lie in an output's numbers: factors<float>(x).attention.query.a.
  template <class S>
  static typename Linears::template Factors<S>::Type factors(View<S, Device, dyn> all) {
    typename Linears::template Factors<S>::Type result;
    const Index texts = all.size() / numbers;
    check_texts("TextToLora::factors", all, texts);
    S* at = all.data();
    visit(
        [&]<class V>(const std::string&, V& view) {
          view = V(at, typename V::ShapeType(layers * texts * rank));
          at += view.size();
        },
        result);
    return result;
  }

  /// Those of one text as a decoder's input takes them; of mutable numbers, as it gives gradients.
  template <class S>
  static typename Model::template Updates<S> updates(View<S, Device, dyn> all, Index text) {
    const auto from = factors<S>(all);
    const Index texts = all.size() / numbers;
    check(text >= 0 && text < texts, [&] {
      return Error("no such text", "TextToLora::updates", "one of " + std::to_string(texts),
                   std::to_string(text));
    });
    typename Model::template Updates<S> result;
    each_target([&]<Projection projection>(Index) {
      const auto& [a, b] = linear_of<projection>(from);
      for (Index layer = 0; layer < layers; ++layer) {
        auto& update = linear_of<projection>(result.layers[static_cast<std::size_t>(layer)]);
        const Index first = (layer * texts + text) * rank;
        update.a = {a.slice(first, rank), FactorForm::rows};
        update.b = {b.slice(first, rank), FactorForm::rows};
        update.scale = scale();
      }
    });
    return result;
  }

  /// Of what an adapter adds.
  static double scale() {
    return spec.alpha / (spec.rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
  }

 private:
  template <Projection projection>
  using Head = typename Linears::template Head<projection>;

  /// f.template operator()<projection>(which of them) for every target.
  template <class F>
  static void each_target(F f) {
    Index number = 0;
    each_projection([&]<Projection projection>() {
      if constexpr (spec.targets.contains(projection)) f.template operator()<projection>(number++);
    });
  }
  /// f(what picks a member) for A and for B.
  template <class F>
  static void each_side(F f) {
    f([](const auto& pair) -> const auto& { return pair.a; });
    f([](const auto& pair) -> const auto& { return pair.b; });
  }

  template <class V>
  static V of_linear(V rows, Index number) {
    const Index own = rows.rows() / linears;
    return rows.slice(number * own, own);
  }
  template <Projection projection>
  static auto scratch(Device& device, Index texts) {
    constexpr LinearSize size = size_of(base, projection);
    const Index rows = layers * texts * rank;
    return typename Head<projection>::Output{take<Scalar, dyn, size.in>(device, rows),
                                             take<Scalar, dyn, size.out>(device, rows)};
  }

  /// All vectors of a layer's factor as one row: (layers * texts, rank * width).
  template <class V>
  static auto by_layers(V vectors) {
    using S = typename V::ScalarType;
    return View<S, Device, dyn, dyn>(vectors.data(),
                                     Shape<dyn, dyn>(vectors.rows() / rank, rank * vectors.columns()));
  }
  /// What does not depend on the text, for every text.
  template <class Numbers>
  static View<Scalar, Device, dyn, dyn> for_texts(Device& device, const Numbers& fixed, Index texts) {
    const Index width = fixed.size() / layers;
    const auto to = take<Scalar, dyn, dyn>(device, layers * texts, width);
    repeat<Scalar>(device, {1, layers, texts}, fixed.view().template reshape<layers, dyn>(width), to);
    return to;
  }

  /// Factors of what a head gives, in place unless there is a deviation.
  template <Projection projection, class Side, class Pair>
  static void finish(Device& device, const Params& params, Index texts, Side side, const Pair& from,
                     const Pair& to) {
    const ArenaScope scope(device);
    const auto x = by_layers(side(from)), y = by_layers(side(to));
    const auto fixed = [&](const auto& of) {
      return for_texts(device, side(linear_of<projection>(of)), texts);
    };
    if constexpr (spec.z_score) {
      times_deviation(device, fixed(params.deviation), x, y);
      ops::add<Scalar>(device, y, fixed(params.mean), y);
    }
    if constexpr (spec.product_scale != 1) ops::scale<Scalar>(device, product_root(), y, y);
    if constexpr (spec.offset) ops::add<Scalar>(device, y, fixed(params.offset), y);
  }

  template <Projection projection, class Side, class From, class To>
  static void finish_backward(Device& device, const Params& params, Index texts, Side side, const From& from,
                              const To& to) {
    const ArenaScope scope(device);
    const auto dy = by_layers(side(from));
    const auto dx = by_layers(side(to));
    if constexpr (spec.z_score)
      times_deviation(device, for_texts(device, side(linear_of<projection>(params.deviation)), texts), dy,
                      dx);
    else
      ops::cast<Scalar, Scalar>(device, dy, dx);
    if constexpr (spec.product_scale != 1) ops::scale<Scalar>(device, product_root(), dx, dx);
  }

  /// y = x (deviation + 1e-10)
  static void times_deviation(Device& device, ops::Rows<const Scalar, Device> deviation,
                              ops::Rows<const Scalar, Device> x, ops::Rows<Scalar, Device> y) {
    ops::glu<Scalar>(device, Activation::identity, deviation, x, y);
    ops::scale_add<Scalar>(device, 1e-10, x, y);
  }
  static double product_root() { return 1 / std::sqrt(spec.product_scale); }

  static void check_texts(const char* where, View<const Scalar, Device, dyn> all, Index texts) {
    check(static_cast<bool>(all) && texts > 0 && all.size() == texts * numbers, [&] {
      return Error("the factors do not fit the texts", where,
                   std::to_string(texts) + " texts of " + std::to_string(numbers) + " numbers",
                   all ? std::to_string(all.size()) + " numbers" : "none");
    });
  }
};

}  // namespace hyperblocks
