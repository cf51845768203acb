// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What any tokenizer that was read must do with any text: give ids that it can decode to whole UTF-8.
#pragma once

#include <stdexcept>

#include <hyperblocks/text/tokenizer.hpp>

namespace hyperblocks::test {

inline void check_takes(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  const std::string whole = tokenizer.decode(ids, false);
  check(detail::valid_size(whole) == whole.size(), [] { return std::logic_error("broken UTF-8"); });
  StreamDecoder stream(tokenizer);
  for (const std::int32_t id : ids) stream.next(id);
  stream.finish();
}

}  // namespace hyperblocks::test
