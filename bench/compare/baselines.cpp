// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The same exam without a hypernetwork: nothing known, documents in the context, an adapter tuned for each
// document, on the document itself as LIFT does or on questions about it.
#include <train/ways.hpp>

#include "exam.hpp"
#include "setup.hpp"

namespace hb = hyperblocks;
namespace compare = hyperblocks::compare;
using compare::Example, compare::Model;
using hb::example::Plan;

namespace {
constexpr hb::Index lora_rank = 8;

nlohmann::ordered_json run(hb::Cpu& cpu, const Plan& plan, const std::string& name) {
  const compare::Base base(cpu, plan);
  const auto& setting = base.setting;
  const hb::example::ContextTeacher<Model> teacher{setting};
  using Group = std::span<const Example>;
  const auto examined = [&](const compare::Way& way) { return compare::examined(cpu, setting, way); };
  const auto tuned = [&](auto lessons) {
    return examined(hb::example::Tuned<Model, hb::AdapterSpec{.rank = lora_rank}>{
        cpu, setting, {.steps = plan.steps, .rate = plan.rate, .seed = plan.seed}, lessons});
  };
  if (name == "nothing") return examined(hb::example::NotKnown<Model>{});
  if (name == "in-context") return examined(hb::example::InContext<Model>{cpu, setting});
  if (name == "tuned-on-document")
    return tuned([&](Group group) { return hb::example::said_again(setting, group); });
  if (name == "tuned-on-questions")
    return tuned([&](Group group) { return hb::example::other_questions(setting, group); });
  return tuned([&](Group group) { return hb::example::distilled(cpu, teacher, group); });
}
}  // namespace

int main(int count, char** arguments) {
  CLI::App app("What there is to compare hypernetworks with; --steps and --rate are of a document's tuning.");
  Plan plan;
  plan.steps = 50, plan.rate = 1e-2;
  std::string name;
  app.add_option("name", name)
      ->required()
      ->check(
          CLI::IsMember({"nothing", "in-context", "tuned-on-document", "tuned-on-questions", "distilled"}));
  hb::example::add_options(app, plan);
  return hb::example::run_program(app, count, arguments, [&] {
    hb::Cpu cpu({.threads = plan.threads});
    hb::make_folder(plan.out);
    auto result = run(cpu, plan, name);
    result["seed"] = plan.seed;
    compare::write_result(plan, result);
  });
}
