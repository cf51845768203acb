// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: rotary rank positions turn pairs of numbers: RotaryWidth<true, an even width>
// expect: RotaryWidth<true, 13>
// errors: 1
#include <hyperblocks/hypernets/text_to_lora.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;
inline constexpr hb::DecoderSpec base{
    .vocabulary = 20, .hidden = 12, .layers = 1, .heads = 2, .kv_heads = 2, .inner = 12, .positions = 8};
using Net =
    hb::TextToLora<hb::Decoder<base, float, hb::Cpu>,
                   hb::TextToLoraSpec{
                       .rank = 2, .embedding = 5, .latent = 14, .head_in = 6, .autoregressive = true}>;

void generate(hb::Cpu& cpu, const Net::Params& net, const Net::Input& input, const Net::Output& output) {
  Net::forward(cpu, net, input, output);
}
