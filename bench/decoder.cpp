// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Prefill and decoding of SmolLM2-135M with weights kept as bf16 (numbers at random: time does not depend on
// them), computed in float: prefill/tokens:<n>/threads:<t> and decode/past:<n>/threads:<t>, in tokens per
// second.
#include <benchmark/benchmark.h>

#include <hyperblocks/hyperblocks.hpp>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

using Model = hb::Decoder<hb::specs::smollm2_135m, float, Cpu, hb::Frozen<hb::bf16>>;

struct Loaded {
  Cpu cpu{{.threads = 2}};
  hb::Random random{1};
  Model::Params params = hb::initialised<Model>(cpu, random);
  Model::Positions positions{cpu, 4096};
};

Loaded& loaded() {
  static Loaded model;
  return model;
}

void pass(Model::Cache& cache, Index tokens) {
  auto& [cpu, random, params, positions] = loaded();
  const hb::ArenaScope scope(cpu);
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, tokens);
  for (Index i = 0; i < tokens; ++i) ids(i) = static_cast<std::int32_t>(random.bits() % 49152);
  hb::Tensor<float, Cpu, dyn, 49152> logits(cpu, 1);
  Model::forward(cpu, params, {.ids = ids, .rotary = positions, .cache = &cache}, {.logits = logits});
}

void prefill(benchmark::State& state) {
  const Index tokens = state.range(0);
  Model::Cache cache(loaded().cpu, 1, tokens);
  for (auto _ : state) {
    cache.lengths[0] = 0;
    pass(cache, tokens);
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsIterationInvariantRate);
}

void decode(benchmark::State& state) {
  const Index past = state.range(0);
  Model::Cache cache(loaded().cpu, 1, past + 1);
  for (auto _ : state) {
    cache.lengths[0] = past;
    pass(cache, 1);
  }
  state.counters["tokens/s"] = benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK(prefill)->ArgName("tokens")->Arg(16)->Arg(128)->Arg(512)->UseRealTime()->Unit(
    benchmark::kMillisecond);
BENCHMARK(decode)->ArgName("past")->Arg(16)->Arg(128)->Arg(1024)->UseRealTime()->Unit(
    benchmark::kMillisecond);

BENCHMARK_MAIN();
