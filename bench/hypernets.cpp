// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A hypernetwork at SmolLM2-135M's shapes writes an adapter from the tokens 0 .. n - 1
// (bench/hypernets_torch.py makes the weights, and the same adapter in PyTorch): the best and the median time
// in seconds and this program's peak memory in GB; then the adapter, for comparison.
//   hypernets FOLDER SYSTEM TOKENS WEIGHTS ROUNDS
//     SYSTEM: shine, doc-to-lora, doc-to-lora-iterative, text-to-lora-small, text-to-lora-large;  WEIGHTS:
//     float, bf16 (computed in float) or all-bf16 (activations too)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/hypernets/text_to_lora.hpp>
#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_decoder.hpp>

#include "../examples/stages.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index;

namespace {

constexpr Index piece = 512;  // tokens

struct Job {
  std::filesystem::path folder;
  std::string system;
  Index tokens;
  int rounds;
};

hb::Tokens document(Index tokens) {
  hb::Tokens ids;
  for (Index i = 0; i < tokens; ++i) ids.push_back(static_cast<std::int32_t>(i));
  return ids;
}

/// Times f, which returns what has to_host(cpu), and writes that.
template <class F>
void measure(Cpu& cpu, const Job& job, F f) {
  std::vector<double> seconds;
  for (int round = 0; round < job.rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    (void)f();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(seconds);
  std::printf("%.4f %.4f %.3f\n", seconds.front(), seconds[seconds.size() / 2], hb::example::peak_memory());
  hb::write_adapter(job.folder / ("ours_" + job.system), f().to_host(cpu));
}

template <class Net>
typename Net::Params loaded(Cpu& cpu, const Job& job, const std::string& name) {
  auto params = hb::make<typename Net::Params>(cpu);
  hb::load(cpu, params, hb::SafetensorsFile(job.folder / (name + ".safetensors")));
  return params;
}

/// Text-to-LoRA of size L, from an embedding.
template <class Model, Index latent, Index head_in, class Stored>
void describe(Cpu& cpu, const Job& job) {
  using Net =
      hb::TextToLora<Model, hb::TextToLoraSpec{.latent = latent, .head_in = head_in}, hb::Frozen<Stored>>;
  const auto net = loaded<Net>(cpu, job, latent == 128 ? "text_to_lora_small" : "text_to_lora_large");
  std::vector<std::vector<float>> embeddings(1);
  for (int i = 0; i < 1024; ++i) embeddings[0].push_back(static_cast<float>(i * 37 % 101 - 50) / 50);
  measure(cpu, job, [&] { return Net::generate(cpu, net, embeddings); });
}

template <class Scalar, class Stored>
void run(const Job& job) {
  using Model = hb::Decoder<hb::specs::smollm2_135m, Scalar, Cpu, hb::Frozen<Stored>>;
  Cpu cpu({.threads = 2});
  if (job.system == "text-to-lora-small") return describe<Model, 128, 512, Stored>(cpu, job);
  if (job.system == "text-to-lora-large") return describe<Model, 512, 2048, Stored>(cpu, job);
  const auto model = hb::loaded_decoder<Model>(cpu, job.folder / "base");
  const typename Model::Positions positions(cpu, 1024);
  if (job.system == "shine") {
    using Net =
        hb::Shine<Model, hb::ShineSpec{.rank = 9, .meta_rank = 16, .m2p = {.heads = 9}}, hb::Frozen<Stored>>;
    const auto net = loaded<Net>(cpu, job, "shine");
    const std::vector<hb::Tokens> texts = {document(job.tokens)};
    measure(cpu, job, [&] { return Net::generate(cpu, model, net, positions, texts); });
  } else if (job.system.starts_with("doc-to-lora")) {
    using Net = hb::DocToLora<Model, hb::DocToLoraSpec{}, hb::Frozen<Stored>>;
    const auto net = loaded<Net>(cpu, job, "doc_to_lora");
    const hb::ContextReader<Model, hb::ContextSpec{}> reader(model, positions);
    std::vector<std::vector<hb::Tokens>> documents(1);
    const hb::Tokens ids = document(job.tokens);
    for (Index first = 0; first < job.tokens; first += piece)
      documents[0].emplace_back(ids.begin() + first, ids.begin() + std::min(first + piece, job.tokens));
    const bool iterative = job.system.ends_with("iterative");
    measure(cpu, job, [&] { return Net::generate(cpu, net, reader, documents, {.iterative = iterative}); });
  } else {
    throw hb::Error("there is no such system", "hypernets",
                    "shine, doc-to-lora, doc-to-lora-iterative, text-to-lora-small, text-to-lora-large",
                    job.system);
  }
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 6) {
    std::cerr << "usage: hypernets FOLDER SYSTEM TOKENS float|bf16|all-bf16 ROUNDS\n";
    return 2;
  }
  const Job job{arguments[1], arguments[2], std::stol(arguments[3]), std::stoi(arguments[5])};
  const std::string weights = arguments[4];
  if (weights == "all-bf16")
    run<hb::bf16, hb::bf16>(job);
  else if (weights == "bf16")
    run<float, hb::bf16>(job);
  else
    run<float, float>(job);
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
