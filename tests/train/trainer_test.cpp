// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Trainer: steps follow from their numbers; batches one after the other, or on several processes, give what
// one large batch gives; a training that was stopped goes on as if it had not been.
#include <doctest/doctest.h>

#include <barrier>
#include <thread>

#include "mirror_course.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;

using hb::test::MirrorCourse, hb::test::mirror_options, hb::test::numbers, hb::test::distance;

namespace {
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
  const MirrorCourse course;
  hb::Trainer<MirrorCourse> trainer(cpu, course, MirrorCourse::initial(cpu), mirror_options(1));
  double first = 0, last = 0;
  for (Index i = 0; i < 60; ++i) {
    const hb::TrainedStep step = trainer.step(cpu);
    CHECK(step.number == i);
    CHECK(step.tokens == 2);
    CHECK(step.report.done);
    CHECK(step.rate == mirror_options(1).schedule.at(i));
    (i == 0 ? first : last) = step.loss;
  }
  CHECK(trainer.steps() == 60);
  CHECK(last < 0.05 * first);
  CHECK_THROWS_AS((hb::Trainer<MirrorCourse>(cpu, course, MirrorCourse::initial(cpu), mirror_options(0))),
                  hb::Error);
}

TEST_CASE("several small batches give what a large one gives") {
  Cpu cpu;
  const MirrorCourse small{2}, large{8};
  hb::Trainer<MirrorCourse> a(cpu, small, MirrorCourse::initial(cpu), mirror_options(4)),
      b(cpu, large, MirrorCourse::initial(cpu), mirror_options(1));
  for (int i = 0; i < 20; ++i) {
    const auto from_small = a.step(cpu), from_large = b.step(cpu);
    CHECK(from_small.loss == doctest::Approx(from_large.loss).epsilon(1e-12));
    CHECK(from_small.tokens == from_large.tokens);
    CHECK(from_small.report.norms[0] == doctest::Approx(from_large.report.norms[0]).epsilon(1e-12));
  }
  CHECK(distance(numbers(a), numbers(b)) < 1e-12);
}

TEST_CASE("several processes give what one gives with as many batches") {
  const MirrorCourse course;
  Cpu cpu;
  hb::Trainer<MirrorCourse> alone(cpu, course, MirrorCourse::initial(cpu), mirror_options(6));
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
      hb::Trainer<MirrorCourse, Threads> trainer(own, course, MirrorCourse::initial(own), mirror_options(2),
                                                 {&shared, rank});
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
