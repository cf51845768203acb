// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tensors of the host by name, on their way to a safetensors file.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <hyperblocks/io/safetensors.hpp>
#include <hyperblocks/lora/host_adapter.hpp>

namespace hyperblocks::example {

struct NamedTensor {
  std::vector<Index> shape;
  std::vector<float> numbers;
};
using NamedTensors = std::map<std::string, NamedTensor>;

inline void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  std::map<std::string, StoredTensor> stored;
  for (const auto& [name, tensor] : tensors)
    stored[name] = {DType::f32, tensor.shape, std::as_bytes(std::span(tensor.numbers))};
  write_safetensors(path, stored);
}

/// An adapter as plain tensors, layers.0.attention.query.a (rank, in) and .b (out, rank), with its scale in
/// b.
inline NamedTensors tensors_of(const HostAdapter& adapter) {
  NamedTensors tensors;
  for (const auto& [place, factors] : adapter.linears) {
    const bool attention = place.projection < Projection::gate;
    const std::string at = "layers." + std::to_string(place.layer) + (attention ? ".attention." : ".mlp.") +
                           name(place.projection);
    tensors[at + ".a"] = {{factors.rank, factors.size.in}, factors.a};
    NamedTensor& b = tensors[at + ".b"] = {{factors.size.out, factors.rank}, factors.b};
    for (float& number : b.numbers) number = static_cast<float>(factors.scale * static_cast<double>(number));
    if (!factors.bias.empty()) tensors[at + ".bias"] = {{factors.size.out}, factors.bias};
  }
  return tensors;
}

/// The numbers of a tensor of any shape, finite ones.
inline NamedTensor read_tensor(const std::filesystem::path& path, const std::string& name) {
  const SafetensorsFile file(path);
  check(file.contains(name), [&] {
    std::string names;
    for (const auto& [found, tensor] : file.tensors()) names += (names.empty() ? "'" : ", '") + found + "'";
    return Error("no such tensor", path.string(), "'" + name + "'", names.empty() ? "none" : names);
  });
  const StoredTensor& stored = file.tensor(name);
  NamedTensor tensor{stored.shape, std::vector<float>(stored.bytes.size() / byte_size(stored.dtype))};
  file.read<float>(name, stored.shape, tensor.numbers);
  for (const float number : tensor.numbers)
    check(std::isfinite(number), [&] {
      return Error("a number is not finite", path.string() + ": '" + name + "'", "finite numbers",
                   std::to_string(number));
    });
  return tensor;
}

}  // namespace hyperblocks::example
