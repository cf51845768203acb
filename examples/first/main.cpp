// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One pass of a hypernetwork: a document goes in, an update of rank 2 for a frozen linear comes out.
#include <hyperblocks/hyperblocks.hpp>

#include <cstdio>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn;

using Reader =
    hb::Resampler<hb::ResamplerSpec{.latents = 4,
                                    .blocks = 2,
                                    .layer = {.hidden = 64, .context = 32, .heads = 4, .inner = 128}},
                  float, Cpu>;
using Base = hb::Linear<hb::LinearSpec{.in = 64, .out = 64}, float, Cpu, hb::Frozen<hb::bf16>>;

int main() {
  Cpu cpu;
  hb::Random random(1);
  const auto reader = hb::initialised<Reader>(cpu, random);
  const auto base = hb::initialised<Base>(cpu, random);
  hb::Tensor<float, Cpu, dyn, 32> document(cpu, 100);  // 100 tokens
  hb::Tensor<float, Cpu, dyn, 64> factors(cpu, 4), x(cpu, 1), plain(cpu, 1), updated(cpu, 1);
  hb::fill_normal(cpu, document, random, 1);
  hb::fill_normal(cpu, x, random, 1);

  Reader::forward(cpu, reader, {.x = document}, factors);
  const Base::Updates<const float> update{.a = factors.view().slice(0, 2),  // (rank, in), and (out, rank)
                                          .b = factors.view().slice(2, 2).reshape<64, dyn>(2),
                                          .scale = 0.01};
  Base::forward(cpu, base, x, plain);
  Base::forward(cpu, base, {x, update}, updated);
  std::printf("%td parameters read 100 tokens; y(0) was %.3f and is %.3f\n", hb::count(reader), plain(0, 0),
              updated(0, 0));
}
