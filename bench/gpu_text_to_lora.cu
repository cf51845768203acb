// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text-to-LoRA of size L at Mistral-7B's shapes on a GPU, in bf16, with numbers that repeat for weights: the
// adapter of a description's embedding, beside the 26 microseconds in which its weights are read.
//   build/release/bench/gpu_text_to_lora [results.jsonl]
#include <hyperblocks/hypernets/text_to_lora.hpp>
#include <hyperblocks/models/decoders.hpp>

#include "gpu_report.hpp"

namespace hb = hyperblocks;
using hb::Cuda, hb::Index;
using namespace hb::bench;

namespace {

using Model = hb::Decoder<hb::specs::mistral_7b_instruct_v0_2, hb::bf16, Cuda>;
using Net = hb::TextToLora<Model, hb::TextToLoraSpec{}, hb::Frozen<hb::bf16>>;

void measure_generation(Cuda& cuda, Clock& clock, Report& report) {
  constexpr double floor = 26;  // microseconds
  auto net = hb::make<Net::Params>(cuda);
  fill_cheaply(cuda, net);
  hb::Tensor<hb::bf16, Cuda, hb::dyn, 1024> embedding(cuda, 1);
  hb::Tensor<hb::bf16, Cuda, hb::dyn> factors(cuda, Net::numbers);
  hb::Random random(2);
  hb::fill_uniform(cuda, embedding, random, 1);
  const auto forward = [&] { Net::forward(cuda, net, {.x = embedding}, {.factors = factors}); };
  hb::cuda::Graph recorded(cuda, forward);
  const auto times = clock.measure({forward, [&] { recorded.run(); }});
  report.add("Text-to-LoRA L, Mistral-7B", times[0], times[0].best() / floor, "x the floor", 0);
  report.add("Text-to-LoRA L, Mistral-7B, recorded", times[1], times[1].best() / floor, "x the floor", 0);
}

}  // namespace

int main(int count, char** arguments) { return measure(count, arguments, measure_generation); }
