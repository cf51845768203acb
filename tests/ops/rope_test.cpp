// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Rotary positions: frequencies of every scaling against formulas in wavelengths, tables, explicit positions,
// and positions without a row in the tables.
#include "support/row_check.hpp"

#include <array>

#include <hyperblocks/ops/cpu/row_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::RowOps;

namespace {

constexpr Index rotated = 128;
constexpr RopeScaling llama3{.kind = RopeScaling::Kind::llama3,
                             .factor = 8,
                             .low_frequency_factor = 1,
                             .high_frequency_factor = 4,
                             .original_positions = 8192};

double wavelength(double base, Index i) {
  return 2 * std::numbers::pi * std::pow(base, static_cast<double>(2 * i) / rotated);
}

/// How far a wave of the original context is stretched: not at all below a quarter of it, by the factor from
/// its whole length on, in between by the mean of both frequencies weighted with the waves that fit.
double stretched(double length, double factor, double context) {
  const double waves = context / length;
  if (waves >= 4) return length;
  if (waves <= 1) return length * factor;
  const double kept = (waves - 1) / 3;
  return 1 / (kept / length + (1 - kept) / (factor * length));
}

}  // namespace

TEST_CASE("frequencies: plain, linear, llama3") {
  int kept = 0, mixed = 0, slowed = 0;
  for (Index i = 0; i < rotated / 2; ++i) {
    const double length = wavelength(500000, i);
    const auto found = [&](const RopeScaling& scaling) {
      return 2 * std::numbers::pi / rope_frequency(scaling, 500000, rotated, i);
    };
    CHECK(found({}) == doctest::Approx(length).epsilon(1e-12));
    CHECK(found({.kind = RopeScaling::Kind::linear, .factor = 2.5}) ==
          doctest::Approx(2.5 * length).epsilon(1e-12));
    const double expected = stretched(length, 8, 8192);
    CHECK(found(llama3) == doctest::Approx(expected).epsilon(1e-12));
    (expected == length ? kept : expected == 8 * length ? slowed : mixed) += 1;
  }
  CHECK(kept > 20);  // the test has seen all three ranges
  CHECK(mixed > 3);
  CHECK(slowed > 20);
}

TEST_CASE("llama3 keeps the fastest wave, slows the slowest, and has no jump between") {
  CHECK(rope_frequency(llama3, 500000, rotated, 0) == 1.0);
  const double slowest = std::pow(500000.0, -126.0 / 128);
  CHECK(rope_frequency(llama3, 500000, rotated, 63) == doctest::Approx(slowest / 8).epsilon(1e-14));
  // The wave of i = 0 has a frequency of 1: contexts on both sides of 4 and of 1 of its turns.
  const auto at = [](double turns) {
    RopeScaling scaling = llama3;
    scaling.original_positions = turns * 2 * std::numbers::pi;
    return rope_frequency(scaling, 500000, rotated, 0);
  };
  CHECK(at(4 + 1e-9) == 1.0);
  CHECK(at(4 - 1e-9) == doctest::Approx(1.0).epsilon(1e-8));
  CHECK(at(2.5) == doctest::Approx(0.5 * (1 + 1.0 / 8)).epsilon(1e-12));
  CHECK(at(1 + 1e-9) == doctest::Approx(1.0 / 8).epsilon(1e-7));
  CHECK(at(1 - 1e-9) == 1.0 / 8);
}

TEST_CASE_TEMPLATE("tables are computed in double and rounded once", Float, float, double) {
  constexpr Index positions = 40, half = rotated / 2;
  for (const RopeScaling& scaling :
       {RopeScaling{}, RopeScaling{.kind = RopeScaling::Kind::linear, .factor = 4}, llama3}) {
    std::vector<Float> cosines(positions * half), sines(positions * half);
    rope_tables<Float>(scaling, 10000, rotated, positions, cosines, sines);
    for (Index position = 0; position < positions; ++position)
      for (Index i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * rope_frequency(scaling, 10000, rotated, i);
        const auto at = static_cast<std::size_t>(position * half + i);
        REQUIRE(cosines[at] == static_cast<Float>(std::cos(angle)));
        REQUIRE(sines[at] == static_cast<Float>(std::sin(angle)));
      }
  }
  std::vector<Float> cosines(10), sines(9);
  CHECK_THROWS_WITH_AS(rope_tables<Float>({}, 10000, 4, 5, cosines, sines),
                       "hyperblocks: the tables' sizes do not fit (rope_tables): expected 10, found 10 and 9",
                       Error);
}

TEST_CASE("explicit positions: every row as if it stood alone at its position") {
  Cpu cpu;
  const RopeTables<float, Cpu> tables(cpu, 100, 6, 10);
  const std::vector<std::int32_t> positions = {5, 0, 9, 9, 2, 7};
  Tensor<std::int32_t, Cpu, dyn> on_device(cpu, 6);
  on_device.upload(cpu, positions);
  const auto x = random_tensor<float, dyn, dyn>(cpu, 1, 6, 16);
  for (const RopeLayout layout : {RopeLayout::half_split, RopeLayout::interleaved}) {
    Tensor<float, Cpu, dyn, dyn> alone(cpu, 6, 16);
    std::copy_n(x.data(), x.size(), alone.data());
    for (Index row = 0; row < 6; ++row)
      RowOps::rope<float>(cpu, alone.view().slice(row, 1),
                          {tables.cosines, tables.sines, {}, positions[static_cast<std::size_t>(row)]}, 1, 2,
                          layout, false);
    check_everywhere(numbers(alone), 1e-6, [&](Cpu& device) {
      Tensor<float, Cpu, dyn, dyn> y(device, 6, 16);
      std::copy_n(x.data(), x.size(), y.data());
      RowOps::rope<float>(device, y, {tables.cosines, tables.sines, on_device}, 0, 2, layout, false);
      return numbers(y);
    });
  }
}

TEST_CASE("positions beyond the tables are errors, and nothing is turned") {
  Cpu cpu;
  const RopeTables<float, Cpu> tables(cpu, 100, 6, 10);
  auto x = random_tensor<float, dyn, dyn>(cpu, 2, 4, 6);
  const std::vector<double> before = numbers(x);
  const auto turn = [&](const std::array<std::int32_t, 4>& positions) {
    Tensor<std::int32_t, Cpu, dyn> on_device(cpu, 4);
    on_device.upload(cpu, positions);
    RowOps::rope<float>(cpu, x, {tables.cosines, tables.sines, on_device}, 0, 1, RopeLayout::half_split,
                        false);
  };
  CHECK_THROWS_WITH_AS(
      turn({0, 9, 3, 10}),
      "hyperblocks: a position is outside of the tables (ops::rope): expected 0 .. 9, found 10 "
      "of token 3",
      Error);
  CHECK_THROWS_WITH_AS(turn({0, -1, 3, 4}), doctest::Contains("found -1 of token 1"), Error);
  const auto run = [&](Index first, Index tokens_per_sequence) {
    RowOps::rope<float>(cpu, x, {tables.cosines, tables.sines, {}, first}, tokens_per_sequence, 1,
                        RopeLayout::half_split, false);
  };
  CHECK_THROWS_WITH_AS(run(7, 4), doctest::Contains("found 10 of token 3"), Error);
  CHECK_THROWS_WITH_AS(run(-2, 4), doctest::Contains("found -2 of token 0"), Error);
  CHECK(numbers(x) == before);
  run(8, 2);  // two sequences of two tokens
  CHECK(numbers(x) != before);
}
