// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Rotary position embedding, the part that no device changes: which elements form a pair, and the tables of
// cos(position f_i) and sin(position f_i) with f_i = base^(-2i / rotated), scaled for long contexts.
//   RopeTables<float, Cpu> tables(cpu, 10000, Block::rotated, positions);    input.setup.rotary = tables;
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

enum class RopeLayout : std::uint8_t {
  half_split,  ///< pairs (i, i + rotated / 2), as Hugging Face's weights want
  interleaved  ///< pairs (2i, 2i + 1)
};

struct RopeScaling {
  enum class Kind : std::uint8_t { none, linear, llama3, ntk };
  Kind kind = Kind::none;
  double factor = 1;
  double low_frequency_factor = 1;  ///< llama3 only, as the next two
  double high_frequency_factor = 4;
  double original_positions = 8192;

  friend constexpr bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

/// A pass's tables on the device, (positions, rotated / 2), and the positions of its tokens: `positions` of
/// every row, or, where that is empty, first, first + 1 ... in each sequence, behind those of its `past`.
template <class Float, class Device>
struct Rotary {
  View<const Float, Device, dyn, dyn> cosines = {}, sines = {};
  View<const std::int32_t, Device, dyn> positions = {};
  Index first = 0;
  View<const std::int32_t, Device, dyn> past = {};  ///< of every sequence; not given: none
};

/// f_i, in radians per position.
inline double rope_frequency(const RopeScaling& scaling, double base, Index rotated, Index i) {
  const double frequency = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotated));
  if (scaling.kind == RopeScaling::Kind::none) return frequency;
  if (scaling.kind == RopeScaling::Kind::linear) return frequency / scaling.factor;
  if (scaling.kind == RopeScaling::Kind::ntk)  // base * factor for base, and all of it slower
    return frequency *
           std::pow(scaling.factor, -2.0 * static_cast<double>(i + 1) / static_cast<double>(rotated));
  const double turns = scaling.original_positions * frequency / (2 * std::numbers::pi);
  if (turns > scaling.high_frequency_factor) return frequency;
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  const double smooth =
      (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

/// Fills host tables (positions, rotated / 2): computed in double, rounded once.
template <class Float>
void rope_tables(const RopeScaling& scaling, double base, Index rotated, Index positions,
                 std::span<Float> cosines, std::span<Float> sines) {
  const Index half = rotated / 2;
  const auto size = static_cast<std::size_t>(positions * half);
  check(cosines.size() == size && sines.size() == size, [&] {
    return Error("the tables' sizes do not fit", "rope_tables", std::to_string(size),
                 std::to_string(cosines.size()) + " and " + std::to_string(sines.size()));
  });
  for (Index i = 0; i < half; ++i) {
    const double frequency = rope_frequency(scaling, base, rotated, i);
    for (Index position = 0; position < positions; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      const auto at = static_cast<std::size_t>(position * half + i);
      cosines[at] = static_cast<Float>(std::cos(angle));
      sines[at] = static_cast<Float>(std::sin(angle));
    }
  }
}

/// Tables of the first so many positions, with their memory.
template <class Float, class Device>
struct RopeTables {
  Tensor<Float, Device, dyn, dyn> cosines, sines;  // (positions, rotated / 2)

  RopeTables(Device& device, double base, Index rotated, Index positions, const RopeScaling& scaling = {})
      : cosines(device, positions, rotated / 2), sines(device, positions, rotated / 2) {
    const auto size = static_cast<std::size_t>(cosines.size());
    std::vector<Float> host_cosines(size), host_sines(size);
    rope_tables<Float>(scaling, base, rotated, positions, host_cosines, host_sines);
    cosines.upload(device, host_cosines);
    sines.upload(device, host_sines);
  }

  operator Rotary<Float, Device>() const { return {cosines, sines}; }
};

}  // namespace hyperblocks
