// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are a tokenizer.json, a zero byte and a text: the file is an Error or a tokenizer, which takes
// any text and gives ids that it can decode.
#include <hyperblocks/text/chat_template.hpp>

#include "support/tokenizer_check.hpp"

namespace hb = hyperblocks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view file = input.substr(0, input.find('\0'));
  const std::string_view text = input.substr(std::min(size, file.size() + 1)).substr(0, 1000);
  try {
    const auto tokenizer = hb::Tokenizer::from_json("input", file);
    hb::test::check_takes(tokenizer, text);
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  try {
    hb::ChatTemplate::recognise(text).render(
        std::vector<hb::Message>{{"user", std::string(file.substr(0, 100))}});
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
  return 0;
}
