// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A training on the processes that mpirun has started gives what one process gives with as many batches.
#include <hyperblocks/mpi/processes.hpp>

#include <doctest/doctest.h>

#include "../train/mirror_course.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;
using hb::test::MirrorCourse, hb::test::mirror_options, hb::test::numbers, hb::test::distance;

namespace {
const hb::MpiPeers& peers() {
  static const hb::MpiSession session;
  return session.peers();
}
}  // namespace

TEST_CASE("sums are every process's, and the same bits") {
  const auto share = static_cast<double>(peers().rank() + 1);
  const auto all = static_cast<double>(peers().count() * (peers().count() + 1) / 2);
  std::vector<double> wide = {share, 0.1 * share};
  std::vector<float> narrow = {static_cast<float>(share)};
  std::vector<hb::bf16> half = {hb::scalar_cast<hb::bf16>(share)};
  peers().add_up(std::span(wide)), peers().add_up(std::span(narrow)), peers().add_up(std::span(half));
  CHECK(wide[0] == all);
  CHECK(wide[1] == doctest::Approx(0.1 * all));
  CHECK(narrow[0] == static_cast<float>(all));
  CHECK(hb::scalar_cast<double>(half[0]) == all);
}

TEST_CASE("processes give what one gives with as many batches, or with larger ones") {
  REQUIRE(peers().count() == 2);
  Cpu cpu({.threads = 1});
  const MirrorCourse course, large{4};
  hb::Trainer<MirrorCourse, hb::MpiPeers> shared(cpu, course, MirrorCourse::initial(cpu), mirror_options(1),
                                                 peers());
  hb::Trainer<MirrorCourse> alone(cpu, large, MirrorCourse::initial(cpu), mirror_options(1));
  for (int i = 0; i < 40; ++i) {
    const auto ours = shared.step(cpu), expected = alone.step(cpu);
    CHECK(ours.loss == doctest::Approx(expected.loss).epsilon(1e-6));
    CHECK(ours.tokens == expected.tokens);
  }
  CHECK(distance(numbers(shared), numbers(alone)) < 1e-12);
}
