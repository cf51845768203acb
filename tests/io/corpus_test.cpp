// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A corpus to adapters: every text once, by whichever process, what failed again; what is wrong with a corpus
// shows before the work.
#include "../../examples/adapter/corpus.hpp"

#include <doctest/doctest.h>

#include "../support/folder.hpp"

namespace hb = hyperblocks;
using hb::Index, hb::example::Corpus, hb::example::CorpusText;

namespace {
struct World {
  hb::test::Folder folder;
  std::filesystem::path corpus = folder.path / "corpus.jsonl", out = folder.path / "out";
  std::vector<std::string> made;
  std::string options = "as usual";

  void write(const std::filesystem::path& path, const std::string& text) const {
    std::ofstream(path) << text;
  }
  /// Makes the adapters, all but those of texts that say "bad".
  Index run() {
    made.clear();
    return Corpus(corpus, out, hb::example::Peers())
        .each(
            options,
            [&](const CorpusText& text, const std::filesystem::path& place) {
              hb::check(text.text != "bad",
                        [] { return hb::Error("a bad text", "here", "a good one", "bad"); });
              CHECK(place == out / text.id);
              made.push_back(text.id + ":" + text.text);
              write(place, "made");
              return Index{1};
            },
            [](const std::filesystem::path& place) { return std::filesystem::exists(place); });
  }
};
using Texts = std::vector<std::string>;
}  // namespace

TEST_CASE("every text once, and only those that are not there yet") {
  World world;
  world.write(world.corpus, R"({"id": "a", "text": " one \n"}
{"id": "b-2.x", "text": "two"}

{"id": "c", "text": "bad", "more": 1})");
  CHECK(world.run() == 1);
  CHECK(world.made == Texts{"a: one \n", "b-2.x:two"});
  CHECK(world.run() == 1);  // tried again
  CHECK(world.made.empty());
  world.write(world.corpus, R"({"id": "a", "text": " one \n"}
{"id": "d", "text": "four"}
)");
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"d:four"});
}

TEST_CASE("a text that has changed, other options, files that are gone: made again") {
  World world;
  world.write(world.corpus, "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"two\"}\n");
  CHECK(world.run() == 0);
  world.write(world.corpus, "{\"id\": \"a\", \"text\": \"1\"}\n{\"id\": \"b\", \"text\": \"two\"}\n");
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"a:1"});
  world.write(world.corpus, "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"two\"}\n");
  CHECK(world.run() == 0);  // as it once was, but what is there is of the other text
  CHECK(world.made == Texts{"a:one"});
  std::filesystem::remove(world.out / "b");
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"b:two"});
  world.options = "others";
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"a:one", "b:two"});
  CHECK(world.run() == 0);
  CHECK(world.made.empty());
}

TEST_CASE("a line that was cut off when the program was killed is no line") {
  World world;
  world.write(world.corpus, "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"two\"}\n");
  CHECK(world.run() == 0);
  std::filesystem::resize_file(world.out / "manifest.0.jsonl",
                               std::filesystem::file_size(world.out / "manifest.0.jsonl") - 5);
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"b:two"});
  CHECK(world.run() == 0);
  CHECK(world.made.empty());
}

TEST_CASE("manifests of other processes count") {
  World world;
  world.write(world.corpus, "{\"id\": \"a\", \"text\": \"one\"}\n{\"id\": \"b\", \"text\": \"two\"}\n");
  CHECK(world.run() == 0);
  std::filesystem::rename(world.out / "manifest.0.jsonl", world.out / "manifest.7.jsonl");
  std::filesystem::resize_file(world.out / "manifest.7.jsonl",
                               std::filesystem::file_size(world.out / "manifest.7.jsonl") - 5);  // of b
  CHECK(world.run() == 0);
  CHECK(world.made == Texts{"b:two"});
}

TEST_CASE("what is wrong with a corpus") {
  World world;
  const auto refused = [&](const std::string& text, const char* what, const char* where) {
    CAPTURE(text);
    world.write(world.corpus, text);
    CHECK_THROWS_WITH_AS(world.run(), doctest::Contains(what), hb::Error);
    CHECK_THROWS_WITH_AS(world.run(), doctest::Contains(where), hb::Error);
    CHECK(world.made.empty());
  };
  const std::string good = "{\"id\": \"a\", \"text\": \"one\"}\n";
  refused(good + "{\"id\": \"a\", \"text\": \"two\"}", "an id twice", "line 2");
  refused(good + "{\"id\": \"../a\", \"text\": \"two\"}", "an id that names no file", "line 2");
  refused(good + "{\"id\": \".a\", \"text\": \"two\"}", "an id that names no file", "line 2");
  refused(good + "{\"id\": \"manifest.1.jsonl\", \"text\": \"two\"}", "an id that names no file", "line 2");
  refused(good + "{\"id\": 7, \"text\": \"two\"}", "'id'", "line 2");
  refused(good + "{\"id\": \"b\"}", "no such field", "line 2");
  refused(good + "{\"id\": \"b\", \"text\": \" \\n\"}", "an empty text", "line 2");
  refused(good + "{\"id\": \"b\", \"te", "malformed JSON", "line 2");
  refused("\n", "an empty corpus", "corpus.jsonl");
  std::filesystem::remove(world.corpus);
  CHECK_THROWS_WITH_AS(world.run(), doctest::Contains("cannot read"), hb::Error);
}
