// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One run of one architecture: trained with a budget and a seed, then examined. Killed at any moment, the
// same command goes on. Compiled for HYPERBLOCKS_ARCHITECTURE, a template of the header
// HYPERBLOCKS_ARCHITECTURE_HEADER.
#include <hyperblocks/io/load_hypernet.hpp>
#include <hyperblocks/train/teaching_course.hpp>

#include <train/run.hpp>
#include <train/topics.hpp>

#include "costs.hpp"
#include "setup.hpp"
#include HYPERBLOCKS_ARCHITECTURE_HEADER

namespace hb = hyperblocks;
namespace compare = hyperblocks::compare;
using hb::Cpu, hb::Index;
using hb::example::Plan;

namespace {
using Model = compare::Model;

/// A training ends behind so many tokens of lessons, or after so many seconds; 0: after the plan's steps.
struct Budget {
  Index tokens = 0;
  double seconds = 0;
};

/// The topics of a batch, by its number.
template <class System>
auto topics_by_number(Cpu& cpu, const compare::Setting& setting, const hb::example::Examples& examples,
                      const System& system) {
  return [&](std::uint64_t number) {
    const auto batch = hb::example::examples_of_batch(setting.plan, examples, number);
    return hb::example::read_topics(cpu, setting.plan, system, number,
                                    hb::example::questions_of(setting.conversation, batch));
  };
}

/// How many steps the budget has, told by some of them; what is learnt there is forgotten.
template <class System, class Course>
Index steps_within(Cpu& cpu, const Plan& plan, const Course& course, const Budget& budget) {
  if (budget.tokens == 0 && budget.seconds == 0) return plan.steps;
  hb::Random random(plan.seed);
  hb::Trainer<Course> trainer(cpu, course, System::initial(cpu, random),
                              {.optimiser = hb::example::optimiser_options(plan)});
  Index tokens = 0;
  constexpr int tried = 12;
  trainer.step(cpu);  // the first one warms up
  const double seconds = hb::example::seconds_of([&] {
    for (int i = 0; i < tried; ++i) tokens += trainer.step(cpu).tokens;
  });
  const double steps = budget.tokens > 0
                           ? static_cast<double>(budget.tokens) * tried / static_cast<double>(tokens)
                           : budget.seconds * tried / seconds;
  return std::max<Index>(1, static_cast<Index>(steps));
}

/// The plan of a run that was begun, else a new one: a budget of seconds is counted in steps once.
Index steps_of(const std::filesystem::path& file, const std::function<Index()>& found) {
  if (hb::is_there(file)) {
    const auto kept = hb::read_json(file);
    return hb::JsonObject(kept, file.string()).get<Index>("steps");
  }
  const Index steps = found();
  hb::example::write_json(file, {{"steps", steps}});
  return steps;
}

template <class System>
nlohmann::ordered_json run(Cpu& cpu, Plan& plan, const Budget& budget) {
  compare::check_exam(plan);
  const hb::example::Examples examples(plan);
  const compare::Base base(cpu, plan);
  const System system(base.setting);
  const auto pose = topics_by_number(cpu, base.setting, examples, system);
  const hb::TeachingCourse<System, decltype(pose)> course{system, base.model, base.positions,
                                                          pose,   {},         System::mean};
  hb::make_folder(plan.out);
  plan.steps = steps_of(std::filesystem::path(plan.out) / "plan.json",
                        [&] { return steps_within<System>(cpu, plan, course, budget); });
  hb::Random random(plan.seed);
  nlohmann::ordered_json result;
  const auto finish = [&](const typename System::Net::Params& params) {
    const hb::example::Written<System> way{cpu, system, params};
    result = compare::examined(cpu, base.setting, way);
    result["generation"] = compare::generation_costs(cpu, base.setting, way);
    result["parameters"] = hb::count(params);
  };
  try {
    plan.resume = true;
    hb::example::run_training(
        cpu, plan, hb::Alone{}, course, System::initial(cpu, random),
        [](const auto&) { return std::optional<hb::example::Score>(); }, finish);
  } catch (const hb::example::Diverged& error) {
    result = {{"diverged", error.where()}};
  }
  result["steps"] = plan.steps, result["seed"] = plan.seed;
  return result;
}

/// Nothing of what is not an architecture is compiled: the sentence that says why stands alone.
template <class System>
void run_if_whole(Plan& plan, const Budget& budget) {
  if constexpr (compare::is_architecture<System, Model>()) {
    Cpu cpu({.threads = plan.threads});
    compare::write_result(plan, run<System>(cpu, plan, budget));
  }
}
}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Trains one architecture on a base that it shares with all others, and examines it.");
  Plan plan;
  Budget budget;
  hb::example::add_options(app, plan);
  app.add_option("--tokens", budget.tokens, "of lessons, in place of --steps")
      ->check(CLI::Range(Index{0}, Index{1} << 40));
  app.add_option("--seconds", budget.seconds, "of training, in place of --steps")->check(CLI::Range(0., 1e9));
  return hb::example::run_program(app, count, arguments,
                                  [&] { run_if_whole<HYPERBLOCKS_ARCHITECTURE<Model>>(plan, budget); });
}
