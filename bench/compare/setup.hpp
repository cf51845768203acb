// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What both programs of the comparison begin with: the base that all share, its options, the file that says
// what came of a run.
#pragma once

#include <hyperblocks/io/load_decoder.hpp>

#include <command_line.hpp>
#include <train/options.hpp>
#include <train/write_json.hpp>

#include "exam.hpp"

namespace hyperblocks::compare {

struct Base {
  Base(Cpu& cpu, const Plan& plan)
      : conversation(plan.base),
        model(loaded_decoder<Model>(cpu, plan.base)),
        positions(cpu),
        setting{plan, conversation, model, positions} {}
  example::Conversation conversation;
  Model::Params model;
  Model::Positions positions;
  Setting setting;
};

/// Where it is, the run is done.
inline void write_result(const Plan& plan, const nlohmann::ordered_json& result) {
  example::write_json(std::filesystem::path(plan.out) / "result.json", result);
}

}  // namespace hyperblocks::compare
