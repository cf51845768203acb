// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapters in files: looked into, converted, merged, compressed, concatenated, and checked against a model.
// A path that ends in .gguf is an adapter of llama.cpp, a folder one of PEFT; models of all shapes.
#include <CLI/CLI.hpp>
#include <iostream>

#include <hyperblocks/lora/compose.hpp>
#include <hyperblocks/lora/compress.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>

#include "check.hpp"
#include "inspect.hpp"
#include "merge_directory.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;

namespace {

struct Options {
  std::string in, out, base, dtype = "f32", text, logits;
  std::vector<std::string> more;
  std::vector<std::int32_t> ids;
  hb::Index rank = 0, threads = 0;
};

/// What the base says, if one was named.
std::optional<hb::AdapterBase> base_of(const Options& options) {
  if (options.base.empty()) return std::nullopt;
  return hb::AdapterBase(options.base);
}

/// Read, and with a base known to fit it.
hb::HostAdapter read(const std::string& path, const std::optional<hb::AdapterBase>& base) {
  auto adapter = hb::read_adapter(path, base ? &*base : nullptr);
  if (base) hb::check_fits(adapter, base->spec, path);
  return adapter;
}

void write(const Options& options, const hb::HostAdapter& adapter,
           const std::optional<hb::AdapterBase>& base) {
  const std::map<std::string, hb::DType> types = {
      {"f32", hb::DType::f32}, {"f16", hb::DType::f16}, {"bf16", hb::DType::bf16}};
  const hb::DType dtype = types.at(options.dtype);
  if (!base && hb::names_gguf(options.in) && hb::names_gguf(options.out)) {  // the input says what it is for
    const std::string architecture(hb::GgufFile(options.in).get<std::string_view>("general.architecture"));
    return hb::write_gguf_adapter(options.out, adapter, {.architecture = architecture, .dtype = dtype});
  }
  const std::string name = hb::names_gguf(options.in) ? "" : hb::peft_base_model(options.in);
  const hb::Index rank = hb::write_adapter(
      options.out, adapter, {.base = base ? &*base : nullptr, .dtype = dtype, .base_model = name});
  if (rank == 0) return;
  if (const hb::Index most = hb::vllm_rank(rank); most != 0)
    std::printf("rank %td: vLLM needs --max-lora-rank %td\n", rank, most);
  else
    std::printf("rank %td: more than vLLM can load\n", rank);
}

/// Without a base the heads are taken for one: norms do not depend on the order of rows.
void inspect(const Options& options) {
  hb::Cpu cpu({.threads = options.threads});
  const auto base = base_of(options);
  const bool unordered = !base && hb::names_gguf(options.in);
  const auto adapter = unordered ? hb::read_gguf_adapter(fs::path(options.in), hb::AttentionHeads(1, 1))
                                 : read(options.in, base);
  hb::example::inspect(cpu, options.in, adapter);
}

void convert(const Options& options) {
  const auto base = base_of(options);
  write(options, read(options.in, base), base);
}

void merge(const Options& options) {
  const auto base = base_of(options);
  const auto adapter = read(options.in, base);
  hb::example::MergeDirectory(options.base, adapter, options.in)
      .write(options.out, hb::ProgressBar("merging"));
}

void compress(const Options& options) {
  hb::Cpu cpu({.threads = options.threads});
  const auto base = base_of(options);
  const auto result = hb::compress(cpu, read(options.in, base), options.rank);
  for (const auto& [at, energy] : result.linears)
    std::printf("%-16s discarded %.4g of its energy\n", hb::to_string(at).c_str(), energy.error());
  std::printf("all: discarded %.4g of the energy, a relative error of %.4g\n", result.total.error(),
              std::sqrt(result.total.error()));
  write(options, result.adapter, base);
}

void concat(Options options) {
  const auto base = base_of(options);
  std::vector<hb::HostAdapter> adapters;
  adapters.reserve(options.more.size());
  for (const std::string& path : options.more) adapters.push_back(read(path, base));
  options.in = options.more.front();
  write(options, hb::concat(adapters), base);
}

void check(const Options& options) {
  hb::Cpu cpu({.threads = options.threads});
  const hb::AdapterBase base(options.base);
  std::vector<std::int32_t> ids = options.ids;
  if (!options.text.empty()) ids = hb::load_tokenizer(options.base).encode(options.text);
  if (ids.empty())  // any ids will do: spread over the vocabulary
    for (hb::Index i = 1; i <= 16; ++i)
      ids.push_back(static_cast<std::int32_t>(i * i * 7919 % base.spec.vocabulary));
  hb::example::check_logits(cpu, options.base, hb::read_adapter(options.in, &base), options.in, ids,
                            options.logits);
}

CLI::Option* add_base(CLI::App& app, Options& options) {
  return app.add_option(
      "--base", options.base,
      "the model: a folder, a config.json or a GGUF file; says what an adapter's file does not");
}

void add_output(CLI::App& app, Options& options) {
  app.add_option("--dtype", options.dtype, "how numbers are written")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  add_base(app, options);
}

/// Every subcommand with what it takes; its name chooses the function.
std::map<CLI::App*, void (*)(const Options&)> add_commands(CLI::App& app, Options& options) {
  app.require_subcommand(1);
  app.fallthrough();  // --threads may stand behind a subcommand
  auto* const inspects = app.add_subcommand("inspect", "what an adapter holds, and what loading it needs");
  inspects->add_option("adapter", options.in)->required();
  add_base(*inspects, options);
  auto* const converts = app.add_subcommand("convert", "between a PEFT folder and a .gguf");
  converts->add_option("in", options.in)->required();
  converts->add_option("out", options.out)->required();
  add_output(*converts, options);
  auto* const merges = app.add_subcommand("merge", "write the model with the adapter in its weights");
  add_base(*merges, options)->required();
  merges->add_option("--adapter", options.in)->required();
  merges->add_option("--out", options.out, "a folder that is new or empty")->required();
  auto* const compresses = app.add_subcommand("compress", "the nearest adapter of a smaller rank");
  compresses->add_option("in", options.in)->required();
  compresses->add_option("out", options.out)->required();
  compresses->add_option("--rank", options.rank)->required()->check(CLI::PositiveNumber);
  add_output(*compresses, options);
  auto* const concats = app.add_subcommand("concat", "one adapter that adds what several add");
  concats->add_option("out", options.out)->required();
  concats->add_option("in", options.more)->required();
  add_output(*concats, options);
  auto* const checks = app.add_subcommand("check", "does the adapter change the model's logits?");
  add_base(*checks, options)->required();
  checks->add_option("--adapter", options.in)->required();
  auto* const text =
      checks->add_option("--text", options.text, "what is read; a few fixed tokens by default");
  checks->add_option("--ids", options.ids, "what is read, as token ids: 1,2,3")
      ->delimiter(',')
      ->excludes(text);
  checks->add_option("--logits", options.logits, "writes the logits under the adapter: safetensors");
  app.add_option("--threads", options.threads, "0: one for each core")->capture_default_str();
  return {{inspects, inspect},
          {converts, convert},
          {merges, merge},
          {compresses, compress},
          {concats, [](const Options& given) { concat(given); }},
          {checks, check}};
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Adapters of language models: a folder is PEFT's, a path that ends in .gguf llama.cpp's.");
  Options options;
  const auto commands = add_commands(app, options);
  CLI11_PARSE(app, count, arguments);
  try {
    for (const auto& [command, run] : commands)
      if (command->parsed()) run(options);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
