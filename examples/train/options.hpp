// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A plan from the command line and a configuration file.
#pragma once

#include <CLI/CLI.hpp>

#include "plan.hpp"

namespace hyperblocks::example {

inline void add_pipeline(CLI::App& app, Plan& plan) {
  app.add_option(
         "pipeline", plan.pipeline,
         "language: the base, from nothing. For a hypernetwork: pretraining (says its documents again, and "
         "their ends), questions, distillation (what the base says with the document before it), "
         "reconstruction (the adapters that a file of JSON lines names); teach: writes down what a "
         "distillation needs; examples: what --data makes up, as JSON lines. lora: an adapter, without a "
         "hypernetwork. What the hypernetwork in --out has "
         "learnt: evaluate (beside the document in the context and adapters tuned in --steps steps), "
         "needle-map (how many needles it finds at every length and depth)")
      ->required()
      ->check(CLI::IsMember({"language", "pretraining", "questions", "distillation", "reconstruction",
                             "teach", "examples", "lora", "evaluate", "needle-map"}));
}

inline void add_options(CLI::App& app, Plan& plan) {
  const auto most = Index{1} << 40;
  app.set_config("--config", "", "a file of options, NAME = VALUE in each line");
  app.add_option("--base", plan.base, "folder of the base: its tokenizer, and for a hypernetwork its weights")
      ->required();
  app.add_option("--start", plan.start,
                 "folder of what an earlier stage trained; else it begins with nothing");
  app.add_option("--out", plan.out, "folder for what is trained, checkpoint.safetensors and log.jsonl")
      ->required();
  app.add_option(
         "--data", plan.data,
         "world (facts that are made up), needle (a number in a long text), tasks (of the world), several "
         "of these with commas between them, or a file of JSON lines")
      ->capture_default_str();
  const auto count = [&](const char* name, Index& value, const char* what, Index least) {
    app.add_option(name, value, what)->check(CLI::Range(least, most))->capture_default_str();
  };
  const auto number = [&](const char* name, double& value, const char* what) {
    app.add_option(name, value, what)->check(CLI::Range(0.0, 1e6))->capture_default_str();
  };
  const auto fraction = [&](const char* name, double& value, const char* what) {
    app.add_option(name, value, what)->check(CLI::Range(0.0, 0.999999))->capture_default_str();
  };
  count("--steps", plan.steps, "of the whole training", 1);
  count("--batch", plan.batch, "documents of a batch", 1);
  count("--accumulate", plan.accumulate, "batches of a step", 1);
  number("--rate", plan.rate, "of the optimiser, behind the warm-up");
  app.add_option("--warm-up", plan.warm_up, "steps until the rate is reached; a tenth of all, 100 at most")
      ->check(CLI::Range(Index{0}, most));
  app.add_option("--decline", plan.decline, "of the rate, to --floor")
      ->check(CLI::IsMember({"none", "linear", "cosine"}))
      ->capture_default_str();
  number("--floor", plan.floor, "the rate at the end");
  number("--decay", plan.decay, "of weights; norms, biases and memory tokens have none");
  number("--clip", plan.clip, "the largest norm of a gradient; 0: any");
  fraction("--beta2", plan.beta2, "AdamW's second");
  app.add_option("--label-smoothing", plan.label_smoothing, "of the cross entropy")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  number("--noise", plan.noise, "NEFTune's alpha, on the embeddings of a frozen base");
  fraction("--dropout", plan.dropout, "Text-to-LoRA: within the hypernetwork");
  fraction("--lora-dropout", plan.update_dropout, "of what the adapter's factors read");
  number("--l1", plan.l1, "on the factors");
  number("--l2", plan.l2, "on the factors");
  number("--plain-l1", plan.plain_l1, "SHINE: on what it writes before the scale");
  count("--questions", plan.questions, "about a document, at most; 0: all there are", 0);
  count("--context", plan.context,
        "tokens of a document, at most: longer ones are cut; pretraining packs short ones; 0: any", 0);
  count("--piece", plan.piece, "tokens of a piece, at most: Doc-to-LoRA reads documents in pieces", 1);
  app.add_flag("--random-pieces", plan.random_pieces, "as many pieces as chance will have it, 1 to 8");
  count("--likeliest", plan.likeliest, "distillation: tokens that the base gives at each place", 1);
  app.add_flag("--own-answers", plan.own_answers, "distillation: of the answers that the base gives itself");
  app.add_option("--seed", plan.seed, "of parameters and data")->capture_default_str();
  count("--people", plan.people, "of a document of the world, at most; held-out ones have as many", 1);
  count("--facts", plan.facts, "about each of them, likewise", 1);
  count("--lines", plan.lines, "of a text with a needle, at most", 1);
  app.add_option("--lengths", plan.lengths, "of a map of needles, in lines")
      ->delimiter(',')
      ->check(CLI::Range(Index{1}, most));
  app.add_flag("--untold", plan.untold, "also ask what a document of the world does not say");
  count("--save-every", plan.save_every, "steps between checkpoints", 1);
  count("--report-every", plan.report_every, "steps between reports", 1);
  count("--evaluate-every", plan.evaluate_every, "steps between tests on held-out documents; 0: never", 0);
  count("--documents", plan.documents, "of a test", 1);
  app.add_flag("--resume", plan.resume, "go on from the checkpoint in --out");
  app.add_flag("--recompute", plan.recompute, "compute the base's layers twice, in less memory");
  app.add_option("--threads", plan.threads, "0: one for each core")
      ->check(CLI::Range(Index{0}, Index{1024}))
      ->capture_default_str();
}

}  // namespace hyperblocks::example
