// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What is learnt from: documents with questions and answers, made up or from JSON lines, each by its number.
//   {"context": "Mirlan lives in Orsa.", "questions": [{"question": "Where does Mirlan live?", "answer":
//   "Orsa"}]}
// An example may have an adapter that is known ("adapter": a folder or file), for `reconstruction`.
// A question may have what a teacher said: "teacher": {"ids": [...], "logs": [...]}, as `teach` writes it.
#pragma once

#include <sstream>

#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/train/data_order.hpp>
#include <hyperblocks/train/needle.hpp>
#include <hyperblocks/train/world.hpp>

#include "../streams.hpp"
#include "plan.hpp"

namespace hyperblocks::example {

struct Example {
  struct Question {
    std::string question, answer;
    std::vector<std::int32_t> teacher_ids = {};
    std::vector<double> teacher_logs = {};
  };
  std::string document;
  std::vector<Question> questions;
  std::vector<Question> otherwise = {};  ///< what is asked, in other words, where there are such
  std::string adapter = {};              ///< a path, where one is known
};

/// For training by number; for tests those that training never shows, where there are such.
class Examples {
 public:
  explicit Examples(const Plan& plan) : plan_(plan), sources_(sources_of(plan.data)), order_(1, plan.seed) {
    if (!sources_.empty()) return;
    each_line(plan.data, '\n', [&](const std::string& line, std::size_t number) {
      if (line.empty()) return;
      const std::string where = plan.data + ": line " + std::to_string(number);
      examples_.push_back(from_json(line, where));
      const bool asks = plan.pipeline != "pretraining" && plan.pipeline != "reconstruction";
      check(!asks || !examples_.back().questions.empty(),
            [&] { return Error("no questions", where, "'questions', a list of one or more", "none"); });
    });
    check(!examples_.empty(), [&] { return Error("no examples", plan.data, "a line or more", "none"); });
    order_ = DataOrder(examples_.size(), plan.seed);
  }

  bool has_held_out() const { return !sources_.empty(); }
  /// For tests: those that training never shows; of a file, which then is not training's, its own.
  Example asked(std::uint64_t number) const {
    return sources_.empty() ? stored(number % examples_.size()) : held_out(number);
  }
  /// Of a file; 0: there is no end to them.
  std::size_t count() const { return examples_.size(); }
  /// How many a test asks about: no document of a file twice.
  Index tested() const {
    return count() == 0 ? plan_.documents : std::min(plan_.documents, static_cast<Index>(count()));
  }

  Example trained(std::uint64_t number) const {
    return sources_.empty() ? examples_[order_.at(number)] : made_up(Random::of(plan_.seed, number), false);
  }
  /// In the order of the file.
  const Example& stored(std::size_t number) const { return examples_[number]; }
  Example held_out(std::uint64_t number) const { return made_up(Random::of(~plan_.seed, number), true); }

 private:
  enum class Source { world, needle, tasks };

  /// "world,needle": of what is made up; none: a file's name.
  static std::vector<Source> sources_of(const std::string& data) {
    constexpr std::array names = {"world", "needle", "tasks"};
    std::vector<Source> sources;
    std::istringstream words(data);
    for (std::string word; std::getline(words, word, ',');) {
      const auto found = std::ranges::find(names, word);
      if (found == names.end()) return {};
      sources.push_back(static_cast<Source>(found - names.begin()));
    }
    return sources;
  }

  Example made_up(Random random, bool held_out) const {
    const Source source = sources_[sources_.size() > 1 ? random.below(sources_.size()) : 0];
    return source == Source::needle  ? of_needle(random)
           : source == Source::tasks ? of_task(random, held_out)
                                     : of_world(random, held_out);
  }

  Example of_needle(Random& random) const {
    const auto lines = 1 + static_cast<Index>(random.below(static_cast<std::size_t>(plan_.lines)));
    const Needle needle =
        needle_of(random, lines, static_cast<Index>(random.below(static_cast<std::size_t>(needle_bins))));
    return {needle.text, {{needle_question, needle.answer}}};
  }

  /// The document is a task's description.
  Example of_task(Random& random, bool held_out) const {
    const WorldTask task = world_task(random, {.facts = plan_.facts, .held_out = held_out});
    return {task.description, {{task.question, task.answer}}};
  }

  /// Asked in one of the two ways that training hears.
  Example of_world(Random& random, bool held_out) const {
    const auto some = [&](Index most) {
      return held_out ? most : 1 + static_cast<Index>(random.below(static_cast<std::size_t>(most)));
    };
    const WorldDocument document = world_document(random, {.people = some(plan_.people),
                                                           .facts = some(plan_.facts),
                                                           .held_out = held_out,
                                                           .untold = plan_.untold});
    Example example{document.text, {}};
    for (std::size_t i = 0; i < document.questions.size(); i += 3) {
      const std::size_t way = random.below(2);
      const auto &chosen = document.questions[i + way], &other = document.questions[i + 1 - way];
      example.questions.push_back({chosen.question, chosen.answer});
      example.otherwise.push_back({other.question, other.answer});
    }
    return example;
  }

  static Example from_json(const std::string& line, const std::string& where) {
    const auto fields = parse_json(std::as_bytes(std::span(line)), where);
    const JsonObject json(fields, where);
    Example example{json.get<std::string>("context"), {}};
    check(example.document.find_first_not_of(" \t\r\n") != std::string::npos,
          [&] { return Error("an empty document", json.where("context"), "a word or more", "none"); });
    if (json.contains("adapter")) example.adapter = json.get<std::string>("adapter");
    if (!json.contains("questions")) return example;  // pretraining asks nothing
    const auto& questions = json.fields().at("questions");
    check(questions.is_array(),
          [&] { return Error("no questions", json.where("questions"), "a list", questions.dump()); });
    for (const auto& each : questions) {
      const JsonObject question(each, json.where("questions"));
      Example::Question& asked = example.questions.emplace_back();
      asked.question = question.get<std::string>("question");
      asked.answer = question.get<std::string>("answer");
      if (!question.contains("teacher")) continue;
      const JsonObject teacher = question.object("teacher");
      asked.teacher_ids = teacher.get<std::vector<std::int32_t>>("ids");
      asked.teacher_logs = teacher.get<std::vector<double>>("logs");
    }
    return example;
  }

  const Plan& plan_;
  std::vector<Source> sources_;
  std::vector<Example> examples_;
  mutable DataOrder order_;  ///< keeps the present epoch's order
};

}  // namespace hyperblocks::example
