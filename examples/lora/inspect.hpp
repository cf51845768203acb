// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// lora inspect: what an adapter holds, linear by linear, and what the programs that load it need.
#pragma once

#include <cstdio>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/adapters.hpp>

namespace hyperblocks::example {

/// The Frobenius norm of scale B A: |scale| sqrt(<B^T B, A A^T>), without the product.
inline double norm_of(Cpu& cpu, const HostFactors& factors) {
  if (factors.rank == 0) return 0;
  using Matrix = View<const float, Cpu, dyn, dyn>;
  const Matrix a(factors.a.data(), Shape<dyn, dyn>(factors.rank, factors.size.in));
  const Matrix b(factors.b.data(), Shape<dyn, dyn>(factors.size.out, factors.rank));
  Tensor<float, Cpu, dyn, dyn> rows(cpu, factors.rank, factors.rank),
      columns(cpu, factors.rank, factors.rank);
  ops::product<float>(cpu, a, a, {}, rows);
  ops::weight_gradient<float>(cpu, b, b, columns, Write::assign);
  double sum = 0;
  for (Index i = 0; i < rows.size(); ++i)
    sum += static_cast<double>(rows.data()[i]) * static_cast<double>(columns.data()[i]);
  return std::abs(factors.scale) * std::sqrt(std::max(sum, 0.0));
}

inline Index count_nan(const HostFactors& factors) {
  Index count = 0;
  for (const auto* const numbers : {&factors.a, &factors.b, &factors.bias})
    count += std::count_if(numbers->begin(), numbers->end(), [](float number) { return std::isnan(number); });
  return count;
}

inline std::uintmax_t bytes_on_disk(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return std::filesystem::file_size(path);
  return std::filesystem::file_size(path / "adapter_model.safetensors") +
         std::filesystem::file_size(path / "adapter_config.json");
}

/// What is to be said to those who load it. vLLM and llama.cpp know one scale for all linears.
inline void print_needs(const std::filesystem::path& path, const HostAdapter& adapter) {
  Index rank = 0;
  bool bias = false, uniform = true;
  for (const auto& [at, factors] : adapter.linears) {
    rank = std::max(rank, factors.rank);
    bias = bias || !factors.bias.empty();
    const HostFactors& first = adapter.linears.begin()->second;
    uniform = uniform && factors.rank == first.rank && factors.scale == first.scale;
  }
  const bool gguf = names_gguf(path);
  const Index most = vllm_rank(rank);
  std::printf("PEFT: %s%s\n", gguf ? "once converted; " : "",
              bias ? "0.14 or newer, for lora_bias" : "any version");
  if (bias || most == 0)
    std::printf("vLLM: no (%s)\n", bias ? "it knows no bias" : "its largest rank is 512: compress it");
  else
    std::printf("vLLM: %s--max-lora-rank %td\n", gguf || !uniform ? "once converted; " : "", most);
  std::printf("llama.cpp: %s\n", bias ? "no (it knows no bias)" : gguf ? "--lora" : "--lora, once converted");
}

inline void inspect(Cpu& cpu, const std::filesystem::path& path, const HostAdapter& adapter) {
  std::printf("%5s  %-6s  %14s  %5s  %10s  %12s  %s\n", "layer", "linear", "in -> out", "rank", "scale",
              "|scale B A|", "C");
  Index nan = 0;
  std::map<Projection, std::set<Index>> layers;
  for (const auto& [at, factors] : adapter.linears) {
    const std::string size = std::to_string(factors.size.in) + " -> " + std::to_string(factors.size.out);
    std::printf("%5td  %-6s  %14s  %5td  %10.4g  %12.4g  %s\n", at.layer, name(at.projection), size.c_str(),
                factors.rank, factors.scale, norm_of(cpu, factors), factors.bias.empty() ? "-" : "yes");
    nan += count_nan(factors);
    layers[at.projection].insert(at.layer);
  }
  std::printf("\n%zu linears:", adapter.linears.size());
  for (const auto& [projection, of] : layers) std::printf(" %s in %zu layers;", name(projection), of.size());
  std::printf("\n%td numbers, %ju bytes on disk, %td NaN\n", adapter.count(), bytes_on_disk(path), nan);
  print_needs(path, adapter);
  if (std::none_of(adapter.linears.begin(), adapter.linears.end(),
                   [](const auto& linear) { return changes(linear.second); }))
    std::printf("It changes nothing: its factors are zero.\n");
}

}  // namespace hyperblocks::example
