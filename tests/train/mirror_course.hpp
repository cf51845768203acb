// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The smallest course a Trainer can have, and what trainings of it ended with.
#pragma once

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/trainer.hpp>

namespace hyperblocks::test {

/// A layer that learns to turn vectors into their mirror images; a batch is `examples` consecutive ones.
struct MirrorCourse {
  using Block = Linear<LinearSpec{.in = 4, .out = 4}, double, Cpu>;
  using Device = Cpu;
  using Scalar = double;
  using Params = Block::Params;
  using Gradients = Block::Gradients;
  Index examples = 2;

  Learned learn(Cpu& cpu, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    const ArenaScope scope(cpu);
    const auto x = take<double, dyn, 4>(cpu, examples), y = take<double, dyn, 4>(cpu, examples);
    for (Index i = 0; i < examples; ++i) {
      Random random =
          Random::of(7, number * static_cast<std::uint64_t>(examples) + static_cast<std::uint64_t>(i));
      for (Index j = 0; j < 4; ++j) x(i, j) = random.normal();
    }
    Block::Tape tape;
    Block::forward(cpu, params, {x}, y, &tape);
    double loss = 0;
    for (Index i = 0; i < examples; ++i)
      for (Index j = 0; j < 4; ++j) {
        const double missing = y(i, j) - x(i, 3 - j);
        loss += missing * missing / static_cast<double>(examples);
        y(i, j) = 2 * missing / static_cast<double>(examples);
      }
    Block::backward(cpu, params, tape, y, {}, gradients, write);
    return {loss, examples};
  }

  static Params initial(Cpu& cpu) {
    Random random(1);
    return initialised<Block>(cpu, random);
  }
};

inline TrainerOptions mirror_options(Index accumulate) {
  return {.schedule = {.rate = 0.05, .steps = 60, .warm_up = 5},
          .accumulate = accumulate,
          .optimiser = {.groups = {{.clip = 0.5}}}};
}

template <class Trainer>
std::vector<double> numbers(const Trainer& trainer) {
  std::vector<double> all;
  visit([&](const std::string&, const auto& t) { all.insert(all.end(), t.span().begin(), t.span().end()); },
        trainer.params());
  return all;
}

inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

}  // namespace hyperblocks::test
