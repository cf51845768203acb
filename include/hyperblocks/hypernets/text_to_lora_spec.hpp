// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLoraSpec: the sizes and options of a TextToLora, and the types that follow for each target; what its
// input is scaled to.
#pragma once

#include <hyperblocks/hypernets/task_encoder.hpp>
#include <hyperblocks/hypernets/task_head.hpp>
#include <hyperblocks/hypernets/task_trunk.hpp>
#include <hyperblocks/lora/adapter.hpp>

namespace hyperblocks {

struct TextToLoraSpec {
  Index rank = 8;
  Targets targets = query_and_value;
  double alpha = 16;
  bool rslora = true;      ///< what the adapter adds is scaled by alpha / sqrt(rank), else by alpha / rank
  Index embedding = 1024;  ///< how wide a description's embedding is
  Index latent = 128;
  Index head_in = 512;
  TaskCode code = TaskCode::linear;
  Index classes = 64;                               ///< of a discrete code
  Index codes = 32;                                 ///< of softmax and vq
  bool shared_head = false;                         ///< a linear's A and B come from one head: sizes M and S
  bool autoregressive = false;                      ///< ranks come one at a time: size S, with a shared head
  RankPositions positions = RankPositions::rotary;  ///< what tells them apart
  bool head_bias = true;
  HeadStart head_start = HeadStart::base;
  bool z_score = false;      ///< heads give what is to be multiplied by a deviation and added to a mean
  double product_scale = 1;  ///< 10000 where heads were trained to give A and B of 10000 B A
  bool offset = false;       ///< another adapter's factors are added
};

/// What a text encoder gives, with the length that Text-to-LoRA was trained with, sqrt(width).
inline std::vector<float> task_embedding(std::vector<float> embedding) {
  double square = 0;
  for (const float number : embedding) square += static_cast<double>(number) * static_cast<double>(number);
  check(square > 0 && std::isfinite(square), [&] {
    return Error("an embedding without a direction", "task_embedding", "finite numbers, not all zero",
                 "a squared length of " + detail::shown(square));
  });
  const double factor = std::sqrt(static_cast<double>(embedding.size()) / square);
  for (float& number : embedding) number = static_cast<float>(static_cast<double>(number) * factor);
  return embedding;
}

namespace detail {
/// One sentence for a spec that cannot be, with the numbers in the type.
template <Index rank, Index targets, Index embedding, Index latent, Index head_in>
struct TextToLoraSizes {
  static_assert(rank > 0 && targets > 0 && embedding > 0 && latent >= 4 && head_in > 0,
                "hyperblocks: a TextToLora needs sizes of one or more, a latent of 4 or more: "
                "TextToLoraSizes<rank, targets, embedding, latent, head_in>");
};
constexpr Index target_count(const Targets& targets) {
  Index result = 0;
  for (const Projection each : all_projections) result += targets.contains(each) ? 1 : 0;
  return result;
}

/// The types of what there is one of for every target; Nothing for other linears.
template <auto base, TextToLoraSpec spec, class Scalar, class Device, class Weights>
struct TextToLoraLinears {
  template <Projection projection, class T>
  using IfTarget = std::conditional_t<spec.targets.contains(projection), T, Nothing>;

  template <Projection projection>
  using Head = TaskHead<TaskHeadSpec{.width = spec.head_in,
                                     .in = size_of(base, projection).in,
                                     .out = size_of(base, projection).out,
                                     .rank = spec.rank,
                                     .shared = spec.shared_head,
                                     .by_rank = spec.autoregressive,
                                     .bias = spec.head_bias,
                                     .start = spec.head_start},
                        Scalar, Device, Weights>;
  template <Role role>
  struct HeadParts {
    template <Projection projection>
    using Of = OptionalParts<IfTarget<projection, Head<projection>>, role>;
    using Type = PerLinear<Of>;
  };
  struct HeadTapes {
    template <Projection projection>
    using Of = OptionalTape<IfTarget<projection, Head<projection>>>;
    using Type = PerLinear<Of>;
  };

  struct NoPair {
    using Type = Nothing;
  };
  template <class S>
  struct Factors {
    template <Projection projection>
    struct Pair {
      using Type = typename Head<projection>::template Numbers<S>;
    };
    template <Projection projection>
    using Of = typename std::conditional_t<spec.targets.contains(projection), Pair<projection>, NoPair>::Type;
    using Type = PerLinear<Of>;
  };

  /// Numbers that do not depend on the text and are not trained.
  template <bool present, Role role>
  struct Fixed {
    template <Index width>
    using Numbers = std::conditional_t<role == Role::value,
                                       Tensor<Scalar, Device, base.layers, spec.rank, width>, Nothing>;
    template <Projection projection>
    struct Pair {
      Numbers<size_of(base, projection).in> a;
      Numbers<size_of(base, projection).out> b;
      static constexpr auto fields() { return std::tuple{Field{"a", &Pair::a}, Field{"b", &Pair::b}}; }
    };
    template <Projection projection>
    using Of = std::conditional_t<present, IfTarget<projection, Pair<projection>>, Nothing>;
    using Type = PerLinear<Of>;
  };
};
}  // namespace detail

}  // namespace hyperblocks
