// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The program behind hyperblocks_add_base and hyperblocks_add_encoder: write_spec base|encoder CONFIG NAME
// HEADER reads a model's description and writes the header with its spec.
#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/io/text_encoder_config.hpp>
#include <iostream>

namespace hb = hyperblocks;

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 4 || (arguments[0] != "base" && arguments[0] != "encoder")) {
    std::cerr << "usage: write_spec base|encoder CONFIG NAME HEADER\n";
    return 2;
  }
  const std::string &config = arguments[1], &name = arguments[2], &header = arguments[3];
  try {
    const std::string origin = std::filesystem::path(config).filename().string();
    const std::string text = arguments[0] == "base"
                                 ? hb::spec_header(hb::decoder_spec(config), name, origin)
                                 : hb::spec_header(hb::text_encoder_spec(config), name, origin);
    hb::AtomicFile file(header);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  } catch (const std::exception& reason) {
    std::cerr << "error: " << reason.what() << "\n";
    return 1;
  }
}
