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

template <class Scalar, bool z_score = false>
struct World {
  using Model = hb::Decoder<base, Scalar, Cpu>;
  using Net =
      hb::TextToLora<Model, hb::TextToLoraSpec{
                                .rank = 2, .embedding = 5, .latent = 8, .head_in = 12, .z_score = z_score}>;
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
    std::optional<hb::HostAdapter> units;
    if constexpr (z_score) {
      std::vector<const hb::HostAdapter*> known;
      for (const auto& each : adapters) known.push_back(&each);
      const hb::FactorStatistics statistics(known);
      hb::set_statistics<Net>(cpu, params, statistics);
      units = hb::z_score_units(statistics.deviation, Net::scale());
    }
    return hb::ReconstructionCourse<Writer, decltype(pose)>{writer, pose, units};
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

TEST_CASE_TEMPLATE("the gradient of the distance, beside finite differences", W, World<double>,
                   World<double, true>) {
  W world;
  const auto course = world.course();
  using Gradients = typename W::Net::Gradients;
  auto gradients = hb::make<Gradients>(world.cpu), unused = hb::make<Gradients>(world.cpu);
  course.learn(world.cpu, world.params, 1, gradients, hb::Write::assign);
  const auto loss = [&] { return course.learn(world.cpu, world.params, 1, unused, hb::Write::assign).loss; };
  double worst = 0;
  hb::visit(
      [&]<class Gradient>(const std::string&, auto& value, const Gradient& gradient) {
        if constexpr (std::same_as<Gradient, hb::Nothing>)
          return;  // mean and deviation do not learn
        else
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

TEST_CASE("statistics of known adapters, and a distance in their units") {
  using W = World<double, true>;
  W world;
  std::vector<const hb::HostAdapter*> known;
  for (auto& each : world.adapters) known.push_back(&each);
  world.adapters[1].linears.begin()->second.scale = 2;
  const hb::FactorStatistics statistics(known);
  const hb::HostAdapter::Place place{1, hb::Projection::value};
  const auto number = [&](std::size_t i) {
    return static_cast<double>(known[i]->linears.at(place).b[3]) * 0.5;
  };
  const double mean = (number(0) + number(1) + number(2)) / 3;
  double squares = 0;
  for (std::size_t i = 0; i < 3; ++i) squares += (number(i) - mean) * (number(i) - mean);
  CHECK(static_cast<double>(statistics.mean.linears.at(place).b[3]) == doctest::Approx(mean));
  const auto deviation = static_cast<double>(statistics.deviation.linears.at(place).b[3]);
  CHECK(deviation == doctest::Approx(std::sqrt(squares / 2)));

  // A hypernetwork whose heads say z writes z deviation + mean: its loss is the mean of |z - z*|.
  const auto course = world.course();
  hb::visit([&](const std::string&, auto& tensor) { hb::fill_constant(world.cpu, tensor, 0.25); },
            world.params.heads);
  auto gradients = hb::make<W::Net::Gradients>(world.cpu);
  const double loss = course.learn(world.cpu, world.params, 0, gradients, hb::Write::assign).loss;
  const hb::ArenaScope scope(world.cpu);
  double expected = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    W::Writer::Tape tape;
    std::vector<float> embedding(5);
    embedding[i] = 2;
    const auto parts = world.writer.write(world.cpu, world.params, {embedding}, tape);
    const auto written = hb::to_host<W::Model>(world.cpu, parts[0].updates);
    for (const auto& [at, factors] : written.linears) {
      const auto& known_factors = world.adapters[i].linears.at(at);
      const auto& units = statistics.deviation.linears.at(at);
      const auto distance = [&](std::vector<float> hb::HostFactors::*numbers, double own, double theirs) {
        double sum = 0;
        for (std::size_t j = 0; j < (factors.*numbers).size(); ++j)
          sum += std::abs(own * static_cast<double>((factors.*numbers)[j]) -
                          theirs * static_cast<double>((known_factors.*numbers)[j])) /
                 static_cast<double>((units.*numbers)[j]);
        return sum / static_cast<double>((factors.*numbers).size());
      };
      expected += (distance(&hb::HostFactors::a, 1, 1) +
                   distance(&hb::HostFactors::b, factors.scale, known_factors.scale)) /
                  2 / 4 / 2;
    }
  }
  CHECK(loss == doctest::Approx(expected).epsilon(1e-4));

  world.adapters[2].linears.erase(place);
  CHECK_THROWS_WITH_AS((void)hb::FactorStatistics{known},
                       doctest::Contains("known adapters of different structure"), hb::Error);
  known.resize(1);
  CHECK_THROWS_WITH_AS((void)hb::FactorStatistics{known}, doctest::Contains("too few known adapters"),
                       hb::Error);
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
