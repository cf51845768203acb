// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What every program's main does with its command line, and with what goes wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>

#include "streams.hpp"

namespace hyperblocks::example {

/// A check of an option: a path that is the empty text is nobody's.
inline CLI::Validator some_path() {
  return {[](const std::string& path) { return std::string(path.empty() ? "an empty path" : ""); }, "PATH"};
}

/// Reads the command line, then run(); what goes wrong is told on standard error, and gives 1.
template <class Run>
int run_program(CLI::App& app, int count, char** arguments, Run run) {
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;  // help is not an error
  }
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may grow no further is an error that leaves no parts
  try {
    run();
    flush_output();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}

}  // namespace hyperblocks::example
