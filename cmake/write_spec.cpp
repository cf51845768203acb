// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The program behind hyperblocks_add_base, _add_encoder and _add_hypernet: write_spec KIND CONFIG NAME HEADER
// reads a model's description and writes the header with its spec.
#include <functional>
#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/io/hypernet_json.hpp>
#include <hyperblocks/io/text_encoder_config.hpp>
#include <iostream>

namespace hb = hyperblocks;

namespace {
using Text =
    std::function<std::string(const std::string& config, const std::string& name, const std::string& origin)>;
const std::map<std::string, Text> kinds = {
    {"base", [](const auto& config, const auto& name,
                const auto& origin) { return hb::spec_header(hb::decoder_spec(config), name, origin); }},
    {"encoder",
     [](const auto& config, const auto& name, const auto& origin) {
       return hb::spec_header(hb::text_encoder_spec(config), name, origin);
     }},
    {"hypernet", [](const auto& config, const auto& name, const auto& origin) {
       return hb::hypernet_header(hb::read_hypernet(config), name, origin);
     }}};
}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 4 || !kinds.contains(arguments[0])) {
    std::cerr << "usage: write_spec base|encoder|hypernet CONFIG NAME HEADER\n";
    return 2;
  }
  const std::string &config = arguments[1], &name = arguments[2], &header = arguments[3];
  try {
    const std::string text =
        kinds.at(arguments[0])(config, name, std::filesystem::path(config).filename().string());
    hb::AtomicFile file(header);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  } catch (const std::exception& reason) {
    std::cerr << "error: " << reason.what() << "\n";
    return 1;
  }
}
