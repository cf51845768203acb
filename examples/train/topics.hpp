// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the pipelines make of examples: documents, and lessons about them.
#pragma once

#include <hyperblocks/train/packing.hpp>
#include <hyperblocks/train/teaching.hpp>
#include <hyperblocks/train/text_tasks.hpp>

#include "conversation.hpp"

namespace hyperblocks::example {

/// Texts that are one document, and what is to be known of them.
struct TextTopic {
  std::vector<std::string> texts;
  std::vector<Lesson> lessons;
};

inline std::vector<Example> examples_of_batch(const Plan& plan, const Examples& examples,
                                              std::uint64_t number) {
  std::vector<Example> batch;
  for (Index i = 0; i < plan.batch; ++i) {
    const std::uint64_t at = number * static_cast<std::uint64_t>(plan.batch) + static_cast<std::uint64_t>(i);
    Example& example = batch.emplace_back(examples.trained(at));
    const auto asked = static_cast<std::size_t>(plan.questions);
    if (asked == 0 || example.questions.size() <= asked) continue;
    Random random = Random::of(plan.seed ^ 0x9e37u, at);
    for (std::size_t j = 0; j < asked; ++j)
      std::swap(example.questions[j], example.questions[j + random.below(example.questions.size() - j)]);
    example.questions.resize(asked);
  }
  return batch;
}

inline std::vector<TextTopic> questions_of(const Conversation& conversation,
                                           std::span<const Example> examples) {
  std::vector<TextTopic> topics;
  for (const Example& example : examples) {
    TextTopic& topic = topics.emplace_back();
    topic.texts = {example.document};
    for (const auto& each : example.questions) topic.lessons.push_back(conversation.lesson(each));
  }
  return topics;
}

/// Topics as a system reads them; what chance decides of it follows from the batch's number.
template <class System>
std::vector<Topic<typename System::Document>> read_topics(Cpu& cpu, const Plan& plan, const System& system,
                                                          std::uint64_t number,
                                                          std::vector<TextTopic> topics) {
  Random random = Random::of(~plan.seed, number);
  std::vector<Topic<typename System::Document>> read;
  for (TextTopic& topic : topics)
    read.push_back({system.read(cpu, topic.texts, &random), std::move(topic.lessons)});
  return read;
}

/// Short texts share a document, whose order has nothing to do with the order in which they are asked for.
inline std::vector<TextTopic> pretraining_of(const Plan& plan, const Conversation& conversation,
                                             std::span<const Example> examples, std::uint64_t number) {
  constexpr Index turn = 11;  // tokens that a text costs besides its own
  Random random = Random::of(plan.seed ^ 0x7e47u, number);
  std::vector<TextTask> tasks;
  std::vector<Index> sizes;
  for (const Example& example : examples) {
    tasks.push_back(random_text_task(random, example.document));
    sizes.push_back(conversation.size(example.document) + turn);
  }
  std::vector<std::vector<std::size_t>> packs;
  if (plan.context > 0)
    packs = packed(sizes, plan.context);
  else
    for (std::size_t i = 0; i < tasks.size(); ++i) packs.push_back({i});
  std::vector<TextTopic> topics;
  for (const auto& pack : packs) {
    TextTopic& topic = topics.emplace_back();
    std::vector<Example::Question> asked;
    for (const std::size_t i : pack) {
      asked.push_back({tasks[i].turn, tasks[i].answer});
      topic.texts.insert(
          topic.texts.begin() + static_cast<std::ptrdiff_t>(random.below(topic.texts.size() + 1)),
          tasks[i].context);
    }
    topic.lessons = {conversation.dialogue("", asked, true)};
    Lesson& lesson = topic.lessons.front();
    const auto most = static_cast<std::size_t>(plan.context > 0 ? plan.context + turn : 0);
    if (most > 0 && lesson.ids.size() > most) lesson.ids.resize(most), lesson.labels.resize(most);
  }
  return topics;
}

}  // namespace hyperblocks::example
