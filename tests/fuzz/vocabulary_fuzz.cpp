// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are a GGUF file with a tokenizer, or an Error; the tokenizer takes any text: the file's last
// bytes.
#include <hyperblocks/text/load_tokenizer.hpp>

#include "support/tokenizer_check.hpp"

namespace hb = hyperblocks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const auto file = hb::GgufFile::from_bytes("input", std::as_bytes(std::span(data, size)));
    const auto tokenizer = hb::Tokenizer::from_gguf_parts(hb::gguf_vocabulary(file));
    hb::test::check_takes(tokenizer, input.substr(size - std::min<std::size_t>(size, 200)));
    hb::end_tokens(tokenizer);
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
