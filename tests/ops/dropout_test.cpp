// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Dropout: which numbers it keeps, and what it makes of them.
#include "support/row_check.hpp"

#include <hyperblocks/ops/cpu/cpu.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;

namespace {
constexpr Index size = 40007;  // several tasks, and a part of a vector
constexpr Dropout third{1.0 / 3, 17};

template <class S>
ops::Rows<S, Cpu> one_row(Tensor<S, Cpu, dyn>& tensor) {
  return tensor.view().template reshape<1, dyn>(size);
}
}  // namespace

TEST_CASE_TEMPLATE("what the seed's numbers keep grows, the rest is zero", S, float, double, bf16, half) {
  Cpu cpu;
  auto x = random_tensor<S, dyn>(cpu, 1, size);
  Random random(third.seed);
  std::vector<double> expected;
  Index dropped = 0;
  for (Index i = 0; i < size; ++i) {
    const bool drops = random.uniform() < third.rate;
    expected.push_back(drops ? 0 : number(x(i)) * 1.5);
    dropped += drops;
  }
  CHECK(static_cast<double>(dropped) == doctest::Approx(size / 3.0).epsilon(0.03));
  check_everywhere(expected, tolerance<S>(), [&](Cpu& device) {
    Tensor<S, Cpu, dyn> y(device, size);
    ops::dropout<S>(device, one_row(x), third, one_row(y));
    return numbers(y);
  });
  ops::dropout<S>(cpu, one_row(x), third, one_row(x));  // in place
  for (std::size_t i = 0; i < expected.size(); ++i)
    REQUIRE((number(x(static_cast<Index>(i))) == 0) == (expected[i] == 0));
}

TEST_CASE("a rate of zero keeps all, another seed drops others") {
  Cpu cpu;
  auto x = random_tensor<float, dyn>(cpu, 1, size);
  Tensor<float, Cpu, dyn> y(cpu, size), z(cpu, size);
  ops::dropout<float>(cpu, one_row(x), {0, 3}, one_row(y));
  CHECK(numbers(y) == numbers(x));
  ops::dropout<float>(cpu, one_row(x), {0.5, 3}, one_row(y));
  ops::dropout<float>(cpu, one_row(x), {0.5, 4}, one_row(z));
  Index both = 0;
  for (Index i = 0; i < size; ++i) both += y(i) != 0 && z(i) != 0;
  CHECK(static_cast<double>(both) == doctest::Approx(size / 4.0).epsilon(0.03));
}

TEST_CASE("NaN and infinity are not hidden") {
  Cpu cpu;
  Tensor<float, Cpu, dyn> x(cpu, size);
  fill_constant(cpu, x, std::numeric_limits<double>::infinity());
  x(5) = std::numeric_limits<float>::quiet_NaN();
  ops::dropout<float>(cpu, one_row(x), third, one_row(x));
  for (Index i = 0; i < size; ++i) REQUIRE_FALSE(std::isfinite(x(i)));
}

TEST_CASE("a rate that would drop everything, or rows that do not fit, are errors") {
  Cpu cpu;
  Tensor<float, Cpu, dyn, dyn> x(cpu, 2, 3), y(cpu, 3, 2);
  for (const double rate : {1.0, -0.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_WITH_AS(ops::dropout<float>(cpu, x, {rate, 1}, x),
                         doctest::Contains("a rate from 0 to below 1"), Error);
  CHECK_THROWS_WITH_AS(ops::dropout<float>(cpu, x, third, y), doctest::Contains("ops::dropout"), Error);
}

TEST_CASE("set_dropout reaches what is in tuples and arrays, each with its own seed") {
  struct Drops {
    Dropout dropout;
  };
  struct Other {
    int value = 7;
  };
  std::tuple<Other, Drops, std::array<Drops, 2>> tape;
  Random random(1);
  set_dropout(tape, 0.25, random);
  const auto& [other, first, rest] = tape;
  CHECK(other.value == 7);
  for (const Drops& each : {first, rest[0], rest[1]}) CHECK(each.dropout.rate == 0.25);
  CHECK(first.dropout.seed != rest[0].dropout.seed);
  CHECK(rest[0].dropout.seed != rest[1].dropout.seed);
}
