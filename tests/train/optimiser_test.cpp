// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Schedules, AdamW over groups, the order of data, checkpoints: a training that goes on makes the same bits.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/checkpoint.hpp>
#include <hyperblocks/train/adam_w.hpp>
#include <hyperblocks/train/data_order.hpp>
#include <hyperblocks/train/schedule.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "../support/folder.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {
template <class S>
using Net = hb::Mlp<hb::MlpSpec{.in = 6, .inner = 10, .out = 6}, S, Cpu>;

/// A network that learns to turn some vectors into others.
template <class S>
struct Training {
  using Block = Net<S>;
  Cpu cpu{{.threads = 2}};
  typename Block::Params params;
  typename Block::Gradients gradients = hb::make<typename Block::Gradients>(cpu);
  hb::AdamW<Cpu, S> optimiser;
  hb::DataOrder order{20, 3};

  explicit Training(hb::AdamWOptions options = {.groups = {{.clip = 1}}})
      : params(initial(cpu)), optimiser(cpu, params, gradients, std::move(options)) {}

  static typename Block::Params initial(Cpu& cpu) {
    hb::Random random(1);
    return hb::initialised<Block>(cpu, random);
  }

  /// The loss of some examples, whose gradient is left.
  double measure(Index count) {
    const hb::ArenaScope scope(cpu);
    const auto x = hb::take<S, dyn, 6>(cpu, count), y = hb::take<S, dyn, 6>(cpu, count);
    for (Index i = 0; i < count; ++i) {
      hb::Random random(order.next());
      for (Index j = 0; j < 6; ++j) x(i, j) = hb::scalar_cast<S>(random.normal());
    }
    typename Block::Tape tape;
    Block::forward(cpu, params, {x}, y, &tape);
    double loss = 0;
    for (Index i = 0; i < count; ++i)
      for (Index j = 0; j < 6; ++j) {
        const double missing = hb::scalar_cast<double>(y(i, j)) -
                               std::sin(static_cast<double>(j)) * hb::scalar_cast<double>(x(i, 5 - j));
        loss += missing * missing / static_cast<double>(count);
        y(i, j) = hb::scalar_cast<S>(2 * missing / static_cast<double>(count));
      }
    Block::backward(cpu, params, tape, y, {}, gradients, hb::Write::assign);
    return loss;
  }

  double run(int steps) {
    double loss = 0;
    for (int i = 0; i < steps; ++i) {
      loss = measure(10);
      REQUIRE(optimiser.step(cpu, params, gradients, 0.02).done);
    }
    return loss;
  }

  std::vector<std::vector<S>> numbers() const {
    std::vector<std::vector<S>> all;
    hb::visit([&](const std::string&, const auto& t) { all.emplace_back(t.span().begin(), t.span().end()); },
              params);
    return all;
  }
  hb::TrainingState state() const { return {{"data", std::to_string(order.position())}}; }
  void go_on(const std::filesystem::path& path) {
    const auto remembered = hb::load_checkpoint(cpu, path, params, optimiser);
    order.set_position(hb::remembered<std::uint64_t>(remembered, "data", path.string()));
  }
};

template <class S>
bool same_bits(const Training<S>& a, const Training<S>& b) {
  const auto first = a.numbers(), second = b.numbers();
  for (std::size_t i = 0; i < first.size(); ++i)
    if (std::memcmp(first[i].data(), second[i].data(), first[i].size() * sizeof(S)) != 0) return false;
  return true;
}
}  // namespace

TEST_CASE("schedules rise and fall as they say") {
  const hb::Schedule line{.rate = 2, .steps = 110, .warm_up = 10, .floor = 0.5};
  CHECK(line.at(0) == 0);
  CHECK(line.at(5) == doctest::Approx(1));
  CHECK(line.at(10) == doctest::Approx(2));
  CHECK(line.at(60) == doctest::Approx(1.25));
  CHECK(line.at(110) == doctest::Approx(0.5));
  CHECK(line.at(1000) == doctest::Approx(0.5));
  const hb::Schedule cosine{
      .rate = 2, .steps = 110, .warm_up = 10, .decline = hb::Decline::cosine, .floor = 0.5};
  CHECK(cosine.at(10) == doctest::Approx(2));
  CHECK(cosine.at(35) == doctest::Approx(0.5 + 1.5 * (1 + std::sqrt(0.5)) / 2));
  CHECK(cosine.at(60) == doctest::Approx(1.25));
  CHECK(cosine.at(110) == doctest::Approx(0.5));
  const hb::Schedule flat{.rate = 2, .warm_up = 4, .decline = hb::Decline::none};
  CHECK(flat.at(1) == doctest::Approx(0.5));
  CHECK(flat.at(1000) == 2);
  CHECK_THROWS_AS((void)(hb::Schedule{.steps = 5, .warm_up = 6}.at(0)), hb::Error);
}

TEST_CASE("every example once in an epoch, and the same order from any position on") {
  hb::DataOrder order(13, 5), other(13, 6);
  std::vector<std::size_t> all, of_other;
  for (int i = 0; i < 39; ++i) all.push_back(order.next()), of_other.push_back(other.next());
  for (const std::size_t first : {0, 13, 26})
    CHECK(std::set<std::size_t>(all.begin() + static_cast<Index>(first),
                                all.begin() + static_cast<Index>(first + 13))
              .size() == 13);
  CHECK(all != of_other);
  CHECK(!std::equal(all.begin(), all.begin() + 13, all.begin() + 13));
  for (const std::uint64_t at : {0, 5, 13, 20}) {
    order.set_position(at);
    CHECK(order.next() == all[at]);
    CHECK(order.next() == all[at + 1]);
  }
  CHECK_THROWS_AS(hb::DataOrder(0, 1), hb::Error);
}

TEST_CASE_TEMPLATE("a network learns, with masters of more bits where it has few", S, float, double,
                   hb::bf16) {
  Training<S> training;
  const double before = training.measure(20);
  const double after = training.run(300);
  CHECK(after < (std::same_as<S, hb::bf16> ? 0.05 : 0.02) * before);
}

TEST_CASE("groups have their own decay, rate and bound") {
  hb::AdamWOptions options{.groups = {{.decay = 0.1}, {.rate = 0}, {.clip = 1e-3}}};
  options.group = [](const std::string& name) -> std::size_t {
    return name.ends_with("bias") ? 1 : name.starts_with("up") ? 2 : 0;
  };
  Training<double> training(std::move(options));
  (void)training.measure(10);
  const auto before = training.numbers();
  std::vector<std::string> names;
  std::vector<double> squares(3);
  hb::visit(
      [&](const std::string& name, const auto& gradient) {
        names.push_back(name);
        const std::size_t group = name.ends_with("bias") ? 1 : name.starts_with("up") ? 2 : 0;
        for (const double g : gradient.span()) squares[group] += g * g;
      },
      training.gradients);
  const auto report = training.optimiser.step(training.cpu, training.params, training.gradients, 0.01, 0.5);
  REQUIRE(report.done);
  for (std::size_t i = 0; i < 3; ++i) CHECK(report.norms[i] == doctest::Approx(0.5 * std::sqrt(squares[i])));
  const auto after = training.numbers();
  for (std::size_t i = 0; i < names.size(); ++i) {
    CAPTURE(names[i]);
    CHECK((after[i] == before[i]) == names[i].ends_with("bias"));
  }
  // The first step of Adam is the rate, whatever the gradient, but for decay.
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!names[i].ends_with("bias") && !names[i].starts_with("up"))
      CHECK(std::abs(after[i][0] - before[i][0] * (1 - 0.01 * 0.1)) == doctest::Approx(0.01).epsilon(1e-4));
}

TEST_CASE("a bound makes a long gradient what a shorter one is") {
  Training<double> bounded({.epsilon = 1, .groups = {{.clip = 0.01}}}), scaled({.epsilon = 1});
  (void)bounded.measure(10), (void)scaled.measure(10);
  const double norm = bounded.optimiser.step(bounded.cpu, bounded.params, bounded.gradients, 0.1).norms[0];
  REQUIRE(norm > 0.1);
  (void)scaled.optimiser.step(scaled.cpu, scaled.params, scaled.gradients, 0.1, 0.01 / (norm + 1e-6));
  const auto a = bounded.numbers(), b = scaled.numbers();
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].size(); ++j) CHECK(a[i][j] == doctest::Approx(b[i][j]).epsilon(1e-12));
}

TEST_CASE("a gradient that is not finite changes nothing") {
  Training<float> training, other;
  (void)training.run(2), (void)other.run(2);
  (void)training.measure(10);
  hb::visit([](const std::string&, auto& gradient) { gradient.data()[0] = NAN; }, training.gradients);
  CHECK(!training.optimiser.step(training.cpu, training.params, training.gradients, 0.1).done);
  CHECK(training.optimiser.steps() == 2);
  CHECK(same_bits(training, other));
}

TEST_CASE_TEMPLATE("a training that goes on from a checkpoint makes the same bits", S, float, hb::bf16) {
  const hb::test::Folder folder;
  const auto path = folder.path / "run.safetensors";
  Training<S> whole;
  (void)whole.run(25);
  for (const int stop : {0, 1, 7, 24}) {
    CAPTURE(stop);
    {
      Training<S> first;
      (void)first.run(stop);
      hb::save_checkpoint(first.cpu, path, first.params, first.optimiser, first.state());
    }
    Training<S> second;
    (void)second.run(3);  // what is forgotten
    second.go_on(path);
    (void)second.run(25 - stop);
    CHECK(same_bits(whole, second));
  }
}

TEST_CASE("checkpoints of something else are refused") {
  const hb::test::Folder folder;
  const auto path = folder.path / "run.safetensors";
  Training<float> training;
  hb::save(training.cpu, training.params, path);
  CHECK_THROWS_WITH_AS(training.go_on(path), doctest::Contains("not a checkpoint"), hb::Error);
  hb::save_checkpoint(training.cpu, path, training.params, training.optimiser);
  CHECK_THROWS_WITH_AS(training.go_on(path), doctest::Contains("'data'"), hb::Error);
  hb::save_checkpoint(training.cpu, path, training.params, training.optimiser, {{"data", "12x"}});
  CHECK_THROWS_WITH_AS(training.go_on(path), doctest::Contains("found '12x'"), hb::Error);
  Training<hb::bf16> other;
  hb::save_checkpoint(training.cpu, path, training.params, training.optimiser, training.state());
  CHECK_THROWS_WITH_AS(other.go_on(path), doctest::Contains("a checkpoint of another training"), hb::Error);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THROWS_WITH_AS(training.go_on(path), doctest::Contains("truncated"), hb::Error);
}
