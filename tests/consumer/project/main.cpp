// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A user's program. It includes the library in two files, so that a function that is not inline fails to
// link.
#include <hyperblocks/hyperblocks.hpp>
#include <iostream>
#include <string_view>

std::string_view version_seen_by_other();

int main() {
  std::cout << hyperblocks::version << "\n";
  return hyperblocks::version == version_seen_by_other() ? 0 : 1;
}
