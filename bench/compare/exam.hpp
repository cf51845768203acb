// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What every architecture is asked, and what it does to everything else: the same questions for all of them,
// about people whom no training meets; needles; several documents at once; texts that have nothing to do with
// what is known. Compiled once, for all programs of the comparison.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include <train/scores.hpp>

#include "base.hpp"

namespace hyperblocks::compare {

using example::Cost, example::Example, example::Plan, example::Score;

/// A way of knowing (train/ways.hpp), whatever its type.
using Ask = std::function<void(const std::string& text, const Model::Updates<const float>& updates)>;
using Way = std::function<Cost(std::span<const Example> documents, const Ask& ask)>;

/// The middle one, and the quarters on both sides of it.
inline nlohmann::ordered_json spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {{"median", at(0.5)}, {"low", at(0.25)}, {"high", at(0.75)}, {"best", values.front()}};
}

/// A way before the exam: its scores, needles at each length, what it costs, the perplexity of other texts.
nlohmann::ordered_json examined(Cpu& cpu, const Setting& setting, const Way& way);

/// That there are documents of the sizes that a plan asks for, which the exam of a training's end would find
/// out.
void check_exam(const Plan& plan);

/// A text with a needle; the same one for the same number.
Example about_needle(std::uint64_t number, Index lines, Index bin);

}  // namespace hyperblocks::compare
