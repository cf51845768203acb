// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// pieces: a long document's ids in even pieces, each with what a chat template puts around a document: the
// document's own ids begin with the prefix and end with the suffix, so the first piece gets a suffix, the
// last a prefix, those between both.
#pragma once

#include <string>
#include <vector>

#include <hyperblocks/models/generate.hpp>

namespace hyperblocks {

struct PiecesOptions {
  Index most = 512;  ///< ids of a piece, prefix and suffix not counted; 0: the document is one piece
  Tokens prefix = {}, suffix = {};
};

inline std::vector<Tokens> pieces(const Tokens& ids, const PiecesOptions& options) {
  check(!ids.empty(), [] { return Error("an empty document", "pieces", "one id or more", "none"); });
  check(options.most >= 0, [&] {
    return Error("impossible length of pieces", "pieces", "0 or more", std::to_string(options.most));
  });
  const std::size_t most = options.most > 0 ? static_cast<std::size_t>(options.most) : ids.size();
  const std::size_t count = (ids.size() + most - 1) / most, each = (ids.size() + count - 1) / count;
  std::vector<Tokens> result;
  for (std::size_t first = 0; first < ids.size(); first += each) {
    Tokens& piece = result.emplace_back();
    const std::size_t last = std::min(first + each, ids.size());
    if (first > 0) piece = options.prefix;
    piece.insert(piece.end(), ids.data() + first, ids.data() + last);
    if (last < ids.size()) piece.insert(piece.end(), options.suffix.begin(), options.suffix.end());
  }
  return result;
}

}  // namespace hyperblocks
