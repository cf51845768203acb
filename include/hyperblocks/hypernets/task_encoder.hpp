// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TaskEncoder: the embedding of a task's description to its code, (texts, embedding) to (texts, out).
//   linear    LayerNorm(W x + b)
//   softmax   LayerNorm(V softmax(mlp(x))): a mean of codes, which are V's columns
//   vq        LayerNorm(the code nearest to mlp(x)), whose gradient passes to mlp(x) unchanged
//   discrete  one-hot of mlp(x)'s largest number, or with noise a sample; the gradient is softmax(mlp(x))'s
#pragma once

#include <algorithm>

#include <hyperblocks/blocks/residual_mlp.hpp>

namespace hyperblocks {

enum class TaskCode : std::uint8_t { linear, discrete, softmax, vq };

struct TaskEncoderSpec {
  Index embedding = 0;
  Index out = 0;    ///< of a discrete code its classes
  Index codes = 0;  ///< of softmax and vq
  TaskCode code = TaskCode::linear;
};

/// y = softmax(x), row by row.
template <Index width, RealScalar Scalar_, class Device_>
struct Softmax : RowBlock<Scalar_, Device_, width, width> {
  using Base = RowBlock<Scalar_, Device_, width, width>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;
  template <Role role>
  using Parts = Nothing;
  using Params = Nothing;
  using Gradients = Nothing;
  struct Tape {
    Output output;
  };

  static void initialise(Device&, Params&, Random&) {}
  static void forward(Device& device, const Params&, Input x, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->output = y;
    ops::softmax<Scalar>(device, x, y);
  }
  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient dx,
                       Gradients&, Write) {
    detail::check_tape("Softmax", tape.output.rows(), dy.rows());
    if (dx) ops::softmax_backward<Scalar>(device, tape.output, dy, dx);
  }
};

namespace detail {
/// A device's numbers on the host.
template <class Device, class V>
std::vector<double> on_host(Device& device, const V& numbers) {
  using Scalar = std::remove_const_t<typename V::ScalarType>;
  std::vector<Scalar> host(static_cast<std::size_t>(numbers.size()));
  device.download(host.data(), numbers.data(), host.size() * sizeof(Scalar));
  std::vector<double> result(host.size());
  std::transform(host.begin(), host.end(), result.begin(),
                 [](Scalar number) { return scalar_cast<double>(number); });
  return result;
}
}  // namespace detail

/// y = the nearest of some codes. They follow what they stand for, see follow(), and have no gradients; that
/// of y passes to x unchanged.
template <Index codes, Index width, RealScalar Scalar_, class Device_>
struct Codebook : RowBlock<Scalar_, Device_, width, width> {
  using Base = RowBlock<Scalar_, Device_, width, width>;
  using typename Base::Scalar, typename Base::Device, typename Base::Input, typename Base::Output,
      typename Base::InputGradient, typename Base::OutputGradient;

  template <Role role>
  struct Parts {
    template <Index... extents>
    using Of = std::conditional_t<role == Role::value, Tensor<Scalar, Device, extents...>, Nothing>;
    Of<codes, width> code, sum;  ///< sum and count: running means of the rows that a code stood for
    Of<codes> count;
    static constexpr auto fields() {
      return std::tuple{Field{"code", &Parts::code}, Field{"sum", &Parts::sum},
                        Field{"count", &Parts::count}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    Input input;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    fill_normal(device, params.code, random, 1);
    std::vector<Scalar> numbers(static_cast<std::size_t>(params.code.size()));
    params.code.download(device, numbers);
    params.sum.upload(device, numbers);
    fill_constant(device, params.count, 0);
  }

  static void forward(Device& device, const Params& params, Input x, Output y, Tape* tape = nullptr) {
    if (tape != nullptr) tape->input = x;
    const ArenaScope scope(device);
    ops::embedding<Scalar, Scalar>(device, nearest(device, params, x), params.code, y, 1);
  }

  static void backward(Device& device, const Params&, const Tape& tape, OutputGradient dy, InputGradient dx,
                       Gradients&, Write) {
    detail::check_tape("Codebook", tape.input.rows(), dy.rows());
    if (dx) ops::cast<Scalar, Scalar>(device, dy, dx);
  }

  /// A step of training: codes move towards the mean of the rows that they stand for.
  static void follow(Device& device, Params& params, Input x, double decay = 0.99) {
    const ArenaScope scope(device);
    const auto rows = detail::on_host(device, x);
    const auto places = nearest(device, params, x);
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(places.size()));
    device.download(chosen.data(), places.data(), chosen.size() * sizeof(std::int32_t));
    auto sum = detail::on_host(device, params.sum.view()),
         count = detail::on_host(device, params.count.view());
    for (double& number : sum) number *= decay;
    for (double& number : count) number *= decay;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
      const auto code = static_cast<std::size_t>(chosen[row]);
      count[code] += 1 - decay;
      for (std::size_t i = 0; i < columns; ++i)
        sum[code * columns + i] += (1 - decay) * rows[row * columns + i];
    }
    double all = 0;
    for (const double number : count) all += number;
    // Codes that stand for nothing keep a little weight, so that no division is by zero.
    const double smoothing = 1e-5, kept = all / (all + static_cast<double>(codes) * smoothing);
    const auto give = [&](auto& tensor, auto value) {
      std::size_t i = 0;
      fill(device, tensor, [&] { return value(i++); });
    };
    give(params.sum, [&](std::size_t i) { return sum[i]; });
    give(params.count, [&](std::size_t i) { return count[i]; });
    give(params.code, [&](std::size_t i) { return sum[i] / ((count[i / columns] + smoothing) * kept); });
  }

 private:
  static constexpr auto columns = static_cast<std::size_t>(width);

  static View<std::int32_t, Device, dyn> nearest(Device& device, const Params& params, Input x) {
    const auto chosen = take<std::int32_t, dyn>(device, x.rows());
    ops::nearest<Scalar>(device, x, params.code, chosen);
    return chosen;
  }
};

namespace detail {
template <TaskEncoderSpec spec, class Scalar, class Device, class Weights>
struct TaskEncoderBody {
  template <Index in, Index out, bool bias = true>
  using Layer = Linear<LinearSpec{in, out, bias}, Scalar, Device, Weights>;
  using Norm = LayerNorm<LayerNormSpec{spec.out}, Scalar, Device, Weights>;
  static constexpr Index inner = 4 * spec.out;
  using Expand = Layer<spec.embedding, inner>;
  using Inner = Activate<Activation::silu, inner, Scalar, Device>;

  static auto type() {
    if constexpr (spec.code == TaskCode::linear)
      return std::type_identity<Chain<Layer<spec.embedding, spec.out>, Norm>>();
    else if constexpr (spec.code == TaskCode::discrete)
      return std::type_identity<Chain<Expand, Inner, Layer<inner, spec.out>>>();
    else if constexpr (spec.code == TaskCode::softmax)
      return std::type_identity<
          Chain<Expand, Inner, Layer<inner, spec.codes>, Softmax<spec.codes, Scalar, Device>,
                Layer<spec.codes, spec.out, false>, Norm>>();
    else
      return std::type_identity<Chain<Expand, Inner, Layer<inner, spec.out>,
                                      Codebook<spec.codes, spec.out, Scalar, Device>, Norm>>();
  }
  using Type = typename decltype(type())::type;
};
}  // namespace detail

/// Parameters are those of the chain of blocks.
template <TaskEncoderSpec spec_, RealScalar Scalar_, class Device_, class Weights = Trainable>
struct TaskEncoder {
  static constexpr TaskEncoderSpec spec = spec_;
  using Scalar = Scalar_;
  using Device = Device_;
  static constexpr Index in = spec.embedding, out = spec.out;
  static constexpr bool discrete = spec.code == TaskCode::discrete;
  using Body = typename detail::TaskEncoderBody<spec, Scalar, Device, Weights>::Type;
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};
    View<const Scalar, Device, dyn, out> noise = {};  ///< Gumbel's: samples a discrete code, in training
    Dropout dropout = {};                             ///< in training, behind activations; needs a tape
  };
  using Output = View<Scalar, Device, dyn, out>;
  using InputGradient = View<Scalar, Device, dyn, in>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;
  template <Role role>
  using Parts = typename Body::template Parts<role>;
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Body::Tape body;
    View<Scalar, Device, dyn, out> logits;  // of a discrete code
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Body::initialise(device, params, random);
    if constexpr (spec.code == TaskCode::softmax)  // codes as an embedding's rows
      fill_normal(device, std::get<4>(params).weight, random, 1);
  }

  static void forward(Device& device, const Params& params, const Input& input, Output y,
                      Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    check(!input.noise || discrete,
          [] { return Error("noise for a code that is not discrete", "TaskEncoder", "none", "some"); });
    check(!input.dropout || tape, [] {
      return Error("dropout without a tape", "TaskEncoder", "a tape, as training has one", "none");
    });
    Random random(input.dropout.seed);
    if (tape) set_dropout(tape->body, input.dropout.rate, random);
    const auto last = discrete ? take<Scalar, dyn, out>(device, y.rows()) : y;
    Body::forward(device, params, input.x, last, tape ? &tape->body : nullptr);
    if constexpr (discrete) choose(device, last, input.noise, y);
    if (tape) tape->logits = last;
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dx, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    detail::check_tape("TaskEncoder", tape.logits.rows(), dy.rows());
    if constexpr (discrete) {
      const auto probabilities = take<Scalar, dyn, out>(device, dy.rows());
      const auto dlogits = take<Scalar, dyn, out>(device, dy.rows());
      ops::softmax<Scalar>(device, tape.logits, probabilities);
      ops::softmax_backward<Scalar>(device, probabilities, dy, dlogits);
      Body::backward(device, params, tape.body, dlogits, dx, gradients, write);
    } else {
      Body::backward(device, params, tape.body, dy, dx, gradients, write);
    }
  }

 private:
  static void choose(Device& device, OutputGradient logits, OutputGradient noise, Output y) {
    auto scores = logits;
    if (noise) {
      ops::detail::check_same("TaskEncoder: noise", logits, noise);
      const auto noisy = take<Scalar, dyn, out>(device, logits.rows());
      ops::add<Scalar>(device, logits, noise, noisy);
      scores = noisy;
    }
    const auto chosen = take<std::int32_t, dyn>(device, logits.rows());
    ops::largest<Scalar>(device, scores, chosen);
    ops::one_hot<Scalar>(device, chosen, y);
  }
};

}  // namespace hyperblocks
