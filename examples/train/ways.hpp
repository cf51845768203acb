// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Ways to make a base know documents: way(examples, ask) does what it takes, calls ask(text, updates) with
// what is then to be put before a question and with what changes the base, and says what it cost.
#pragma once

#include <chrono>
#include <functional>

#include <hyperblocks/train/tuning.hpp>

#include "scores.hpp"
#include "teacher.hpp"

namespace hyperblocks::example {

template <class Model>
using UpdatesOf = typename Model::template Updates<const float>;

/// The seconds that it takes.
template <class Work>
double seconds_of(Work work) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class Model>
struct NotKnown {
  template <class Ask>
  Cost operator()(std::span<const Example>, Ask ask) const {
    ask(std::string(), UpdatesOf<Model>{});
    return {};
  }
};

/// The documents before every question; their keys and values are what is kept.
template <class Model>
struct InContext {
  Cpu& cpu;
  const Setting<Model>& setting;

  template <class Ask>
  Cost operator()(std::span<const Example> examples, Ask ask) const {
    std::string text;
    for (const Example& example : examples) text += (text.empty() ? "" : "\n") + example.document;
    const Tokens tokens = setting.conversation.document(text);
    const double seconds = seconds_of([&] { read(tokens); });
    ask(text, UpdatesOf<Model>{});
    constexpr std::size_t numbers = 2 * Model::spec.layers * Model::spec.kv_heads * Model::spec.width();
    return {seconds, static_cast<double>(tokens.size() * numbers * sizeof(float))};
  }

 private:
  void read(const Tokens& tokens) const {
    const ArenaScope scope(cpu);
    const auto ids = take<std::int32_t, dyn>(cpu, std::ssize(tokens));
    cpu.upload(ids.data(), tokens.data(), ids.bytes());
    const auto state = take<float, dyn, Model::hidden>(cpu, std::ssize(tokens));
    Model::forward(cpu, setting.model, {.ids = ids, .rotary = setting.positions}, {.state = state});
  }
};

/// By the adapters that a hypernetwork writes, one of each document, added up.
template <class System>
struct Written {
  using Model = typename System::Model;
  Cpu& cpu;
  const System& system;
  const typename System::Net::Params& params;

  template <class Ask>
  Cost operator()(std::span<const Example> examples, Ask ask) const {
    const ArenaScope scope(cpu);
    typename System::Tape tape;
    std::vector<UpdatesOf<Model>> updates;
    Cost cost;
    cost.seconds = seconds_of([&] {
      std::vector<typename System::Document> documents;
      for (const Example& example : examples)
        documents.push_back(system.read(cpu, std::span(&example.document, 1), nullptr));
      for (const auto& part : system.write(cpu, params, documents, tape)) updates.push_back(part.updates);
    });
    for (const auto& each : updates) cost.bytes += bytes_of(each);
    const Batch all(std::move(updates));
    ask(std::string(), all.front());
    return cost;
  }

  static double bytes_of(const UpdatesOf<Model>& updates) {
    double bytes = 0;
    visit(
        [&](const std::string&, const auto& update) {
          const Index bias = update.bias ? update.bias.size() : 0;
          const Index size = update.a.rows().size() + update.b.rows().size() + bias;
          bytes += static_cast<double>(size * static_cast<Index>(sizeof(float)));
        },
        updates);
    return bytes;
  }
};

/// By an adapter that is tuned for them, on the lessons that are made of them.
template <class Model, AdapterSpec spec>
struct Tuned {
  using Lora = hyperblocks::Lora<Model, spec>;
  Cpu& cpu;
  const Setting<Model>& setting;
  TuningOptions options;
  std::function<std::vector<Lesson>(std::span<const Example>)> lessons;

  template <class Ask>
  Cost operator()(std::span<const Example> examples, Ask ask) const {
    std::optional<typename Lora::Params> adapter;
    const double seconds = seconds_of(
        [&] { adapter = tuned<Lora>(cpu, setting.model, setting.positions, lessons(examples), options); });
    ask(std::string(), adapter->template updates<Model>());
    return {seconds, static_cast<double>(count(*adapter) * static_cast<Index>(sizeof(float)))};
  }
};

// ---- what an adapter may be tuned on

/// The documents themselves, in pieces that are to be said.
template <class Model>
std::vector<Lesson> said_again(const Setting<Model>& setting, std::span<const Example> examples) {
  std::vector<Lesson> all;
  for (const Example& example : examples)
    std::ranges::move(pieces_to_say(setting.conversation.document(example.document)),
                      std::back_inserter(all));
  return all;
}

/// The examples with their questions in other words.
inline std::vector<Example> in_other_words(std::span<const Example> examples) {
  std::vector<Example> others;
  for (const Example& example : examples) others.push_back({example.document, example.otherwise});
  return others;
}

inline std::vector<Lesson> lessons_of(std::vector<TextTopic> topics) {
  std::vector<Lesson> all;
  for (TextTopic& topic : topics) std::ranges::move(topic.lessons, std::back_inserter(all));
  return all;
}

/// The true answers to these.
template <class Model>
std::vector<Lesson> other_questions(const Setting<Model>& setting, std::span<const Example> examples) {
  return lessons_of(questions_of(setting.conversation, in_other_words(examples)));
}

/// What the base answers to these itself, with the documents before it.
template <class Model>
std::vector<Lesson> distilled(Cpu& cpu, const ContextTeacher<Model>& teacher,
                              std::span<const Example> examples) {
  std::vector<Example> others = in_other_words(examples);
  teacher.answer(cpu, others);
  return lessons_of(teacher.topics_of(cpu, std::move(others)));
}

}  // namespace hyperblocks::example
