// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a block in double takes weights frozen as double, other blocks take others
#include <hyperblocks/hyperblocks.hpp>

// Weights that are frozen as double under a block in float.
namespace hb = hyperblocks;
using Layer = hb::Linear<hb::LinearSpec{.in = 4, .out = 3}, float, hb::Cpu, hb::Frozen<double>>;
constexpr auto size = sizeof(Layer::Params);
