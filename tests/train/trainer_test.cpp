// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Trainer: steps follow from their numbers; batches one after the other, or on several processes, give what
// one large batch gives; a training that was stopped goes on as if it had not been.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/trainer.hpp>

#include <doctest/doctest.h>

#include <barrier>
#include <thread>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {
/// A layer that learns to turn vectors into their mirror images; a batch is `examples` consecutive ones.
struct Course {
  using Block = hb::Linear<hb::LinearSpec{.in = 4, .out = 4}, double, Cpu>;
  using Device = Cpu;
  using Scalar = double;
  using Params = Block::Params;
  using Gradients = Block::Gradients;
  Index examples = 2;

  hb::Learned learn(Cpu& cpu, const Params& params, std::uint64_t number, Gradients& gradients,
                    hb::Write write) const {
    const hb::ArenaScope scope(cpu);
    const auto x = hb::take<double, dyn, 4>(cpu, examples), y = hb::take<double, dyn, 4>(cpu, examples);
    for (Index i = 0; i < examples; ++i) {
      hb::Random random =
          hb::Random::of(7, number * static_cast<std::uint64_t>(examples) + static_cast<std::uint64_t>(i));
      for (Index j = 0; j < 4; ++j) x(i, j) = random.normal();
    }
    Block::Tape tape;
    Block::forward(cpu, params, {x}, y, &tape);
    double loss = 0;
    for (Index i = 0; i < examples; ++i)
      for (Index j = 0; j < 4; ++j) {
        const double missing = y(i, j) - x(i, 3 - j);
        loss += missing * missing / static_cast<double>(examples);
        y(i, j) = 2 * missing / static_cast<double>(examples);
      }
    Block::backward(cpu, params, tape, y, {}, gradients, write);
    return {loss, examples};
  }

  static Params initial(Cpu& cpu) {
    hb::Random random(1);
    return hb::initialised<Block>(cpu, random);
  }
};

hb::TrainerOptions options(Index accumulate) {
  return {.schedule = {.rate = 0.05, .steps = 60, .warm_up = 5},
          .accumulate = accumulate,
          .optimiser = {.groups = {{.clip = 0.5}}}};
}

template <class Trainer>
std::vector<double> numbers(const Trainer& trainer) {
  std::vector<double> all;
  hb::visit(
      [&](const std::string&, const auto& t) { all.insert(all.end(), t.span().begin(), t.span().end()); },
      trainer.params());
  return all;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

/// Processes as threads: what each gives is added up in the order of their ranks.
struct Threads {
  struct Shared {
    explicit Shared(Index count) : ready(count), parts(static_cast<std::size_t>(count)) {}
    std::barrier<> ready;
    std::vector<std::vector<double>> parts;
  };
  Shared* shared;
  Index own;
  Index count() const { return std::ssize(shared->parts); }
  Index rank() const { return own; }
  void add_up(std::span<double> values) const {
    shared->parts[static_cast<std::size_t>(own)].assign(values.begin(), values.end());
    shared->ready.arrive_and_wait();
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = 0;
      for (const auto& part : shared->parts) values[i] += part[i];
    }
    shared->ready.arrive_and_wait();
  }
};
}  // namespace

TEST_CASE("a course is learnt, its steps say what they did") {
  Cpu cpu;
  const Course course;
  hb::Trainer<Course> trainer(cpu, course, Course::initial(cpu), options(1));
  double first = 0, last = 0;
  for (Index i = 0; i < 60; ++i) {
    const hb::TrainedStep step = trainer.step(cpu);
    CHECK(step.number == i);
    CHECK(step.tokens == 2);
    CHECK(step.report.done);
    CHECK(step.rate == options(1).schedule.at(i));
    (i == 0 ? first : last) = step.loss;
  }
  CHECK(trainer.steps() == 60);
  CHECK(last < 0.05 * first);
  CHECK_THROWS_AS((hb::Trainer<Course>(cpu, course, Course::initial(cpu), options(0))), hb::Error);
}

TEST_CASE("several small batches give what a large one gives") {
  Cpu cpu;
  const Course small{2}, large{8};
  hb::Trainer<Course> a(cpu, small, Course::initial(cpu), options(4)),
      b(cpu, large, Course::initial(cpu), options(1));
  for (int i = 0; i < 20; ++i) {
    const auto from_small = a.step(cpu), from_large = b.step(cpu);
    CHECK(from_small.loss == doctest::Approx(from_large.loss).epsilon(1e-12));
    CHECK(from_small.tokens == from_large.tokens);
    CHECK(from_small.report.norms[0] == doctest::Approx(from_large.report.norms[0]).epsilon(1e-12));
  }
  CHECK(distance(numbers(a), numbers(b)) < 1e-12);
}

TEST_CASE("several processes give what one gives with as many batches") {
  const Course course;
  Cpu cpu;
  hb::Trainer<Course> alone(cpu, course, Course::initial(cpu), options(6));
  std::vector<double> losses;
  losses.reserve(20);
  for (int i = 0; i < 20; ++i) losses.push_back(alone.step(cpu).loss);
  Threads::Shared shared(3);
  std::vector<std::vector<double>> found(3), found_losses(3);
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (Index rank = 0; rank < 3; ++rank)
    threads.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      Cpu own({.threads = 1});
      hb::Trainer<Course, Threads> trainer(own, course, Course::initial(own), options(2), {&shared, rank});
      for (int i = 0; i < 20; ++i) found_losses[at].push_back(trainer.step(own).loss);
      found[at] = numbers(trainer);
    });
  for (auto& thread : threads) thread.join();
  for (std::size_t rank = 0; rank < 3; ++rank) {
    CHECK(found[rank] == found[0]);
    CHECK(distance(found[rank], numbers(alone)) < 1e-12);
    CHECK(distance(found_losses[rank], losses) < 1e-6);
  }
}
