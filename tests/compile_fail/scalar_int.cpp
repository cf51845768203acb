// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: RealScalar
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
using Layer = hb::Linear<hb::LinearSpec{.in = 4, .out = 3}, int, hb::Cpu>;
