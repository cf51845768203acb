// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapters that are known: as factors of any form, the gradient of the distance from them, a Text-to-LoRA
// that learns to write them.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/reconstruction.hpp>
#include <hyperblocks/train/text_to_lora_writer.hpp>

#include <doctest/doctest.h>

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;

namespace {
constexpr hb::DecoderSpec base{
    .vocabulary = 13, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 6, .positions = 16};

template <class Scalar>
struct World {
  using Model = hb::Decoder<base, Scalar, Cpu>;
  using Net =
      hb::TextToLora<Model, hb::TextToLoraSpec{.rank = 2, .embedding = 5, .latent = 8, .head_in = 12}>;
  using Writer = hb::TextToLoraWriter<Net>;
  using Known = hb::KnownAdapter<std::vector<float>>;
  Cpu cpu{{.threads = 1}};
  hb::Random random{4};
  typename Net::Params params = hb::initialised<Net>(cpu, random);
  Writer writer;
  std::vector<hb::HostAdapter> adapters;
  World() {
    for (int i = 0; i < 3; ++i) adapters.push_back(adapter(2));
  }

  hb::HostAdapter adapter(Index rank) {
    hb::HostAdapter result;
    for (Index layer = 0; layer < base.layers; ++layer)
      for (const hb::Projection projection : {hb::Projection::query, hb::Projection::value}) {
        hb::HostFactors& factors = result.linears[{layer, projection}];
        factors.size = hb::size_of(base, projection), factors.rank = rank, factors.scale = 0.5;
        for (Index i = 0; i < rank * factors.size.in; ++i) factors.a.push_back(number());
        for (Index i = 0; i < rank * factors.size.out; ++i) factors.b.push_back(number());
      }
    return result;
  }
  float number() { return static_cast<float>(random.normal()); }

  auto course() {
    const auto pose = [this](std::uint64_t number) {
      std::vector<Known> known;
      for (std::size_t i = 0; i < 2; ++i) {
        const std::size_t which = (number + i) % adapters.size();
        std::vector<float> embedding(5);
        embedding[which] = 2;
        known.push_back({embedding, &adapters[which]});
      }
      return known;
    };
    return hb::ReconstructionCourse<Writer, decltype(pose)>{writer, pose};
  }
};
}  // namespace

TEST_CASE("a known adapter in the forms of those that are to become like it") {
  World<float> world;
  using Model = World<float>::Model;
  const hb::ArenaScope scope(world.cpu);
  World<float>::Writer::Tape tape;
  const auto parts = world.writer.write(world.cpu, world.params, {std::vector<float>(5, 1)}, tape);
  const auto wanted = hb::factors_like<Model>(world.cpu, parts[0].updates, world.adapters[0]);
  const hb::HostAdapter again = hb::to_host<Model>(world.cpu, wanted);
  CHECK(again.linears.size() == 4);
  for (const auto& [place, factors] : world.adapters[0].linears) {
    const hb::HostFactors& same = again.linears.at(place);
    CHECK(same.a == factors.a);
    for (std::size_t i = 0; i < factors.b.size(); ++i)
      CHECK(static_cast<double>(same.b[i]) * same.scale ==
            doctest::Approx(static_cast<double>(factors.b[i]) * factors.scale).epsilon(1e-6));
  }
  CHECK_THROWS_WITH_AS(
      (void)hb::factors_like<Model>(world.cpu, parts[0].updates, world.adapter(3)),
      "hyperblocks: a known adapter has another structure (factors_like: layer 0 query): expected "
      "rank 2, found rank 3",
      hb::Error);
  world.adapters[0].linears.clear();
  CHECK_THROWS_AS((void)hb::factors_like<Model>(world.cpu, parts[0].updates, world.adapters[0]), hb::Error);
}

TEST_CASE("the gradient of the distance, beside finite differences") {
  World<double> world;
  const auto course = world.course();
  using Gradients = World<double>::Net::Gradients;
  auto gradients = hb::make<Gradients>(world.cpu), unused = hb::make<Gradients>(world.cpu);
  course.learn(world.cpu, world.params, 1, gradients, hb::Write::assign);
  const auto loss = [&] { return course.learn(world.cpu, world.params, 1, unused, hb::Write::assign).loss; };
  double worst = 0;
  hb::visit(
      [&](const std::string&, auto& value, const auto& gradient) {
        for (Index i = 0; i < value.size(); i += std::max<Index>(1, value.size() / 5)) {
          double& number = value.data()[i];
          const double kept = number, step = 1e-6;
          number = kept + step;
          const double up = loss();
          number = kept - step;
          const double down = loss();
          number = kept;
          worst = std::max(worst, std::abs((up - down) / (2 * step) - gradient.data()[i]));
        }
      },
      world.params, gradients);
  MESSAGE("worst difference: " << worst);
  CHECK(worst < 1e-7);
}

TEST_CASE("a hypernetwork that learns to write them") {
  World<float> world;
  const auto course = world.course();
  hb::Trainer<std::remove_cv_t<decltype(course)>> trainer(
      world.cpu, course, std::move(world.params), {.schedule = {.rate = 0.01, .steps = 300, .warm_up = 10}});
  double first = 0, last = 0;
  for (int i = 0; i < 300; ++i) (i == 0 ? first : last) = trainer.step(world.cpu).loss;
  CHECK(last < 0.05 * first);
}
