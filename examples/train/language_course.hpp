// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LanguageCourse: how the base is trained from nothing.
#pragma once

#include <hyperblocks/train/trainer.hpp>

#include "topics.hpp"

namespace hyperblocks::example {

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

  LessonOptions options() const {
    return {.label_smoothing = plan.label_smoothing,
            .noise = plan.noise,
            .seed = plan.seed,
            .recompute = plan.recompute};
  }

  Learned learn(Cpu& cpu, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    std::vector<Lesson> lessons;
    for (const Example& example : examples_of_batch(plan, examples, number)) {
      const std::size_t i = lessons.size();
      const bool blind = i % 8 == 7;
      lessons.push_back(conversation.dialogue(blind ? "" : example.document, example.questions, i % 2 == 1));
    }
    weigh(lessons, MeanOver::lessons);
    const LessonBatch<Cpu> batch(cpu, lessons);
    const double loss = Lessons<Model>{params, rotary, batch, options()}.learn(cpu, {}, gradients, write);
    return {loss, batch.ids().size()};
  }
};

}  // namespace hyperblocks::example
