// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Checks that hold for every row block: gradients against central differences, accumulation, inference equal
// to training's forward, bits equal over thread counts, no allocation once warm. Arenas are poisoned.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <hyperblocks/blocks/block.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hyperblocks::test {

/// One block with parameters, an input, an output and a direction dy; the loss is <y, dy>.
template <class B>
struct Case {
  using Scalar = typename B::Scalar;

  Case(Cpu& cpu, Index rows, std::uint64_t seed)
      : params(make<typename B::Params>(cpu)),
        gradients(make<typename B::Gradients>(cpu)),
        x(cpu, rows),
        dx(cpu, rows),
        y(cpu, rows),
        dy(cpu, rows) {
    Random random(seed);
    B::initialise(cpu, params, random);
    fill_normal(cpu, x, random, 1.0);
    fill_normal(cpu, dy, random, 1.0);
  }

  double loss(Cpu& cpu) {
    const ArenaScope scope(cpu);
    B::forward(cpu, params, x, y);
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i)
      sum += static_cast<double>(y.data()[i]) * static_cast<double>(dy.data()[i]);
    return sum;
  }

  void backward(Cpu& cpu, Write write) {
    const ArenaScope scope(cpu);
    typename B::Tape tape;
    B::forward(cpu, params, x, y, &tape);
    B::backward(cpu, params, tape, dy, dx, gradients, write);
  }

  typename B::Params params;
  typename B::Gradients gradients;
  Tensor<Scalar, Cpu, dyn, B::in> x, dx;
  Tensor<Scalar, Cpu, dyn, B::out> y, dy;
};

/// The largest difference between analytic and numeric derivatives, relative to the largest derivative.
template <class Subject>
double gradient_error(Cpu& cpu, Subject& subject, std::span<double> values,
                      std::span<const double> gradient) {
  constexpr double step = 1e-5;
  constexpr std::size_t most = 48;
  double difference = 0, largest = 1e-3;
  const std::size_t stride = std::max<std::size_t>(1, values.size() / most);
  for (std::size_t i = 0; i < values.size(); i += stride) {
    const double value = values[i];
    values[i] = value + step;
    const double above = subject.loss(cpu);
    values[i] = value - step;
    const double below = subject.loss(cpu);
    values[i] = value;
    difference = std::max(difference, std::abs((above - below) / (2 * step) - gradient[i]));
    largest = std::max(largest, std::abs(gradient[i]));
  }
  return difference / largest;
}

template <class B>
void check_gradients(Index rows) {
  static_assert(Block<B>);
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  Case<B> subject(cpu, rows, 17);
  // Away from the special values of initialisation (norms of one, biases of zero).
  Random random(5);
  visit(
      [&](const std::string&, auto& tensor) {
        for (double& value : tensor.span()) value += 0.1 * random.normal();
      },
      subject.params);
  subject.backward(cpu, Write::assign);
  CHECK(gradient_error(cpu, subject, subject.x.span(), subject.dx.span()) < 1e-7);
  visit(
      [&](const std::string& name, auto& value, auto& gradient) {
        CAPTURE(name);
        CHECK(gradient_error(cpu, subject, value.span(), std::as_const(gradient).span()) < 1e-7);
      },
      subject.params, subject.gradients);

  std::vector<double> once;
  const auto collect = [](std::vector<double>& into) {
    return [&](const std::string&, auto& gradient) {
      into.insert(into.end(), gradient.span().begin(), gradient.span().end());
    };
  };
  visit(collect(once), subject.gradients);
  REQUIRE(once.size() == static_cast<std::size_t>(count(subject.params)));
  subject.backward(cpu, Write::add);
  std::vector<double> twice;
  visit(collect(twice), subject.gradients);
  double worst = 0;
  for (std::size_t i = 0; i < once.size(); ++i)
    worst = std::max(worst, std::abs(twice[i] - 2 * once[i]) / (1 + std::abs(once[i])));
  CHECK(worst < 1e-12);  // rounding of one more addition per sum
}

template <class B>
void check_bits_and_memory(Index rows) {
  const auto bytes_of = [](const auto& tensor) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(tensor.data());
    return std::vector<unsigned char>(bytes, bytes + tensor.view().bytes());
  };
  std::vector<std::vector<unsigned char>> first;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    Case<B> subject(cpu, rows, 17);
    {
      const ArenaScope scope(cpu);
      B::forward(cpu, subject.params, subject.x, subject.y);
    }
    const auto inferred = bytes_of(subject.y);
    subject.backward(cpu, Write::assign);
    CHECK(bytes_of(subject.y) == inferred);
    const std::size_t allocations = cpu.arena().allocations();
    subject.backward(cpu, Write::assign);
    CHECK(cpu.arena().allocations() == allocations);
    std::vector<std::vector<unsigned char>> results = {bytes_of(subject.y), bytes_of(subject.dx)};
    visit([&](const std::string&, auto& gradient) { results.push_back(bytes_of(gradient)); },
          subject.gradients);
    if (threads == 1) first = results;
    CHECK(results == first);
  }
}

}  // namespace hyperblocks::test
