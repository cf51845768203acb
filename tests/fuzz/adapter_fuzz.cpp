// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are either an adapter or an Error: a GGUF file, or a length, as many bytes of
// adapter_config.json, and adapter_model.safetensors.
#include <hyperblocks/io/adapters.hpp>

namespace hb = hyperblocks;

namespace {

hb::HostAdapter adapter_of(std::span<const std::byte> bytes) {
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0)
    return hb::read_gguf_adapter(hb::GgufFile::from_bytes("input", bytes), hb::AttentionHeads(4, 2));
  if (bytes.size() < 2) return {};
  const auto length =
      std::min<std::size_t>(hb::detail::number_at<std::uint16_t>(bytes.data()), bytes.size() - 2);
  const hb::detail::PeftConfig config(bytes.subspan(2, length), "config");
  const auto file = hb::SafetensorsFile::from_bytes("input", bytes.subspan(2 + length));
  return hb::detail::adapter_from_peft(config, file, "input");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    hb::check_adapter(adapter_of(std::as_bytes(std::span(data, size))), "input");
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
