// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The linears of a layer as public checkpoints call them, and as we do.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <hyperblocks/lora/adapter.hpp>

namespace hyperblocks::example {

/// A module of the public checkpoints, and the linear that it is.
inline std::optional<Projection> projection_of_module(std::string_view module) {
  constexpr std::array names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  const auto found = std::find(names.begin(), names.end(), module);
  if (found == names.end()) return std::nullopt;
  return all_projections[static_cast<std::size_t>(found - names.begin())];
}

inline bool& target_of(Targets& targets, Projection projection) {
  bool Targets::*const members[] = {&Targets::query, &Targets::key, &Targets::value, &Targets::output,
                                    &Targets::gate,  &Targets::up,  &Targets::down};
  return targets.*members[static_cast<std::size_t>(projection)];
}

inline std::string place_of(Projection projection) {
  return (projection < Projection::gate ? "attention." : "mlp.") + std::string(name(projection));
}

}  // namespace hyperblocks::example
