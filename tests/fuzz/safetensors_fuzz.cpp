// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are either a safetensors file whose tensors can be read, or an Error.
#include <hyperblocks/io/safetensors.hpp>

namespace hb = hyperblocks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file = hb::SafetensorsFile::from_bytes("input", std::as_bytes(std::span(data, size)));
    for (const auto& [name, tensor] : file.tensors()) {
      std::vector<float> values(tensor.bytes.size() / hb::byte_size(tensor.dtype));
      file.read<float>(name, tensor.shape, values);
    }
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
