// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text-to-LoRA's rules for task descriptions.
#include <doctest/doctest.h>

#include <hyperblocks/text/task_description.hpp>

using namespace hyperblocks;

TEST_CASE("a sentence ends in a full stop where it ended in a letter") {
  const auto text = [](std::string_view description) { return task_text(description, TaskStyle::sentence); };
  CHECK(text("Solve riddles") == "Solve riddles.");
  CHECK(text("Solve riddles.") == "Solve riddles.");
  CHECK(text("Why?") == "Why?");
  CHECK(text("Add 3 and 4") == "Add 3 and 4");
  CHECK(text("a (b)") == "a (b)");
  CHECK(text("日本語を訳す") == "日本語を訳す.");                              // Lo
  CHECK(text("загадки") == "загадки.");                                        // Ll
  CHECK(text("ǅ") == "ǅ.");                                                    // Lt
  CHECK(text("aʰ") == "aʰ.");                                                  // Lm
  CHECK(text("e\u0301") == "e\u0301");                                         // a mark is no letter
  CHECK(text("chapter Ⅷ") == "chapter Ⅷ");                                     // Nl
  CHECK(text("\u3000\t\n Solve\u00a0it \x1c\x1f\u2029") == "Solve\u00a0it.");  // Python's white space
  CHECK(text("\u200bx\u200b") == "\u200bx\u200b");                             // which this is not
  CHECK(text("broken \xe6\x97") == "broken \ufffd");
}

TEST_CASE("a query stands behind its instruction as it is") {
  CHECK(task_text(" Solve riddles\n", TaskStyle::query) ==
        "Instruct: Retrieve semantically similar text.\nQuery: Solve riddles");
}

TEST_CASE("an empty description is an error") {
  for (const char* empty : {"", " \n\t", "\u3000\u0085"})
    for (const TaskStyle style : {TaskStyle::sentence, TaskStyle::query})
      CHECK_THROWS_WITH_AS(task_text(empty, style), doctest::Contains("an empty task description"), Error);
}

TEST_CASE("its tokens are cut, the model's own stay") {
  const auto tokenizer = Tokenizer::from_json("f.json", R"({
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 0], "sep": ["[SEP]", 1]},
    "model": {"type": "WordLevel", "vocab": {"[CLS]": 0, "[SEP]": 1, "a": 2, ".": 3, "?": 4}, "unk_token": "?"}})");
  using Ids = std::vector<std::int32_t>;
  CHECK(task_tokens(tokenizer, " a a", TaskStyle::sentence) == Ids{0, 2, 2, 3, 1});
  CHECK(task_tokens(tokenizer, "a a", TaskStyle::sentence, 4) == Ids{0, 2, 2, 1});
  std::string words;
  for (int i = 0; i < 10000; ++i) words += "a ";
  CHECK(task_tokens(tokenizer, words, TaskStyle::sentence).size() == 8192);
}
