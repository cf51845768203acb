// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are either a config.json of a model that is supported, or an Error.
#include <hyperblocks/io/config_json.hpp>

namespace hb = hyperblocks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto json = hb::parse_json(std::as_bytes(std::span(data, size)), "input");
    hb::decoder_spec_from_config(json, "input");
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
