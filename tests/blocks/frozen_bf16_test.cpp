// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every block in bf16 with frozen weights of each scalar: no gradients of weights; all else as the trainable
// block's in float with the same numbers.
#include "../support/scalar_check.hpp"

namespace hb = hyperblocks;
using hb::test::check_frozen;

TEST_CASE("weights frozen as float") { check_frozen<hb::bf16, float>(0.05); }
TEST_CASE("weights frozen as bf16") { check_frozen<hb::bf16, hb::bf16>(0.05); }
TEST_CASE("weights frozen as half") { check_frozen<hb::bf16, hb::half>(0.05); }
