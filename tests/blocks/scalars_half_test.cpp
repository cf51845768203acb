// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every block in half agrees with itself in float, forward and backward.
#include "../support/scalar_check.hpp"

namespace hb = hyperblocks;
using hb::test::LargestBlocks, hb::test::check_scalars;

TEST_CASE("blocks in half") { check_scalars<LargestBlocks<hb::half>, LargestBlocks<float>>(0.006); }
