// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Questions about documents that training never shows: how many of them are answered right.
#pragma once

#include <hyperblocks/models/generate.hpp>

#include "conversation.hpp"

namespace hyperblocks::example {

struct Score {
  Index right = 0, all = 0;
  void operator+=(const Score& more) { right += more.right, all += more.all; }
};

/// With the text before each question, or none.
template <class Model>
Score score_of(Cpu& cpu, const typename Model::Params& model, const typename Model::Rotaries& rotary,
               const Conversation& conversation, const std::vector<Example::Question>& asked,
               const std::string& text, const typename Model::template Updates<const float>& updates = {}) {
  std::vector<Tokens> prompts;
  for (const auto& each : asked) prompts.push_back(conversation.prompt(each.question, text));
  const auto answers =
      generate<Model>(cpu, model, rotary, prompts, {.most = 24, .stop = conversation.ends()}, updates);
  Score score{0, std::ssize(prompts)};
  for (std::size_t i = 0; i < answers.size(); ++i)
    score.right += conversation.text(answers[i]) == asked[i].answer;
  return score;
}

/// A base that has the documents before it, or that has not.
template <class Model>
Score held_out_score(Cpu& cpu, const typename Model::Params& model, const typename Model::Rotaries& rotary,
                     const Conversation& conversation, const Examples& examples, Index documents,
                     bool in_context) {
  Score score;
  for (Index i = 0; i < documents; ++i) {
    const Example example = examples.asked(static_cast<std::uint64_t>(i));
    score += score_of<Model>(cpu, model, rotary, conversation, example.questions,
                             in_context ? example.document : "");
  }
  return score;
}

/// A base with the adapter that a hypernetwork writes of a document; written(parts) is told of it before it
/// is asked.
template <class System, class Written>
Score written_score(Cpu& cpu, const System& system, const typename System::Net::Params& params,
                    const Example& example, Written written) {
  using Model = typename System::Net::Model;
  const ArenaScope scope(cpu);
  typename System::Writer::Tape tape;
  const auto parts =
      system.writer.write(cpu, params, {system.read(cpu, std::span(&example.document, 1), nullptr)}, tape);
  written(parts);
  std::vector<typename Model::template Updates<const float>> updates;
  for (const auto& part : parts) updates.push_back(part.updates);
  const Batch adapter(std::move(updates));
  const auto& setting = system.setting;
  return score_of<Model>(cpu, setting.model, setting.positions, setting.conversation, example.questions, "",
                         adapter.front());
}
template <class System>
Score written_score(Cpu& cpu, const System& system, const typename System::Net::Params& params,
                    const Example& example) {
  return written_score(cpu, system, params, example, [](const auto&) {});
}

/// Of many documents, each with its own adapter.
template <class System>
Score adapted_score(Cpu& cpu, const System& system, const typename System::Net::Params& params,
                    const Examples& examples, Index documents) {
  Score score;
  for (Index i = 0; i < documents; ++i)
    score += written_score(cpu, system, params, examples.asked(static_cast<std::uint64_t>(i)));
  return score;
}

}  // namespace hyperblocks::example
