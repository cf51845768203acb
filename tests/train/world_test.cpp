// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The world of facts and the needle: what documents say is what is asked, held-out people stay apart, depths
// are where they should be, seeds say everything.
#include <hyperblocks/train/needle.hpp>
#include <hyperblocks/train/world.hpp>

#include <doctest/doctest.h>

#include <set>

namespace hb = hyperblocks;
using hb::Index;

namespace {
std::string person_in(const std::string& question) {
  // The two words that begin with a capital letter and are not the sentence's first.
  std::string name;
  for (std::size_t at = question.find(' '); at != question.npos; at = question.find(' ', at + 1))
    if (at + 1 < question.size() && question[at + 1] >= 'A' && question[at + 1] <= 'Z' &&
        question.compare(at + 1, 2, "I ") != 0 && question.compare(at + 1, 7, "Sundays") != 0) {
      const auto end = question.find_first_of(" ?", at + 1);
      name += (name.empty() ? "" : " ") + question.substr(at + 1, end - at - 1);
    }
  return name;
}
}  // namespace

TEST_CASE("a document tells what is asked about it") {
  hb::Random random(3);
  for (int i = 0; i < 200; ++i) {
    const hb::WorldDocument document = hb::world_document(random, {.people = 2, .facts = 3, .untold = true});
    CAPTURE(document.text);
    REQUIRE(document.questions.size() == 2 * 4 * 3);
    Index paraphrased = 0, untold = 0;
    for (const auto& each : document.questions) {
      CAPTURE(each.question);
      CHECK(document.text.find(person_in(each.question)) != std::string::npos);
      CHECK(each.question.find('{') == std::string::npos);
      if (each.told)
        CHECK(document.text.find(each.answer) != std::string::npos);
      else
        CHECK(each.answer == hb::world_untold);
      paraphrased += each.paraphrased, untold += !each.told;
    }
    CHECK(paraphrased == 2 * 4);
    CHECK(untold == 2 * 3);
    CHECK(document.text.find('{') == std::string::npos);
    CHECK(std::count(document.text.begin(), document.text.end(), '.') == 6);
  }
}

TEST_CASE("held-out people are never met in training, and a seed says everything") {
  std::set<std::string> trained, held_out;
  const auto meet = [](std::set<std::string>& people, bool apart) {
    hb::Random random(5);
    for (int i = 0; i < 3000; ++i) people.insert(hb::detail::world_name(random, apart));
  };
  meet(trained, false), meet(held_out, true);
  CHECK(held_out.size() > 1000);
  for (const auto& name : held_out) CHECK(!trained.contains(name));
  hb::Random a(9), b(9), c(10);
  CHECK(hb::world_document(a).text == hb::world_document(b).text);
  CHECK(hb::world_document(a).text != hb::world_document(c).text);
  CHECK_THROWS_AS((void)hb::world_document(a, {.facts = 8, .untold = true}), hb::Error);
  CHECK_THROWS_AS((void)hb::world_document(a, {.people = 0}), hb::Error);
}

TEST_CASE("a task is answered by its text, and told apart by its description alone") {
  hb::Random random(4);
  std::set<std::string> heard, held_out;
  for (int i = 0; i < 2000; ++i) {
    const bool apart = i % 2 == 1;
    const hb::WorldTask task = hb::world_task(random, {.facts = 3, .held_out = apart});
    CAPTURE(task.question);
    CHECK(task.question.find(task.answer) != std::string::npos);
    const std::string name = task.question.substr(task.question.rfind('\n') + 1);
    CHECK(task.question.find(name) < task.question.rfind('\n'));
    CHECK(std::ranges::count(task.question, '\n') == 2);
    CHECK(std::ranges::count(task.question, '.') == 3);
    CHECK(task.description.find(name) == std::string::npos);
    (apart ? held_out : heard).insert(task.description);
  }
  CHECK(heard.size() + held_out.size() <= 8 * 8 * 5);
  CHECK(heard.size() > 240);
  CHECK(held_out.size() > 20);
  for (const auto& each : held_out) CHECK(!heard.contains(each));
  CHECK_THROWS_AS((void)hb::world_task(random, {.facts = 9}), hb::Error);
}

TEST_CASE("a needle lies in its bin, and each place of the bin is drawn") {
  hb::Random random(1);
  for (const Index lines : {1, 2, 9, 10, 17, 64})
    for (Index bin = 0; bin < 10; ++bin) {
      std::set<Index> places;
      for (int i = 0; i < 400; ++i) {
        const hb::Needle needle = hb::needle_of(random, lines, bin);
        places.insert(needle.line);
        REQUIRE(needle.answer.size() == 4);
        CHECK(needle.text.find("The special magic number is " + needle.answer + ".") != std::string::npos);
        CHECK(std::count(needle.text.begin(), needle.text.end(), '\n') == lines - 1);
      }
      const Index first = lines * bin / 10, last = (lines * (bin + 1) + 9) / 10 - 1;
      CHECK(*places.begin() == first);
      CHECK(*places.rbegin() == last);
      CHECK(std::ssize(places) == last - first + 1);
    }
  CHECK_THROWS_AS((void)hb::needle_of(random, 0, 0), hb::Error);
  CHECK_THROWS_AS((void)hb::needle_of(random, 10, 10), hb::Error);
}
