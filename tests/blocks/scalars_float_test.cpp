// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every block in float agrees with itself in double, forward and backward.
#include "../support/scalar_check.hpp"

namespace hb = hyperblocks;
using hb::test::LargestBlocks, hb::test::check_scalars;

TEST_CASE("blocks in float") { check_scalars<LargestBlocks<float>, LargestBlocks<double>>(4e-6); }
