// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What each system is in training: its network, its writer, and a document as it reads it.
#pragma once

#include <hyperblocks/models/embed.hpp>
#include <hyperblocks/train/doc_to_lora_writer.hpp>
#include <hyperblocks/train/packing.hpp>
#include <hyperblocks/train/shine_writer.hpp>
#include <hyperblocks/train/text_to_lora_writer.hpp>

#include "conversation.hpp"

namespace hyperblocks::example {

/// What a system stands on; all of it is kept by the caller.
template <class Model>
struct Setting {
  const Plan& plan;
  const Conversation& conversation;
  const typename Model::Params& model;
  const typename Model::Positions& positions;
};

/// initial(cpu, random): the parameters that a training begins with. read(cpu, texts, random): where chance
/// may decide anything of it, `random` does in training and nothing does in tests.
template <class Model, auto spec, ContextSpec context>
struct System;

template <class Model, ShineSpec spec, ContextSpec context>
struct System<Model, spec, context> {
  using Net = Shine<Model, spec>;
  using Writer = ShineWriter<Net>;
  const Setting<Model>& setting;
  Writer writer{.model = setting.model, .rotary = setting.positions, .plain_l1 = setting.plan.plain_l1};
  static constexpr MeanOver mean = MeanOver::labels;

  static typename Net::Params initial(Cpu& cpu, Random& random) {
    auto params = initialised<Net>(cpu, random);
    // At zero, norms multiply the memory tokens' gradients by a thousand.
    fill_normal(cpu, params.memory, random, 0.3);
    return params;
  }

  Tokens read(Cpu&, std::span<const std::string> texts, Random*) const {
    return setting.conversation.documents(texts, setting.plan.context);
  }
};

template <class Model, DocToLoraSpec spec, ContextSpec context>
struct System<Model, spec, context> {
  using Net = DocToLora<Model, spec>;
  using Reader = ContextReader<Model, context>;
  using Writer = DocToLoraWriter<Net, Reader>;
  const Setting<Model>& setting;
  Reader reader{setting.model, setting.positions};
  Writer writer{reader};
  static constexpr MeanOver mean = MeanOver::lessons;

  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }

  std::vector<Tokens> read(Cpu&, std::span<const std::string> texts, Random* random) const {
    return setting.conversation.in_pieces(texts, [&](Index tokens) {
      const Index piece = setting.plan.piece;
      const bool by_chance = random != nullptr && setting.plan.random_pieces;
      return by_chance ? random_piece_count(*random, tokens) : (tokens + piece - 1) / piece;
    });
  }
};

template <class Model, TextToLoraSpec spec, ContextSpec context>
struct System<Model, spec, context> {
  using Net = TextToLora<Model, spec>;
  using Writer = TextToLoraWriter<Net>;
  const Setting<Model>& setting;
  Writer writer = {};
  static constexpr MeanOver mean = MeanOver::lessons;
  mutable std::map<std::string, std::vector<float>> known = {};  ///< the base does not change

  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }

  std::vector<float> read(Cpu& cpu, std::span<const std::string> texts, Random*) const {
    const auto [found, is_new] = known.try_emplace(texts.front());
    if (is_new)
      found->second = embed<Model>(cpu, setting.model, setting.positions,
                                   setting.conversation.description(texts.front(), Model::spec.positions),
                                   {.pooling = Pooling::last});
    return found->second;
  }
};

}  // namespace hyperblocks::example
