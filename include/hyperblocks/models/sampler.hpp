// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Sampler: the next token from a row of logits. Without a temperature the largest logit's (the first of equal
// ones); else one drawn after, in this order: repetition penalty, temperature, top-k, top-p, min-p.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

struct Sampling {
  double temperature = 0;         ///< 0: greedy
  Index top_k = 0;                ///< so many candidates at most; 0: all
  double top_p = 1;               ///< the fewest candidates whose probabilities reach this sum
  double min_p = 0;               ///< candidates of at least this part of the likeliest one's probability
  double repetition_penalty = 1;  ///< logits of seen tokens are divided by it, or multiplied where negative
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const Sampling& sampling) : sampling_(sampling), random_(sampling.seed) {
    const auto within = [](const char* what, double value, double least, double most) {
      check(value >= least && value <= most, [&] {
        std::ostringstream range, found;
        range << least << " to " << most, found << value;
        return Error(std::string("impossible sampling: ") + what, "Sampler", range.str(), found.str());
      });
    };
    constexpr double tiny = 1e-30, huge = 1e30;  // what a float's logits bear
    within("temperature", sampling.temperature, 0, huge);
    within("top_k", static_cast<double>(sampling.top_k), 0, std::numeric_limits<double>::max());
    within("top_p", sampling.top_p, tiny, 1);
    within("min_p", sampling.min_p, 0, 1);
    within("repetition_penalty", sampling.repetition_penalty, tiny, huge);
  }

  /// `logits` are changed; `seen` are the tokens that the repetition penalty counts, each once.
  std::int32_t next(std::span<float> logits, std::span<const std::int32_t> seen = {}) {
    check(!logits.empty(), [] { return Error("no logits", "Sampler", "a vocabulary", "none"); });
    penalise(logits, seen);
    if (sampling_.temperature == 0) return largest(logits);
    choose_candidates(logits);
    return draw();
  }

 private:
  struct Candidate {
    std::int32_t token;
    double weight;  // a logit, then a probability but for a factor
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
  }

  void penalise(std::span<float> logits, std::span<const std::int32_t> seen) {
    if (sampling_.repetition_penalty == 1) return;
    std::vector<std::int32_t> once(seen.begin(), seen.end());
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    const auto penalty = static_cast<float>(sampling_.repetition_penalty);
    for (const std::int32_t token : once) {
      check(token >= 0 && static_cast<std::size_t>(token) < logits.size(), [&] {
        return Error("a seen token is out of range", "Sampler", "less than " + std::to_string(logits.size()),
                     std::to_string(token));
      });
      float& logit = logits[static_cast<std::size_t>(token)];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }

  /// NaN and -infinity, the logit of what may not come, are never the largest.
  static std::int32_t largest(std::span<const float> logits) {
    std::size_t best = logits.size();
    float most = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < logits.size(); ++i)
      if (logits[i] > most) best = i, most = logits[i];
    check(best < logits.size(),
          [] { return Error("every logit is NaN or -infinity", "Sampler", "at least one number", "none"); });
    return static_cast<std::int32_t>(best);
  }

  /// Candidates that top-k, top-p and min-p leave, likeliest first, with e^((logit - largest) / temperature):
  /// where the largest is infinite, those that equal it.
  void choose_candidates(std::span<const float> logits) {
    const double most = logits[static_cast<std::size_t>(largest(logits))];
    candidates_.clear();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double weight = logits[i] == most ? 1 : std::exp((logits[i] - most) / sampling_.temperature);
      if (weight > 0) candidates_.push_back({static_cast<std::int32_t>(i), weight});
    }
    const auto count = static_cast<std::size_t>(sampling_.top_k);
    if (count > 0 && count < candidates_.size()) {
      std::nth_element(candidates_.begin(), candidates_.begin() + sampling_.top_k, candidates_.end(), before);
      candidates_.resize(count);
    }
    std::sort(candidates_.begin(), candidates_.end(), before);
    double total = 0, sum = 0;
    for (const Candidate& candidate : candidates_) total += candidate.weight;
    std::size_t kept = 0;
    while (kept < candidates_.size() && (kept == 0 || sum < sampling_.top_p * total) &&
           candidates_[kept].weight >= sampling_.min_p * candidates_[0].weight)
      sum += candidates_[kept++].weight;
    candidates_.resize(kept);
  }

  std::int32_t draw() {
    double total = 0;
    for (const Candidate& candidate : candidates_) total += candidate.weight;
    double left = random_.uniform() * total;
    for (const Candidate& candidate : candidates_) {
      left -= candidate.weight;
      if (left < 0) return candidate.token;
    }
    return candidates_.back().token;
  }

  Sampling sampling_;
  Random random_;
  std::vector<Candidate> candidates_;  // kept: nothing allocates once warm
};

}  // namespace hyperblocks
