// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a tokenizer file may get wrong: every mistake is an error that names the file, the key and what is
// there.
#include <doctest/doctest.h>

#include <hyperblocks/text/tokenizer.hpp>

using namespace hyperblocks;

namespace {

const std::string word_level =
    R"("model": {"type": "WordLevel", "vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>"})";

void check_error(const std::string& text, const std::string& sentence) {
  CAPTURE(text);
  CHECK_THROWS_WITH_AS(Tokenizer::from_json("f.json", text), doctest::Contains(sentence.c_str()), Error);
}

/// With a good model and one more part.
void check_part(const std::string& key, const std::string& value, const std::string& sentence) {
  check_error("{\"" + key + "\": " + value + ", " + word_level + "}", sentence);
}

void check_model(const std::string& model, const std::string& sentence) {
  check_error("{\"model\": " + model + "}", sentence);
}

GgufVocabulary parts() {
  return {.file = "f.gguf",
          .model = "llama",
          .pre = {},
          .tokens = {"<s>", "a", "b", "ab"},
          .scores = {0, -1, -2, -3},
          .token_types = {3, 1, 1, 1},
          .merges = {},
          .bos = 0,
          .eos = 0,
          .unknown = {},
          .padding = {},
          .add_bos = {},
          .add_eos = {},
          .add_space_prefix = false,
          .chat_template = {}};
}

void check_parts(const GgufVocabulary& wrong, const std::string& sentence) {
  CHECK_THROWS_WITH_AS(Tokenizer::from_gguf_parts(wrong), doctest::Contains(sentence.c_str()), Error);
}

}  // namespace

TEST_CASE("malformed JSON") {
  check_error("", "malformed JSON (f.json)");
  check_error("{\"model\": ", "malformed JSON (f.json)");
  check_error("\"\xff\"", "malformed JSON (f.json)");
  check_error(std::string(100'000, '['), "malformed JSON (f.json: offset 64): expected at most 64 levels");
  check_error("[]", "malformed file (f.json): expected an object, found []");
  check_error("{}", "malformed file (f.json): expected the key 'model', found {}");
  check_error("GGUF\3", "expected JSON, found a GGUF file");
  check_error("version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer");
}

TEST_CASE("elements that are not known are named") {
  check_part("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AA=="})",
             "a normalizer that is not supported (f.json: /normalizer)");
  check_part("normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]})",
             "(f.json: /normalizer/normalizers/1): expected one of those docs/tokenizers.md lists, found "
             "{\"type\":\"Nmt\"}");
  check_part("pre_tokenizer", R"({"type": "UnicodeScripts"})", "a pre-tokenizer that is not supported");
  check_part("post_processor", R"({"type": "X"})", "a post-processor that is not supported");
  check_part("decoder", R"({"type": "CTC"})", "a decoder that is not supported (f.json: /decoder)");
  check_model(R"({"type": "X"})", "a model that is not supported (f.json: /model/type)");
  check_model(R"({"vocab": {}})", "expected BPE, WordPiece, WordLevel or Unigram, found none");
}

TEST_CASE("values of another kind") {
  check_part("normalizer", "7", "(f.json: /normalizer): expected an object, found 7");
  check_part("normalizer", R"({"type": 1})", "(f.json: /normalizer/type): expected a string, found 1");
  check_part("normalizer", R"({"type": "Replace", "pattern": {}, "content": ""})",
             "expected a String or a Regex");
  check_part("normalizer", R"({"type": "Strip", "strip_left": 1})", "expected true or false, found 1");
  check_part("pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})",
             "expected one character, found \"ab\"");
  check_part("pre_tokenizer", R"({"type": "Metaspace", "prepend_scheme": "x"})",
             "expected always, first or never");
  check_part("pre_tokenizer", R"({"type": "Split", "pattern": {"String": " "}, "behavior": "x"})",
             "expected Removed");
  check_part("post_processor", R"({"type": "BertProcessing", "sep": ["x"], "cls": ["y", 1]})",
             "expected [token, id]");
  check_part("post_processor", R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})",
             "expected the sequence A");
  check_part("added_tokens", R"([{"id": -1, "content": "x"}])",
             "(f.json: /added_tokens/0/id): expected an id");
  check_part("added_tokens", R"([{"id": 2147483647, "content": "x"}])", "an id too high");
  check_part("added_tokens", R"([{"id": 0, "content": "x"}])", "expected an id of its own, not that of 'a'");
}

TEST_CASE("regular expressions that mean something else here") {
  for (const char* const pattern : {"(", "[a&&b]", "[a[b]]", "\\\\bx", "(?<n>a){,3}", "a{2,3}+",
                                    "\\\\p{Nowhere}", "[\\\\W]", "(?s:.)", "\\\\K"})
    check_part(
        "normalizer",
        R"({"type": "Replace", "pattern": {"Regex": ")" + std::string(pattern) + "\"}, \"content\": \"\"}",
        "a regular expression that is not supported (f.json: /normalizer/pattern/Regex)");
  const auto slow = Tokenizer::from_json(
      "f.json", R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": ""}, )" +
                    word_level + "}");
  CHECK_THROWS_WITH_AS(slow.encode(std::string(100, 'a') + "b"), doctest::Contains("matching was given up"),
                       Error);
}

TEST_CASE("steps that blow a text up") {
  const auto sequence = [](const std::string& list, const std::string& step, int count) {
    std::string steps = step;
    for (int i = 1; i < count; ++i) steps += ", " + step;
    return R"({"type": "Sequence", ")" + list + "\": [" + steps + "]}";
  };
  const std::string replace =
      R"({"type": "Replace", "pattern": {"Regex": "."}, "content": ")" + std::string(1000, 'a') + "\"}";
  const auto with = [](const std::string& key, const std::string& value) {
    return Tokenizer::from_json("f.json", "{\"" + key + "\": " + value + ", " + word_level + "}");
  };
  CHECK(with("normalizer", sequence("normalizers", replace, 1)).encode("22 characters of text.").size() == 1);
  CHECK_THROWS_WITH_AS(
      with("normalizer", sequence("normalizers", replace, 4)).encode("22 characters of text."),
      doctest::Contains("a text grows too long (f.json: /normalizer/normalizers/1)"), Error);
  const std::string bytes = R"({"type": "ByteLevel", "use_regex": false})";
  CHECK_THROWS_WITH_AS(with("normalizer", sequence("normalizers", bytes, 60)).encode("\u00e9"),
                       doctest::Contains("(f.json: /normalizer/normalizers)"), Error);
  CHECK_THROWS_WITH_AS(with("pre_tokenizer", sequence("pretokenizers", bytes, 60)).encode("\u00e9"),
                       doctest::Contains("(f.json: /pre_tokenizer/pretokenizers)"), Error);
  CHECK_THROWS_WITH_AS(
      with("decoder", sequence("decoders", replace, 4)).decode(std::vector<std::int32_t>{0, 1}),
      doctest::Contains("(f.json: /decoder/decoders/1)"), Error);
}

TEST_CASE("vocabularies") {
  check_model(R"({"type": "WordLevel", "vocab": {"a": 1.5}})", "(f.json: /model/vocab/a): expected an id");
  check_model(R"({"type": "WordLevel", "vocab": {"a": 2000000}})",
              "expected an id below 1000000, found 2000000");
  check_model(R"({"type": "WordLevel", "vocab": {"a": 0, "b": 0}})",
              "expected an id of its own, found 0, which 'a' has");
  check_model(R"({"type": "WordPiece", "vocab": {"a": 0}})",
              "(f.json: /model/unk_token): expected a token of the vocabulary");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]})",
              "(f.json: /model/merges/0): expected two tokens");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})",
              "expected tokens of the vocabulary, found 'b'");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]})",
              "expected tokens of the vocabulary, found 'aa'");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]})",
              "expected two tokens, found [\"a\"]");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "x"})",
              "expected a token of the vocabulary, found 'x'");
  check_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1})",
              "a dropout that is not supported");
  check_model(
      R"({"type": "BPE", "vocab": {"a": 0, "#a": 1}, "merges": ["#a a"], "continuing_subword_prefix": "##"})",
      "expected '##' and more, found 'a'");
  check_model(R"({"type": "Unigram", "vocab": []})", "expected at least one piece");
  check_model(R"({"type": "Unigram", "vocab": [["a"]]})", "expected [piece, score]");
  check_model(R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1})", "expected an id below 1, found 1");
  check_model(R"({"type": "Unigram", "vocab": [["a", 0], ["a", 1]]})",
              "expected each token once, found 'a' twice");
}

TEST_CASE("words that a model cannot read") {
  const auto word = Tokenizer::from_json("f.json", R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})");
  CHECK_THROWS_WITH_AS(word.encode("b"), doctest::Contains("a word outside the vocabulary (f.json: /model)"),
                       Error);
  const auto unigram =
      Tokenizer::from_json("f.json", R"({"model": {"type": "Unigram", "vocab": [["a", 0]]}})");
  CHECK_THROWS_WITH_AS(unigram.encode("ab"), doctest::Contains("expected an unk_id, found 'b'"), Error);
}

TEST_CASE("GGUF vocabularies") {
  CHECK_NOTHROW(Tokenizer::from_gguf_parts(parts()));
  const auto with = [](auto change) {
    GgufVocabulary wrong = parts();
    change(wrong);
    return wrong;
  };
  check_parts(with([](auto& p) { p.model = "bert"; }),
              "(f.gguf: tokenizer.ggml.model): expected gpt2 or llama, found 'bert'");
  check_parts(with([](auto& p) { p.model = "gpt2", p.pre = "new"; }),
              "a splitting rule that is not known (f.gguf: tokenizer.ggml.pre)");
  check_parts(
      with([](auto& p) { p.tokens.clear(), p.scores.clear(), p.token_types.clear(), p.bos = p.eos = {}; }),
      "expected tokens, found 0");
  check_parts(with([](auto& p) { p.scores.pop_back(); }),
              "(f.gguf: tokenizer.ggml.scores): expected 4 as tokens, found 3");
  check_parts(with([](auto& p) { p.scores.clear(); }), "expected one a token, found 0");
  check_parts(with([](auto& p) { p.scores[1] = std::nanf(""); }), "expected numbers, found NaN");
  check_parts(with([](auto& p) { p.token_types.pop_back(); }), "tokenizer.ggml.token_type");
  check_parts(with([](auto& p) { p.eos = 4; }),
              "(f.gguf: tokenizer.ggml.eos_token_id): expected an id below 4, found 4");
  check_parts(with([](auto& p) { p.bos = {}; }), "expected an id, as it is to be added, found none");
  check_parts(with([](auto& p) { p.tokens[1] = "\xff"; }),
              "(f.gguf: tokenizer.ggml.tokens/1): expected UTF-8");
  check_parts(with([](auto& p) { p.tokens[1] = "b"; }), "expected each token once, found 'b' twice");
  check_parts(with([](auto& p) { p.model = "gpt2", p.merges = {"ab"}; }),
              "(f.gguf: tokenizer.ggml.merges/0): expected two tokens");
  check_parts(with([](auto& p) { p.model = "gpt2", p.merges = {"a c"}; }),
              "expected tokens of the vocabulary, found 'c'");
}
