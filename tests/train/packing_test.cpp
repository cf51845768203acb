// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Packing and numbers of pieces: every item once, no bin too full, the shares that chance is to have.
#include <hyperblocks/train/packing.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>

namespace hb = hyperblocks;
using hb::Index;

TEST_CASE("the first bin with room, and the fullest is closed when none has") {
  using Bins = std::vector<std::vector<std::size_t>>;
  CHECK(hb::packed(std::array<Index, 5>{6, 5, 4, 3, 2}, 10, 2) == Bins{{0, 2}, {1, 3, 4}});
  CHECK(hb::packed(std::array<Index, 4>{6, 7, 5, 4}, 10, 2) == Bins{{1}, {0, 3}, {2}});
  CHECK(hb::packed(std::array<Index, 3>{2, 30, 8}, 10) == Bins{{1}, {0, 2}});
  CHECK(hb::packed(std::span<const Index>(), 10).empty());
  CHECK_THROWS_AS((void)hb::packed(std::array<Index, 1>{1}, 0), hb::Error);
}

TEST_CASE("every item once, no bin beyond the limit") {
  hb::Random random(4);
  std::vector<Index> sizes;
  sizes.reserve(2000);
  for (int i = 0; i < 2000; ++i) sizes.push_back(1 + static_cast<Index>(random.below(300)));
  const auto bins = hb::packed(sizes, 256);
  std::vector<int> seen(sizes.size());
  for (const auto& bin : bins) {
    Index filled = 0;
    for (const std::size_t item : bin) ++seen[item], filled += sizes[item];
    CHECK((filled <= 256 || bin.size() == 1));
  }
  CHECK(std::ranges::all_of(seen, [](int times) { return times == 1; }));
  Index all = 0;
  for (const Index size : sizes) all += std::min<Index>(size, 256);
  CHECK(std::ssize(bins) < 1.1 * static_cast<double>(all) / 256);  // nearly full
}

TEST_CASE("numbers of pieces have their shares, where pieces are neither short nor long") {
  hb::Random random(2);
  const auto shares = [&](Index tokens) {
    std::map<Index, double> counts;
    for (int i = 0; i < 16000; ++i) counts[hb::random_piece_count(random, tokens)] += 1.0 / 16000;
    return counts;
  };
  auto free = shares(400);
  CHECK(free[1] == doctest::Approx(0.5).epsilon(0.05));
  CHECK(free[2] == doctest::Approx(0.125).epsilon(0.1));
  for (Index count = 3; count <= 8; ++count) CHECK(free[count] == doctest::Approx(0.0625).epsilon(0.15));
  CHECK(free.size() == 8);
  auto shorter = shares(60);  // three pieces of 20 at most
  CHECK(shorter.size() == 3);
  CHECK(shorter[1] == doctest::Approx(8.0 / 11).epsilon(0.05));
  auto longer = shares(1500);  // three pieces of 500 at least
  CHECK(longer.size() == 6);
  CHECK(longer.begin()->first == 3);
  CHECK(shares(10).at(1) == doctest::Approx(1));
  CHECK(shares(512 * 20 + 1).at(21) == doctest::Approx(1));
  CHECK_THROWS_AS((void)hb::random_piece_count(random, 0), hb::Error);
}
