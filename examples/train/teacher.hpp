// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The base as its own teacher: what it says of examples with the document before it.
#pragma once

#include <hyperblocks/train/teacher.hpp>

#include "setting.hpp"
#include "topics.hpp"

namespace hyperblocks::example {

template <class Model>
struct ContextTeacher {
  const Setting<Model>& setting;

  /// In place of the answers that the examples have.
  void answer(Cpu& cpu, std::span<Example> examples) const {
    std::vector<Tokens> prompts;
    for (const Example& example : examples)
      for (const auto& each : example.questions)
        prompts.push_back(setting.conversation.prompt(each.question, example.document));
    const auto answers = generate<Model>(cpu, setting.model, setting.positions, prompts,
                                         {.most = 64, .stop = setting.conversation.ends()});
    std::size_t next = 0;
    for (Example& example : examples)
      for (auto& each : example.questions) each.answer = setting.conversation.text(answers[next++]);
  }

  /// Lessons about the examples in their order, from what it would say at each of their places.
  void teach(Cpu& cpu, std::span<const Example> examples, std::span<TextTopic> topics) const {
    std::vector<Lesson> lessons, in_context;
    for (std::size_t i = 0; i < examples.size(); ++i)
      for (const auto& each : examples[i].questions)
        in_context.push_back(setting.conversation.lesson(each, examples[i].document));
    for (const TextTopic& topic : topics)
      lessons.insert(lessons.end(), topic.lessons.begin(), topic.lessons.end());
    add_teacher<Model>(cpu, setting.model, setting.positions, in_context, lessons, setting.plan.likeliest);
    std::size_t next = 0;
    for (TextTopic& topic : topics)
      for (Lesson& lesson : topic.lessons) lesson = std::move(lessons[next++]);
  }

  /// The topics of examples: of what is stored with them or, where nothing is, of what it says now.
  std::vector<TextTopic> topics_of(Cpu& cpu, std::vector<Example> examples) const {
    const bool stored = std::ranges::all_of(examples, [](const Example& example) {
      return std::ranges::all_of(example.questions,
                                 [](const auto& each) { return !each.teacher_ids.empty(); });
    });
    if (!stored && setting.plan.own_answers) answer(cpu, examples);
    auto topics = questions_of(setting.conversation, examples);
    stored ? recall(examples, topics) : teach(cpu, examples, topics);
    return topics;
  }

 private:
  static void recall(std::span<const Example> examples, std::span<TextTopic> topics) {
    for (std::size_t i = 0; i < examples.size(); ++i)
      for (std::size_t j = 0; j < examples[i].questions.size(); ++j) {
        const auto& said = examples[i].questions[j];
        Lesson& lesson = topics[i].lessons[j];
        lesson.teacher_ids = said.teacher_ids;
        for (const double log : said.teacher_logs) lesson.teacher_logs.push_back(scalar_cast<half>(log));
      }
  }
};

/// A line of JSON for each example, with what the teacher says of it if there is a topic.
inline nlohmann::ordered_json to_json(const Example& example, const TextTopic* topic = nullptr) {
  nlohmann::ordered_json line = {{"context", example.document},
                                 {"questions", nlohmann::ordered_json::array()}};
  for (std::size_t i = 0; i < example.questions.size(); ++i) {
    nlohmann::ordered_json asked = {{"question", example.questions[i].question},
                                    {"answer", example.questions[i].answer}};
    if (topic != nullptr) {
      const Lesson& lesson = topic->lessons[i];
      std::vector<float> logs;
      for (const half log : lesson.teacher_logs) logs.push_back(scalar_cast<float>(log));
      asked["teacher"] = {{"ids", lesson.teacher_ids}, {"logs", logs}};
    }
    line["questions"].push_back(std::move(asked));
  }
  return line;
}

}  // namespace hyperblocks::example
