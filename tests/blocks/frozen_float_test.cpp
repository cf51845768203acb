// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every block in float with frozen weights of each scalar: no gradients of weights; all else as the trainable
// block's with the same numbers.
#include "../support/scalar_check.hpp"

namespace hb = hyperblocks;
using hb::test::check_frozen;

TEST_CASE("weights frozen as float") { check_frozen<float, float>(4e-6); }
TEST_CASE("weights frozen as bf16") { check_frozen<float, hb::bf16>(4e-6); }
TEST_CASE("weights frozen as half") { check_frozen<float, hb::half>(4e-6); }
