// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Lesson: a sequence and what a decoder is to say at its places; lessons of any lengths in one batch, and
// their loss with its gradient towards whatever is to learn: the decoder, or the factors of its updates.
//   loss = sum over labelled places of weight * (cross entropy of the label, or the teacher's divergence)
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/lora/batch.hpp>
#include <hyperblocks/models/generate.hpp>

namespace hyperblocks {

struct Lesson {
  Tokens ids;
  Tokens labels;      ///< at each place the token to come next; -1: anything
  double weight = 1;  ///< of each label's loss
  /// What a teacher gives at the labelled places, in their order: its k likeliest tokens and their
  /// log-probabilities. Empty: the labels themselves are to be said.
  Tokens teacher_ids = {};
  std::vector<half> teacher_logs = {};

  Index label_count() const {
    return static_cast<Index>(std::ranges::count_if(labels, [](auto label) { return label >= 0; }));
  }
};

/// The answer's tokens as what is to come after the prompt.
inline Lesson lesson_of(const Tokens& prompt, const Tokens& answer) {
  check(!prompt.empty() && !answer.empty(), [&] {
    return Error("nothing to learn", "lesson_of", "a prompt and an answer of one token or more",
                 prompt.empty() ? "no prompt" : "no answer");
  });
  Lesson lesson{.ids = prompt, .labels = Tokens(prompt.size() - 1, -1)};
  lesson.ids.insert(lesson.ids.end(), answer.begin(), answer.end() - 1);
  lesson.labels.insert(lesson.labels.end(), answer.begin(), answer.end());
  return lesson;
}

/// Every token but the first is to be said: how a language model is trained from nothing.
inline Lesson lesson_of(const Tokens& text) {
  check(text.size() > 1, [&] {
    return Error("nothing to learn", "lesson_of", "two tokens or more", std::to_string(text.size()));
  });
  return {.ids = Tokens(text.begin(), text.end() - 1), .labels = Tokens(text.begin() + 1, text.end())};
}

enum class MeanOver : std::uint8_t {
  labels,   ///< each label counts the same
  lessons,  ///< each lesson counts the same, and its labels among each other
};

/// Sets the weights, so that the loss is a mean. Lessons without labels count nothing.
inline void weigh(std::span<Lesson> lessons, MeanOver mean) {
  Index labels = 0, counted = 0;
  for (const Lesson& lesson : lessons) labels += lesson.label_count(), counted += lesson.label_count() > 0;
  for (Lesson& lesson : lessons) {
    const Index own = mean == MeanOver::labels ? labels : counted * lesson.label_count();
    lesson.weight = own > 0 ? 1 / static_cast<double>(own) : 0;
  }
}

/// Lessons side by side, padded behind their ends: what is causal needs no mask.
template <class Device>
class LessonBatch {
 public:
  LessonBatch(Device& device, std::span<const Lesson> lessons) : count_(std::ssize(lessons)) {
    check(count_ > 0, [] { return Error("no lessons", "LessonBatch", "one or more", "none"); });
    Index first = std::numeric_limits<Index>::max();  // of the places with labels
    for (std::size_t i = 0; i < lessons.size(); ++i) {
      const Lesson& lesson = lessons[i];
      check_lesson(lesson, i);
      length_ = std::max(length_, std::ssize(lesson.ids)), teacher_k_ = std::max(teacher_k_, k_of(lesson));
      const auto labelled = std::ranges::find_if(lesson.labels, [](auto label) { return label >= 0; });
      first = std::min(first, labelled - lesson.labels.begin());
    }
    rows_ = std::max<Index>(1, length_ - first);
    upload(device, lessons);
  }

  Index count() const { return count_; }
  Index length() const { return length_; }
  /// Of each sequence the last rows, from the first place on at which any of them has a label.
  Index rows() const { return rows_; }
  /// How many tokens a teacher gives at each label; 0: the labels are to be said.
  Index teacher_k() const { return teacher_k_; }
  /// The rows of some lessons, for batched(): those that learn from the same document have its adapter.
  RowRange rows_of(Index first, Index count) const { return {first * length_, count * length_}; }

  View<const std::int32_t, Device, dyn> ids() const { return ids_; }
  View<const std::int32_t, Device, dyn> labels() const { return labels_; }
  View<const std::int32_t, Device, dyn, dyn> teacher_ids() const { return teacher_ids_; }
  View<const half, Device, dyn, dyn> teacher_logs() const { return teacher_logs_; }
  std::span<const double> weights() const { return weights_; }

 private:
  static Index k_of(const Lesson& lesson) {
    const Index labels = lesson.label_count();
    return labels > 0 ? std::ssize(lesson.teacher_ids) / labels : 0;
  }

  static void check_lesson(const Lesson& lesson, std::size_t number) {
    const std::string where = "LessonBatch: lesson " + std::to_string(number);
    check(!lesson.ids.empty(), [&] { return Error("an empty lesson", where, "a token or more", "none"); });
    check(lesson.ids.size() == lesson.labels.size(), [&] {
      return Error("not a label for every token", where, std::to_string(lesson.ids.size()),
                   std::to_string(lesson.labels.size()));
    });
    const Index labels = lesson.label_count(), given = std::ssize(lesson.teacher_ids);
    check(std::ssize(lesson.teacher_logs) == given && (labels == 0 ? given == 0 : given % labels == 0), [&] {
      return Error("a teacher's numbers do not fit", where,
                   "as many ids as log-probabilities, a multiple of " + std::to_string(labels) + " labels",
                   std::to_string(given) + " and " + std::to_string(lesson.teacher_logs.size()));
    });
  }

  void upload(Device& device, std::span<const Lesson> lessons) {
    Tokens ids, labels, teacher_ids;
    std::vector<half> teacher_logs;
    const auto no_log = scalar_cast<half>(-INFINITY);
    for (const Lesson& lesson : lessons) {
      const Index size = std::ssize(lesson.ids);
      check(lesson.label_count() == 0 || k_of(lesson) == teacher_k_, [&] {
        return Error("teachers give different numbers of tokens", "LessonBatch", std::to_string(teacher_k_),
                     std::to_string(k_of(lesson)));
      });
      ids.insert(ids.end(), lesson.ids.begin(), lesson.ids.end());
      ids.insert(ids.end(), static_cast<std::size_t>(length_ - size), lesson.ids.back());
      auto id = lesson.teacher_ids.begin();
      auto log = lesson.teacher_logs.begin();
      for (Index place = length_ - rows_; place < length_; ++place) {
        const std::int32_t label = place < size ? lesson.labels[static_cast<std::size_t>(place)] : -1;
        labels.push_back(label);
        weights_.push_back(label >= 0 ? lesson.weight : 0);
        for (Index i = 0; i < teacher_k_; ++i) {
          teacher_ids.push_back(label >= 0 ? *id++ : 0);
          teacher_logs.push_back(label >= 0 ? *log++ : no_log);
        }
      }
    }
    ids_ = Tensor<std::int32_t, Device, dyn>(device, std::ssize(ids));
    ids_.upload(device, ids);
    labels_ = Tensor<std::int32_t, Device, dyn>(device, std::ssize(labels));
    labels_.upload(device, labels);
    if (teacher_k_ == 0) return;
    teacher_ids_ = Tensor<std::int32_t, Device, dyn, dyn>(device, std::ssize(labels), teacher_k_);
    teacher_ids_.upload(device, teacher_ids);
    teacher_logs_ = Tensor<half, Device, dyn, dyn>(device, std::ssize(labels), teacher_k_);
    teacher_logs_.upload(device, teacher_logs);
  }

  Index count_, length_ = 0, rows_ = 0, teacher_k_ = 0;
  Tensor<std::int32_t, Device, dyn> ids_, labels_;
  Tensor<std::int32_t, Device, dyn, dyn> teacher_ids_;
  Tensor<half, Device, dyn, dyn> teacher_logs_;
  std::vector<double> weights_;
};

struct LessonOptions {
  double label_smoothing = 0;
  double noise = 0;  ///< NEFTune's alpha: uniform noise on the embeddings, of alpha / sqrt(size) at most
  double update_dropout = 0;  ///< of what each update of the decoder reads, as PEFT's lora_dropout
  std::uint64_t seed = 0;     ///< of the noise, and of what is dropped
  bool recompute = false;     ///< see Decoder::Input
};

/// A decoder before a batch of lessons.
template <class Model>
struct Lessons {
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  using Updates = typename Model::template Updates<const Scalar>;

  const typename Model::Params& params;
  typename Model::Rotaries rotary;
  const LessonBatch<Device>& batch;
  LessonOptions options = {};
  Updates updates = {};

  /// The loss alone.
  double loss(Device& device) const {
    const ArenaScope scope(device);
    const auto logits = take_logits(device);
    Model::forward(device, params, input(device), {.logits = logits});
    return score(device, logits, Logits());
  }

  /// The loss; its gradient goes to the updates' factors, and to the decoder's own parameters if it trains.
  double learn(Device& device, const typename Model::template Updates<Scalar>& dupdates,
               typename Model::Gradients& gradients, Write write) const {
    const ArenaScope scope(device);
    const auto logits = take_logits(device);
    typename Model::Tape tape;
    Model::forward(device, params, input(device), {.logits = logits}, &tape);
    const double result = score(device, logits, logits);
    Model::backward(device, params, tape, {.logits = logits}, {.updates = dupdates}, gradients, write);
    return result;
  }

 private:
  using Logits = View<Scalar, Device, dyn, Model::vocabulary>;

  Logits take_logits(Device& device) const {
    return take<Scalar, dyn, Model::vocabulary>(device, batch.count() * batch.rows());
  }

  typename Model::Input input(Device& device) const {
    typename Model::Input result;
    result.sequences = batch.count(), result.rotary = rotary;
    result.updates = options.update_dropout != 0 ? dropping_updates() : updates;
    result.recompute = options.recompute;
    if (options.noise == 0) {
      result.ids = batch.ids();
    } else {
      const auto x = take<Scalar, dyn, Model::hidden>(device, batch.ids().size());
      Model::Table::forward(device, params.embedding, batch.ids(), x);
      add_noise(device, x);
      result.x = x;
    }
    return result;
  }

  void add_noise(Device& device, View<Scalar, Device, dyn, Model::hidden> x) const {
    check(std::same_as<decltype(Model::Gradients::norm.weight), Nothing>, [] {
      return Error("noise on embeddings that learn", "Lessons", "a frozen decoder", "one that trains");
    });
    const ArenaScope scope(device);
    Random random(options.seed);
    const double most = options.noise / std::sqrt(static_cast<double>(batch.length() * Model::hidden));
    std::vector<Scalar> host(static_cast<std::size_t>(x.size()));
    for (Scalar& number : host) number = scalar_cast<Scalar>(random.uniform(-most, most));
    const auto noise = take<Scalar, dyn, Model::hidden>(device, x.rows());
    device.upload(noise.data(), host.data(), noise.bytes());
    ops::add<Scalar>(device, x, noise, x);
  }

  /// Each of the updates drops numbers of its own.
  Updates dropping_updates() const {
    Random random = Random::of(options.seed, 1);
    Updates result = updates;
    visit(
        [&](const std::string&, auto& update) {
          if (update) update.dropout = {options.update_dropout, random.bits()};
        },
        result);
    return result;
  }

  /// The weighted loss of rows of logits, and its gradient, which may take the logits' place.
  double score(Device& device, Logits logits, Logits dlogits) const {
    using Wide = Accumulator<Scalar>;
    const ArenaScope scope(device);
    const auto losses = take<Wide, dyn>(device, logits.rows()),
               weights = take<Wide, dyn>(device, logits.rows());
    std::vector<Wide> host;
    host.reserve(batch.weights().size());
    for (const double weight : batch.weights()) host.push_back(static_cast<Wide>(weight));
    device.upload(weights.data(), host.data(), weights.bytes());
    if (batch.teacher_k() > 0)
      ops::topk_kl<Scalar, half>(device, logits, batch.teacher_ids(), batch.teacher_logs(), losses, dlogits,
                                 weights);
    else
      ops::cross_entropy<Scalar>(device, logits, batch.labels(), options.label_smoothing, losses, dlogits,
                                 weights);
    device.download(host.data(), losses.data(), losses.bytes());
    double sum = 0;
    for (std::size_t i = 0; i < host.size(); ++i)
      if (batch.weights()[i] != 0) sum += batch.weights()[i] * static_cast<double>(host[i]);
    return sum;
  }
};

}  // namespace hyperblocks
