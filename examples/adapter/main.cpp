// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A hypernetwork reads a document, features or a task's description and writes an adapter; then questions are
// answered with it and without.
#include <hyperblocks/hyperblocks.hpp>

#include "../command_line.hpp"
#include "program.hpp"

#ifdef HYPERBLOCKS_HYPERNET
#include <adapter_base.hpp>
#include <adapter_net.hpp>
static_assert(
    hyperblocks::hypernet_base(adapter_base) == adapter_net_base,
    "hyperblocks: HYPERBLOCKS_HYPERNET is for another base than HYPERBLOCKS_BASE_CONFIG: see 'base' in "
    "its hypernet.json");
#else  // SHINE on SmolLM2-135M
inline constexpr hyperblocks::DecoderSpec adapter_base = hyperblocks::specs::smollm2_135m;
inline constexpr hyperblocks::ShineSpec adapter_net{};
inline constexpr hyperblocks::ContextSpec adapter_net_context{};
#endif
#ifdef HYPERBLOCKS_ENCODER_CONFIG
#include <adapter_encoder.hpp>
#else
inline constexpr hyperblocks::example::BaseReads adapter_encoder{};
#endif

namespace hb = hyperblocks;

int main(int count, char** arguments) {
  using NetSpec = std::remove_cv_t<decltype(adapter_net)>;
  const hb::example::Processes processes;
  CLI::App app(
      std::string(
          "A hypernetwork reads a document and writes an adapter (LoRA) for the base. This program: ") +
      hb::example::system_name<NetSpec> + ", a base of " + std::to_string(adapter_base.layers) +
      " layers, hidden " + std::to_string(adapter_base.hidden) + ".");
  hb::example::Options options;
  app.add_option("--base", options.base, "the base: a Hugging Face folder or a GGUF file")
      ->required()
      ->check(hb::example::some_path());
  app.add_option("--hypernet", options.hypernet, "folder with hypernet.json and hypernet.safetensors")
      ->required()
      ->check(hb::example::some_path());
  app.add_option("--encoder,--text-encoder", options.encoder, "the folder of the other model that reads");
  app.add_option("--text", options.text,
                 "input: a file; for Text-to-LoRA the task's description; - is standard input");
  app.add_option(
      "--corpus", options.corpus,
      "input: JSON lines {\"id\": ..., \"text\": ...}; an adapter for each goes to --out/ID, and what "
      "has been made stands in --out/manifest.*.jsonl: run again, it goes on");
  app.add_option("--ids", options.ids, "input: token ids, 1,2,3; chunks as they are: 1,2;3,4");
  app.add_option("--features", options.features, "input: tensor `features` of a safetensors file");
  app.add_option("--embedding", options.embedding, "input: tensor `embedding` of a safetensors file");
  app.add_option("--out", options.out, "where the adapter goes: a folder, or a file *.gguf")->required();
  app.add_option("--format", options.format, "of the adapter")
      ->check(CLI::IsMember({"peft", "gguf", "safetensors"}))
      ->capture_default_str();
  app.add_option("--chunk", options.chunk, "tokens of a piece at most; 0: the document is one piece")
      ->check(CLI::Range(hb::Index{0}, hb::Index{1} << 31));
  app.add_option("--ask", options.questions, "a question, answered with the adapter and without");
  app.add_flag("--in-context", options.in_context,
               "questions also without the adapter, but with the text before them");
  app.add_option("-n", options.most, "tokens of an answer at most")
      ->check(CLI::Range(hb::Index{1}, hb::Index{1} << 31))
      ->capture_default_str();
  app.add_option("--logits", options.logits, "file for the logits of --logits-ids under the adapter");
  app.add_option("--logits-ids", options.logits_ids, "token ids, 1,2,3");
  app.add_option("--dump", options.dump, "file for the stages between");
  app.add_flag("--iterative", options.iterative, "Doc-to-LoRA: layer by layer, in less memory");
  app.add_option("--chunk-scales", options.chunk_scales, "Doc-to-LoRA: of each piece's A, 1,0.5");
  const CLI::Validator number([](std::string& text) { return text.empty() ? "nothing" : ""; }, "");
  app.add_option("--scale", options.scale, "Doc-to-LoRA: of the generated A and B")
      ->check(number)
      ->capture_default_str();
  app.add_option("--bias-scale", options.bias_scale, "Doc-to-LoRA: of the learned A and B")
      ->check(number)
      ->capture_default_str();
  app.add_option("--weights", options.weights,
                 "how the base's matrices are kept; auto: bf16 where the files have it")
      ->check(CLI::IsMember({"auto", "float", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", options.threads, "0: one for each core")
      ->check(CLI::Range(hb::Index{0}, hb::Index{1024}))
      ->capture_default_str();
  return processes.ended(hb::example::run_program(app, count, arguments, [&] {
    const hb::Index failed =
        hb::example::run<adapter_base, adapter_net, adapter_net_context, adapter_encoder>(options,
                                                                                          processes.peers());
    hb::check(failed == 0, [&] {
      return hb::Error("not all adapters were made", options.corpus, "none that fails",
                       std::to_string(failed));
    });
  }));
}
