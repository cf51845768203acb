// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Courses: what a batch is, by its number, and what of it is asked in tests.
#pragma once

#include <hyperblocks/train/trainer.hpp>

#include "conversation.hpp"

namespace hyperblocks::example {

/// How many of some answers were right.
struct Score {
  Index right = 0, all = 0;
};

template <class Model>
Score score_of(Cpu& cpu, const typename Model::Params& model, const typename Model::Rotaries& rotary,
               const Conversation& conversation, const std::vector<Tokens>& prompts,
               std::span<const Example::Question> asked,
               const typename Model::template Updates<const float>& updates = {}) {
  const auto answers =
      generate<Model>(cpu, model, rotary, prompts, {.most = 24, .stop = conversation.ends()}, updates);
  Score score{0, std::ssize(prompts)};
  for (std::size_t i = 0; i < answers.size(); ++i)
    score.right += conversation.text(answers[i]) == asked[i].answer;
  return score;
}

/// The base from nothing: documents and dialogues about them. Of every other dialogue the answers alone are
/// to be said, and one in eight has no document: what is asked is then anybody's guess.
template <class Model_>
struct LanguageCourse {
  using Model = Model_;
  using Device = Cpu;
  using Scalar = float;
  using Params = typename Model::Params;
  using Gradients = typename Model::Gradients;

  const Plan& plan;
  const Examples& examples;
  const Conversation& conversation;
  typename Model::Rotaries rotary;

  Learned learn(Cpu& cpu, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    std::vector<Lesson> lessons;
    for (Index i = 0; i < plan.batch; ++i) {
      const Example example =
          examples.trained(number * static_cast<std::uint64_t>(plan.batch) + static_cast<std::uint64_t>(i));
      const bool blind = i % 8 == 7;
      lessons.push_back(conversation.dialogue(blind ? "" : example.document, example.questions, i % 2 == 1));
    }
    weigh(lessons, MeanOver::lessons);
    const LessonBatch<Cpu> batch(cpu, lessons);
    const double loss =
        Lessons<Model>{params, rotary, batch, {.recompute = plan.recompute}}.learn(cpu, {}, gradients, write);
    return {loss, batch.ids().size()};
  }

  /// Questions with the document before them.
  Score test(Cpu& cpu, const Params& params, Index documents) const {
    std::vector<Tokens> prompts;
    std::vector<Example::Question> asked;
    for (Index i = 0; i < documents; ++i) {
      const Example example = examples.held_out(static_cast<std::uint64_t>(i));
      for (const auto& each : example.questions) {
        prompts.push_back(conversation.prompt(example.document + "\n\n" + each.question));
        asked.push_back(each);
      }
    }
    return score_of<Model>(cpu, params, rotary, conversation, prompts, asked);
  }
};

/// A hypernetwork: questions about documents that only it has read.
template <class Writer, class Read>
struct QuestionsCourse {
  using Net = typename Writer::Net;
  using Model = typename Writer::Model;
  using Device = Cpu;
  using Scalar = float;
  using Params = typename Net::Params;
  using Gradients = typename Net::Gradients;

  const Plan& plan;
  const Examples& examples;
  const Conversation& conversation;
  const Writer& writer;
  const typename Model::Params& model;
  typename Model::Rotaries rotary;
  Read read;  ///< a document as the writer takes it

  Learned learn(Cpu& cpu, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    std::vector<Topic<typename Writer::Document>> topics;
    Index tokens = 0;
    for (Index i = 0; i < plan.batch; ++i) {
      const Example example =
          examples.trained(number * static_cast<std::uint64_t>(plan.batch) + static_cast<std::uint64_t>(i));
      auto& topic = topics.emplace_back();
      topic.document = read(conversation.document(example.document));
      for (const auto& each : example.questions) {
        topic.lessons.push_back(conversation.lesson(each));
        tokens += std::ssize(topic.lessons.back().ids);
      }
      weigh(topic.lessons, MeanOver::lessons);
      for (Lesson& lesson : topic.lessons) lesson.weight /= static_cast<double>(plan.batch);
    }
    const Teaching<Writer> teaching{writer,
                                    model,
                                    rotary,
                                    {.lessons = {.label_smoothing = plan.label_smoothing,
                                                 .noise = plan.noise,
                                                 .seed = plan.seed ^ number,
                                                 .recompute = plan.recompute},
                                     .l1 = plan.l1,
                                     .l2 = plan.l2}};
    return {teaching.learn(cpu, params, topics, gradients, write), tokens};
  }

  Score test(Cpu& cpu, const Params& params, Index documents) const {
    Score score;
    for (Index i = 0; i < documents; ++i) {
      const Example example = examples.held_out(static_cast<std::uint64_t>(i));
      const ArenaScope scope(cpu);
      typename Writer::Tape tape;
      const auto parts = writer.write(cpu, params, {read(conversation.document(example.document))}, tape);
      std::vector<typename Model::template Updates<const float>> updates;
      for (const auto& part : parts) updates.push_back(part.updates);
      const Batch adapter(std::move(updates));
      std::vector<Tokens> prompts;
      for (const auto& each : example.questions) prompts.push_back(conversation.prompt(each.question));
      const Score own =
          score_of<Model>(cpu, model, rotary, conversation, prompts, example.questions, adapter.front());
      score.right += own.right, score.all += own.all;
    }
    return score;
  }
};

}  // namespace hyperblocks::example
