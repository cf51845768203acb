// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TransformerBlock: attention, then an MLP, each in a Branch with a residual, and norms where the placement
// says:
//   pre       y = x + f(norm(x))                 Llama, Qwen3
//   post      y = norm(x + f(x))                 BERT, the M2P Transformer
//   sandwich  y = x + output_norm(f(norm(x)))    Gemma, the Perceiver
// Encoder, decoder and Perceiver blocks are choices of the parts: encoder_block.hpp, decoder_block.hpp,
// perceiver.hpp.
#pragma once

#include <hyperblocks/blocks/attention.hpp>
#include <hyperblocks/blocks/mlp.hpp>

namespace hyperblocks {

namespace detail {
/// One sentence for parts that change the width, with the numbers in the type.
template <Index in, Index out, Index norm>
struct BranchKeepsWidth {
  static_assert(in == out && norm == in,
                "hyperblocks: a Branch's block and norm keep the width: BranchKeepsWidth<in, out, norm>");
};
}  // namespace detail

enum class NormPlacement { pre, post, sandwich };

/// One half of a transformer block: input and its gradient are the inner block's. At inference y may be x.
template <class Inner, class Norm, NormPlacement placement>
struct Branch {
  using Scalar = typename Inner::Scalar;
  using Device = typename Inner::Device;
  static constexpr Index in = Inner::in, out = Inner::out;
  static_assert(sizeof(detail::BranchKeepsWidth<in, out, Norm::in>) > 0);
  using Input = typename Inner::Input;
  using Output = typename Inner::Output;
  using InputGradient = typename Inner::InputGradient;
  using OutputGradient = typename Inner::OutputGradient;
  static constexpr bool sandwich = placement == NormPlacement::sandwich;

  template <Role role>
  struct Parts {
    typename Inner::template Parts<role> inner;
    typename Norm::template Parts<role> norm;
    OptionalParts<std::conditional_t<sandwich, Norm, Nothing>, role> output_norm;
    static constexpr auto fields() {
      return std::tuple{Field{"", &Parts::inner}, Field{"norm", &Parts::norm},
                        Field{"output_norm", &Parts::output_norm}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename Inner::Tape inner;
    typename Norm::Tape norm, output_norm;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    Inner::initialise(device, params.inner, random);
    Norm::initialise(device, params.norm, random);
    if constexpr (sandwich) Norm::initialise(device, params.output_norm, random);
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    const auto x = input.x;
    auto branch = take<Scalar, dyn, in>(device, x.rows());  // what is added to x
    if constexpr (placement == NormPlacement::post) {
      Inner::forward(device, params.inner, input, branch, tape ? &tape->inner : nullptr);
      ops::add<Scalar>(device, x, branch, branch);
      Norm::forward(device, params.norm, branch, y, tape ? &tape->norm : nullptr);
    } else {
      const auto normed = take<Scalar, dyn, in>(device, x.rows());
      Norm::forward(device, params.norm, x, normed, tape ? &tape->norm : nullptr);
      input.x = normed;
      Inner::forward(device, params.inner, input, branch, tape ? &tape->inner : nullptr);
      if constexpr (sandwich) {
        const auto output = tape ? take<Scalar, dyn, in>(device, x.rows()) : branch;
        Norm::forward(device, params.output_norm, branch, output, tape ? &tape->output_norm : nullptr);
        branch = output;
      }
      ops::add<Scalar>(device, x, branch, y);
    }
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto dx = dinput.x;
    const auto dbranch = take<Scalar, dyn, in>(device, dy.rows());
    OutputGradient added = dy;  // the gradient of what was added to x
    if constexpr (placement == NormPlacement::post) {
      Norm::backward(device, params.norm, tape.norm, dy, dbranch, gradients.norm, write);
      Inner::backward(device, params.inner, tape.inner, dbranch, dinput, gradients.inner, write);
      added = dbranch;
    } else {
      if constexpr (sandwich)
        Norm::backward(device, params.output_norm, tape.output_norm, dy, dbranch, gradients.output_norm,
                       write);
      const auto dnormed = take<Scalar, dyn, in>(device, dy.rows());
      dinput.x = dnormed;
      Inner::backward(device, params.inner, tape.inner, sandwich ? OutputGradient(dbranch) : dy, dinput,
                      gradients.inner, write);
      Norm::backward(device, params.norm, tape.norm, dnormed, dx, gradients.norm, write);
    }
    if (dx) ops::add<Scalar>(device, dx, added, dx);
  }
};

/// The context of cross attention goes through a norm of its own.
template <class Attention_, class Mlp_, class Norm, NormPlacement placement, class ContextNorm = Nothing>
struct TransformerBlock {
  using Scalar = typename Attention_::Scalar;
  using Device = typename Attention_::Device;
  static constexpr Index in = Attention_::in, out = Attention_::out;
  static constexpr Index context_width = Attention_::context_width, rotated = Attention_::rotated;
  using AttentionBranch = Branch<Attention_, Norm, placement>;
  using MlpBranch = Branch<Mlp_, Norm, placement>;
  static_assert(sizeof(AttentionBranch) > 0 && sizeof(MlpBranch) > 0);  // their widths fit
  static constexpr bool norms_context = !std::same_as<ContextNorm, Nothing>;

  using Setup = typename Attention_::Setup;
  template <class S>
  struct Updates {
    typename Attention_::template Updates<S> attention = {};
    typename Mlp_::template Updates<S> mlp = {};
    static constexpr auto fields() {
      return std::tuple{Field{"attention", &Updates::attention}, Field{"mlp", &Updates::mlp}};
    }
  };
  struct Input {
    View<const Scalar, Device, dyn, in> x = {};  // (rows, hidden)
    Setup setup = {};
    Updates<const Scalar> updates = {};
  };
  struct InputGradient {
    View<Scalar, Device, dyn, in> x = {};
    View<Scalar, Device, dyn, context_width> context = {};
    Updates<Scalar> updates = {};
  };
  using Output = View<Scalar, Device, dyn, out>;
  using OutputGradient = View<const Scalar, Device, dyn, out>;

  template <Role role>
  struct Parts {
    typename AttentionBranch::template Parts<role> attention;
    typename MlpBranch::template Parts<role> mlp;
    OptionalParts<ContextNorm, role> context_norm;
    static constexpr auto fields() {
      return std::tuple{Field{"attention", &Parts::attention}, Field{"mlp", &Parts::mlp},
                        Field{"context_norm", &Parts::context_norm}};
    }
  };
  using Params = Parts<Role::value>;
  using Gradients = Parts<Role::gradient>;
  struct Tape {
    typename AttentionBranch::Tape attention;
    typename MlpBranch::Tape mlp;
    OptionalTape<ContextNorm> context_norm;
  };

  static void initialise(Device& device, Params& params, Random& random) {
    AttentionBranch::initialise(device, params.attention, random);
    MlpBranch::initialise(device, params.mlp, random);
    if constexpr (norms_context) ContextNorm::initialise(device, params.context_norm, random);
  }

  static void forward(Device& device, const Params& params, Input input, Output y, Tape* tape = nullptr) {
    const ArenaScope scope(device, tape != nullptr);
    if constexpr (norms_context)
      if (auto& seen = input.setup.context) {
        const auto context = take<Scalar, dyn, context_width>(device, seen.rows());
        ContextNorm::forward(device, params.context_norm, seen, context,
                             tape ? &tape->context_norm : nullptr);
        seen = context;
      }
    const auto between = take<Scalar, dyn, in>(device, input.x.rows());
    AttentionBranch::forward(device, params.attention, {input.x, input.setup, input.updates.attention},
                             between, tape ? &tape->attention : nullptr);
    MlpBranch::forward(device, params.mlp, {between, input.updates.mlp}, y, tape ? &tape->mlp : nullptr);
  }

  static void backward(Device& device, const Params& params, const Tape& tape, OutputGradient dy,
                       InputGradient dinput, Gradients& gradients, Write write) {
    const ArenaScope scope(device);
    const auto& [dx, dcontext, updates] = dinput;
    const auto between = take<Scalar, dyn, in>(device, dy.rows());
    MlpBranch::backward(device, params.mlp, tape.mlp, dy, {between, updates.mlp}, gradients.mlp, write);
    if constexpr (norms_context) {
      const auto dnormed = take<Scalar, dyn, context_width>(device, tape.context_norm.input.rows());
      AttentionBranch::backward(device, params.attention, tape.attention, between,
                                {dx, dnormed, updates.attention}, gradients.attention, write);
      ContextNorm::backward(device, params.context_norm, tape.context_norm, dnormed, dcontext,
                            gradients.context_norm, write);
    } else {
      AttentionBranch::backward(device, params.attention, tape.attention, between,
                                {dx, dcontext, updates.attention}, gradients.attention, write);
    }
  }
};

}  // namespace hyperblocks
