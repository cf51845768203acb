// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Threads: every task once, in static parts; exceptions, nesting, several callers, nothing allocated.
#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include <hyperblocks/ops/cpu/threads.hpp>

#include "../support/count_allocations.hpp"

namespace {

using hyperblocks::Index;
using hyperblocks::cpu::Threads;

}  // namespace

TEST_CASE("every task runs once, whatever the number of threads") {
  for (const Index count : {1, 2, 3, 8}) {
    Threads threads(count);
    CHECK(threads.count() == count);
    for (const Index tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<int> runs(static_cast<std::size_t>(tasks));
      threads.run(tasks, [&](Index task) { ++runs[static_cast<std::size_t>(task)]; });
      for (const int value : runs) REQUIRE(value == 1);
    }
  }
}

TEST_CASE("as many threads as cores by default") {
  CHECK(Threads().count() >= 1);
  CHECK_THROWS_AS(Threads(-1), hyperblocks::Error);
}

TEST_CASE("a part is contiguous and belongs to one thread at a time") {
  Threads threads(3);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<Index> part_of(10, -1);
    threads.run(10, [&](Index task, Index part) { part_of[static_cast<std::size_t>(task)] = part; });
    CHECK(part_of == std::vector<Index>{0, 0, 0, 1, 1, 1, 2, 2, 2, 2});
  }
}

TEST_CASE("many short calls after one another") {
  Threads threads(3);
  std::vector<long> sums(3);
  for (long call = 1; call <= 20000; ++call)
    threads.run(3, [&](Index task) { sums[static_cast<std::size_t>(task)] += call; });
  for (const long sum : sums) CHECK(sum == 20000L * 20001 / 2);
}

TEST_CASE("exceptions reach the caller, and the threads remain usable") {
  Threads threads(3);
  for (const Index thrower : {0, 5, 9}) {
    CHECK_THROWS_WITH_AS(threads.run(10,
                                     [&](Index task) {
                                       if (task == thrower) throw std::runtime_error("task failed");
                                     }),
                         "task failed", std::runtime_error);
    std::atomic<int> runs{0};
    threads.run(10, [&](Index) { ++runs; });
    CHECK(runs == 10);
  }
}

TEST_CASE("a call from inside a task runs there") {
  Threads threads(2);
  std::atomic<int> runs{0};
  threads.run(4, [&](Index) {
    const auto here = std::this_thread::get_id();
    threads.run(5, [&](Index) {
      if (std::this_thread::get_id() == here) ++runs;
    });
  });
  CHECK(runs == 20);
}

TEST_CASE("several callers at once") {
  Threads threads(2);
  std::atomic<int> runs{0};
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int call = 0; call < 500; ++call) threads.run(3, [&](Index) { ++runs; });
    });
  for (auto& caller : callers) caller.join();
  CHECK(runs == 4 * 500 * 3);
}

TEST_CASE("a call allocates nothing") {
  Threads threads(3);
  std::atomic<int> runs{0};
  const int taken = hyperblocks::test::allocations_of([&] {
    for (int call = 0; call < 1000; ++call) threads.run(7, [&](Index) { ++runs; });
  });
  CHECK(taken == 0);
  CHECK(runs == 7000);
}
