// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What is learnt from: documents with questions and answers, made up or from JSON lines, each by its number.
//   {"context": "Mirlan lives in Orsa.", "questions": [{"question": "Where does Mirlan live?", "answer":
//   "Orsa"}]}
#pragma once

#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/train/data_order.hpp>
#include <hyperblocks/train/world.hpp>

#include "../streams.hpp"
#include "plan.hpp"

namespace hyperblocks::example {

struct Example {
  struct Question {
    std::string question, answer;
  };
  std::string document;
  std::vector<Question> questions;
};

/// For training by number; for tests those that training never shows, where there are such.
class Examples {
 public:
  explicit Examples(const Plan& plan) : plan_(plan), order_(1, plan.seed) {
    if (plan.data == "world") return;
    each_line(plan.data, '\n', [&](const std::string& line, std::size_t number) {
      if (!line.empty()) examples_.push_back(from_json(line, plan.data + ": line " + std::to_string(number)));
    });
    check(!examples_.empty(), [&] { return Error("no examples", plan.data, "a line or more", "none"); });
    order_ = DataOrder(examples_.size(), plan.seed);
  }

  bool has_held_out() const { return examples_.empty(); }

  Example trained(std::uint64_t number) const {
    if (examples_.empty()) return of_world(Random::of(plan_.seed, number), false);
    return examples_[order_.at(number)];
  }
  Example held_out(std::uint64_t number) const { return of_world(Random::of(~plan_.seed, number), true); }

 private:
  /// Asked in one of the two ways that training hears.
  Example of_world(Random random, bool held_out) const {
    const auto some = [&](Index most) {
      return held_out ? most : 1 + static_cast<Index>(random.below(static_cast<std::size_t>(most)));
    };
    const WorldDocument document = world_document(random, {.people = some(plan_.people),
                                                           .facts = some(plan_.facts),
                                                           .held_out = held_out,
                                                           .untold = plan_.untold});
    Example example{document.text, {}};
    for (std::size_t i = 0; i < document.questions.size(); i += 3) {
      const auto& chosen = document.questions[i + random.below(2)];
      example.questions.push_back({chosen.question, chosen.answer});
    }
    return example;
  }

  static Example from_json(const std::string& line, const std::string& where) {
    const auto fields = parse_json(std::as_bytes(std::span(line)), where);
    const JsonObject json(fields, where);
    Example example{json.get<std::string>("context"), {}};
    const auto& questions =
        json.fields().contains("questions") ? json.fields().at("questions") : nlohmann::json();
    check(questions.is_array() && !questions.empty(), [&] {
      return Error("no questions", json.where("questions"), "a list of one or more", questions.dump());
    });
    for (const auto& each : questions) {
      const JsonObject question(each, json.where("questions"));
      example.questions.push_back(
          {question.get<std::string>("question"), question.get<std::string>("answer")});
    }
    return example;
  }

  const Plan& plan_;
  std::vector<Example> examples_;
  mutable DataOrder order_;  ///< keeps the present epoch's order
};

}  // namespace hyperblocks::example
