// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a run costs: the time of each stage and the peak of the program's memory when it ended.
#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

namespace hyperblocks::example {

/// In GB, as Linux counts it; 0 where it does not say.
inline double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1e6;
  return 0;
}

class Stages {
 public:
  /// f(), timed.
  template <class F>
  auto operator()(const std::string& stage, F f) const {
    using Clock = std::chrono::steady_clock;
    const struct Report {
      const std::string& name;
      Clock::time_point begin = Clock::now();
      int failing = std::uncaught_exceptions();
      ~Report() {
        if (std::uncaught_exceptions() > failing) return;
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
        std::printf("%-28s %8.3f s, peak memory %.2f GB\n", name.c_str(), seconds, peak_memory());
      }
    } report{stage};
    return f();
  }
};

}  // namespace hyperblocks::example
