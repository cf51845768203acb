// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tuning: what hypernetworks spare us. An adapter for one document, by as many steps of fine-tuning as it
// takes: on the document itself, cut into pieces that overlap, or on lessons about it.
//   auto adapter = tuned<Lora<Model, AdapterSpec{.rank = 8}>>(cpu, model, positions,
//   pieces_to_say(document));
#pragma once

#include <hyperblocks/train/lora_writer.hpp>
#include <hyperblocks/train/teaching_course.hpp>

namespace hyperblocks {

struct TuningOptions {
  Index steps = 50;
  Index batch = 8;          ///< lessons of a step, drawn by chance; 0: all
  double rate = 1e-2;       ///< falls to zero
  double deviation = 0.05;  ///< of A at the beginning
  std::uint64_t seed = 0;
};

/// A document as pieces of `length` tokens, each to be said; one begins every `stride` tokens, and the last
/// ends where the document does.
inline std::vector<Lesson> pieces_to_say(const Tokens& document, Index length = 64, Index stride = 24) {
  check(length > 1 && stride > 0 && std::ssize(document) > 1, [&] {
    return Error(
        "nothing to say", "pieces_to_say", "two tokens or more, a length of 2 or more, a stride",
        std::to_string(document.size()) + ", " + std::to_string(length) + ", " + std::to_string(stride));
  });
  std::vector<Lesson> lessons;
  const Index size = std::ssize(document);
  for (Index first = 0;; first += stride) {
    const Index begin = std::max<Index>(0, std::min(first, size - length));
    lessons.push_back(
        lesson_of(Tokens(document.begin() + begin, document.begin() + std::min(begin + length, size))));
    if (begin + length >= size) return lessons;
  }
}

template <class Net>
typename Net::Params tuned(typename Net::Model::Device& device, const typename Net::Model::Params& model,
                           const typename Net::Model::Rotaries& rotary, const std::vector<Lesson>& lessons,
                           const TuningOptions& options = {}) {
  using Writer = LoraWriter<Net>;
  check(!lessons.empty(), [] { return Error("no lessons", "tuned", "one or more", "none"); });
  const auto pose = [&](std::uint64_t number) {
    std::vector<Topic<Nothing>> topics(1);
    if (options.batch == 0 || options.batch >= std::ssize(lessons)) {
      topics[0].lessons = lessons;
    } else {
      Random random = Random::of(options.seed, number);
      for (Index i = 0; i < options.batch; ++i)
        topics[0].lessons.push_back(lessons[random.below(lessons.size())]);
    }
    return topics;
  };
  Random random(options.seed);
  typename Net::Params params(device);
  Net::Params::initialise(device, params, random, options.deviation);
  const Writer writer;
  const TeachingCourse<Writer, decltype(pose)> course{writer, model, rotary, pose};
  Trainer<TeachingCourse<Writer, decltype(pose)>> trainer(
      device, course, std::move(params),
      {.schedule = {.rate = options.rate, .steps = options.steps, .decline = Decline::linear},
       .optimiser = {.groups = {{.clip = 1}}}});
  while (trainer.steps() < options.steps) trainer.step(device);
  return std::move(trainer.params());
}

}  // namespace hyperblocks
