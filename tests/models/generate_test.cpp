// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Generation: each rule of the sampler by itself; continuations against whole passes; prompts together as
// alone.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include <hyperblocks/models/generate.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Error, hb::Index, hb::Sampler, hb::Sampling, hb::Tokens;

namespace {

/// How often each token of five comes in 20,000 draws.
std::array<double, 5> frequencies(const Sampling& sampling, const std::array<float, 5>& logits,
                                  const Tokens& seen = {}) {
  Sampler sampler(sampling);
  std::array<double, 5> result{};
  for (int i = 0; i < 20000; ++i) {
    std::array<float, 5> row = logits;
    result[static_cast<std::size_t>(sampler.next(row, seen))] += 1.0 / 20000;
  }
  return result;
}

void check_frequencies(const std::array<double, 5>& found, const std::array<double, 5>& expected) {
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] - expected[i]) < (expected[i] == 0 ? 1e-12 : 0.015));
  }
}

/// log(0.1), log(0.4), log(0.2), log(0.25), log(0.05)
const std::array<float, 5> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.25f),
                                     std::log(0.05f)};

constexpr hb::DecoderSpec spec{
    .vocabulary = 23, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 64};
using Model = hb::Decoder<spec, float, Cpu>;

struct Loaded {
  Cpu cpu{{.threads = 2}};
  hb::Random random{3};
  Model::Params params = hb::initialised<Model>(cpu, random);
  Model::Positions positions{cpu};

  std::vector<Tokens> generate(const std::vector<Tokens>& prompts, const hb::GenerationOptions& options) {
    return hb::generate<Model>(cpu, params, positions, prompts, options);
  }
  /// The likeliest token after `tokens`, by a pass over all of them.
  std::int32_t likeliest(const Tokens& tokens) {
    hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, static_cast<Index>(tokens.size()));
    ids.upload(cpu, tokens);
    hb::Tensor<float, Cpu, dyn, spec.vocabulary> last(cpu, 1);
    Model::forward(cpu, params, {.ids = ids, .rotary = positions}, {.logits = last});
    return static_cast<std::int32_t>(std::max_element(last.span().begin(), last.span().end()) -
                                     last.span().begin());
  }
};

}  // namespace

TEST_CASE("the sampler's rules") {
  check_frequencies(frequencies({.temperature = 1}, logits), {0.1, 0.4, 0.2, 0.25, 0.05});
  const double total = std::sqrt(0.1) + std::sqrt(0.4) + std::sqrt(0.2) + std::sqrt(0.25) + std::sqrt(0.05);
  check_frequencies(frequencies({.temperature = 2}, logits),
                    {std::sqrt(0.1) / total, std::sqrt(0.4) / total, std::sqrt(0.2) / total,
                     std::sqrt(0.25) / total, std::sqrt(0.05) / total});
  check_frequencies(frequencies({.temperature = 1, .top_k = 2}, logits), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  check_frequencies(frequencies({.temperature = 1, .top_p = 0.7}, logits),
                    {0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0});
  check_frequencies(frequencies({.temperature = 1, .min_p = 0.45}, logits),
                    {0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0});
  check_frequencies(frequencies({.temperature = 1, .top_p = 1e-9}, logits), {0, 1, 0, 0, 0});
  // log(0.4) times 2 is log(0.16); a token seen twice is penalised once.
  check_frequencies(frequencies({.temperature = 1, .repetition_penalty = 2}, logits, {1, 1}),
                    {0.1 / 0.76, 0.16 / 0.76, 0.2 / 0.76, 0.25 / 0.76, 0.05 / 0.76});
  check_frequencies(frequencies({.repetition_penalty = 2}, logits, {1}), {0, 0, 0, 1, 0});
  check_frequencies(frequencies({}, logits), {0, 1, 0, 0, 0});
}

TEST_CASE("logits that are not numbers") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(),
                  infinity = std::numeric_limits<float>::infinity();
  check_frequencies(frequencies({}, {nan, -infinity, 1, nan, 0}), {0, 0, 1, 0, 0});
  check_frequencies(frequencies({.temperature = 1}, {nan, -infinity, 1, nan, 1}), {0, 0, 0.5, 0, 0.5});
  check_frequencies(frequencies({.temperature = 1}, {infinity, 1, nan, infinity, -infinity}),
                    {0.5, 0, 0, 0.5, 0});
  check_frequencies(frequencies({.temperature = 1, .top_k = 1}, {0, 1, infinity, 2, 3}), {0, 0, 1, 0, 0});
  check_frequencies(frequencies({.repetition_penalty = 1e-30}, {0, 1, 2, 0, 3}, {1}), {0, 1, 0, 0, 0});
  std::array<float, 2> none = {nan, -infinity};
  for (const double temperature : {0, 1})
    CHECK_THROWS_WITH_AS(Sampler({.temperature = temperature}).next(none),
                         doctest::Contains("every logit is NaN or -infinity"), Error);
  CHECK_THROWS_WITH_AS(Sampler({}).next({}), doctest::Contains("no logits"), Error);
  for (const Sampling& sampling : {Sampling{.temperature = -1},
                                   {.temperature = nan},
                                   {.temperature = infinity},
                                   {.top_k = -1},
                                   {.top_p = 0},
                                   {.top_p = 1.5},
                                   {.min_p = 2},
                                   {.repetition_penalty = 1e-46},
                                   {.repetition_penalty = infinity}})
    CHECK_THROWS_WITH_AS((Sampler(sampling)), doctest::Contains("impossible sampling"), Error);
  CHECK_THROWS_WITH_AS(Sampler({.top_p = 1.5}),
                       doctest::Contains("top_p (Sampler): expected 1e-30 to 1, found 1.5"), Error);
  CHECK_THROWS_WITH_AS(Sampler({.repetition_penalty = 2}).next(none, Tokens{2}),
                       doctest::Contains("a seen token is out of range"), Error);
}

TEST_CASE("greedy continuations are those of whole passes; prompts go together as alone") {
  Loaded model;
  const std::vector<Tokens> prompts = {{3, 7, 1}, {5}, {2, 2, 9, 11, 4, 0, 8}};
  const auto together = model.generate(prompts, {.most = 12});
  REQUIRE(together.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(model.generate({prompts[i]}, {.most = 12})[0] == together[i]);
    Tokens all = prompts[i];
    for (const std::int32_t token : together[i]) {
      CHECK(token == model.likeliest(all));
      all.push_back(token);
    }
    CHECK(together[i].size() == 12);
  }
}

TEST_CASE("a continuation that ends does not disturb the others") {
  Loaded model;
  const std::vector<Tokens> prompts = {{3, 7, 1}, {5}, {2, 2, 9, 11, 4, 0, 8}, {6, 6}};
  const auto whole = model.generate(prompts, {.most = 12});
  for (const std::array<std::size_t, 4>& most :
       {std::array<std::size_t, 4>{1, 12, 3, 12}, {12, 2, 2, 5}, {4, 4, 4, 12}, {12, 7, 9, 1}}) {
    std::array<std::size_t, 4> made = {};
    const auto each = [&](std::size_t prompt, std::int32_t) { return ++made[prompt] < most[prompt]; };
    const auto found = model.generate(prompts, {.most = 12, .each = each});
    for (std::size_t i = 0; i < prompts.size(); ++i)
      CHECK(found[i] == Tokens(whole[i].begin(), whole[i].begin() + static_cast<Index>(most[i])));
  }
}

TEST_CASE("sampled continuations repeat with their seed") {
  Loaded model;
  const std::vector<Tokens> prompts = {{3, 7, 1}, {3, 7, 1}};
  const hb::GenerationOptions options{.most = 20, .sampling = {.temperature = 1, .seed = 7}};
  const auto once = model.generate(prompts, options);
  CHECK(model.generate(prompts, options) == once);
  CHECK(once[0] != once[1]);  // seeds 7 and 8
  CHECK(model.generate({prompts[1]}, {.most = 20, .sampling = {.temperature = 1, .seed = 8}})[0] == once[1]);
}

TEST_CASE("continuations end at a stop token, when told, or when there are enough") {
  Loaded model;
  const Tokens prompt = {3, 7, 1};
  const Tokens whole = model.generate({prompt}, {.most = 12})[0];
  const std::int32_t stop = whole[5];
  const auto first = static_cast<Index>(std::find(whole.begin(), whole.end(), stop) - whole.begin());
  CHECK(model.generate({prompt}, {.most = 12, .stop = {stop}})[0] ==
        Tokens(whole.begin(), whole.begin() + first));
  Tokens told;
  const auto each = [&](std::size_t which, std::int32_t token) {
    CHECK(which == 0);
    told.push_back(token);
    return told.size() < 4;
  };
  CHECK(model.generate({prompt}, {.most = 12, .each = each})[0] == Tokens(whole.begin(), whole.begin() + 4));
  CHECK(told == Tokens(whole.begin(), whole.begin() + 4));
  CHECK(model.generate({prompt}, {.most = 0})[0].empty());
  CHECK(model.generate({}, {}).empty());
  CHECK_THROWS_WITH_AS(model.generate({prompt, {}}, {}), doctest::Contains("an empty prompt"), Error);
  CHECK_THROWS_WITH_AS(model.generate({{3, 23}}, {}), doctest::Contains("an id is out of range"), Error);
}

TEST_CASE("continuations end with the positions, and why each one ended is told") {
  Loaded model;
  const std::vector<Tokens> prompts = {Tokens(60, 3), Tokens(64, 5), {7}, {9, 1}};
  const Tokens fourth = model.generate({prompts[3]}, {.most = 5})[0];
  std::array<std::optional<hb::Ending>, 4> endings;
  hb::GenerationOptions options{.most = std::numeric_limits<Index>::max()};
  options.each = [made = 0](std::size_t prompt, std::int32_t) mutable { return prompt != 2 || ++made < 3; };
  options.ended = [&](std::size_t prompt, hb::Ending why) {
    CHECK(!endings[prompt]);
    endings[prompt] = why;
  };
  const auto found = model.generate(prompts, options);
  CHECK(found[0].size() == 5);  // positions 60 to 63 are read, the fifth token is not
  CHECK(found[1].size() == 1);
  CHECK(found[2].size() == 3);
  CHECK(found[3].size() == 63);
  CHECK(endings[0] == hb::Ending::positions);
  CHECK(endings[1] == hb::Ending::positions);
  CHECK(endings[2] == hb::Ending::told);
  CHECK(endings[3] == hb::Ending::positions);
  endings = {};
  options.most = 5, options.stop = {fourth[4]};
  model.generate(prompts, options);
  CHECK(endings[0] == hb::Ending::most);
  CHECK(endings[3] == hb::Ending::stop);
  CHECK_THROWS_WITH_AS(model.generate({{1}, Tokens(65, 3)}, {}),
                       doctest::Contains("expected 1 to 64 tokens, found 65 in prompt 1"), Error);
}

TEST_CASE("an update of some rows of a pass means nothing to a generation") {
  Loaded model;
  Model::Updates<const float> updates, linked;
  linked.layers[1].mlp.up.first_row = 1;
  updates.layers[1].mlp.up.next = &linked.layers[1].mlp.up;
  const std::vector<Tokens> prompts = {{3}};
  CHECK_THROWS_WITH_AS(
      hb::generate<Model>(model.cpu, model.params, model.positions, prompts, {}, updates),
      doctest::Contains("an update of some rows (generate: layers.1.mlp.up): expected one for all prompts"),
      Error);
}

TEST_CASE("a cache that is kept: a conversation reads what is new") {
  Loaded model;
  Model::Cache cache(model.cpu, 1, 20);
  const auto kept = [&](const Tokens& prompt, Index most) {
    const hb::GenerationOptions options{.most = most};
    return hb::generate<Model>(model.cpu, model.params, model.positions, std::span(&prompt, 1), options, {},
                               &cache)[0];
  };
  Tokens turns = {3, 7, 1};
  const Tokens first = kept(turns, 4);
  CHECK(first == model.generate({turns}, {.most = 4})[0]);
  CHECK(cache.lengths[0] == 6);  // the last token was not read
  turns.insert(turns.end(), first.begin(), first.end());
  turns.insert(turns.end(), {9, 2});
  const Tokens changed = {3, 7, 5};
  CHECK(kept(turns, 4) == model.generate({turns}, {.most = 4})[0]);
  cache.lengths[0] = 2;  // as far as both begin alike
  CHECK(kept(changed, 4) == model.generate({changed}, {.most = 4})[0]);
  cache.lengths[0] = 2;  // the caller's word is taken: 3, 7 it holds, whatever the prompt says
  CHECK(kept({4, 4, 5}, 4) == model.generate({changed}, {.most = 4})[0]);
  CHECK(kept(turns, 0).empty());
  cache.lengths[0] = 0;
  CHECK(kept(turns, 100).size() == 12);  // 9 of 20 positions, and a token behind the last
  const std::vector<Tokens> two = {{3}, {4}};
  CHECK_THROWS_WITH_AS(hb::generate<Model>(model.cpu, model.params, model.positions, two, {}, {}, &cache),
                       doctest::Contains("expected one prompt, a cache of one sequence, found 2 and 1"),
                       Error);
}
