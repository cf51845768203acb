// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A small world of facts, to train and to compare with: documents about people who do not exist, and
// questions about them. Names that training never meets, and ways to ask that it never hears, are kept for
// tests.
//   Random random(7);
//   WorldDocument document = world_document(random);   // "Mirlan Tavos lives in Orsa. ..."
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

struct WorldQuestion {
  std::string question, answer;
  bool paraphrased = false;  ///< asked in a way that training does not hear
  bool told = true;          ///< whether the document says it; else the answer says that it does not
};

struct WorldDocument {
  std::string text;
  std::vector<WorldQuestion> questions;  ///< about everything that is told, in the order of the people
};

struct WorldOptions {
  Index people = 1;
  Index facts = 4;        ///< about each of them
  bool held_out = false;  ///< people whom training does not meet
  bool untold = false;    ///< also one question for each person that the document does not answer
};

namespace detail {
/// A kind of fact: how it is told and asked of {N}, with the values {V}. The last way to ask is for tests.
struct WorldRelation {
  std::array<const char*, 3> statements, questions;
  std::span<const char* const> values;
};

inline constexpr const char* world_cities[] = {"Orsa",  "Velm",  "Tarkin", "Dunmore", "Pellor", "Quist",
                                               "Ambry", "Solby", "Harnow", "Wexley",  "Corin",  "Luthen",
                                               "Brack", "Nyver", "Eastal", "Zomra"};
inline constexpr const char* world_jobs[] = {"baker",   "pilot",  "nurse",    "painter", "farmer", "judge",
                                             "sailor",  "tailor", "teacher",  "miner",   "singer", "doctor",
                                             "builder", "writer", "gardener", "cook"};
inline constexpr const char* world_colours[] = {"red",   "blue",  "green", "yellow", "purple", "orange",
                                                "black", "white", "brown", "grey",   "pink",   "silver"};
inline constexpr const char* world_animals[] = {"cat",    "dog",    "horse", "parrot", "rabbit", "goat",
                                                "turtle", "donkey", "mouse", "snake",  "pigeon", "ferret"};
inline constexpr const char* world_instruments[] = {"flute", "piano",  "violin",   "drum",
                                                    "harp",  "guitar", "trumpet",  "organ",
                                                    "cello", "lute",   "clarinet", "banjo"};
inline constexpr const char* world_dishes[] = {"soup", "rice",   "bread", "cheese", "fish",  "pancakes",
                                               "stew", "apples", "beans", "salad",  "honey", "noodles"};
inline constexpr const char* world_sports[] = {"chess",  "tennis",  "rowing",  "fencing",
                                               "golf",   "boxing",  "skiing",  "cycling",
                                               "diving", "archery", "hurling", "curling"};
inline constexpr const char* world_months[] = {"January",   "February", "March",    "April",
                                               "May",       "June",     "July",     "August",
                                               "September", "October",  "November", "December"};

inline constexpr WorldRelation world_relations[] = {
    {{"{N} lives in {V}.", "The home of {N} is in {V}.", "You find {N} in the town of {V}."},
     {"Where does {N} live?", "In which town is the home of {N}?", "Which town should I visit to meet {N}?"},
     world_cities},
    {{"{N} works as a {V}.", "By trade {N} is a {V}.", "{N} earns a living as a {V}."},
     {"What is the job of {N}?", "What does {N} work as?", "How does {N} earn a living?"},
     world_jobs},
    {{"{N} likes the colour {V} best.", "The favourite colour of {N} is {V}.", "{N} paints everything {V}."},
     {"What is the favourite colour of {N}?", "Which colour does {N} like best?",
      "What colour would please {N}?"},
     world_colours},
    {{"{N} keeps a {V}.", "{N} has a {V} at home.", "A {V} belongs to {N}."},
     {"Which animal does {N} keep?", "What animal has {N} at home?", "What kind of pet belongs to {N}?"},
     world_animals},
    {{"{N} plays the {V}.", "In the evening {N} plays the {V}.", "The {V} is what {N} plays."},
     {"Which instrument does {N} play?", "What does {N} play in the evening?",
      "What can one hear at the house of {N}?"},
     world_instruments},
    {{"{N} loves to eat {V}.", "The favourite dish of {N} is {V}.", "{N} eats {V} every day."},
     {"What does {N} love to eat?", "What is the favourite dish of {N}?", "What should I cook for {N}?"},
     world_dishes},
    {{"{N} is good at {V}.", "On Sundays {N} goes in for {V}.", "The sport of {N} is {V}."},
     {"Which sport is {N} good at?", "What does {N} go in for on Sundays?", "At what could {N} win a prize?"},
     world_sports},
    {{"{N} was born in {V}.", "The birthday of {N} is in {V}.", "{N} has a birthday every {V}."},
     {"In which month was {N} born?", "When is the birthday of {N}?", "When should I bring {N} a present?"},
     world_months},
};

inline std::string filled_in(std::string text, const std::string& name, const std::string& value = "") {
  for (const auto& [mark, by] : {std::pair{std::string("{N}"), name}, {std::string("{V}"), value}})
    if (const auto at = text.find(mark); at != text.npos) text.replace(at, mark.size(), by);
  return text;
}

/// One of 25,600 names, an eighth of which are held out.
inline std::string world_name(Random& random, bool held_out) {
  constexpr std::array begins = {"Ba", "Do", "Fe", "Ga", "Hi", "Jo", "Ka", "Lu",
                                 "Mi", "No", "Pe", "Ra", "So", "Ta", "Vi", "Zu"};
  constexpr std::array ends = {"lan", "mir", "nek", "ris", "tal", "vos", "dra", "lio", "wen", "xo"};
  const auto part = [&](std::size_t number) {
    return std::string(begins[number % begins.size()]) + ends[number / begins.size()];
  };
  constexpr std::size_t count = begins.size() * ends.size();
  while (true) {
    const std::size_t first = random.below(count), last = random.below(count);
    const bool apart = Random::of(first, last).bits() % 8 == 0;
    if (first != last && apart == held_out) return part(first) + " " + part(last);
  }
}

/// Some of the numbers below `size`, in random order.
inline std::vector<std::size_t> some_of(Random& random, std::size_t size, std::size_t count) {
  std::vector<std::size_t> all(size);
  for (std::size_t i = 0; i < size; ++i) all[i] = i;
  for (std::size_t i = 0; i < count; ++i) std::swap(all[i], all[i + random.below(size - i)]);
  all.resize(count);
  return all;
}
}  // namespace detail

/// The answer to a question that the document does not answer.
inline constexpr char world_untold[] = "That is not said.";

inline WorldDocument world_document(Random& random, const WorldOptions& options = {}) {
  const auto& relations = detail::world_relations;
  const auto kinds = static_cast<Index>(std::size(relations));
  check(options.people > 0 && options.facts > 0 && options.facts + (options.untold ? 1 : 0) <= kinds, [&] {
    return Error("impossible documents", "world_document",
                 "one person or more, 1 to " + std::to_string(kinds - (options.untold ? 1 : 0)) + " facts",
                 std::to_string(options.people) + " and " + std::to_string(options.facts));
  });
  WorldDocument document;
  std::vector<std::string> names, sentences;
  for (Index person = 0; person < options.people; ++person) {
    std::string name;
    do name = detail::world_name(random, options.held_out);
    while (std::ranges::find(names, name) != names.end());
    names.push_back(name);
    const auto asked = static_cast<std::size_t>(options.facts + (options.untold ? 1 : 0));
    const auto chosen = detail::some_of(random, std::size(relations), asked);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto& relation = relations[chosen[i]];
      const bool told = static_cast<Index>(i) < options.facts;
      const std::string value = relation.values[random.below(relation.values.size())];
      if (told) sentences.push_back(detail::filled_in(relation.statements[random.below(3)], name, value));
      for (std::size_t way = 0; way < relation.questions.size(); ++way)
        document.questions.push_back({detail::filled_in(relation.questions[way], name),
                                      told ? value : std::string(world_untold),
                                      way + 1 == relation.questions.size(), told});
    }
  }
  for (std::size_t i = sentences.size(); i > 1; --i) std::swap(sentences[i - 1], sentences[random.below(i)]);
  for (const std::string& sentence : sentences)
    document.text += (document.text.empty() ? "" : " ") + sentence;
  return document;
}

/// A task, told by a description alone: to say of the person in a text always the same kind of fact.
struct WorldTask {
  std::string description;
  std::string question;  ///< the text, which tells several kinds of facts, and the name
  std::string answer;
};

struct WorldTaskOptions {
  Index facts = 4;        ///< told by the text
  bool held_out = false;  ///< people whom training does not meet, descriptions that it does not hear
};

namespace detail {
/// In the order of world_relations; the last two are for tests.
inline constexpr const char* world_descriptions[][6] = {
    {"Say where the person lives.", "Name the town where the person lives.", "Answer with the home town.",
     "I want to know the town.", "Say in which town the person lives.", "Answer with the town."},
    {"Say what the job of the person is.", "Name the trade of the person.", "Answer with the job.",
     "I want to know what the person works as.", "Say what the person works as.", "Answer with the trade."},
    {"Say which colour the person likes best.", "Name the favourite colour.", "Answer with the colour.",
     "I want to know the colour.", "Say the favourite colour of the person.", "Name the colour."},
    {"Say which animal the person keeps.", "Name the animal of the person.", "Answer with the animal.",
     "I want to know which animal there is at home.", "Say what animal the person has.",
     "I want to know the animal."},
    {"Say which instrument the person plays.", "Name the instrument.", "Answer with what the person plays.",
     "I want to know the instrument.", "Say what the person plays.", "Answer with the instrument."},
    {"Say what the person loves to eat.", "Name the favourite dish.", "Answer with the dish.",
     "I want to know what the person eats.", "Say the favourite dish of the person.",
     "I want to know the dish."},
    {"Say which sport the person is good at.", "Name the sport of the person.", "Answer with the sport.",
     "I want to know what the person goes in for.", "Say the sport.", "I want to know the sport."},
    {"Say when the person was born.", "Name the month of the birthday.", "Answer with the month.",
     "I want to know the birthday.", "Say in which month the person was born.", "I want to know the month."},
};
static_assert(std::size(world_descriptions) == std::size(world_relations));
}  // namespace detail

inline WorldTask world_task(Random& random, const WorldTaskOptions& options = {}) {
  const auto& relations = detail::world_relations;
  const auto kinds = static_cast<Index>(std::size(relations));
  check(options.facts > 0 && options.facts <= kinds, [&] {
    return Error("impossible tasks", "world_task", "1 to " + std::to_string(kinds) + " facts",
                 std::to_string(options.facts));
  });
  const std::string name = detail::world_name(random, options.held_out);
  const auto chosen = detail::some_of(random, std::size(relations), static_cast<std::size_t>(options.facts));
  const std::size_t wanted = random.below(chosen.size());
  WorldTask task;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& relation = relations[chosen[i]];
    const std::string value = relation.values[random.below(relation.values.size())];
    task.question += detail::filled_in(relation.statements[random.below(3)], name, value) + " ";
    if (i == wanted) task.answer = value;
  }
  task.question.back() = '\n', task.question += "\n" + name;
  task.description =
      detail::world_descriptions[chosen[wanted]][options.held_out ? 4 + random.below(2) : random.below(4)];
  return task;
}

}  // namespace hyperblocks
