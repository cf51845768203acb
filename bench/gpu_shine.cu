// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// SHINE at Qwen3-8B's shapes on a GPU, in bf16, with numbers that repeat for weights: the adapter of a
// document of 1150 tokens, beside the 32 ms that its operations take at the rate of large products. Then
// tokens of the base under that adapter, step by step and as one recorded graph.
//   build/release/bench/gpu_shine [results.jsonl]            bench/gpu_hypernets_torch.py is the same in
//   PyTorch
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/models/decoders.hpp>

#include "gpu_report.hpp"

namespace hb = hyperblocks;
using hb::Cuda, hb::Index;
using namespace hb::bench;

namespace {

using Model = hb::Decoder<hb::specs::qwen3_8b, hb::bf16, Cuda>;
using Net = hb::Shine<Model, hb::ShineSpec{.rank = 8, .meta_rank = 128}, hb::Frozen<hb::bf16>>;
constexpr Index document = 1150, context = 2048;

void measure_generation(Cuda& cuda, Clock& clock, Report& report) {
  constexpr double floor = 32000;  // microseconds
  auto model = hb::make<Model::Params>(cuda);
  auto net = hb::make<Net::Params>(cuda);
  fill_cheaply(cuda, model), fill_cheaply(cuda, net);
  const Model::Positions positions(cuda, 4096);
  const std::vector<hb::Tokens> texts = {hb::Tokens(document, 7)};
  const auto times = clock.measure({[&] { (void)Net::generate(cuda, model, net, positions, texts); }}, 10, 1);
  report.add("SHINE, Qwen3-8B, 1150 tokens", times[0], times[0].best() / floor, "x the floor", 0);

  const auto adapter = Net::generate(cuda, model, net, positions, texts);
  Model::Cache cache(cuda, 1, context + 1);
  hb::Tensor<std::int32_t, Cuda, hb::dyn> ids(cuda, 1);
  hb::Tensor<hb::bf16, Cuda, hb::dyn, Model::vocabulary> logits(cuda, 1);
  for (const bool adapted : {false, true}) {
    Model::Input input{.ids = ids, .rotary = positions, .cache = &cache};
    if (adapted) input.updates = adapter.updates(0);
    const auto step = [&] {
      cache.lengths[0] = context;
      Model::forward(cuda, model, input, {.logits = logits});
    };
    hb::cuda::Graph recorded(cuda, step);
    const auto tokens = clock.measure({step, [&] { recorded.run(); }});
    const char* const what[] = {"a token, call by call", "a token, recorded"};
    for (std::size_t i = 0; i < 2; ++i)
      report.add(std::string(what[i]) + (adapted ? ", adapted" : ""), tokens[i], 1e6 / tokens[i].median(),
                 "tokens/s", 0);
  }
}

}  // namespace

int main(int count, char** arguments) { return measure(count, arguments, measure_generation); }
