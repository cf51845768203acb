// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a training is told.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <hyperblocks/train/schedule.hpp>

namespace hyperblocks::example {

struct Plan {
  std::string pipeline, base, start, out, data = "world", decline = "cosine";
  Index steps = 1000, batch = 8, accumulate = 1, save_every = 200, report_every = 20, evaluate_every = 200,
        documents = 25, threads = 0;
  std::optional<Index> warm_up = {};  ///< a tenth of the steps, 100 at most
  double rate = 1e-3, floor = 0, decay = 0.01, clip = 1, beta2 = 0.999, label_smoothing = 0, noise = 0,
         dropout = 0, update_dropout = 0, l1 = 0, l2 = 0, plain_l1 = 0;
  std::uint64_t seed = 1;
  bool resume = false, recompute = false;
  // Documents.
  Index questions = 0, context = 0, piece = 512;
  bool random_pieces = false;
  // The teacher of a distillation.
  Index likeliest = 16;
  bool own_answers = false;
  // The world of facts, and the needle.
  Index people = 1, facts = 4, lines = 20;
  bool untold = false;
  std::vector<Index> lengths = {8, 16, 32, 64, 128};  ///< of a map of needles, in lines

  Schedule schedule() const {
    return {.rate = rate,
            .steps = steps,
            .warm_up = warm_up.value_or(std::min<Index>(steps / 10, 100)),
            .decline = decline == "none"     ? Decline::none
                       : decline == "linear" ? Decline::linear
                                             : Decline::cosine,
            .floor = floor};
  }
};

}  // namespace hyperblocks::example
