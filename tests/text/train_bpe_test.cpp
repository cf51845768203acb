// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A tokenizer made from texts: frequent words become tokens, every text comes back, its limits hold.
#include <hyperblocks/text/tokenizer.hpp>
#include <hyperblocks/text/train_bpe.hpp>
#include <hyperblocks/train/world.hpp>

#include <doctest/doctest.h>

namespace hb = hyperblocks;

namespace {
std::vector<std::string> some_texts() {
  hb::Random random(1);
  std::vector<std::string> texts;
  texts.reserve(300);
  for (int i = 0; i < 300; ++i) texts.push_back(hb::world_document(random).text);
  return texts;
}
}  // namespace

TEST_CASE("frequent words become tokens, and any text comes back") {
  const auto texts = some_texts();
  const std::string json =
      hb::trained_bpe(texts, {.vocabulary = 700, .special = {"<|im_start|>", "<|im_end|>"}});
  const auto tokenizer = hb::Tokenizer::from_json("tokenizer.json", json);
  CHECK(tokenizer.encode("<|im_start|>").front() == 0);
  CHECK(tokenizer.encode(" lives").size() == 1);
  CHECK(tokenizer.encode(" favourite").size() == 1);
  CHECK(tokenizer.encode("4821").size() == 4);
  for (const std::string& text :
       {texts.front(), std::string("A k\xC3\xB6nig\twith 12 \xE2\x82\xAC, 3.5 <b>\n\n"),
        std::string("<|im_start|>user\nWho?<|im_end|>")})
    CHECK(tokenizer.decode(tokenizer.encode(text, false), false) == text);
  CHECK(tokenizer.encode(texts.front()).size() < texts.front().size() / 3);
  CHECK(hb::trained_bpe(texts, {.vocabulary = 700, .special = {"<|im_start|>", "<|im_end|>"}}) == json);
}

TEST_CASE("few texts give fewer tokens; too small a vocabulary is refused") {
  const std::vector<std::string> one = {"aaab aaab"};
  const auto tokenizer =
      hb::Tokenizer::from_json("tokenizer.json", hb::trained_bpe(one, {.vocabulary = 1000}));
  CHECK(tokenizer.encode("aaab").size() == 1);
  CHECK(tokenizer.vocabulary_size() < 270);
  CHECK_THROWS_AS((void)hb::trained_bpe(one, {.vocabulary = 255}), hb::Error);
}
