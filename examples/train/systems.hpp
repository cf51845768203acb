// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What each system is in training: a writer (hyperblocks/train/teaching.hpp) that can begin and read.
#pragma once

#include <hyperblocks/models/embed.hpp>
#include <hyperblocks/train/doc_to_lora_writer.hpp>
#include <hyperblocks/train/packing.hpp>
#include <hyperblocks/train/shine_writer.hpp>
#include <hyperblocks/train/text_to_lora_writer.hpp>

#include "setting.hpp"

namespace hyperblocks::example {

/// That the base has a position for each token of a document, and for what a system puts behind them.
template <class Model>
void check_readable(const Tokens& document, Index behind) {
  const Index most = Model::spec.positions - behind, size = std::ssize(document);
  check(size > 0 && size <= most, [&] {
    return Error("a document that the base cannot read at once", "its " + std::to_string(size) + " tokens",
                 "1 to " + std::to_string(most) + " (--context N, or smaller pieces)", std::to_string(size));
  });
}

/// initial(cpu, random): the parameters that a training begins with. read(cpu, texts, random): texts as the
/// document that it takes; where chance may decide anything of it, `random` does in training and nothing does
/// in tests. mean: over what its loss is one.
template <class Model, auto spec, ContextSpec context>
struct System;

template <class Model, ShineSpec spec, ContextSpec context>
struct System<Model, spec, context> : ShineWriter<Shine<Model, spec>> {
  using Writer = ShineWriter<Shine<Model, spec>>;
  const Setting<Model>& setting;
  static constexpr MeanOver mean = MeanOver::labels;

  explicit System(const Setting<Model>& base)
      : Writer{.model = base.model, .rotary = base.positions, .plain_l1 = base.plan.plain_l1},
        setting(base) {}

  static typename Writer::Net::Params initial(Cpu& cpu, Random& random) {
    auto params = initialised<typename Writer::Net>(cpu, random);
    // At zero, norms multiply the memory tokens' gradients by a thousand.
    fill_normal(cpu, params.memory, random, 0.3);
    return params;
  }

  Tokens read(Cpu&, std::span<const std::string> texts, Random*) const {
    const Tokens document = setting.conversation.documents(texts, setting.plan.context);
    check_readable<Model>(document, Writer::Net::memory_tokens);
    return document;
  }
};

template <class Model, DocToLoraSpec spec, ContextSpec context>
struct System<Model, spec, context> : DocToLoraWriter<DocToLora<Model, spec>, ContextReader<Model, context>> {
  using Net = DocToLora<Model, spec>;
  using Writer = DocToLoraWriter<Net, ContextReader<Model, context>>;
  const Setting<Model>& setting;
  static constexpr MeanOver mean = MeanOver::lessons;

  explicit System(const Setting<Model>& base) : Writer{{base.model, base.positions}}, setting(base) {}

  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }

  std::vector<Tokens> read(Cpu&, std::span<const std::string> texts, Random* random) const {
    const auto count = [&](Index tokens) {
      const Index piece = setting.plan.piece;
      const bool by_chance = random != nullptr && setting.plan.random_pieces;
      return by_chance ? random_piece_count(*random, tokens) : (tokens + piece - 1) / piece;
    };
    auto pieces = setting.conversation.in_pieces(texts, setting.plan.context, count);
    for (const Tokens& piece : pieces) check_readable<Model>(piece, 0);
    return pieces;
  }
};

template <class Model, TextToLoraSpec spec, ContextSpec context>
struct System<Model, spec, context> : TextToLoraWriter<TextToLora<Model, spec>> {
  using Net = TextToLora<Model, spec>;
  const Setting<Model>& setting;
  static constexpr MeanOver mean = MeanOver::lessons;
  explicit System(const Setting<Model>& base) : setting(base) {}

  static typename Net::Params initial(Cpu& cpu, Random& random) { return initialised<Net>(cpu, random); }

  /// In training a description comes again and again, and the base does not change.
  std::vector<float> read(Cpu& cpu, std::span<const std::string> texts, Random* random) const {
    if (random == nullptr) return embedding(cpu, texts.front());
    if (known_.size() > most_known) known_.clear();
    const auto [found, is_new] = known_.try_emplace(texts.front());
    if (is_new) found->second = embedding(cpu, texts.front());
    return found->second;
  }

 private:
  static constexpr std::size_t most_known = 1 << 16;
  static constexpr Index most = Model::spec.positions;

  std::vector<float> embedding(Cpu& cpu, const std::string& text) const {
    return embed<Model>(cpu, setting.model, setting.positions,
                        setting.conversation.description(
                            text, setting.plan.context > 0 ? std::min(setting.plan.context, most) : most),
                        {.pooling = Pooling::last});
  }

  mutable std::map<std::string, std::vector<float>> known_ = {};
};

}  // namespace hyperblocks::example
