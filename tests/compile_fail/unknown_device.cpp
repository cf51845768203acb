// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: no operations for this device: include <hyperblocks/ops/cpu/cpu.hpp> for Cpu
// errors: 8
#include <hyperblocks/blocks/linear.hpp>

// A device whose operations nobody included.
namespace hb = hyperblocks;
struct AnyDevice : hb::Memory {
  hb::Arena& arena();
};
using Layer = hb::Linear<hb::LinearSpec{.in = 4, .out = 8}, float, AnyDevice>;
void caller(AnyDevice& device, const Layer::Params& params, Layer::Input x, Layer::Output y) {
  Layer::forward(device, params, x, y);
}
