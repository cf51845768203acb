// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Ways to make a base know a document, side by side: nothing, the document in its context, a hypernetwork's
// adapter, an adapter tuned for each document. Of each: right answers, seconds until the first question can
// be asked, bytes that are kept.
#pragma once

#include "scores.hpp"
#include "systems.hpp"
#include "ways.hpp"
#include "write_json.hpp"

namespace hyperblocks::example {

/// What a way of knowing came to, over all documents.
struct Known {
  std::string way;
  Score score = {};
  Cost cost = {};  ///< of a document
  Index known = 0;
  std::string refused = {};  ///< why other documents could not be; what is asked about them counts as wrong
};

/// `params` may be nullptr: without the hypernetwork. `lora`: what is tuned in its place.
template <AdapterSpec lora, class System>
std::vector<Known> evaluated(Cpu& cpu, const System& system, const typename System::Net::Params* params,
                             const Examples& examples) {
  using Model = typename System::Model;
  using Group = std::span<const Example>;
  const auto& setting = system.setting;
  const Plan& plan = setting.plan;
  const ContextTeacher<Model> teacher{setting};
  std::vector<Known> rows;
  const auto add = [&](const char* name, const auto& way) {
    Known& row = rows.emplace_back(name);
    for (Index i = 0; i < examples.tested(); ++i) {
      const Example example = examples.asked(static_cast<std::uint64_t>(i));
      try {
        row.score += score_of(cpu, setting, way, Group(&example, 1), &row.cost);
        ++row.known;
      } catch (const Error& error) {  // one that is too long, or from which nothing can be learnt
        row.score.all += std::ssize(example.questions);
        row.refused = error.what();
      }
    }
    const auto known = static_cast<double>(std::max<Index>(1, row.known));
    row.cost.seconds /= known, row.cost.bytes /= known;
    std::fprintf(stderr, "%s: %td of %td right\n", name, row.score.right, row.score.all);
    if (!row.refused.empty())
      std::fprintf(stderr, "  %td of %td documents could not be known: %s\n", examples.tested() - row.known,
                   examples.tested(), row.refused.c_str());
  };
  const TuningOptions tuning{.steps = plan.steps, .rate = plan.rate, .seed = plan.seed};
  const auto tune = [&](const char* name, auto lessons) {
    add(name, Tuned<Model, lora>{cpu, setting, tuning, lessons});
  };
  add("nothing", NotKnown<Model>{});
  add("document in the context", InContext<Model>{cpu, setting});
  if (params != nullptr) add("hypernetwork", Written<System>{cpu, system, *params});
  tune("LoRA tuned on the document", [&](Group group) { return said_again(setting, group); });
  if (examples.asked(0).otherwise.empty()) return rows;
  tune("LoRA tuned on other questions", [&](Group group) { return other_questions(setting, group); });
  tune("context distilled, other questions", [&](Group group) { return distilled(cpu, teacher, group); });
  return rows;
}

/// How many needles of each length (in lines) and each tenth of the depth are found, of so many cases: the
/// hypernetwork reads the text in pieces, and the base is asked.
template <class System>
struct NeedleMap {
  using Model = typename System::Model;
  Cpu& cpu;
  const System& system;
  const typename System::Net::Params& params;

  nlohmann::ordered_json run() const {
    const Plan& plan = system.setting.plan;
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const Index lines : plan.lengths) {
      std::vector<Index> right(static_cast<std::size_t>(needle_bins));
      double tokens = 0;
      for (Index bin = 0; bin < needle_bins; ++bin)
        for (Index i = 0; i < plan.documents; ++i) {
          Random random = Random::of(
              ~plan.seed, static_cast<std::uint64_t>((lines * needle_bins + bin) * plan.documents + i));
          const Needle needle = needle_of(random, lines, bin);
          right[static_cast<std::size_t>(bin)] += is_found(needle);
          tokens += static_cast<double>(system.setting.conversation.size(needle.text));
        }
      tokens /= static_cast<double>(needle_bins * plan.documents);
      std::printf("%6td lines, %7.0f tokens:", lines, tokens);
      for (const Index found : right)
        std::printf(" %5.1f", 100. * static_cast<double>(found) / static_cast<double>(plan.documents));
      std::printf("\n"), std::fflush(stdout);
      rows.push_back({{"lines", lines}, {"tokens", tokens}, {"cases", plan.documents}, {"right", right}});
    }
    return rows;
  }

 private:
  bool is_found(const Needle& needle) const {
    const Example example{needle.text, {{needle_question, needle.answer}}};
    const Written<System> way{cpu, system, params};
    return score_of(cpu, system.setting, way, std::span(&example, 1)).right == 1;
  }
};

/// As a table for people, and as JSON beside it.
inline void write_evaluation(const std::filesystem::path& file, const std::vector<Known>& rows) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::printf("| | right | | seconds | bytes |\n|---|---|---|---|---|\n");
  for (const Known& row : rows) {
    std::printf("| %s | %td of %td | %.0f %% | %.4f | %.0f |\n", row.way.c_str(), row.score.right,
                row.score.all, 100 * row.score.share(), row.cost.seconds, row.cost.bytes);
    json.push_back({{"way", row.way},
                    {"right", row.score.right},
                    {"asked", row.score.all},
                    {"seconds", row.cost.seconds},
                    {"bytes", row.cost.bytes}});
    if (!row.refused.empty()) json.back()["refused"] = row.refused;
  }
  write_json(file, json);
}

}  // namespace hyperblocks::example
