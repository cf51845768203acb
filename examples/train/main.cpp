// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Trains a base from nothing, a hypernetwork for a frozen base, or an adapter; stopped at any moment, it goes
// on with --resume as if it had not been. Under mpirun, its processes share each step's batches.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/load_hypernet.hpp>
#include <hyperblocks/io/save_decoder.hpp>
#include <hyperblocks/text/train_bpe.hpp>
#include <hyperblocks/train/lora_writer.hpp>
#include <hyperblocks/train/reconstruction.hpp>
#include <hyperblocks/train/teaching_course.hpp>

#include <train_base.hpp>
#include <train_net.hpp>
static_assert(
    hyperblocks::hypernet_base(train_base) == train_net_base,
    "hyperblocks: HYPERBLOCKS_HYPERNET is for another base than HYPERBLOCKS_BASE_CONFIG: see 'base' in "
    "its hypernet.json");

#include "../command_line.hpp"
#include "../processes.hpp"
#include "evaluate.hpp"
#include "language_course.hpp"
#include "options.hpp"
#include "run.hpp"
#include "systems.hpp"
#include "teacher.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Tokens;

namespace {
using hb::example::Conversation, hb::example::Example, hb::example::Examples, hb::example::Plan;
using hb::example::TextTopic;

/// ChatML, as Qwen and SmolLM2 have it.
constexpr char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

void write_text(const std::filesystem::path& path, const std::string& text) {
  hb::AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

/// A copy that is whole or not there.
void copy_whole(const std::filesystem::path& from, const std::filesystem::path& to) {
  const hb::MappedFile file(from);
  hb::AtomicFile copy(to);
  copy.write(file.bytes());
  copy.commit();
}

/// A tokenizer for the texts, if the folder has none.
void make_tokenizer(const Plan& plan, const Examples& examples) {
  const std::filesystem::path folder = plan.base;
  if (hb::is_there(folder / "tokenizer.json")) return;
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const auto example = examples.trained(i);
    texts.push_back("user\n" + example.document);
    for (const auto& each : example.questions)
      texts.push_back("\n\n" + each.question), texts.push_back("assistant\n" + each.answer);
  }
  hb::make_folder(folder);
  write_text(
      folder / "tokenizer_config.json",
      nlohmann::ordered_json({{"chat_template", chat_template}, {"eos_token", "<|im_end|>"}}).dump(1) + "\n");
  write_text(folder / "tokenizer.json",
             hb::trained_bpe(texts, {.vocabulary = static_cast<std::size_t>(train_base.vocabulary),
                                     .special = {"<|im_start|>", "<|im_end|>"}}));
}

Conversation conversation_of(const Plan& plan) {
  Conversation conversation(plan.base);
  hb::check(conversation.vocabulary_size() <= train_base.vocabulary, [&] {
    return hb::Error("the tokenizer is another model's", plan.base,
                     "at most " + std::to_string(train_base.vocabulary) + " tokens",
                     std::to_string(conversation.vocabulary_size()));
  });
  return conversation;
}

/// What every pipeline works with.
struct Run {
  Cpu& cpu;
  const Plan& plan;
  const Examples& examples;
  const hb::example::Peers& peers;
};

void train_language(const Run& run) {
  using Model = hb::Decoder<train_base, float, Cpu, hb::Trainable>;
  const auto& [cpu, plan, examples, peers] = run;
  if (peers.rank() == 0) make_tokenizer(plan, examples);
  hb::example::meet(peers);
  const Conversation conversation = conversation_of(plan);
  const auto start = [&] {
    if (!run.plan.start.empty()) return hb::loaded_decoder<Model>(run.cpu, run.plan.start);
    hb::Random random(run.plan.seed);
    auto params = hb::initialised<Model>(run.cpu, random);
    hb::fill_normal(run.cpu, params.embedding.weight, random, 0.08);
    return params;
  };
  const typename Model::Positions positions(cpu);
  const hb::example::LanguageCourse<Model> course{plan, examples, conversation, positions};
  run_training(
      cpu, plan, peers, course, start(),
      [&](const auto& trained) -> std::optional<hb::example::Score> {
        if (!run.examples.has_held_out()) return {};
        const hb::example::Setting<Model> setting{run.plan, conversation, trained, positions};
        return hb::example::held_out_score(run.cpu, setting, hb::example::InContext<Model>{run.cpu, setting},
                                           run.examples);
      },
      [&](const auto& trained) {
        hb::save_decoder<Model>(run.cpu, trained, run.plan.out);
        const std::filesystem::path from = run.plan.base, to = run.plan.out;
        for (const char* const name : {"tokenizer.json", "tokenizer_config.json"})
          if (!hb::is_there(to / name)) copy_whole(from / name, to / name);
      });
}

using Model = hb::Decoder<train_base, float, Cpu>;

/// What there is around a frozen base.
struct Frozen {
  explicit Frozen(const Run& run)
      : conversation(conversation_of(run.plan)),
        model(hb::loaded_decoder<Model>(run.cpu, run.plan.base)),
        positions(run.cpu),
        setting{run.plan, conversation, model, positions} {}
  Conversation conversation;
  Model::Params model;
  Model::Positions positions;
  hb::example::Setting<Model> setting;
  hb::example::ContextTeacher<Model> teacher{setting};
};

/// The topics of a batch.
std::vector<TextTopic> topics_of(const Run& run, const Frozen& frozen, std::uint64_t number) {
  auto examples = hb::example::examples_of_batch(run.plan, run.examples, number);
  if (run.plan.pipeline == "pretraining")
    return hb::example::pretraining_of(run.plan, frozen.conversation, examples, number);
  if (run.plan.pipeline == "distillation") return frozen.teacher.topics_of(run.cpu, std::move(examples));
  return hb::example::questions_of(frozen.conversation, examples);
}

hb::TeachingOptions teaching_options(const Plan& plan) {
  return {.lessons = {.label_smoothing = plan.label_smoothing,
                      .noise = plan.noise,
                      .update_dropout = plan.update_dropout,
                      .seed = plan.seed,
                      .recompute = plan.recompute},
          .dropout = plan.dropout,
          .l1 = plan.l1,
          .l2 = plan.l2};
}

using System = hb::example::System<Model, train_net, train_net_context>;
using Net = System::Net;

/// From what an earlier stage made, or from nothing, which prepare(params) may have a part in, to what --out
/// receives.
template <class Course, class Test, class Prepare>
void train_net_by(const Run& run, const Course& course, Test test, Prepare prepare) {
  const auto start = [&] {
    if (!run.plan.start.empty()) return hb::loaded_hypernet<Net>(run.cpu, run.plan.start);
    hb::Random random(run.plan.seed);
    auto params = System::initial(run.cpu, random);
    prepare(params);
    return params;
  };
  run_training(run.cpu, run.plan, run.peers, course, start(), test, [&](const auto& trained) {
    hb::save_hypernet<Net>(run.cpu, trained, run.plan.out,
                           {.context = train_net_context, .chunk = run.plan.piece});
  });
}

void train_hypernet(const Run& run) {
  const auto& [cpu, plan, examples, peers] = run;
  const Frozen frozen(run);
  const System system{frozen.setting};
  const auto pose = [&](std::uint64_t number) {
    return hb::example::read_topics(run.cpu, run.plan, system, number, topics_of(run, frozen, number));
  };
  const hb::TeachingCourse<System, decltype(pose)> course{system, frozen.model,           frozen.positions,
                                                          pose,   teaching_options(plan), System::mean};
  train_net_by(
      run, course,
      [&](const auto& trained) -> std::optional<hb::example::Score> {
        if (!run.examples.has_held_out()) return {};
        return hb::example::held_out_score(
            run.cpu, system.setting, hb::example::Written<System>{run.cpu, system, trained}, run.examples);
      },
      [](const auto&) {});
}

/// Where a hypernetwork writes z-scores, those of the adapters that are known: of its parameters before the
/// first step, and of a course's distances. A template, since only some hypernetworks have them.
template <class Net>
struct ZScores {
  std::optional<hb::FactorStatistics> statistics = {};
  static constexpr bool wanted = [] {
    if constexpr (requires { Net::spec.z_score; })
      return Net::spec.z_score;
    else
      return false;
  }();

  template <class AdapterOf>
  ZScores(const Examples& examples, AdapterOf adapter_of) {
    if constexpr (wanted) {
      std::set<const hb::HostAdapter*> known;
      for (std::size_t i = 0; i < examples.count(); ++i) known.insert(adapter_of(examples.stored(i)));
      statistics.emplace(std::vector(known.begin(), known.end()));
    }
  }
  std::optional<hb::HostAdapter> units() const {
    if constexpr (wanted)
      return hb::z_score_units(statistics->deviation, Net::scale());
    else
      return {};
  }
  void prepare(Cpu& cpu, typename Net::Params& params) const {
    if constexpr (wanted) hb::set_statistics<Net>(cpu, params, *statistics);
  }
};

/// Adapters that are known, each read once.
void train_reconstruction(const Run& run) {
  const Frozen frozen(run);
  const System system{frozen.setting};
  const hb::AdapterBase base(run.plan.base);
  std::map<std::string, hb::HostAdapter> adapters;
  const auto adapter_of = [&](const Example& example) {
    hb::check(!example.adapter.empty(), [&] {
      return hb::Error("no adapter is known", run.plan.data, "'adapter' in every line", example.document);
    });
    const auto [found, is_new] = adapters.try_emplace(example.adapter);
    if (is_new) found->second = hb::read_adapter(example.adapter, &base);
    return &found->second;
  };
  const auto pose = [&](std::uint64_t number) {
    hb::Random random = hb::Random::of(~run.plan.seed, number);
    std::vector<hb::KnownAdapter<System::Document>> known;
    for (const Example& example : hb::example::examples_of_batch(run.plan, run.examples, number))
      known.push_back({system.read(run.cpu, std::span(&example.document, 1), &random), adapter_of(example)});
    return known;
  };
  const ZScores<Net> scores(run.examples, adapter_of);
  const hb::ReconstructionCourse<System, decltype(pose)> course{
      system, pose, scores.units(), {run.plan.dropout, run.plan.seed}};
  train_net_by(
      run, course, [](const auto&) { return std::optional<hb::example::Score>(); },
      [&](auto& params) { scores.prepare(run.cpu, params); });
}

/// What an adapter without a hypernetwork has: HYPERBLOCKS_LORA_RANK of every linear; of 0 what the
/// hypernetwork writes.
template <auto net>
constexpr hb::AdapterSpec lora_spec() {
  hb::AdapterSpec spec{.rank = HYPERBLOCKS_LORA_RANK};
  if constexpr (HYPERBLOCKS_LORA_RANK == 0) {
    spec.rank = net.rank;
    if constexpr (requires { net.targets; }) spec.targets = net.targets;
  }
  return spec;
}

/// Plain fine-tuning of an adapter on all that is asked.
void train_lora(const Run& run) {
  using Lora = hb::Lora<Model, lora_spec<train_net>()>;
  using Writer = hb::LoraWriter<Lora>;
  const auto& [cpu, plan, examples, peers] = run;
  const Frozen frozen(run);
  const auto pose = [&](std::uint64_t number) {
    std::vector<hb::Topic<hb::Nothing>> topics(1);
    for (TextTopic& topic : topics_of(run, frozen, number))
      std::ranges::move(topic.lessons, std::back_inserter(topics[0].lessons));
    return topics;
  };
  hb::Random random(plan.seed);
  const auto start = [&] {
    if (!run.plan.start.empty()) {
      const hb::AdapterBase base(run.plan.base);
      return Lora::Params(run.cpu, hb::read_adapter(run.plan.start, &base), run.plan.start);
    }
    Lora::Params params(run.cpu);
    Lora::Params::initialise(run.cpu, params, random, 1 / std::sqrt(3. * train_base.hidden));
    return params;
  };
  const Writer writer;
  const hb::TeachingCourse<Writer, decltype(pose)> course{writer, frozen.model, frozen.positions, pose,
                                                          teaching_options(plan)};
  run_training(
      cpu, plan, peers, course, start(), [](const auto&) { return std::optional<hb::example::Score>(); },
      [&](const auto& trained) {
        hb::write_adapter(std::filesystem::path(run.plan.out), trained.to_host(run.cpu),
                          hb::AdapterBase(run.plan.base).options());
      });
}

/// What the hypernetwork in --out has learnt: `evaluate` or `needle-map`.
void evaluate(const Run& run) {
  const Frozen frozen(run);
  const System system{frozen.setting};
  const std::filesystem::path out = run.plan.out;
  std::optional<Net::Params> params;
  const bool map = run.plan.pipeline == "needle-map";
  if (map || hb::is_there(out / "hypernet.json"))
    params = hb::loaded_hypernet<Net>(run.cpu, out);
  else
    std::cerr << "note: no hypernet.json in " << run.plan.out << ": without a hypernetwork\n";
  hb::make_folder(out);
  if (map) {
    const hb::example::NeedleMap<System> needles{run.cpu, system, *params};
    hb::example::write_json(out / "needle_map.json", needles.run());
  } else {
    hb::example::write_evaluation(out / "evaluation.json",
                                  hb::example::evaluated<lora_spec<train_net>()>(
                                      run.cpu, system, params ? &*params : nullptr, run.examples));
  }
}

/// json_of(each example) of a file, or of as many as a training of this plan would read, into --out.
template <class JsonOf>
void write_lines(const Run& run, const char* name, JsonOf json_of) {
  const auto& [cpu, plan, examples, peers] = run;
  hb::make_folder(plan.out);
  hb::AtomicFile file(std::filesystem::path(plan.out) / name);
  const std::size_t count =
      examples.count() > 0 ? examples.count() : static_cast<std::size_t>(plan.steps * plan.batch);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string line =
        json_of(examples.count() > 0 ? examples.stored(i) : examples.trained(i)).dump() + "\n";
    file.write(std::as_bytes(std::span(line)));
  }
  file.commit();
}

/// With what the base says of them.
void write_lessons(const Run& run) {
  const Frozen frozen(run);
  write_lines(run, "lessons.jsonl", [&](Example example) {
    if (run.plan.own_answers) frozen.teacher.answer(run.cpu, std::span(&example, 1));
    auto topics = hb::example::questions_of(frozen.conversation, std::span(&example, 1));
    frozen.teacher.teach(run.cpu, std::span(&example, 1), topics);
    return hb::example::to_json(example, &topics.front());
  });
}

void write_examples(const Run& run) {
  write_lines(run, "examples.jsonl", [](const Example& example) { return hb::example::to_json(example); });
}
}  // namespace

int main(int count, char** arguments) {
  const hb::example::Processes processes;
  CLI::App app("Trains a base from nothing, a hypernetwork for it, or an adapter. This program: a base of " +
               std::to_string(train_base.layers) + " layers, hidden " + std::to_string(train_base.hidden) +
               ".");
  Plan plan;
  hb::example::add_pipeline(app, plan);
  hb::example::add_options(app, plan);
  return processes.ended(hb::example::run_program(app, count, arguments, [&] {
    Cpu cpu({.threads = plan.threads});
    const Examples examples(plan);
    const Run run{cpu, plan, examples, processes.peers()};
    if (plan.pipeline == "language")
      train_language(run);
    else if (plan.pipeline == "lora")
      train_lora(run);
    else if (plan.pipeline == "evaluate" || plan.pipeline == "needle-map")
      evaluate(run);
    else if (plan.pipeline == "reconstruction")
      train_reconstruction(run);
    else if (plan.pipeline == "teach")
      write_lessons(run);
    else if (plan.pipeline == "examples")
      write_examples(run);
    else
      train_hypernet(run);
  }));
}
