// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// How far a long task is: a function that is called as bytes are done, and a bar for terminals.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace hyperblocks {

/// Called after every piece with the bytes done, those of the whole task, and the piece's name.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total, std::string_view name)>;

/// Draws a line on standard error if that is a terminal, and wipes it out at the end.
class ProgressBar {
 public:
  explicit ProgressBar(std::string task = "loading") : task_(std::move(task)) {}

  void operator()(std::uint64_t done, std::uint64_t total, std::string_view) {
    if (::isatty(STDERR_FILENO) == 0) return;
    const int percent = total == 0 ? 100 : static_cast<int>(done * 100 / total);
    if (percent == drawn_) return;
    drawn_ = percent;
    const std::string text = done >= total ? "\r\033[K" : "\r" + line(percent, total);
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  }

  /// "loading [##########..............................]  25% of 270 MB"
  std::string line(int percent, std::uint64_t total) const {
    constexpr int width = 40;
    const auto filled = static_cast<std::size_t>(std::clamp(percent, 0, 100) * width / 100);
    return task_ + " [" + std::string(filled, '#') + std::string(width - filled, '.') + "] " +
           std::string(percent < 10    ? 2
                       : percent < 100 ? 1
                                       : 0,
                       ' ') +
           std::to_string(percent) + "% of " + std::to_string((total + 500'000) / 1'000'000) + " MB";
  }

 private:
  std::string task_;
  int drawn_ = -1;
};

}  // namespace hyperblocks
