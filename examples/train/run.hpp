// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A training from its first step, or from its checkpoint, to its last: reports, the log, checkpoints, tests.
#pragma once

#include <chrono>

#include <hyperblocks/io/checkpoint.hpp>

#include <hyperblocks/train/trainer.hpp>

#include "../stages.hpp"
#include "scores.hpp"

namespace hyperblocks::example {

/// One line to follow, drawn over on a terminal; lines of JSON for programs.
class Reports {
 public:
  Reports(const Plan& plan, Index first) : plan_(plan), first_(first) {
    const auto path = std::filesystem::path(plan.out) / "log.jsonl";
    const bool cut = first > 0 && !ends_whole(path);
    log_.open(path, first == 0 ? std::ios::trunc : std::ios::app);
    check(log_.good(), [&] { return Error("cannot write", path.string(), "a file", std::strerror(errno)); });
    if (cut) log_ << '\n';
  }

  void add(const TrainedStep& step) {
    tokens_ += step.tokens, loss_ += step.loss, ++steps_;
    if ((step.number + 1) % plan_.report_every != 0 && step.number + 1 != plan_.steps) return;
    const double seconds = seconds_since(start_) - tested_;
    const double rate = static_cast<double>(tokens_) / seconds;
    const double left = seconds / static_cast<double>(step.number + 1 - first_) *
                        static_cast<double>(plan_.steps - step.number - 1);
    const double loss = loss_ / static_cast<double>(steps_);
    nlohmann::ordered_json line = {{"step", step.number + 1},   {"loss", loss},
                                   {"rate", step.rate},         {"norms", step.report.norms},
                                   {"tokens_per_second", rate}, {"seconds", seconds},
                                   {"memory_gb", peak_memory()}};
    if (!step.report.done) line["skipped"] = true;
    write(line);
    std::fprintf(stderr, "%sstep %td of %td  loss %.4f  %.0f tokens/s  %d:%02d left  %.2f GB%s", begin(),
                 step.number + 1, plan_.steps, loss, rate, static_cast<int>(left) / 60,
                 static_cast<int>(left) % 60, peak_memory(), end());
    loss_ = 0, steps_ = 0;
  }

  /// What test() gives, whose time is none of the training's.
  template <class Test>
  std::optional<Score> tested(Test test) {
    const auto start = Clock::now();
    std::optional<Score> score = test();
    tested_ += seconds_since(start);
    return score;
  }

  void add(Index step, const Score& score) {
    write({{"step", step}, {"right", score.right}, {"asked", score.all}});
    std::fprintf(stderr, "%sstep %td: %td of %td held-out answers are right\n", begin(), step, score.right,
                 score.all);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  /// Whether a log's last line has its end, which a full disk or a kill may have taken.
  static bool ends_whole(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file.good() || file.tellg() == std::ifstream::pos_type(0)) return true;
    file.seekg(-1, std::ios::end);
    return file.get() == '\n';
  }
  static bool terminal() { return ::isatty(STDERR_FILENO) != 0; }
  static const char* begin() { return terminal() ? "\r\033[K" : ""; }
  static const char* end() { return terminal() ? "" : "\n"; }

  void write(const nlohmann::ordered_json& line) {
    log_ << line.dump() << std::endl;
    check(log_.good(), [&] {
      return Error("cannot write", plan_.out + "/log.jsonl", "room for a line", std::strerror(errno));
    });
  }

  const Plan& plan_;
  Index first_, tokens_ = 0, steps_ = 0;
  double loss_ = 0, tested_ = 0;
  std::ofstream log_;
  Clock::time_point start_ = Clock::now();
};

inline AdamWOptions optimiser_options(const Plan& plan) {
  AdamWOptions options{.beta2 = plan.beta2,
                       .groups = {{.decay = plan.decay, .clip = plan.clip}, {.clip = plan.clip}}};
  options.group = [](const std::string& name) -> std::size_t {
    for (const char* const part : {"norm", "bias", "memory", "scale_", "latents"})
      if (name.find(part) != name.npos) return 1;
    return 0;
  };
  return options;
}

/// A training of which nothing will come.
struct Diverged : Error {
  explicit Diverged(Index step)
      : Error("the training has diverged", "step " + std::to_string(step), "a finite loss and gradient",
              "none in ten steps") {}
};

/// What a checkpoint knows of the training that it is of, by the options' names: with another of these it
/// would go on as neither of the two.
inline TrainingState state_of(const Plan& plan, Index processes) {
  const Schedule schedule = plan.schedule();
  TrainingState state;
  const auto keep = [&](const char* name, const auto& value) { state[name] = nlohmann::json(value).dump(); };
  keep("pipeline", plan.pipeline), keep("seed", plan.seed), keep("--batch", plan.batch);
  keep("--data", std::filesystem::path(plan.data).filename().string());
  keep("--accumulate, times the processes", plan.accumulate * processes);
  keep("--rate", plan.rate), keep("--decline", plan.decline), keep("--warm-up", schedule.warm_up);
  if (plan.decline != "none") keep("--steps", plan.steps), keep("--floor", plan.floor);
  keep("--decay", plan.decay), keep("--clip", plan.clip), keep("--beta2", plan.beta2);
  keep("--label-smoothing", plan.label_smoothing), keep("--noise", plan.noise);
  keep("--dropout", plan.dropout), keep("--lora-dropout", plan.update_dropout);
  keep("--l1", plan.l1), keep("--l2", plan.l2), keep("--plain-l1", plan.plain_l1);
  keep("--questions", plan.questions), keep("--context", plan.context), keep("--piece", plan.piece);
  keep("--random-pieces", plan.random_pieces), keep("--likeliest", plan.likeliest);
  keep("--own-answers", plan.own_answers), keep("--people", plan.people), keep("--facts", plan.facts);
  keep("--lines", plan.lines), keep("--untold", plan.untold);
  return state;
}

/// From its first step, or its checkpoint, to its last; then finish(trained). Of several processes the first
/// reports, keeps and finishes. test(params) may give a score of what was learnt, or nothing.
template <class Course, class Peers, class Test, class Finish>
void run_training(Cpu& cpu, const Plan& plan, const Peers& peers, const Course& course,
                  typename Course::Params params, Test test, Finish finish) {
  (void)plan.schedule().at(0);  // its error, before anything is written
  make_folder(plan.out);
  const bool first = peers.rank() == 0;
  const std::filesystem::path checkpoint = std::filesystem::path(plan.out) / "checkpoint.safetensors";
  Trainer<Course, Peers> trainer(
      cpu, course, std::move(params),
      {.schedule = plan.schedule(), .accumulate = plan.accumulate, .optimiser = optimiser_options(plan)},
      peers);
  TrainingState own = state_of(plan, peers.count());
  if (plan.resume && is_there(checkpoint)) {
    const TrainingState state = load_checkpoint(cpu, checkpoint, trainer.params(), trainer.optimiser());
    for (const auto& [name, value] : own) {
      const auto found = state.find(name);
      check(found != state.end() && found->second == value, [&, &option = name, &expected = value] {
        return Error("a checkpoint of another training", checkpoint.string() + ": " + option, expected,
                     found == state.end() ? "none" : found->second);
      });
    }
    trainer.set_steps(remembered<Index>(state, "steps", checkpoint.string()));
    if (first) std::fprintf(stderr, "goes on behind step %td\n", trainer.steps());
  } else if (first) {
    std::filesystem::remove(checkpoint);  // nobody is to go on from another training's
  }
  std::optional<Reports> reports;
  if (first) reports.emplace(plan, trainer.steps());
  for (int lost = 0; trainer.steps() < plan.steps;) {
    const TrainedStep step = trainer.step(cpu);
    lost = step.report.done && std::isfinite(step.loss) ? 0 : lost + 1;
    if (lost == 10) throw Diverged(trainer.steps());
    if (!first) continue;
    reports->add(step);
    const Index done = trainer.steps();
    if (plan.evaluate_every > 0 && (done % plan.evaluate_every == 0 || done == plan.steps))
      if (const auto score = reports->tested([&] { return test(trainer.params()); }))
        reports->add(done, *score);
    if (done % plan.save_every == 0 || done == plan.steps) {  // behind the test: a kill loses neither
      own["steps"] = std::to_string(done);
      save_checkpoint(cpu, checkpoint, trainer.params(), trainer.optimiser(), own);
    }
  }
  if (first) finish(trainer.params());
}

}  // namespace hyperblocks::example
