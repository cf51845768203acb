// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapters in files: looked into, converted, merged, compressed, concatenated, and checked against a model.
// A path that ends in .gguf is an adapter of llama.cpp, a folder one of PEFT; models of all shapes.
#include <charconv>
#include <iostream>

#include <hyperblocks/lora/compose.hpp>
#include <hyperblocks/lora/compress.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>

#include "../command_line.hpp"
#include "check.hpp"
#include "inspect.hpp"
#include "merge_directory.hpp"

namespace hb = hyperblocks;
namespace fs = std::filesystem;

namespace {

struct Options {
  std::string in, out, base, dtype, text, logits;
  std::optional<std::string> prefix, ids;
  std::vector<std::string> more;
  std::vector<double> weights;
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

/// What all of some files say besides factors; of numbers' types and names of bases the first one's counts.
hb::AdapterOptions options_of(const std::vector<std::string>& paths, const Options& options) {
  auto common = hb::adapter_options(paths.front());
  for (const std::string& path : paths) {
    auto other = hb::adapter_options(path);
    const auto same = [&](const char* what, const std::string& expected, const std::string& found) {
      hb::check(expected == found, [&] {
        return hb::Error(std::string(what) + " differs", path, "'" + expected + "' as of " + paths.front(),
                         "'" + found + "'");
      });
    };
    if (!options.prefix) same("what stands before 'layers'", common.prefix, other.prefix);
    same("task_type", common.task, other.task);
    if (!common.architecture.empty() && !other.architecture.empty())  // folders do not say it
      same("the architecture", common.architecture, other.architecture);
  }
  if (options.prefix) common.prefix = *options.prefix;
  return common;
}

/// As the inputs were, but for what the command line and the base say.
void write(const Options& options, const hb::HostAdapter& adapter, hb::AdapterOptions as,
           const std::optional<hb::AdapterBase>& base) {
  const std::map<std::string, hb::DType> types = {
      {"f32", hb::DType::f32}, {"f16", hb::DType::f16}, {"bf16", hb::DType::bf16}};
  if (!options.dtype.empty())
    as.dtype = types.at(options.dtype);
  else if (as.dtype == hb::DType::bf16 && hb::names_gguf(options.out))
    as.dtype = hb::DType::f32;
  if (base) as = base->options(as);
  if (hb::write_adapter(options.out, adapter, as) != 0)
    std::printf("vLLM: %s\n", hb::example::vllm_needs(adapter, true).c_str());
}

/// Without a base the heads are taken for one: norms do not depend on the order of rows.
void inspect(const Options& options) {
  hb::Cpu cpu({.threads = options.threads});
  const auto base = base_of(options);
  const bool unordered = !base && hb::names_gguf(options.in);
  const auto adapter = unordered ? hb::read_gguf_adapter(fs::path(options.in), hb::AttentionHeads(1, 1))
                                 : hb::read_adapter(options.in, base ? &*base : nullptr);
  hb::example::inspect(cpu, options.in, adapter);
  if (base) hb::check_fits(adapter, base->spec, options.in);
}

void convert(const Options& options) {
  const auto base = base_of(options);
  const auto adapter = read(options.in, base);
  write(options, adapter, options_of({options.in}, options), base);
}

void merge(const Options& options) {
  const auto base = base_of(options);
  hb::example::MergeDirectory(options.base, read(options.in, base), options.in)
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
  auto as = options_of({options.in}, options);
  as.dtype = hb::DType::f32;
  write(options, result.adapter, as, base);
}

void concat(const Options& options) {
  const auto base = base_of(options);
  std::vector<hb::HostAdapter> adapters;
  adapters.reserve(options.more.size());
  for (const std::string& path : options.more) adapters.push_back(read(path, base));
  auto as = options_of(options.more, options);
  as.dtype = hb::DType::f32;
  write(options, options.weights.empty() ? hb::concat(adapters) : hb::weighted_sum(adapters, options.weights),
        as, base);
}

/// "1,2,3"
std::vector<std::int32_t> ids_of(const std::string& text) {
  std::vector<std::int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;; ++at) {
    const auto [stop, failure] = std::from_chars(at, end, ids.emplace_back());
    hb::check(failure == std::errc() && (stop == end || *stop == ','),
              [&] { return hb::Error("not token ids", "--ids", "1,2,3", "'" + text + "'"); });
    if (stop == end) return ids;
    at = stop;
  }
}

void check(const Options& options) {
  hb::Cpu cpu({.threads = options.threads});
  const hb::AdapterBase base(options.base);
  std::vector<std::int32_t> ids;
  if (options.ids) ids = ids_of(*options.ids);
  if (!options.text.empty()) ids = hb::load_tokenizer(options.base).encode(options.text);
  if (ids.empty())  // any ids will do: spread over the vocabulary
    for (hb::Index i = 1; i <= 16; ++i)
      ids.push_back(static_cast<std::int32_t>(i * i * 7919 % base.spec.vocabulary));
  hb::example::check_logits(cpu, options.base, hb::read_adapter(options.in, &base), options.in, ids,
                            options.logits);
}

CLI::Option* add_base(CLI::App& app, Options& options, const std::string& forms) {
  return app.add_option("--base", options.base, "the model: " + forms);
}

void add_described_base(CLI::App& app, Options& options) {
  add_base(app, options, "a folder, a config.json or a GGUF file; says what an adapter's file does not");
}

void add_output(CLI::App& app, Options& options) {
  std::vector<std::string> prefixes;
  prefixes.reserve(std::size(hb::detail::prefixes));
  for (const auto& before : hb::detail::prefixes) prefixes.emplace_back(before.model);
  app.add_option("--dtype", options.dtype, "how numbers are written; by default f32, of convert as read")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  app.add_option("--prefix", options.prefix,
                 "what stands before 'layers' in a folder's names; by default as read")
      ->check(CLI::IsMember(prefixes));
  add_described_base(app, options);
}

/// Every subcommand with what it takes; its name chooses the function.
std::map<CLI::App*, void (*)(const Options&)> add_commands(CLI::App& app, Options& options) {
  app.require_subcommand(1);
  app.fallthrough();  // --threads may stand behind a subcommand
  auto* const inspects = app.add_subcommand("inspect", "what an adapter holds, and what loading it needs");
  inspects->add_option("adapter", options.in)->required();
  add_described_base(*inspects, options);
  auto* const converts = app.add_subcommand("convert", "between a PEFT folder and a .gguf");
  converts->add_option("in", options.in)->required();
  converts->add_option("out", options.out)->required();
  add_output(*converts, options);
  auto* const merges = app.add_subcommand("merge", "write the model with the adapter in its weights");
  add_base(*merges, options, "a folder")->required();
  merges->add_option("--adapter", options.in)->required();
  merges->add_option("--out", options.out, "a folder that is new or empty")->required();
  auto* const compresses = app.add_subcommand("compress", "the nearest adapter of a smaller rank");
  compresses->add_option("in", options.in)->required();
  compresses->add_option("out", options.out)->required();
  compresses->add_option("--rank", options.rank)->required();
  add_output(*compresses, options);
  auto* const concats = app.add_subcommand("concat", "one adapter that adds what several add: their sum");
  concats->add_option("out", options.out)->required();
  concats->add_option("in", options.more)->required();
  concats->add_option("--weights", options.weights, "of the sum, one for each: 1,-0.5")->delimiter(',');
  add_output(*concats, options);
  auto* const checks = app.add_subcommand("check", "does the adapter change the model's logits?");
  add_base(*checks, options, "a folder or a GGUF file")->required();
  checks->add_option("--adapter", options.in)->required();
  auto* const text =
      checks->add_option("--text", options.text, "what is read; a few fixed tokens by default");
  checks->add_option("--ids", options.ids, "what is read, as token ids: 1,2,3")->excludes(text);
  checks->add_option("--logits", options.logits, "writes the logits under the adapter: safetensors");
  app.add_option("--threads", options.threads, "0: one for each core")->capture_default_str();
  return {{inspects, inspect},    {converts, convert}, {merges, merge},
          {compresses, compress}, {concats, concat},   {checks, check}};
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Adapters of language models: a folder is PEFT's, a path that ends in .gguf llama.cpp's.");
  Options options;
  const auto commands = add_commands(app, options);
  return hb::example::run_program(app, count, arguments, [&] {
    for (const auto& [command, run] : commands)
      if (command->parsed()) run(options);
  });
}
