// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TeachingCourse: weights of topics, noise of a batch's own, a training that learns what is posed.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/lora_writer.hpp>
#include <hyperblocks/train/teaching_course.hpp>

#include <doctest/doctest.h>

namespace hb = hyperblocks;
using hb::Cpu, hb::Tokens;

namespace {
constexpr hb::DecoderSpec base{
    .vocabulary = 13, .hidden = 8, .layers = 1, .heads = 2, .kv_heads = 1, .inner = 6, .positions = 16};
using Model = hb::Decoder<base, float, Cpu>;
using Lora = hb::Lora<Model, hb::AdapterSpec{.rank = 4}>;
using Writer = hb::LoraWriter<Lora>;
using Topics = std::vector<hb::Topic<hb::Nothing>>;

Topics topics() {
  return {{{}, {hb::lesson_of(Tokens{1, 2}, Tokens{3, 4}), hb::lesson_of(Tokens{5}, Tokens{6})}},
          {{}, {hb::lesson_of(Tokens{1, 7}, Tokens{9, 10, 11})}}};
}

struct World {
  Cpu cpu{{.threads = 1}};
  hb::Random random{9};
  Model::Params model = hb::initialised<Model>(cpu, random);
  Model::Positions positions{cpu};
  Lora::Params params{cpu};
  Writer writer;
  World() {
    hb::fill_normal(cpu, model.head.weight, random, 1.5);  // as sure as a trained model can be
    Lora::Params::initialise(cpu, params, random, 0.3);
  }
};
}  // namespace

TEST_CASE("each topic counts the same, or each label") {
  Topics posed = topics();
  hb::weigh(std::span(posed), hb::MeanOver::lessons);
  CHECK(posed[0].lessons[0].weight == doctest::Approx(1 / (2. * 2 * 2)));
  CHECK(posed[0].lessons[1].weight == doctest::Approx(1 / (2. * 2 * 1)));
  CHECK(posed[1].lessons[0].weight == doctest::Approx(1 / (2. * 1 * 3)));
  hb::weigh(std::span(posed), hb::MeanOver::labels);
  for (const auto& topic : posed)
    for (const auto& lesson : topic.lessons) CHECK(lesson.weight == doctest::Approx(1 / 6.));
}

TEST_CASE("a batch's noise follows from its number") {
  World world;
  const auto pose = [](std::uint64_t) { return topics(); };
  const hb::TeachingCourse<Writer, decltype(pose)> course{
      world.writer, world.model, world.positions, pose, {.lessons = {.noise = 5, .seed = 3}}};
  auto gradients = hb::make<Lora::Gradients>(world.cpu);
  const auto loss = [&](std::uint64_t number) {
    const hb::Learned learned = course.learn(world.cpu, world.params, number, gradients, hb::Write::assign);
    CHECK(learned.tokens == 3 + 1 + 4);
    return learned.loss;
  };
  CHECK(loss(0) == loss(0));
  CHECK(loss(0) != loss(1));
}

TEST_CASE("what is posed is learnt") {
  World world;
  const auto pose = [](std::uint64_t number) {
    Topics all = topics();
    return Topics{all[number % 2]};
  };
  const hb::TeachingCourse<Writer, decltype(pose)> course{world.writer, world.model, world.positions, pose};
  hb::Trainer<hb::TeachingCourse<Writer, decltype(pose)>> trainer(
      world.cpu, course, std::move(world.params),
      {.schedule = {.rate = 0.03, .steps = 400, .warm_up = 10}, .accumulate = 2});
  double first = 0, last = 0;
  for (int i = 0; i < 400; ++i) (i == 0 ? first : last) = trainer.step(world.cpu).loss;
  CHECK(first > 1);
  CHECK(last < 0.1 * first);
}
