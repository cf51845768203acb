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

/// NaN and infinities.
inline Index count_not_finite(const HostFactors& factors) {
  Index count = 0;
  for (const auto* const numbers : {&factors.a, &factors.b, &factors.bias})
    count +=
        std::count_if(numbers->begin(), numbers->end(), [](float number) { return !std::isfinite(number); });
  return count;
}

inline std::uintmax_t bytes_on_disk(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return std::filesystem::file_size(path);
  return std::filesystem::file_size(path / "adapter_model.safetensors") +
         std::filesystem::file_size(path / "adapter_config.json");
}

inline bool has_bias(const HostAdapter& adapter) {
  return std::any_of(adapter.linears.begin(), adapter.linears.end(),
                     [](const auto& linear) { return !linear.second.bias.empty(); });
}

/// Whether vLLM loads an adapter, and with what.
inline std::string vllm_needs(const HostAdapter& adapter, bool converted) {
  if (has_bias(adapter)) return "no (it knows no bias)";
  Index rank = 1;
  for (const auto& [at, factors] : adapter.linears) rank = std::max(rank, factors.rank);
  if (vllm_rank(rank) == 0) return "no (its largest rank is 512: compress it)";
  return (converted ? "" : "once converted; ") + ("--max-lora-rank " + std::to_string(vllm_rank(rank)));
}

/// What is to be said to those who load it. vLLM and llama.cpp know one scale for all linears.
inline void print_needs(const std::filesystem::path& path, const HostAdapter& adapter) {
  const bool gguf = names_gguf(path), bias = has_bias(adapter);
  const HostFactors& first = adapter.linears.begin()->second;
  const bool uniform = std::all_of(adapter.linears.begin(), adapter.linears.end(), [&](const auto& linear) {
    return linear.second.rank == first.rank && linear.second.scale == first.scale;
  });
  std::printf("PEFT: %s%s\n", gguf ? "once converted; " : "",
              bias ? "0.14 or newer, for lora_bias" : "any version");
  std::printf("vLLM: %s\n", vllm_needs(adapter, !gguf && uniform).c_str());
  std::printf("llama.cpp: %s\n", bias ? "no (it knows no bias)" : gguf ? "--lora" : "--lora, once converted");
}

inline void inspect(Cpu& cpu, const std::filesystem::path& path, const HostAdapter& adapter) {
  std::printf("%5s  %-6s  %14s  %5s  %10s  %12s  %s\n", "layer", "linear", "in -> out", "rank", "scale",
              "|scale B A|", "C");
  Index wrong = 0;
  std::map<Projection, std::set<Index>> layers;
  for (const auto& [at, factors] : adapter.linears) {
    const std::string size = std::to_string(factors.size.in) + " -> " + std::to_string(factors.size.out);
    std::printf("%5td  %-6s  %14s  %5td  %10.4g  %12.4g  %s\n", at.layer, name(at.projection), size.c_str(),
                factors.rank, factors.scale, norm_of(cpu, factors), factors.bias.empty() ? "-" : "yes");
    wrong += count_not_finite(factors);
    layers[at.projection].insert(at.layer);
  }
  std::printf("\n%zu linears:", adapter.linears.size());
  for (const auto& [projection, of] : layers) std::printf(" %s in %zu layers;", name(projection), of.size());
  std::printf("\n%td numbers, %ju bytes on disk, %td NaN or infinite\n", adapter.count(), bytes_on_disk(path),
              wrong);
  print_needs(path, adapter);
  if (std::none_of(adapter.linears.begin(), adapter.linears.end(),
                   [](const auto& linear) { return changes(linear.second); }))
    std::printf("It changes nothing: scale B A is zero.\n");
}

}  // namespace hyperblocks::example
