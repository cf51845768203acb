// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: hyperblocks: an MLP needs sizes of one or more
// expect: MlpSizes<64, 0, 64>
#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;

using Block = hb::GluMlp<hb::GluMlpSpec{.hidden = 64}, float, hb::Cpu>;
using Tape = Block::Tape;
