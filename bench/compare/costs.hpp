// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What one generation costs at each length of a document: operations and bytes as the device counts them from
// the shapes, seconds with their spread, the most scratch that is held; and how large the adapter is.
#pragma once

#include <train/ways.hpp>

#include "exam.hpp"

namespace hyperblocks::compare {

template <class System>
nlohmann::ordered_json generation_costs(Cpu& cpu, const Setting& setting,
                                        const example::Written<System>& way) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Index lines : setting.plan.lengths) {
    std::uint64_t number = 0;  // each time another document of the same length
    const auto text = [&] { return about_needle(number++, lines, 0); };
    nlohmann::ordered_json row = {{"lines", lines}, {"tokens", setting.conversation.size(text().document)}};
    try {
      const auto once = [&] {
        const Example example = text();
        return way(std::span(&example, 1), [](const std::string&, const auto&) {});
      };
      cpu.work() = {};
      cpu.arena().forget_peak();
      row["adapter"] = once().bytes;
      row["operations"] = cpu.work().operations, row["bytes"] = cpu.work().bytes;
      row["scratch"] = cpu.arena().peak();
      std::vector<double> seconds;
      for (int i = 0; i < 9; ++i) seconds.push_back(once().seconds);
      row["seconds"] = spread_of(std::move(seconds));
    } catch (const Error& error) {
      row["refused"] = error.what();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace hyperblocks::compare
