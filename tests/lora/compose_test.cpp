// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Sums of adapters against sums of dense matrices; what does not fit is an Error.
#include <hyperblocks/lora/compose.hpp>

#include <doctest/doctest.h>

#include <limits>

#include "../support/adapter_case.hpp"

namespace hb = hyperblocks;
using hb::Error, hb::HostAdapter, hb::HostFactors, hb::Index, hb::Projection;
using hb::test::dense, hb::test::dense_bias, hb::test::distance, hb::test::random_factors;

namespace {

const HostAdapter::Place query{0, Projection::query}, up{3, Projection::up}, down{1, Projection::down};
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Of any ranks, scales, with and without C; each has the query and one or none of two other linears.
std::vector<HostAdapter> random_adapters(hb::Random& random, std::size_t count, bool one_scale) {
  const std::array ranks = {1, 3, 8, 20};
  const hb::LinearSize sizes[] = {{7, 5}, {4, 13}, {1, 1}};
  std::vector<HostAdapter> adapters(count);
  for (auto& adapter : adapters) {
    const auto draw = [&](hb::LinearSize size) {
      const double scale = one_scale ? 0.7 : random.uniform(-2, 2);
      const Index rank = ranks[random.bits() % ranks.size()];
      const bool biased = random.bits() % 2 == 0;
      return random_factors(random, size, rank, scale, biased);
    };
    adapter.linears[query] = draw(sizes[0]);
    const auto other = random.bits() % 3;
    if (other != 0) adapter.linears[other == 1 ? up : down] = draw(sizes[other]);
  }
  return adapters;
}

/// That `sum` adds sum_i weights[i] adapters[i] and has the sum of ranks.
void check_sum(const HostAdapter& sum, const std::vector<HostAdapter>& adapters,
               const std::vector<double>& weights) {
  std::map<HostAdapter::Place, std::vector<double>> matrices, biases;
  std::map<HostAdapter::Place, Index> ranks;
  for (std::size_t i = 0; i < adapters.size(); ++i)
    for (const auto& [place, factors] : adapters[i].linears) {
      hb::test::add(matrices[place], weights[i], dense(factors));
      hb::test::add(biases[place], weights[i], dense_bias(factors));
      ranks[place] += factors.rank;
    }
  hb::check_adapter(sum, "the sum");
  REQUIRE(sum.linears.size() == matrices.size());
  for (const auto& [place, factors] : sum.linears) {
    CAPTURE(to_string(place));
    CHECK(factors.rank == ranks[place]);
    CHECK(distance(matrices[place], dense(factors)) < 2e-7);
    CHECK(distance(biases[place], dense_bias(factors)) < 2e-7);
  }
}

}  // namespace

TEST_CASE("concat, scaled, weighted_sum and difference are what they are of dense matrices") {
  hb::Random random(3);
  for (std::size_t count = 1; count < 6; ++count)
    for (const bool one_scale : {true, false}) {
      const auto adapters = random_adapters(random, count, one_scale);
      check_sum(hb::concat(adapters), adapters, std::vector<double>(count, 1));
      std::vector<double> weights(count);
      for (double& weight : weights) weight = random.uniform(-3, 3);
      check_sum(hb::weighted_sum(adapters, weights), adapters, weights);
      weights[0] = 0;
      check_sum(hb::weighted_sum(adapters, weights), adapters, weights);
      check_sum(hb::scaled(adapters[0], -0.3), {adapters[0]}, {-0.3});
      check_sum(hb::difference(adapters[0], adapters[count - 1]), {adapters[0], adapters[count - 1]},
                {1, -1});
      check_sum(hb::concat(adapters[0], adapters[count - 1]), {adapters[0], adapters[count - 1]}, {1, 1});
    }
}

TEST_CASE("zeros behind A and B change nothing but the rank") {
  hb::Random random(4);
  for (const Index rank : {0, 1, 3}) {
    const HostFactors factors = random_factors(random, {7, 5}, rank, 0.7, true);
    for (const Index wide : {0, 3, 8}) {
      const HostFactors found = hb::padded(factors, wide);
      hb::check_factors(found, "padded");
      CHECK(found.rank == std::max(rank, wide));
      CHECK(dense(found) == dense(factors));
      CHECK(found.bias == factors.bias);
    }
  }
}

TEST_CASE("what need not be rounded is not") {
  hb::Random random(4);
  HostAdapter adapter;
  adapter.linears[query] = random_factors(random, {7, 5}, 3, 0.1, true);
  const HostFactors& one = adapter.linears[query];
  const auto same = hb::concat(adapter), twice = hb::concat(adapter, adapter),
             third = hb::scaled(adapter, 1. / 3);
  CHECK(same.linears.at(query).a == one.a);
  CHECK(same.linears.at(query).b == one.b);
  CHECK(same.linears.at(query).bias == one.bias);
  CHECK(same.linears.at(query).scale == 0.1);
  CHECK(twice.linears.at(query).scale == 0.1);
  CHECK(third.linears.at(query).b == one.b);
  CHECK(third.linears.at(query).scale == 0.1 * (1. / 3));

  const auto none = hb::difference(adapter, adapter).linears.at(query);
  CHECK(none.scale == 0.1);
  CHECK(none.rank == 6);
  for (Index row = 0; row < 5; ++row)
    for (Index i = 0; i < 3; ++i)
      CHECK(none.b[static_cast<std::size_t>(row * 6 + i)] ==
            -none.b[static_cast<std::size_t>(row * 6 + 3 + i)]);
  CHECK(hb::test::square_sum(dense(none)) < 1e-30);
  CHECK(none.bias == std::vector<float>(5));
}

TEST_CASE("a C alone has rank 0, and of no adapters the sum is empty") {
  HostAdapter first, second;
  first.linears[query] = {.size = {7, 2}, .bias = {1, 2}};
  second.linears[query] = {.size = {7, 2}, .rank = 1, .a = std::vector<float>(7, 1), .b = {3, 4}, .scale = 2};
  CHECK(hb::concat(first).linears.at(query).rank == 0);
  check_sum(hb::concat(first, second), {first, second}, {1, 1});
  CHECK(hb::concat(std::span<const HostAdapter>()).linears.empty());
  CHECK(hb::weighted_sum({}, {}).linears.empty());
}

TEST_CASE("what does not fit is an error") {
  hb::Random random(5);
  HostAdapter adapter, wider, broken;
  adapter.linears[up] = random_factors(random, {7, 5}, 2);
  wider.linears[up] = random_factors(random, {8, 5}, 2);
  const auto refused = [](auto f, const char* text) {
    CHECK_THROWS_WITH_AS(f(), doctest::Contains(text), Error);
  };
  refused([&] { hb::concat(adapter, wider); },
          "the linears' sizes differ (concat: adapter 1: layer 3 up): expected 7 -> 5, found 8 -> 5");
  refused([&] { hb::scaled(adapter, infinity); },
          "a number is not finite (scaled: adapter 0): expected a finite weight, found inf");
  refused([&] { hb::weighted_sum({&adapter, 1}, std::array{std::nan("")}); }, "expected a finite weight");
  refused(
      [&] {
        hb::weighted_sum({&adapter, 1}, {});
      },
      "not a weight for every adapter (weighted_sum): expected 1, found 0");
  refused([&] { hb::scaled(hb::scaled(adapter, 1e300), 1e300); },
          "(scaled: layer 3 up): expected a finite scale");
  refused([&] { hb::concat(adapter, hb::scaled(adapter, 1e60)); }, "expected finite numbers in B, found");
  broken.linears[up] = {.size = {Index{1} << 40, 5}, .rank = Index{1} << 40};
  refused([&] { hb::concat(broken); }, "too many elements");
  broken.linears[up] = {.size = {7, 0}, .rank = 0};
  refused([&] { hb::concat(broken); }, "impossible sizes (concat: adapter 0: layer 3 up)");
  for (const auto numbers : {&HostFactors::a, &HostFactors::b, &HostFactors::bias}) {
    broken.linears[up] = random_factors(random, {7, 5}, 2, 1, true);
    (broken.linears[up].*numbers)[1] = std::nanf("");
    refused([&] { hb::difference(adapter, broken); }, "a number is not finite (difference: layer 3 up)");
    (broken.linears[up].*numbers).pop_back();
    refused([&] { hb::concat(adapter, broken); }, "the factors do not fit (concat: adapter 1: layer 3 up)");
  }
}
