// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Sequence of tokenizer.json: steps of one kind, one after the other. No step may blow a text up: a few
// that each make it a thousand times as long would take all memory.
#pragma once

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <hyperblocks/text/json_element.hpp>

namespace hyperblocks::detail {

/// Generous: the longest normal form is 18 characters for one.
inline void check_growth(std::size_t before, std::size_t after, const std::string& where) {
  constexpr std::size_t times = 256, more = 1 << 16;
  check(after <= more || (after - more) / times <= before, [&] {
    return Error("a text grows too long", where,
                 "at most " + std::to_string(times) + " times its bytes, and " + std::to_string(more),
                 std::to_string(before) + " bytes that have become " + std::to_string(after));
  });
}

inline std::size_t bytes_of(const std::string& text) { return text.size(); }
inline std::size_t bytes_of(const std::vector<std::string>& texts) {
  return std::accumulate(texts.begin(), texts.end(), std::size_t{0},
                         [](std::size_t sum, const std::string& text) { return sum + text.size(); });
}

/// read(element) gives each step.
template <class Subject, class Read>
std::function<void(Subject&)> read_sequence(const JsonElement& element, Read read) {
  std::vector<std::function<void(Subject&)>> steps;
  for (const JsonElement& one : element.elements()) steps.push_back(read(one));
  return [steps = std::move(steps), where = element.where()](Subject& subject) {
    const std::size_t before = bytes_of(subject);
    for (const auto& step : steps) {
      step(subject);
      check_growth(before, bytes_of(subject), where);
    }
  };
}

}  // namespace hyperblocks::detail
