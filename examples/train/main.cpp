// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Trains a base from nothing, or a hypernetwork for a frozen base; stopped at any moment, it goes on with
// --resume as if it had not been.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/load_hypernet.hpp>
#include <hyperblocks/io/save_decoder.hpp>
#include <hyperblocks/text/train_bpe.hpp>
#include <hyperblocks/train/doc_to_lora_writer.hpp>
#include <hyperblocks/train/shine_writer.hpp>

#include <train_base.hpp>
#include <train_net.hpp>

#include "../command_line.hpp"
#include "options.hpp"
#include "run.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Tokens;

namespace {
using hb::example::Conversation, hb::example::Examples, hb::example::Plan;

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

void train_language(Cpu& cpu, const Plan& plan, const Examples& examples) {
  using Model = hb::Decoder<train_base, float, Cpu, hb::Trainable>;
  make_tokenizer(plan, examples);
  const Conversation conversation = conversation_of(plan);
  hb::Random random(plan.seed);
  auto params = hb::initialised<Model>(cpu, random);
  hb::fill_normal(cpu, params.embedding.weight, random, 0.08);
  const typename Model::Positions positions(cpu);
  const hb::example::LanguageCourse<Model> course{plan, examples, conversation, positions};
  run_training(cpu, plan, course, std::move(params), [&](const auto& trained) {
    hb::save_decoder<Model>(cpu, trained, plan.out);
    for (const char* const name : {"tokenizer.json", "tokenizer_config.json"})
      if (!hb::is_there(std::filesystem::path(plan.out) / name))
        std::filesystem::copy_file(std::filesystem::path(plan.base) / name,
                                   std::filesystem::path(plan.out) / name);
  });
}

using Model = hb::Decoder<train_base, float, Cpu>;

/// The hypernetwork learns to write what `writer` then writes of documents that read() has made ready.
template <class Net, class Writer, class Read>
void train_writer(Cpu& cpu, const Plan& plan, const Examples& examples, const Conversation& conversation,
                  const Model::Params& model, const Model::Positions& positions, const Writer& writer,
                  Read read) {
  hb::Random random(plan.seed);
  auto params = hb::initialised<Net>(cpu, random);
  // At zero, norms multiply the memory tokens' gradients by a thousand.
  if constexpr (requires { params.memory; }) hb::fill_normal(cpu, params.memory, random, 0.3);
  const hb::example::QuestionsCourse<Writer, Read> course{plan,  examples,  conversation, writer,
                                                          model, positions, read};
  run_training(cpu, plan, course, std::move(params), [&](const auto& trained) {
    hb::save_hypernet<Net>(cpu, trained, plan.out, {.context = train_net_context});
  });
}

template <auto spec>
void train_questions(Cpu& cpu, const Plan& plan, const Examples& examples) {
  using Spec = std::remove_cv_t<decltype(spec)>;
  const Conversation conversation = conversation_of(plan);
  const auto model = hb::loaded_decoder<Model>(cpu, plan.base);
  const Model::Positions positions(cpu);
  if constexpr (std::same_as<Spec, hb::ShineSpec>) {
    using Net = hb::Shine<Model, spec>;
    const hb::ShineWriter<Net> writer{model, positions};
    train_writer<Net>(cpu, plan, examples, conversation, model, positions, writer,
                      [](Tokens document) { return document; });
  } else {
    static_assert(std::same_as<Spec, hb::DocToLoraSpec>,
                  "hyperblocks: examples/train knows SHINE and Doc-to-LoRA");
    using Net = hb::DocToLora<Model, spec>;
    using Reader = hb::ContextReader<Model, train_net_context>;
    const Reader reader(model, positions);
    const hb::DocToLoraWriter<Net, Reader> writer{reader};
    train_writer<Net>(cpu, plan, examples, conversation, model, positions, writer,
                      [](Tokens document) { return std::vector<Tokens>{std::move(document)}; });
  }
}
}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Trains a base from nothing, or a hypernetwork for it. This program: a base of " +
               std::to_string(train_base.layers) + " layers, hidden " + std::to_string(train_base.hidden) +
               ".");
  Plan plan;
  hb::example::add_options(app, plan);
  return hb::example::run_program(app, count, arguments, [&] {
    Cpu cpu({.threads = plan.threads});
    const Examples examples(plan);
    if (plan.pipeline == "language")
      train_language(cpu, plan, examples);
    else
      train_questions<train_net>(cpu, plan, examples);
  });
}
