// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Choices: the first of equal ones, never what cannot be compared; errors.
#include <doctest/doctest.h>

#include <limits>

#include <hyperblocks/ops/cpu/cpu.hpp>

using namespace hyperblocks;

namespace {

template <class S>
Tensor<S, Cpu, dyn, dyn> matrix(Cpu& cpu, Index columns, const std::vector<double>& numbers) {
  Tensor<S, Cpu, dyn, dyn> result(cpu, static_cast<Index>(numbers.size()) / columns, columns);
  for (std::size_t i = 0; i < numbers.size(); ++i) result.span()[i] = scalar_cast<S>(numbers[i]);
  return result;
}

constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::nan("");

}  // namespace

TEST_CASE_TEMPLATE("the largest, the nearest, and a one in its place", S, double, float, bf16, half) {
  Cpu cpu;
  Tensor<std::int32_t, Cpu, dyn> chosen(cpu, 4);
  const auto found = [&] { return std::vector<std::int32_t>(chosen.span().begin(), chosen.span().end()); };
  ops::largest<S>(
      cpu,
      matrix<S>(cpu, 3, {1, 5, 5, not_a_number, -infinity, -7, -1, -2, not_a_number, infinity, 3, infinity}),
      chosen);
  CHECK(found() == std::vector<std::int32_t>{1, 2, 0, 0});
  // Codes (0, 0), (2, 0), (2, 0), NaN, far away.
  const auto codes = matrix<S>(cpu, 2, {0, 0, 2, 0, 2, 0, not_a_number, 1, 9, -infinity});
  ops::nearest<S>(cpu, matrix<S>(cpu, 2, {0.5, 0.5, 1, 0, 1.5, 0, 3, 9}), codes, chosen);
  CHECK(found() == std::vector<std::int32_t>{0, 0, 1, 1});
  auto y = matrix<S>(cpu, 3, std::vector<double>(12, not_a_number));
  chosen.upload(cpu, std::vector<std::int32_t>{2, 0, 1, 2});
  ops::one_hot<S>(cpu, chosen, y);
  const std::vector<double> expected = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(scalar_cast<double>(y.span()[i]) == expected[i]);
}

TEST_CASE("what cannot be chosen is an error") {
  Cpu cpu;
  Tensor<std::int32_t, Cpu, dyn> chosen(cpu, 2);
  CHECK_THROWS_WITH_AS(
      ops::largest<float>(cpu, matrix<float>(cpu, 2, {1, 2, not_a_number, -infinity}), chosen),
      "hyperblocks: nothing can be chosen (ops::largest): expected a number among NaN and infinity, found "
      "none in row 1",
      Error);
  CHECK_THROWS_WITH_AS(
      ops::nearest<float>(cpu, matrix<float>(cpu, 1, {not_a_number, 2}), matrix<float>(cpu, 1, {1}), chosen),
      doctest::Contains("none in row 0"), Error);
  CHECK_THROWS_WITH_AS(ops::largest<float>(cpu, matrix<float>(cpu, 1, {1}), chosen),
                       doctest::Contains("rows of x and choices"), Error);
  CHECK_THROWS_WITH_AS(
      ops::nearest<float>(cpu, matrix<float>(cpu, 1, {1, 2}), matrix<float>(cpu, 2, {1, 2}), chosen),
      doctest::Contains("columns of x and of the codes"), Error);
  chosen.upload(cpu, std::vector<std::int32_t>{0, 3});
  auto y = matrix<float>(cpu, 3, std::vector<double>(6, 0));
  CHECK_THROWS_WITH_AS(ops::one_hot<float>(cpu, chosen, y), doctest::Contains("an id is out of range"),
                       Error);
}
