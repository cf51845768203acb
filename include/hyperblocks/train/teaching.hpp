// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Teaching: a hypernetwork writes the factors of some documents, a frozen decoder takes the lessons about
// them with these factors and nothing else, and what it gets wrong goes back into the hypernetwork.
//   Writer: write(device, params, documents, tape) -> parts
//           backward(device, params, tape, gradients, write) -> what else it costs
// Writers of the systems: shine_writer.hpp, doc_to_lora_writer.hpp, text_to_lora_writer.hpp, lora_writer.hpp.
#pragma once

#include <hyperblocks/train/factor_losses.hpp>
#include <hyperblocks/train/lesson.hpp>

namespace hyperblocks {

/// Factors for some of the documents, in the arena, and where their gradients are gathered: zeros at first.
template <class Model>
struct WrittenPart {
  typename Model::template Updates<const typename Model::Scalar> updates;
  typename Model::template Updates<typename Model::Scalar> gradient;
  std::size_t first_document = 0, documents = 1;
};

/// A document, and what is to be known of it.
template <class Document>
struct Topic {
  Document document;
  std::vector<Lesson> lessons;
};

/// Sets the weights of all lessons: over lessons, each topic counts the same and its lessons among each
/// other.
template <class Document>
void weigh(std::span<Topic<Document>> topics, MeanOver mean) {
  Index labels = 0;
  for (const auto& topic : topics)
    for (const Lesson& lesson : topic.lessons) labels += lesson.label_count();
  for (auto& topic : topics) {
    weigh(topic.lessons, mean);
    for (Lesson& lesson : topic.lessons)
      lesson.weight = mean == MeanOver::lessons ? lesson.weight / static_cast<double>(topics.size())
                      : labels > 0              ? 1 / static_cast<double>(labels)
                                                : 0;
  }
}

/// Of a writer's tape, before write().
template <class Tape>
void set_writer_dropout(Tape& tape, double rate, std::uint64_t seed) {
  check(
      rate == 0 || requires { tape.dropout; },
      [&] {
        return Error("a hypernetwork without dropout", "training", "a rate of 0", std::to_string(rate));
      });
  Random random = Random::of(seed, 2);
  set_dropout(tape, rate, random);
}

struct TeachingOptions {
  LessonOptions lessons = {};
  double dropout = 0;  ///< within a hypernetwork whose writer's tape has a member `dropout`
  double l1 = 0;       ///< times the mean over linears of mean |A| + mean |B|
  double l2 = 0;       ///< times the sum over modules of mean A^2 + mean B^2
};

template <class Writer_>
struct Teaching {
  using Writer = Writer_;
  using Net = typename Writer::Net;
  using Model = typename Writer::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Document = typename Writer::Document;

  const Writer& writer;
  const typename Model::Params& model;
  typename Model::Rotaries rotary;
  TeachingOptions options = {};

  /// The loss alone, without what factors cost.
  double loss(Device& device, const typename Net::Params& params,
              std::span<const Topic<Document>> topics) const {
    const ArenaScope scope(device);
    typename Writer::Tape tape;
    set_writer_dropout(tape, options.dropout, options.lessons.seed);
    const auto parts = writer.write(device, params, documents_of(topics), tape);
    const LessonBatch<Device> batch(device, lessons_of(topics));
    const auto updates = in_batch(parts, topics, batch, [](const auto& part) { return part.updates; });
    return lessons(batch, updates.front()).loss(device);
  }

  /// The loss, and its gradient towards the hypernetwork's parameters.
  double learn(Device& device, const typename Net::Params& params, std::span<const Topic<Document>> topics,
               typename Net::Gradients& gradients, Write write) const {
    const ArenaScope scope(device);
    typename Writer::Tape tape;
    set_writer_dropout(tape, options.dropout, options.lessons.seed);
    const auto parts = writer.write(device, params, documents_of(topics), tape);
    const LessonBatch<Device> batch(device, lessons_of(topics));
    const auto updates = in_batch(parts, topics, batch, [](const auto& part) { return part.updates; });
    const auto dupdates = in_batch(parts, topics, batch, [](const auto& part) { return part.gradient; });
    typename Model::Gradients none;
    double loss = lessons(batch, updates.front()).learn(device, dupdates.front(), none, Write::add);
    const double share = static_cast<double>(topics.size());
    for (const auto& part : parts) {
      const double weight = static_cast<double>(part.documents) / share;
      if (options.l1 != 0) loss += factor_l1<Model>(device, weight * options.l1, part.updates, part.gradient);
      if (options.l2 != 0) loss += factor_l2<Model>(device, weight * options.l2, part.updates, part.gradient);
    }
    return loss + writer.backward(device, params, tape, gradients, write);
  }

 private:
  static std::vector<Document> documents_of(std::span<const Topic<Document>> topics) {
    check(!topics.empty(), [] { return Error("nothing to teach", "Teaching", "a topic or more", "none"); });
    std::vector<Document> documents;
    documents.reserve(topics.size());
    for (const auto& topic : topics) documents.push_back(topic.document);
    return documents;
  }
  static std::vector<Lesson> lessons_of(std::span<const Topic<Document>> topics) {
    std::vector<Lesson> lessons;
    for (std::size_t i = 0; i < topics.size(); ++i) {
      check(!topics[i].lessons.empty(), [&] {
        return Error("a topic without lessons", "Teaching: topic " + std::to_string(i), "one or more",
                     "none");
      });
      lessons.insert(lessons.end(), topics[i].lessons.begin(), topics[i].lessons.end());
    }
    return lessons;
  }

  /// The updates that `of` takes from the parts, each for the rows of its documents' lessons.
  template <class Of>
  static auto in_batch(const std::vector<WrittenPart<Model>>& parts, std::span<const Topic<Document>> topics,
                       const LessonBatch<Device>& batch, Of of) {
    std::vector<Index> first = {0};  // lesson of each topic
    for (const auto& topic : topics) first.push_back(first.back() + std::ssize(topic.lessons));
    std::vector<RowRange> rows;
    std::vector<std::decay_t<decltype(of(parts.front()))>> updates;
    for (const auto& part : parts) {
      const Index begin = first.at(part.first_document), end = first.at(part.first_document + part.documents);
      rows.push_back(batch.rows_of(begin, end - begin));
      updates.push_back(of(part));
    }
    return batched(std::move(updates), rows);
  }

  Lessons<Model> lessons(const LessonBatch<Device>& batch,
                         const typename Lessons<Model>::Updates& updates) const {
    return {model, rotary, batch, options.lessons, updates};
  }
};

}  // namespace hyperblocks
