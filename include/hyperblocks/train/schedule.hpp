// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Schedule: the rate of each step. It rises from zero over the warm-up, then falls to the floor along a line
// or half a cosine, or stays.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks {

enum class Decline : std::uint8_t { none, linear, cosine };

struct Schedule {
  double rate = 1e-3;
  Index steps = 0;    ///< of the whole training, the warm-up with them; at the last one the floor is near
  Index warm_up = 0;  ///< as the published pipelines count: the first step's rate is zero
  Decline decline = Decline::linear;
  double floor = 0;

  /// Of a step, counted from zero; behind the last one the rate stays.
  double at(Index step) const {
    check(warm_up >= 0 && (decline == Decline::none || warm_up <= steps), [&] {
      return Error("a warm-up longer than the training", "Schedule", "0 to " + std::to_string(steps),
                   std::to_string(warm_up));
    });
    if (step < warm_up) return rate * static_cast<double>(step) / static_cast<double>(warm_up);
    if (decline == Decline::none) return rate;
    if (step >= steps) return floor;
    const double done = static_cast<double>(step - warm_up) / static_cast<double>(steps - warm_up);
    const double left = decline == Decline::linear ? 1 - done : (1 + std::cos(std::numbers::pi * done)) / 2;
    return floor + (rate - floor) * left;
  }
};

}  // namespace hyperblocks
