// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every block in bf16 agrees with itself in float, forward and backward.
#include "../support/scalar_check.hpp"

namespace hb = hyperblocks;
using hb::test::LargestBlocks, hb::test::check_scalars;

TEST_CASE("blocks in bf16") { check_scalars<LargestBlocks<hb::bf16>, LargestBlocks<float>>(0.05); }
