// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are either a GGUF file whose values, tensors and perhaps spec can be read, or an Error.
#include <hyperblocks/io/config_gguf.hpp>

namespace hb = hyperblocks;

namespace {

/// Asks for a value as T: it is there, or there is an Error.
template <class T>
void ask(const hb::GgufFile& file, std::string_view key) {
  try {
    file.get<T>(key);
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
}

void read(const hb::GgufFile& file, const std::string& name, const hb::GgufTensor& tensor) {
  const auto blocks = tensor.bytes.size() / tensor.format->bytes;
  std::vector<float> values(blocks * static_cast<std::size_t>(tensor.format->numbers));
  file.read<float>(name, tensor.shape, values);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file = hb::GgufFile::from_bytes("input", std::as_bytes(std::span(data, size)));
    for (const auto& [key, value] : file.metadata()) {
      ask<bool>(file, key);
      ask<std::int8_t>(file, key);
      ask<std::uint64_t>(file, key);
      ask<double>(file, key);
      ask<std::string_view>(file, key);
      ask<std::vector<std::string_view>>(file, key);
      ask<std::vector<std::int32_t>>(file, key);
      ask<std::vector<float>>(file, key);
      ask<std::vector<bool>>(file, key);
    }
    for (const auto& [name, tensor] : file.tensors()) read(file, name, tensor);
    hb::decoder_spec_from_gguf(file);
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
