// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The exam of every architecture; and how a frozen base learns and answers, compiled once for all programs.
#include "exam.hpp"

template struct hyperblocks::Lessons<hyperblocks::compare::Model>;

namespace hyperblocks::compare {

namespace {
/// Questions of one kind, each group of documents known at once.
struct Paper {
  std::string kind;
  std::vector<std::vector<Example>> groups;
};

constexpr std::uint64_t exam_seed = 0xe8a31;  ///< whatever the seed of a training

/// Which of a document's questions a paper asks.
enum class Asked : std::uint8_t { told, in_new_words, untold };

Example about_world(const Plan& plan, std::uint64_t number, Asked asked) {
  Random random = Random::of(exam_seed, number);
  const WorldDocument document =
      world_document(random, {.people = plan.people, .facts = plan.facts, .held_out = true, .untold = true});
  Example example{document.text, {}};
  for (std::size_t i = 0; i < document.questions.size(); i += 3) {  // each in three ways, the last one new
    if (document.questions[i].told == (asked == Asked::untold)) continue;
    const std::size_t way = random.below(2);
    const auto& chosen = document.questions[i + (asked == Asked::in_new_words ? 2 : way)];
    const auto& other = document.questions[i + 1 - way];
    example.questions.push_back({chosen.question, chosen.answer});
    example.otherwise.push_back({other.question, other.answer});
  }
  return example;
}

Example about_task(const Plan& plan, std::uint64_t number) {
  Random random = Random::of(exam_seed + 2, number);
  const WorldTask task = world_task(random, {.facts = plan.facts, .held_out = true});
  return {task.description, {{task.question, task.answer}}};
}

/// All of an exam but the needles, of as many documents a paper as the plan says.
std::vector<Paper> papers_of(const Plan& plan) {
  std::vector<Paper> papers;
  std::uint64_t next = 0;
  const auto add = [&](const char* kind, Index together, auto make) {
    Paper& paper = papers.emplace_back(kind);
    for (Index i = 0; i < plan.documents; i += together) {
      auto& group = paper.groups.emplace_back();
      for (Index j = 0; j < together; ++j) group.push_back(make(next++));
    }
  };
  const auto world = [&](Asked asked) {
    return [&plan, asked](std::uint64_t number) { return about_world(plan, number, asked); };
  };
  add("facts", 1, world(Asked::told));
  add("facts, in new words", 1, world(Asked::in_new_words));
  add("what is not said", 1, world(Asked::untold));
  add("facts, 2 documents", 2, world(Asked::told));
  add("facts, 4 documents", 4, world(Asked::told));
  add("tasks", 1, [&](std::uint64_t number) { return about_task(plan, number); });
  return papers;
}

/// A way of knowing (train/ways.hpp) before the exam. What is asked about documents that it cannot take (they
/// are too long, or nothing can be learnt from them) counts as answered wrong, and `refused` says why.
class Exam {
 public:
  Exam(Cpu& cpu, const Setting& setting, const Way& way) : cpu_(cpu), setting_(setting), way_(way) {}

  nlohmann::ordered_json run() {
    nlohmann::ordered_json result;
    const std::vector<Paper> papers = papers_of(setting_.plan);
    for (const Paper& paper : papers) {
      Score score;
      refused_.clear();
      counts_cost_ = &paper == &papers.front();  // of one document, and the same ones for all
      for (const auto& group : paper.groups) score += asked(group);
      counts_cost_ = false;
      result["scores"].push_back({{"kind", paper.kind}, {"right", score.right}, {"asked", score.all}});
      if (!refused_.empty()) result["scores"].back()["refused"] = refused_;
      std::fprintf(stderr, "%s: %td of %td right\n", paper.kind.c_str(), score.right, score.all);
    }
    if (!seconds_.empty()) {
      result["seconds_to_know"] = spread_of(seconds_);
      result["bytes_kept"] = bytes_ / static_cast<double>(seconds_.size());
    }
    result["needle"] = needles();
    try {
      result["perplexity"] = perplexity();
    } catch (const Error& error) {
      result["perplexity"] = {{"refused", error.what()}};
    }
    return result;
  }

 private:
  Score asked(std::span<const Example> group) {
    Score nothing;
    for (const Example& example : group) nothing.all += std::ssize(example.questions);
    try {
      Cost cost;
      const Score score = example::score_of(cpu_, setting_, way_, group, &cost);
      if (counts_cost_) seconds_.push_back(cost.seconds), bytes_ += cost.bytes;
      return score;
    } catch (const Error& error) {
      refused_ = error.what();
      return nothing;
    }
  }

  nlohmann::ordered_json needles() {
    const Plan& plan = setting_.plan;
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const Index lines : plan.lengths) {
      std::vector<Index> right;
      Index tokens = 0;
      refused_.clear();
      const Index cases = std::max<Index>(1, plan.documents / needle_bins);
      for (Index bin = 0; bin < needle_bins; ++bin) {
        Score score;
        for (Index i = 0; i < cases; ++i) {
          const auto number = static_cast<std::uint64_t>((lines * needle_bins + bin) * cases + i);
          const Example needle = about_needle(number, lines, bin);
          tokens = std::max(tokens, setting_.conversation.size(needle.document));
          score += asked(std::span(&needle, 1));
        }
        right.push_back(score.right);
      }
      rows.push_back({{"lines", lines}, {"tokens", tokens}, {"cases", cases}, {"right", right}});
      if (!refused_.empty()) rows.back()["refused"] = refused_;
    }
    return rows;
  }

  /// Of dialogues about other people, with what is known of some documents and without it.
  nlohmann::ordered_json perplexity() {
    constexpr std::uint64_t documents = 8;
    std::vector<Lesson> lessons;
    for (std::uint64_t i = 0; i < documents; ++i) {
      const Example other = about_world(setting_.plan, ~i, Asked::told);
      lessons.push_back(setting_.conversation.dialogue(other.document, other.questions, false));
    }
    weigh(lessons, MeanOver::labels);
    const LessonBatch<Cpu> batch(cpu_, lessons);
    const auto loss = [&](const Model::Updates<const float>& updates) {
      return Lessons<Model>{setting_.model, setting_.positions, batch, {}, updates}.loss(cpu_);
    };
    double with = 0;
    for (std::uint64_t i = 0; i < documents; ++i) {
      const Example example = about_world(setting_.plan, i, Asked::told);
      way_(std::span(&example, 1), [&](const std::string&, const auto& updates) { with += loss(updates); });
    }
    return {{"with", std::exp(with / documents)}, {"without", std::exp(loss({}))}};
  }

  Cpu& cpu_;
  const Setting& setting_;
  const Way& way_;
  bool counts_cost_ = false;
  std::vector<double> seconds_;
  double bytes_ = 0;
  std::string refused_;
};

}  // namespace

Example about_needle(std::uint64_t number, Index lines, Index bin) {
  Random random = Random::of(exam_seed + 1, number);
  const Needle needle = needle_of(random, lines, bin);
  return {needle.text, {{needle_question, needle.answer}}};
}

void check_exam(const Plan& plan) { (void)papers_of(plan); }

nlohmann::ordered_json examined(Cpu& cpu, const Setting& setting, const Way& way) {
  return Exam(cpu, setting, way).run();
}

}  // namespace hyperblocks::compare
