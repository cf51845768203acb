// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AdamW's step against its formula in double, and the L1 distance: every scalar, instruction set, thread
// count.
#include "support/row_check.hpp"

#include <hyperblocks/ops/cpu/cpu.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;

namespace {
constexpr Index size = 40007;  // several tasks, and a part of a vector
constexpr AdamStep settings{
    .rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .decay = 0.3, .factor = 0.5};
constexpr int steps = 3;

template <class S>
struct Case {
  using Wide = Accumulator<S>;
  Tensor<S, Cpu, dyn> gradient, rounded;
  Tensor<Wide, Cpu, dyn> weights, means, squares;

  explicit Case(Cpu& cpu)
      : gradient(random_tensor<S, dyn>(cpu, 1, size)),
        rounded(cpu, size),
        weights(random_tensor<Wide, dyn>(cpu, 2, size)),
        means(cpu, size),
        squares(cpu, size) {}

  void run(Cpu& cpu) {
    AdamStep step = settings;
    for (step.step = 1; step.step <= steps; ++step.step)
      ops::adam_step<S>(cpu, step, gradient, weights, means, squares, rounded);
  }
};
}  // namespace

TEST_CASE_TEMPLATE("AdamW's steps have the values of the formula", S, float, double, bf16, half) {
  Cpu cpu;
  Case<S> start(cpu);
  std::vector<double> expected, expected_rounded;
  for (Index i = 0; i < size; ++i) {
    double weight = number(start.weights(i)), mean = 0, square = 0;
    const double g = settings.factor * number(start.gradient(i));
    for (int t = 1; t <= steps; ++t) {
      mean = settings.beta1 * mean + (1 - settings.beta1) * g;
      square = settings.beta2 * square + (1 - settings.beta2) * g * g;
      const double corrected = std::sqrt(square / (1 - std::pow(settings.beta2, t)));
      weight -= settings.rate * settings.decay * weight;
      weight -= settings.rate * mean / (1 - std::pow(settings.beta1, t)) / (corrected + settings.epsilon);
    }
    expected.push_back(weight);
  }
  check_everywhere(expected, std::same_as<S, double> ? 1e-12 : 3e-6, [&](Cpu& device) {
    Case<S> subject(device);
    subject.run(device);
    return numbers(subject.weights);
  });
  check_everywhere(expected, tolerance<S>(), [&](Cpu& device) {  // the parameters are the weights, rounded
    Case<S> subject(device);
    subject.run(device);
    return numbers(subject.rounded);
  });
}

TEST_CASE("a gradient of zero moves nothing but what decays") {
  Cpu cpu;
  Case<float> subject(cpu);
  fill_constant(cpu, subject.gradient, 0);
  const auto before = numbers(subject.weights);
  ops::adam_step<float>(cpu, {.rate = 0.1}, subject.gradient, subject.weights, subject.means,
                        subject.squares);
  CHECK(numbers(subject.weights) == before);
}

TEST_CASE_TEMPLATE("the L1 distance and its gradient", S, float, double, bf16, half) {
  Cpu cpu;
  auto x = random_tensor<S, dyn>(cpu, 3, size);
  const auto target = random_tensor<S, dyn>(cpu, 4, size), before = random_tensor<S, dyn>(cpu, 5, size);
  x(7) = target(7);
  for (const bool aims : {false, true}) {
    double sum = 0;
    std::vector<double> expected;
    for (Index i = 0; i < size; ++i) {
      const double difference = number(x(i)) - (aims ? number(target(i)) : 0.0);
      sum += std::abs(difference);
      const double sign = difference > 0 ? 1 : difference < 0 ? -1 : 0;
      expected.push_back(number(before(i)) + 0.25 * sign);
    }
    expected.push_back(sum);
    check_everywhere(expected, tolerance<S>(), [&](Cpu& device) {
      Tensor<S, Cpu, dyn> dx(device, size);
      std::copy_n(before.data(), size, dx.data());
      View<const S, Cpu, dyn> aim;
      if (aims) aim = target;
      const double found = ops::l1_distance<S>(device, x, aim, 0.25, dx, Write::add);
      auto result = numbers(dx);
      result.push_back(found);
      return result;
    });
  }
  Tensor<S, Cpu, dyn> dx(cpu, size);
  (void)ops::l1_distance<S>(cpu, x, target, 2, dx, Write::assign);
  CHECK(number(dx(7)) == 0);
  CHECK(std::abs(number(dx(8))) == 2);
  x(9) = scalar_cast<S>(NAN);
  CHECK(std::isnan(ops::l1_distance<S>(cpu, x, target, 2, dx)));
  CHECK(std::isnan(number(dx(9))));
}

TEST_CASE("what does not fit is refused") {
  Cpu cpu;
  Tensor<float, Cpu, dyn> three(cpu, 3), four(cpu, 4);
  CHECK_THROWS_WITH_AS(ops::adam_step<float>(cpu, {}, three, four, three, three),
                       doctest::Contains("expected 3, found 4"), Error);
  CHECK_THROWS_WITH_AS(ops::adam_step<float>(cpu, {.step = 0}, three, three, three, three),
                       doctest::Contains("steps count from one"), Error);
  CHECK_THROWS_AS((void)ops::l1_distance<float>(cpu, three, four), Error);
}
