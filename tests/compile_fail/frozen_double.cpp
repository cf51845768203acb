// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: double multiplies only with double
// errors: 4
#include <hyperblocks/hyperblocks.hpp>

// Weights that are frozen in double under a block in float.
namespace hb = hyperblocks;
using Layer = hb::Linear<hb::LinearSpec{.in = 4, .out = 3}, float, hb::Cpu, hb::Frozen<double>>;
void caller(hb::Cpu& cpu, const Layer::Params& params, Layer::Input x, Layer::Output y) {
  Layer::forward(cpu, params, x, y);
}
