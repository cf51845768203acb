// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Doc-to-LoRA at Gemma-2-2b's shapes on a GPU, in bf16, with numbers that repeat for weights: the adapter of
// a document as long as SQuAD's, and of one of eight pieces.
//   build/release/bench/gpu_doc_to_lora [results.jsonl]
#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/models/decoders.hpp>

#include "gpu_report.hpp"

namespace hb = hyperblocks;
using hb::Cuda, hb::Index;
using namespace hb::bench;

namespace {

using Model = hb::Decoder<hb::specs::gemma2_2b, hb::bf16, Cuda>;
using Net = hb::DocToLora<Model, hb::DocToLoraSpec{}, hb::Frozen<hb::bf16>>;

void measure_generation(Cuda& cuda, Clock& clock, Report& report) {
  constexpr double floor = 2000;  // microseconds, of the short document
  auto model = hb::make<Model::Params>(cuda);
  auto net = hb::make<Net::Params>(cuda);
  fill_cheaply(cuda, model), fill_cheaply(cuda, net);
  const Model::Positions positions(cuda, 2048);
  const hb::ContextReader<Model, hb::ContextSpec{}> reader(model, positions);
  for (const std::size_t pieces : {1, 8}) {
    const Index tokens = pieces == 1 ? 180 : 512;
    const std::vector<std::vector<hb::Tokens>> documents = {
        std::vector<hb::Tokens>(pieces, hb::Tokens(static_cast<std::size_t>(tokens), 7))};
    const auto times = clock.measure({[&] { (void)Net::generate(cuda, net, reader, documents); }}, 10, 1);
    report.add(
        "Doc-to-LoRA, Gemma-2-2b, " + std::to_string(pieces) + " x " + std::to_string(tokens) + " tokens",
        times[0], pieces == 1 ? times[0].best() / floor : 0, "x the floor", 0);
  }
}

}  // namespace

int main(int count, char** arguments) { return measure(count, arguments, measure_generation); }
