// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a Shape's extents make more bytes than memory can have
// errors: 1
#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;

constexpr hb::Index large = hb::Index{1} << 32;
using Shape = hb::Shape<large, large>;
constexpr auto rank = Shape::static_extents.size();
