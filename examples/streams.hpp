// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Lines in, text out, for programs: what cannot be read or written is an Error, never silence.
#pragma once

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include <hyperblocks/core/check.hpp>

namespace hyperblocks::example {

/// f(line, number), from 1 on, for each line of a file; "-" is standard input.
template <class F>
void each_line(const std::string& file, char end, F f) {
  std::ifstream opened;
  if (file != "-") opened.open(file, std::ios::binary);
  std::istream& lines = file == "-" ? std::cin : opened;
  const auto readable = [&](bool good) {
    check(good, [&] { return Error("cannot read", file, "a file", std::strerror(errno)); });
  };
  readable(lines.good());
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line, end);) f(line, ++number);
  readable(!lines.bad());
}

/// That all that was printed has been written.
inline void flush_output() {
  std::cout.flush();
  check(std::cout.good(), [] {
    return Error("cannot write", "standard output", "room for all that is printed", std::strerror(errno));
  });
}

}  // namespace hyperblocks::example
