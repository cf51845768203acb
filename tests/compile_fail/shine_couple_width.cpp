// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: a Shine's couple_width must divide every A and B: CoupleDivides<couple_width, numbers of A, of B>
// expect: CoupleDivides<7, 24, 24>
// errors: 5
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;
inline constexpr hb::DecoderSpec base{
    .vocabulary = 20, .hidden = 12, .layers = 1, .heads = 2, .kv_heads = 2, .inner = 12, .positions = 8};
using Net =
    hb::Shine<hb::Decoder<base, float, hb::Cpu>,
              hb::ShineSpec{.rank = 2,
                            .meta_rank = 1,
                            .m2p = {.blocks = 0, .couple_blocks = 1, .couple_width = 7, .couple_heads = 1}}>;

void generate(hb::Cpu& cpu, const Net::Params& net, const Net::Input& input, const Net::Output& output) {
  Net::forward(cpu, net, input, output);
}
