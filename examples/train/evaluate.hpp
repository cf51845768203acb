// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Ways to make a base know a document, side by side: nothing, the document in its context, a hypernetwork's
// adapter, an adapter tuned for each document. Of each: right answers, seconds until the first question can
// be asked, bytes that are kept.
#pragma once

#include <chrono>
#include <functional>

#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/train/tuning.hpp>

#include "scores.hpp"
#include "systems.hpp"
#include "teacher.hpp"

namespace hyperblocks::example {

inline void write_json(const std::filesystem::path& file, const nlohmann::ordered_json& json) {
  AtomicFile out(file);
  const std::string text = json.dump(1) + "\n";
  out.write(std::as_bytes(std::span(text)));
  out.commit();
}

/// What a way of knowing came to, over all documents.
struct Known {
  std::string way;
  Score score = {};
  double seconds = 0, bytes = 0;  ///< of a document
};

template <class System>
class Evaluation {
 public:
  using Net = typename System::Net;
  using Model = typename Net::Model;
  using Updates = typename Model::template Updates<const float>;
  using Lora = hyperblocks::Lora<Model, AdapterSpec{.rank = HYPERBLOCKS_LORA_RANK}>;

  Evaluation(Cpu& cpu, const Plan& plan, const System& system, const Examples& examples,
             const ContextTeacher<Model>& teacher)
      : cpu_(cpu), plan_(plan), system_(system), examples_(examples), teacher_(teacher) {}

  /// `params` may be nullptr: without the hypernetwork.
  std::vector<Known> run(const typename Net::Params* params) {
    std::vector<Known> rows;
    rows.push_back(
        known("nothing", [&](Known& row, const Example& example) { row.score += ask(example, ""); }));
    rows.push_back(known("document in the context", [&](Known& row, const Example& example) {
      const auto tokens = conversation().document(example.document);
      timed(row, [&] { read(tokens); });
      row.bytes += static_cast<double>(std::ssize(tokens) * cache_numbers * sizeof(float));
      row.score += ask(example, example.document);
    }));
    if (params != nullptr)
      rows.push_back(
          known("hypernetwork", [&](Known& row, const Example& example) { written(row, *params, example); }));
    rows.push_back(known("LoRA tuned on the document", [&](Known& row, const Example& example) {
      tune(row, example, [&] { return pieces_to_say(conversation().document(example.document)); });
    }));
    if (examples_.asked(0).otherwise.empty()) return rows;
    rows.push_back(known("LoRA tuned on other questions", [&](Known& row, const Example& example) {
      tune(row, example, [&] { return other_lessons(example); });
    }));
    rows.push_back(known("context distilled, other questions", [&](Known& row, const Example& example) {
      tune(row, example, [&] { return distilled(example); });
    }));
    return rows;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t cache_numbers =
      2 * Model::spec.layers * Model::spec.kv_heads * Model::spec.width();

  const Conversation& conversation() const { return system_.setting.conversation; }

  template <class One>
  Known known(const char* way, One one) {
    Known row{way};
    for (Index i = 0; i < plan_.documents; ++i) one(row, examples_.asked(static_cast<std::uint64_t>(i)));
    row.seconds /= static_cast<double>(plan_.documents), row.bytes /= static_cast<double>(plan_.documents);
    std::fprintf(stderr, "%s: %td of %td right\n", way, row.score.right, row.score.all);
    return row;
  }

  template <class Work>
  static auto timed(Known& row, Work work) {
    struct Stop {
      Known& row;
      Clock::time_point start = Clock::now();
      ~Stop() { row.seconds += std::chrono::duration<double>(Clock::now() - start).count(); }
    } stop{row};
    return work();
  }

  Score ask(const Example& example, const std::string& text, const Updates& updates = {}) {
    const auto& setting = system_.setting;
    return score_of<Model>(cpu_, setting.model, setting.positions, conversation(), example.questions, text,
                           updates);
  }

  /// What a document in the context costs before anything is asked.
  void read(const Tokens& tokens) {
    const ArenaScope scope(cpu_);
    const auto ids = take<std::int32_t, dyn>(cpu_, std::ssize(tokens));
    cpu_.upload(ids.data(), tokens.data(), ids.bytes());
    const auto state = take<float, dyn, Model::hidden>(cpu_, std::ssize(tokens));
    Model::forward(cpu_, system_.setting.model, {.ids = ids, .rotary = system_.setting.positions},
                   {.state = state});
  }

  void written(Known& row, const typename Net::Params& params, const Example& example) {
    const auto start = Clock::now();
    row.score += written_score(cpu_, system_, params, example, [&](const auto& parts) {
      row.seconds += std::chrono::duration<double>(Clock::now() - start).count();
      for (const auto& part : parts)
        visit(
            [&](const std::string&, const auto& update) {
              const Index size = update.a.rows().size() + update.b.rows().size();
              row.bytes += static_cast<double>(size * static_cast<Index>(sizeof(float)));
            },
            part.updates);
    });
  }

  template <class Lessons>
  void tune(Known& row, const Example& example, Lessons lessons) {
    const auto& setting = system_.setting;
    const auto adapter = timed(row, [&] {
      return tuned<Lora>(cpu_, setting.model, setting.positions, lessons(),
                         {.steps = plan_.steps, .rate = plan_.rate, .seed = plan_.seed});
    });
    row.bytes += static_cast<double>(count(adapter) * static_cast<Index>(sizeof(float)));
    row.score += ask(example, "", adapter.template updates<Model>());
  }

  static Example otherwise(const Example& example) { return {example.document, example.otherwise}; }
  std::vector<Lesson> other_lessons(const Example& example) const {
    const Example other = otherwise(example);
    return questions_of(conversation(), std::span(&other, 1)).front().lessons;
  }
  std::vector<Lesson> distilled(const Example& example) {
    Example other = otherwise(example);
    teacher_.answer(cpu_, std::span(&other, 1));
    return teacher_.topics_of(cpu_, {other}).front().lessons;
  }

  Cpu& cpu_;
  const Plan& plan_;
  const System& system_;
  const Examples& examples_;
  const ContextTeacher<Model>& teacher_;
};

/// How many needles of each length (in lines) and each tenth of the depth are found, of so many cases: the
/// hypernetwork reads the text in pieces, and the base is asked.
template <class System>
struct NeedleMap {
  using Model = typename System::Net::Model;
  Cpu& cpu;
  const Plan& plan;
  const System& system;
  const typename System::Net::Params& params;

  nlohmann::ordered_json run() const {
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
    return written_score(cpu, system, params, example).right == 1;
  }
};

/// As a table for people, and as JSON beside it.
inline void write_evaluation(const std::filesystem::path& file, const std::vector<Known>& rows) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::printf("| | right | | seconds | bytes |\n|---|---|---|---|---|\n");
  for (const Known& row : rows) {
    const double share =
        row.score.all > 0 ? 100. * static_cast<double>(row.score.right) / static_cast<double>(row.score.all)
                          : 0;
    std::printf("| %s | %td of %td | %.0f %% | %.4f | %.0f |\n", row.way.c_str(), row.score.right,
                row.score.all, share, row.seconds, row.bytes);
    json.push_back({{"way", row.way},
                    {"right", row.score.right},
                    {"asked", row.score.all},
                    {"seconds", row.seconds},
                    {"bytes", row.bytes}});
  }
  write_json(file, json);
}

}  // namespace hyperblocks::example
