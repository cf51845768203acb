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
/// What is wanted of each of world_relations, behind a way to ask for it.
inline constexpr const char* world_wishes[][5] = {
    {"where the person lives", "the town where the person lives", "the home town of the person",
     "in which town the home is", "the town"},
    {"what the person works as", "the job of the person", "the trade of the person",
     "how the person earns a living", "the job"},
    {"which colour the person likes best", "the favourite colour of the person",
     "the colour that the person likes", "in which colour everything is painted", "the colour"},
    {"which animal the person keeps", "the animal of the person", "the animal that the person has at home",
     "what animal belongs to the person", "the animal"},
    {"which instrument the person plays", "the instrument of the person",
     "what the person plays in the evening", "the instrument that the person plays", "the instrument"},
    {"what the person loves to eat", "the favourite dish of the person", "what the person eats every day",
     "the dish that the person loves", "the dish"},
    {"which sport the person is good at", "the sport of the person", "what the person goes in for on Sundays",
     "the sport that the person is good at", "the sport"},
    {"in which month the person was born", "the month of the birthday", "when the birthday of the person is",
     "when the person was born", "the month"},
};
static_assert(std::size(world_wishes) == std::size(world_relations));

/// One of 320 descriptions, an eighth of which are held out.
inline std::string world_description(Random& random, std::size_t relation, bool held_out) {
  constexpr std::array ways = {"Say ",     "Name ",  "Answer with ",         "I want to know ",
                               "Tell me ", "State ", "Your task is to say ", "Always answer with "};
  while (true) {
    const std::size_t way = random.below(ways.size()), wish = random.below(std::size(world_wishes[0]));
    const bool apart = Random::of(relation, way * std::size(world_wishes[0]) + wish).bits() % 8 == 0;
    if (apart == held_out) return std::string(ways[way]) + world_wishes[relation][wish] + ".";
  }
}
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
  task.description = detail::world_description(random, chosen[wanted], options.held_out);
  return task;
}

}  // namespace hyperblocks
