// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The smallest program: prints the library's version.
#include <hyperblocks/hyperblocks.hpp>
#include <iostream>

int main() { std::cout << "hyperblocks " << hyperblocks::version << "\n"; }
