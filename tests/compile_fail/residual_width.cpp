// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a Residual's block gives as many columns as it takes
// expect: ResidualKeepsWidth<4, 8>
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
using Net = hb::Residual<hb::Linear<hb::LinearSpec{.in = 4, .out = 8}, float, hb::Cpu>>;
constexpr hb::Index columns = Net::out;
