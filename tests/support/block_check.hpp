// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Checks that hold for every block: gradients against central differences, accumulation, inference equal to
// training's forward, bits equal over thread counts, no allocation once warm. Arenas are poisoned.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "block_case.hpp"
#include "worse.hpp"

namespace hyperblocks::test {

/// The largest difference between analytic and numeric derivatives, relative to the largest derivative;
/// differences of fourth order, so that a step long enough to drown rounding still errs by little.
template <class Subject>
double gradient_error(Cpu& cpu, Subject& subject, std::span<double> values,
                      std::span<const double> gradient) {
  constexpr double step = 1e-4;
  constexpr std::size_t most = 48;
  double difference = 0, largest = 1e-3;
  const std::size_t stride = std::max<std::size_t>(1, values.size() / most);
  for (std::size_t i = 0; i < values.size(); i += stride) {
    const double value = values[i];
    const auto change = [&](double distance) {
      values[i] = value + distance;
      const double above = subject.loss(cpu);
      values[i] = value - distance;
      const double below = subject.loss(cpu);
      values[i] = value;
      return above - below;
    };
    const double numeric = (8 * change(step) - change(2 * step)) / (12 * step);
    const double error = std::abs(numeric - gradient[i]);
    difference = worse(difference, error);
    largest = std::max(largest, std::abs(gradient[i]));
  }
  return difference / largest;
}

/// check(std::type_identity<Block>()) for every block of a std::tuple of blocks.
template <class Table, class Check>
void for_every_block(Check check) {
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    const auto one = [&](auto block, std::size_t number) {
      CAPTURE(number);
      check(block);
    };
    (one(std::type_identity<std::tuple_element_t<i, Table>>(), i), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Table>>());
}

template <class B>
void check_gradients(const Feed& feed) {
  static_assert(Block<B>);
  Cpu cpu({.threads = 1});
  cpu.arena().poison(true);
  Case<B> subject(cpu, feed, 17);
  // Away from the special values of initialisation (norms of one, biases of zero).
  Random random(5);
  visit(
      [&](const std::string&, auto& tensor) {
        for (double& value : tensor.span()) value += 0.1 * random.normal();
      },
      subject.params);
  subject.train(cpu, Write::assign);
  std::vector<double> once, twice;
  subject.each(
      [&](const std::string& name, std::span<double> values, std::span<const double> gradient, bool) {
        CAPTURE(name);
        CHECK(gradient_error(cpu, subject, values, gradient) < 1e-7);
      });

  const auto collect = [&](std::vector<double>& into) {
    return [&](const std::string&, std::span<double>, std::span<const double> gradient, bool written) {
      if (written) into.insert(into.end(), gradient.begin(), gradient.end());
    };
  };
  subject.each(collect(once));
  REQUIRE(once.size() >= static_cast<std::size_t>(count(subject.params)));
  subject.train(cpu, Write::add);
  subject.each(collect(twice));
  double worst = 0;
  for (std::size_t i = 0; i < once.size(); ++i)
    worst = worse(worst, std::abs(twice[i] - 2 * once[i]) / (1 + std::abs(once[i])));
  CHECK(worst < 1e-12);  // rounding of one more addition per sum
}

template <class B>
void check_bits_and_memory(const Feed& feed) {
  const auto bytes_of = [](const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    return std::vector<unsigned char>(bytes, bytes + size);
  };
  std::vector<std::vector<unsigned char>> first;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    Case<B> subject(cpu, feed, 17);
    const auto output = [&] { return bytes_of(subject.y.data(), subject.y.view().bytes()); };
    subject.infer(cpu);
    const auto inferred = output();
    subject.train(cpu, Write::assign);
    CHECK(output() == inferred);
    const std::size_t allocations = cpu.arena().allocations();
    subject.train(cpu, Write::assign);
    CHECK(cpu.arena().allocations() == allocations);
    std::vector<std::vector<unsigned char>> results = {output()};
    subject.each([&](const std::string&, auto, auto gradient, bool) {
      results.push_back(bytes_of(gradient.data(), gradient.size_bytes()));
    });
    if (threads == 1) first = results;
    CHECK(results == first);
  }
}

}  // namespace hyperblocks::test
