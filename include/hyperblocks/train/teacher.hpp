// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A teacher: what a decoder that has the document before it gives at each place of an answer, for another
// that has not to learn from.
//   add_teacher<Model>(cpu, params, rotary, with_document, lessons);   // both say the same answers
#pragma once

#include <numeric>

#include <hyperblocks/train/lesson.hpp>

namespace hyperblocks {

namespace detail {
/// The k likeliest tokens of a row of logits and their log-probabilities, the likeliest first.
template <RealScalar Scalar>
void append_likeliest(std::span<const Scalar> logits, Index k, Tokens& ids, std::vector<half>& logs) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto number = [&](std::int32_t id) {
    return scalar_cast<double>(logits[static_cast<std::size_t>(id)]);
  };
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int32_t a, std::int32_t b) {
    return number(a) != number(b) ? number(a) > number(b) : a < b;
  });
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    sum += std::exp(number(static_cast<std::int32_t>(i)) - number(order[0]));
  for (Index i = 0; i < k; ++i) {
    const std::int32_t id = order[static_cast<std::size_t>(i)];
    ids.push_back(id);
    logs.push_back(scalar_cast<half>(number(id) - number(order[0]) - std::log(sum)));
  }
}
}  // namespace detail

/// Gives lessons the teacher's k likeliest tokens at every labelled place, in half precision and not
/// normalised. `in_context` are the teacher's own lessons: the same labels, behind other prompts.
template <class Model>
void add_teacher(typename Model::Device& device, const typename Model::Params& params,
                 const typename Model::Rotaries& rotary, std::span<const Lesson> in_context,
                 std::span<Lesson> lessons, Index k = 16,
                 const typename Lessons<Model>::Updates& updates = {}) {
  using Scalar = typename Model::Scalar;
  check(in_context.size() == lessons.size() && k > 0 && k <= Model::vocabulary, [&] {
    return Error(
        "a teacher of other lessons", "add_teacher",
        std::to_string(lessons.size()) + " lessons, 1 to " + std::to_string(Model::vocabulary) + " tokens",
        std::to_string(in_context.size()) + " lessons, " + std::to_string(k) + " tokens");
  });
  const auto labels = [](const Lesson& lesson) {
    Tokens said;
    std::ranges::copy_if(lesson.labels, std::back_inserter(said), [](auto label) { return label >= 0; });
    return said;
  };
  for (std::size_t i = 0; i < lessons.size(); ++i)
    check(labels(in_context[i]) == labels(lessons[i]), [&] {
      return Error("a teacher that says something else", "add_teacher: lesson " + std::to_string(i),
                   "the same labels", "others");
    });

  const ArenaScope scope(device);
  const LessonBatch<typename Model::Device> batch(device, in_context);
  const auto logits = take<Scalar, dyn, Model::vocabulary>(device, batch.count() * batch.rows());
  typename Model::Input input;
  input.ids = batch.ids(), input.sequences = batch.count(), input.rotary = rotary, input.updates = updates;
  Model::forward(device, params, input, {.logits = logits});
  std::vector<Scalar> host(static_cast<std::size_t>(logits.size()));
  device.download(host.data(), logits.data(), logits.bytes());
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    lessons[i].teacher_ids.clear(), lessons[i].teacher_logs.clear();
    const Lesson& own = in_context[i];
    for (Index place = 0; place < std::ssize(own.ids); ++place) {
      if (own.labels[static_cast<std::size_t>(place)] < 0) continue;
      const Index row = static_cast<Index>(i) * batch.rows() + place - (batch.length() - batch.rows());
      const auto of_row = std::span<const Scalar>(host).subspan(
          static_cast<std::size_t>(row * Model::vocabulary), static_cast<std::size_t>(Model::vocabulary));
      detail::append_likeliest(of_row, k, lessons[i].teacher_ids, lessons[i].teacher_logs);
    }
  }
}

}  // namespace hyperblocks
