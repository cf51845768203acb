// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Compression against dense matrices and their singular values, found here by one-sided Jacobi rotations.
#include <hyperblocks/lora/compress.hpp>

#include <doctest/doctest.h>

#include <functional>

#include <hyperblocks/lora/compose.hpp>
#include <hyperblocks/ops/cpu/device.hpp>

#include "../support/adapter_case.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Error, hb::HostAdapter, hb::HostFactors, hb::Index, hb::Projection;
using hb::test::dense, hb::test::dense_bias, hb::test::distance, hb::test::random_factors,
    hb::test::square_sum;

namespace {

const HostAdapter::Place place{2, Projection::gate};

HostAdapter adapter_of(HostFactors factors) {
  HostAdapter adapter;
  adapter.linears[place] = std::move(factors);
  return adapter;
}

/// The squares of a matrix's singular values, falling: its rows are rotated in pairs until they are
/// orthogonal.
std::vector<double> squared_singular_values(std::vector<double> matrix, Index rows, Index columns) {
  const auto dot = [&](Index i, Index j) {
    double sum = 0;
    for (Index k = 0; k < columns; ++k)
      sum += matrix[static_cast<std::size_t>(i * columns + k)] *
             matrix[static_cast<std::size_t>(j * columns + k)];
    return sum;
  };
  for (int sweep = 0; sweep < 30; ++sweep)
    for (Index i = 0; i < rows; ++i)
      for (Index j = i + 1; j < rows; ++j) {
        const double angle = 0.5 * std::atan2(2 * dot(i, j), dot(i, i) - dot(j, j));
        for (Index k = 0; k < columns; ++k) {
          double& x = matrix[static_cast<std::size_t>(i * columns + k)];
          double& y = matrix[static_cast<std::size_t>(j * columns + k)];
          const double turned = std::cos(angle) * x + std::sin(angle) * y;
          y = std::cos(angle) * y - std::sin(angle) * x, x = turned;
        }
      }
  std::vector<double> squares;
  squares.reserve(static_cast<std::size_t>(rows));
  for (Index i = 0; i < rows; ++i) squares.push_back(dot(i, i));
  std::sort(squares.begin(), squares.end(), std::greater<>());
  return squares;
}

}  // namespace

TEST_CASE("the error is the tail of the singular values, as reported, and truncation is no better") {
  Cpu cpu({.threads = 2});
  hb::Random random(7);
  for (const hb::LinearSize size : {hb::LinearSize{9, 6}, {6, 9}, {1, 4}, {5, 1}, {20, 20}})
    for (const Index rank : {1, 3, 8, 30})
      for (const Index kept : {1, 2, 5, 40}) {
        CAPTURE(to_string(size));
        CAPTURE(rank);
        CAPTURE(kept);
        const bool biased = random.bits() % 2 == 0;
        const HostFactors whole = random_factors(random, size, rank, random.uniform(-2, 2), biased);
        const auto result = hb::compress(cpu, adapter_of(whole), kept);
        const HostFactors& small = result.adapter.linears.at(place);
        hb::check_adapter(result.adapter, "compressed");
        CHECK(small.rank == std::min({kept, rank, size.in, size.out}));
        CHECK(small.scale == 1);
        CHECK(small.bias == whole.bias);

        const auto matrix = dense(whole);
        const auto squares = squared_singular_values(matrix, size.out, size.in);
        const double sum = square_sum(matrix);
        double tail = 0;
        for (std::size_t i = static_cast<std::size_t>(small.rank); i < squares.size(); ++i)
          tail += squares[i];
        const auto [all, discarded] = result.linears.at(place);
        CHECK(all == doctest::Approx(sum).epsilon(1e-12));
        CHECK(std::abs(discarded - tail) <= 1e-12 * sum);
        CHECK(result.total.error() == discarded / all);
        const double found = distance(matrix, dense(small));
        CHECK(found == doctest::Approx(std::sqrt(tail / sum)).epsilon(1e-5));

        HostFactors truncated{.size = size, .rank = std::min(kept, rank), .scale = whole.scale};
        truncated.a.assign(whole.a.begin(), whole.a.begin() + truncated.rank * size.in);
        for (Index row = 0; row < size.out; ++row)
          truncated.b.insert(truncated.b.end(), whole.b.begin() + row * rank,
                             whole.b.begin() + row * rank + truncated.rank);
        CHECK(found <= distance(matrix, dense(truncated)) + 1e-6);
      }
}

TEST_CASE("of a sum of duplicates the original comes back") {
  Cpu cpu;
  hb::Random random(8);
  const HostAdapter one = adapter_of(random_factors(random, {40, 30}, 4, 0.3, true));
  const auto result = hb::compress(cpu, hb::concat(one, one, one), 4);
  CHECK(result.total.whole > 0);
  CHECK(result.total.error() < 1e-28);
  CHECK(distance(dense(hb::scaled(one, 3).linears.at(place)), dense(result.adapter.linears.at(place))) <
        1e-6);
  CHECK(distance(dense_bias(hb::scaled(one, 3).linears.at(place)),
                 dense_bias(result.adapter.linears.at(place))) < 1e-6);
  CHECK(hb::compress(cpu, hb::difference(one, one), 2).total.whole < 1e-20);
}

TEST_CASE("factors share the singular values evenly") {
  Cpu cpu;
  hb::Random random(9);
  const auto small =
      hb::compress(cpu, adapter_of(random_factors(random, {12, 10}, 6, 50)), 2).adapter.linears.at(place);
  for (std::size_t i = 0; i < 2; ++i) {
    double a = 0, b = 0;
    for (std::size_t j = 0; j < 12; ++j) a += std::pow(static_cast<double>(small.a[i * 12 + j]), 2);
    for (std::size_t j = 0; j < 10; ++j) b += std::pow(static_cast<double>(small.b[j * 2 + i]), 2);
    CHECK(a == doctest::Approx(b).epsilon(1e-6));
  }
}

TEST_CASE("ranks beyond 1000, many linears, any number of threads") {
  hb::Random random(10);
  HostAdapter adapter;
  adapter.linears[{0, Projection::up}] = random_factors(random, {64, 48}, 1032);
  for (Index layer = 1; layer < 9; ++layer)
    adapter.linears[{layer, Projection::down}] = random_factors(random, {16, 24}, 5 + layer);
  Cpu one({.threads = 1}), many({.threads = 3});
  const auto first = hb::compress(one, adapter, 64), second = hb::compress(many, adapter, 64);
  CHECK(first.total.error() < 1e-24);
  double whole = 0;
  for (const auto& [at, factors] : adapter.linears) {
    const auto& found = first.adapter.linears.at(at);
    CHECK(distance(dense(factors), dense(found)) < 1e-6);
    CHECK(found.a == second.adapter.linears.at(at).a);
    CHECK(found.b == second.adapter.linears.at(at).b);
    whole += first.linears.at(at).whole;
  }
  CHECK(first.total.whole == doctest::Approx(whole));
  CHECK(first.adapter.linears.at({0, Projection::up}).rank == 48);
}

TEST_CASE("nothing to compress") {
  Cpu cpu;
  hb::Random random(11);
  CHECK(hb::compress(cpu, {}, 3).adapter.linears.empty());
  CHECK(hb::compress(cpu, {}, 3).total.error() == 0);
  const auto only_bias = hb::compress(cpu, adapter_of({.size = {3, 2}, .bias = {1, 2}, .scale = 5}), 3);
  CHECK(only_bias.adapter.linears.at(place).bias == std::vector<float>{1, 2});
  CHECK(only_bias.adapter.linears.at(place).rank == 0);
  for (const auto numbers : {&HostFactors::a, &HostFactors::b}) {
    HostFactors zero = random_factors(random, {7, 5}, 3);
    (zero.*numbers).assign((zero.*numbers).size(), 0);
    const auto result = hb::compress(cpu, adapter_of(zero), 2);
    CHECK(result.total.whole == 0);
    CHECK(result.total.error() == 0);
    CHECK(square_sum(dense(result.adapter.linears.at(place))) == 0);
  }
}

TEST_CASE("what cannot be compressed is an error") {
  Cpu cpu({.threads = 2});
  hb::Random random(12);
  const auto refused = [&](const HostFactors& factors, Index rank, const char* text) {
    CHECK_THROWS_WITH_AS(hb::compress(cpu, adapter_of(factors), rank), doctest::Contains(text), Error);
  };
  const HostFactors good = random_factors(random, {7, 5}, 3, 1, true);
  refused(good, 0, "impossible rank (compress): expected one or more, found 0");
  refused(good, -2, "found -2");
  for (const auto numbers : {&HostFactors::a, &HostFactors::b, &HostFactors::bias})
    for (const float bad : {std::nanf(""), HUGE_VALF}) {
      HostFactors broken = good;
      (broken.*numbers)[2] = bad;
      refused(broken, 2, "a number is not finite (compress: layer 2 gate)");
    }
  HostFactors changed = good;
  changed.scale = std::nan("");
  refused(changed, 2, "expected a finite scale, found nan");
  changed.scale = 1e300;
  refused(changed, 2, "scale B A is too large (compress: layer 2 gate)");
  changed.scale = 1e90;
  refused(changed, 2, "expected finite numbers in A, found");
  changed.a.pop_back();
  refused(changed, 2, "the factors do not fit (compress: layer 2 gate): expected 21 numbers of A, found 20");
}
