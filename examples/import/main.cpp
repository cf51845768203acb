// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Public checkpoints of hypernetworks become hypernet.json and hypernet.safetensors, which programs of this
// library load: PyTorch's files are read as data, nothing in them is executed.
#include <iostream>

#include <hyperblocks/io/configs.hpp>

#include "../command_line.hpp"
#include "import_doc_to_lora.hpp"
#include "import_shine.hpp"
#include "import_text_to_lora.hpp"

namespace hb = hyperblocks;
using hb::example::ImportedHypernet, hb::example::Settings;

namespace {

struct Options {
  std::string from, base, out;
  std::vector<std::string> set;
};

struct System {
  const char *name, *help;
  const std::set<std::string>& settings;
  ImportedHypernet (*read)(const Options&, Settings&);
};

template <class Import>
ImportedHypernet read(const Options& options, Settings& settings) {
  return Import(options.from, hb::decoder_spec(options.base), settings).read();
}

const System systems[] = {
    {"shine", "mem_tokens.pt, metanetwork.pth, metalora.pth, ift_additional_metalora.pth",
     hb::example::shine_settings, &read<hb::example::ShineImport>},
    {"doc-to-lora", "pytorch_model.bin", hb::example::doc_to_lora_settings,
     &read<hb::example::DocToLoraImport>},
    {"text-to-lora", "hypermod.pt, args.yaml, adapter_config.json", hb::example::text_to_lora_settings,
     &read<hb::example::TextToLoraImport>},
};

void import_checkpoint(const System& system, const Options& options) {
  Settings settings(options.set, system.settings);
  const ImportedHypernet net = system.read(options, settings);
  settings.print(std::cout);
  hb::detail::write_hypernet(options.out, net.config, net.tensors.tensors());
  hb::Index numbers = 0;
  for (const auto& [name, tensor] : net.tensors.tensors())
    numbers += static_cast<hb::Index>(tensor.bytes.size() / hb::byte_size(tensor.dtype));
  std::cout << options.out << ": " << net.tensors.tensors().size() << " tensors, " << numbers << " numbers\n";
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Public checkpoints of hypernetworks as hypernet.json and hypernet.safetensors.");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    std::string names;
    for (const System& system : systems) names += (names.empty() ? "" : ", ") + std::string(system.name);
    const bool none = failed->get_subcommands().empty();
    return (none ? "the first argument is the system: " + names : error.what()) +
           "\nRun with --help for more.\n";
  });
  Options options;
  std::vector<std::pair<const CLI::App*, const System*>> commands;
  for (const System& system : systems) {
    auto* const command = app.add_subcommand(system.name, system.help);
    command->add_option("--from", options.from, "the checkpoint's folder")
        ->required()
        ->check(hb::example::some_path());
    command->add_option("--base", options.base, "the base: a folder, a config.json or a GGUF file")
        ->required()
        ->check(hb::example::some_path());
    command->add_option("--out", options.out, "the folder to write")
        ->required()
        ->check(hb::example::some_path());
    std::string names;
    for (const std::string& name : system.settings) names += " " + name;
    command->add_option("--set", options.set, "NAME=VALUE, what the files do not say:" + names);
    commands.emplace_back(command, &system);
  }
  return hb::example::run_program(app, count, arguments, [&] {
    for (const auto& [command, system] : commands)
      if (command->parsed()) import_checkpoint(*system, options);
  });
}
