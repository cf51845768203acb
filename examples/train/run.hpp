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
    log_.open(std::filesystem::path(plan.out) / "log.jsonl", first == 0 ? std::ios::trunc : std::ios::app);
    check(log_.good(),
          [&] { return Error("cannot write", plan.out + "/log.jsonl", "a file", std::strerror(errno)); });
  }

  void add(const TrainedStep& step) {
    tokens_ += step.tokens, loss_ += step.loss, ++steps_;
    if ((step.number + 1) % plan_.report_every != 0 && step.number + 1 != plan_.steps) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
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

  void add(Index step, const Score& score) {
    write({{"step", step}, {"right", score.right}, {"asked", score.all}});
    std::fprintf(stderr, "%sstep %td: %td of %td held-out answers are right\n", begin(), step, score.right,
                 score.all);
  }

 private:
  using Clock = std::chrono::steady_clock;
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
  double loss_ = 0;
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
  const std::string seed = std::to_string(plan.seed);
  if (plan.resume && is_there(checkpoint)) {
    const TrainingState state = load_checkpoint(cpu, checkpoint, trainer.params(), trainer.optimiser());
    const auto own = state.find("seed");
    check(own != state.end() && own->second == seed, [&] {
      return Error("a checkpoint of another training", checkpoint.string() + ": 'seed'", seed,
                   own == state.end() ? "none" : own->second);
    });
    trainer.set_steps(remembered<Index>(state, "steps", checkpoint.string()));
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
    if (done % plan.save_every == 0 || done == plan.steps)
      save_checkpoint(cpu, checkpoint, trainer.params(), trainer.optimiser(),
                      {{"steps", std::to_string(done)}, {"seed", seed}});
    if (plan.evaluate_every > 0 && (done % plan.evaluate_every == 0 || done == plan.steps))
      if (const std::optional<Score> score = test(trainer.params())) reports->add(done, *score);
  }
  if (first) finish(trainer.params());
}

}  // namespace hyperblocks::example
