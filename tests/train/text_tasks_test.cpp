// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// SHINE's tasks on texts: what is read, said and answered.
#include <hyperblocks/train/text_tasks.hpp>

#include <doctest/doctest.h>

namespace hb = hyperblocks;

TEST_CASE("a text is said again") {
  const hb::TextTask task = hb::reconstruction("one\ttwo  three ");
  CHECK(task.context == "one\ttwo  three ");
  CHECK(task.turn == "<RECON>");
  CHECK(task.answer == task.context);
}

TEST_CASE("a text is said to its end, of the first 70 to 90 % of its words") {
  std::string text = " first\n";
  for (int i = 0; i < 99; ++i) text += "word" + std::to_string(i) + "  ";
  hb::Random random(3);
  std::size_t least = 100, most = 0;
  for (int i = 0; i < 300; ++i) {
    const hb::TextTask task = hb::completion(random, text);
    CHECK(task.turn == "<COMP>");
    CHECK(task.answer == text);  // white space as it was
    CHECK(task.context.starts_with("first word0 word1 "));
    const auto count = static_cast<std::size_t>(std::ranges::count(task.context, ' ')) + 1;
    CHECK(task.context.ends_with("word" + std::to_string(count - 2)));
    least = std::min(least, count), most = std::max(most, count);
  }
  CHECK((least >= 70 && least <= 71));
  CHECK((most >= 88 && most <= 90));
}

TEST_CASE("texts of few words") {
  hb::Random random(1);
  CHECK(hb::completion(random, "alone ").context == "alone ");
  CHECK(hb::completion(random, "").context.empty());
  CHECK(hb::completion(random, " one  two ").context == "one");
}

TEST_CASE("both tasks come up, the same ones for the same seed") {
  hb::Random random(5), again(5);
  int completions = 0;
  for (int i = 0; i < 1000; ++i) {
    const hb::TextTask task = hb::random_text_task(random, "a b c d");
    CHECK(task.context == hb::random_text_task(again, "a b c d").context);
    completions += task.turn == "<COMP>";
  }
  CHECK((completions > 440 && completions < 560));
}
