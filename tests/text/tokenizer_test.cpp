// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every element of tokenizer.json against Hugging Face tokenizers, GGUF's vocabularies against the same and
// SentencePiece, streams of ids, limits; all from tests/fixtures/text.
#include "support/folder.hpp"

#include <chrono>
#include <hyperblocks/text/tokenizer.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

namespace {

Json fixture(const std::string& name) {
  return Json::parse(contents(std::filesystem::path(HYPERBLOCKS_FIXTURES) / "text" / name));
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string piece = stream.next(id);
    CHECK(detail::valid_size(piece) == piece.size());
    text += piece;
  }
  return text + stream.finish();
}

void check_case(const Tokenizer& tokenizer, const Json& one, const Json& texts) {
  const Json& special = one.contains("special") ? one["special"] : one["ids"];
  const Json& whole = one.contains("whole") ? one["whole"] : one["text"];
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    CAPTURE(text);
    const auto ids = one["ids"][i].get<Ids>();
    CHECK(tokenizer.encode(text, false) == ids);
    CHECK(tokenizer.encode(text) == special[i].get<Ids>());
    CHECK(tokenizer.decode(ids) == one["text"][i].get<std::string>());
    if (!one.contains("model")) CHECK(tokenizer.decode(ids, false) == whole[i].get<std::string>());
    CHECK(streamed(tokenizer, ids, true) == one["text"][i].get<std::string>());
  }
}

GgufVocabulary parts_of(const Json& one) {
  GgufVocabulary parts{.file = "test.gguf",
                       .model = one["model"],
                       .pre = one.value("pre", ""),
                       .tokens = one["tokens"],
                       .scores = one.value("scores", std::vector<float>()),
                       .token_types = one["types"],
                       .merges = one.value("merges", std::vector<std::string>()),
                       .bos = one["bos"].get<std::int32_t>(),
                       .eos = one["eos"].get<std::int32_t>(),
                       .unknown = {},
                       .padding = {},
                       .add_bos = {},
                       .add_eos = {},
                       .add_space_prefix = {},
                       .chat_template = {}};
  if (one.contains("unknown")) parts.unknown = one["unknown"].get<std::int32_t>();
  if (one.contains("prefix")) parts.add_space_prefix = one["prefix"].get<bool>();
  return parts;
}

Tokenizer named(const std::string& name) {
  const Json all = fixture("tokenizers.json");
  for (const Json& one : all["cases"])
    if (one["name"] == name) return Tokenizer::from_json(name, one["tokenizer"].dump());
  throw Error("no such case", name, "a name of tokenizers.json", "none");
}

}  // namespace

TEST_CASE("ids and texts are those of Hugging Face tokenizers") {
  const Json all = fixture("tokenizers.json");
  CHECK(all["cases"].size() > 50);
  for (const Json& one : all["cases"]) {
    const auto name = one["name"].get<std::string>();
    CAPTURE(name);
    check_case(Tokenizer::from_json(name, one["tokenizer"].dump()), one, all["texts"]);
  }
}

TEST_CASE("GGUF vocabularies give the ids of Hugging Face tokenizers and SentencePiece") {
  const Json all = fixture("gguf.json");
  for (const Json& one : all["cases"]) {
    const auto name = one["name"].get<std::string>();
    CAPTURE(name);
    check_case(Tokenizer::from_gguf_parts(parts_of(one)), one,
               one.contains("texts") ? one["texts"] : all["texts"]);
  }
}

TEST_CASE("broken UTF-8 reads as U+FFFD, one for each beginning of a character") {
  const Tokenizer tokenizer = named("byte-level BPE");
  const std::pair<std::string, std::string> examples[] = {
      {"a\xff\xfe", "a\ufffd\ufffd"},
      {"\xe6\x9d", "\ufffd"},
      {"\xf0\x9f\x98 x", "\ufffd x"},
      {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
      {"\xc0\xaf", "\ufffd\ufffd"},
      {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
      {"\x80", "\ufffd"},
      {"\xe6\x9d\xb1\xe6", "\u6771\ufffd"},
      {"\xe0\x80\xf0\x9f\x98\x80", "\ufffd\ufffd\U0001F600"}};
  for (const auto& [broken, whole] : examples) {
    CHECK(detail::valid_utf8(broken) == whole);
    CHECK(tokenizer.encode(broken) == tokenizer.encode(whole));
  }
}

TEST_CASE("a stream holds back the parts of a character") {
  const Tokenizer tokenizer = named("byte-level BPE");
  const Ids ids = tokenizer.encode("\U00020000!");
  REQUIRE(ids.size() == 5);
  StreamDecoder stream(tokenizer);
  for (std::size_t i = 0; i < 3; ++i) CHECK(stream.next(ids[i]).empty());
  CHECK(stream.next(ids[3]) == "\U00020000");
  CHECK(stream.next(ids[4]) == "!");
  CHECK(stream.finish().empty());
  CHECK(stream.next(ids[0]).empty());
  CHECK(stream.finish() == "\ufffd");
}

TEST_CASE("a limit cuts the text, not the model's own tokens") {
  const Tokenizer tokenizer = named("post-processor Template");
  const Ids all = tokenizer.encode("low lower"), cut = tokenizer.encode("low lower", true, 3);
  REQUIRE(all.size() == 5);
  CHECK(cut == Ids{all[0], all[1], all[4]});
  CHECK(tokenizer.encode("low lower", true, 2) == Ids{all[0], all[4]});
  CHECK(tokenizer.encode("low lower", false, 0).empty());
  CHECK_THROWS_WITH_AS(tokenizer.encode("low", true, 1), doctest::Contains("expected at least 2, found 1"),
                       Error);
}

TEST_CASE("tokens and ids") {
  const Tokenizer tokenizer = named("added tokens");
  const auto id = tokenizer.id_of("<s>").value_or(-1);
  CHECK(tokenizer.token_of(id) == "<s>");
  CHECK(tokenizer.id_of("[UNK]") == 0);
  CHECK(!tokenizer.id_of("no such token"));
  CHECK(!tokenizer.token_of(-1));
  CHECK(!tokenizer.token_of(tokenizer.vocabulary_size()));
  CHECK(tokenizer.token_of(tokenizer.vocabulary_size() - 1));
  CHECK(tokenizer.decode(Ids{-5, 1 << 30, id}).empty());
}

TEST_CASE("a directory: tokenizer.json, and bos and eos from tokenizer_config.json") {
  const Folder folder;
  const Json all = fixture("tokenizers.json");
  for (const Json& one : all["cases"])
    if (one["name"] == "added tokens") std::ofstream(folder.path / "tokenizer.json") << one["tokenizer"];
  CHECK(!Tokenizer::from_json_file(folder.path).eos());
  std::ofstream(folder.path / "tokenizer_config.json")
      << R"({"bos_token": {"content": "<s>", "special": true}, "eos_token": "</s>"})";
  const Tokenizer tokenizer = Tokenizer::from_json_file(folder.path);
  CHECK(tokenizer.bos() == tokenizer.id_of("<s>"));
  CHECK(tokenizer.eos() == tokenizer.id_of("</s>"));
  CHECK(Tokenizer::from_json_file(folder.path / "tokenizer.json").eos() == tokenizer.eos());
}

TEST_CASE("a word of a megabyte takes no quadratic time") {
  const std::string word(1'000'000, 'a');
  for (const char* const name : {"byte-level BPE", "BPE byte fallback", "Unigram", "WordPiece"}) {
    const Tokenizer tokenizer = named(name);
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer.encode(word);
    CHECK(std::chrono::steady_clock::now() - start <
          std::chrono::seconds(20));  // debug builds, busy machines
    CHECK(!ids.empty());
  }
  const Json all = fixture("gguf.json");
  CHECK(!Tokenizer::from_gguf_parts(parts_of(all["cases"].back())).encode(word).empty());
}
