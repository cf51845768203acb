// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Questions about documents that training never shows: how many of them are answered right.
#pragma once

#include <hyperblocks/models/generate.hpp>

#include "setting.hpp"

namespace hyperblocks::example {

struct Score {
  Index right = 0, all = 0;
  void operator+=(const Score& more) { right += more.right, all += more.all; }
  double share() const { return all > 0 ? static_cast<double>(right) / static_cast<double>(all) : 0; }
};

/// Seconds until the first question can be asked, bytes that are kept.
struct Cost {
  double seconds = 0, bytes = 0;
  void operator+=(const Cost& more) { seconds += more.seconds, bytes += more.bytes; }
};

/// With the text before each question, or none.
template <class Model>
Score score_of(Cpu& cpu, const Setting<Model>& setting, const std::vector<Example::Question>& asked,
               const std::string& text, const typename Model::template Updates<const float>& updates = {}) {
  const Conversation& conversation = setting.conversation;
  std::vector<Tokens> prompts;
  for (const auto& each : asked) prompts.push_back(conversation.prompt(each.question, text));
  const auto answers = generate<Model>(cpu, setting.model, setting.positions, prompts,
                                       {.most = 24, .stop = conversation.ends()}, updates);
  Score score{0, std::ssize(prompts)};
  for (std::size_t i = 0; i < answers.size(); ++i)
    score.right += conversation.text(answers[i]) == asked[i].answer;
  return score;
}

/// Of a base that knows some documents, all at once, in such a way (ways.hpp); `cost`, where given, receives
/// what that cost.
template <class Model, class Way>
Score score_of(Cpu& cpu, const Setting<Model>& setting, const Way& way, std::span<const Example> examples,
               Cost* cost = nullptr) {
  Score score;
  const Cost paid = way(examples, [&](const std::string& text, const auto& updates) {
    for (const Example& example : examples)
      score += score_of<Model>(cpu, setting, example.questions, text, updates);
  });
  if (cost != nullptr) *cost += paid;
  return score;
}

/// Of as many documents as the plan says, each known by itself.
template <class Model, class Way>
Score held_out_score(Cpu& cpu, const Setting<Model>& setting, const Way& way, const Examples& examples) {
  Score score;
  for (Index i = 0; i < examples.tested(); ++i) {
    const Example example = examples.asked(static_cast<std::uint64_t>(i));
    score += score_of(cpu, setting, way, std::span(&example, 1));
  }
  return score;
}

}  // namespace hyperblocks::example
