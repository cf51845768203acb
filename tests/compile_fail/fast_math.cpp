// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: hyperblocks: results are wrong with -ffast-math
// errors: 1
#define __FAST_MATH__ 1
#include <hyperblocks/ops/cpu/cpu.hpp>
