// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Packing: short texts side by side in one sequence; and how many pieces a document is cut into, by chance.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

/// Which items share a bin, in the order in which bins were closed: each item goes into the first open bin
/// that has room; where none has and there are `open` of them, the fullest is closed. An item beyond the
/// limit has a bin of its own, which is closed at once.
inline std::vector<std::vector<std::size_t>> packed(std::span<const Index> sizes, Index limit,
                                                    std::size_t open = 100) {
  check(limit > 0 && open > 0, [&] {
    return Error("impossible bins", "packed", "a limit and a number of open bins of one or more",
                 std::to_string(limit) + " and " + std::to_string(open));
  });
  struct Bin {
    std::vector<std::size_t> items;
    Index filled = 0;
  };
  std::vector<Bin> bins;
  std::vector<std::vector<std::size_t>> closed;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] >= limit) {
      closed.push_back({i});
      continue;
    }
    auto bin = std::ranges::find_if(bins, [&](const Bin& each) { return each.filled + sizes[i] <= limit; });
    if (bin == bins.end()) {
      if (bins.size() == open) {
        const auto fullest = std::ranges::max_element(bins, {}, &Bin::filled);
        closed.push_back(std::move(fullest->items));
        bins.erase(fullest);
      }
      bin = bins.insert(bins.end(), Bin());
    }
    bin->items.push_back(i), bin->filled += sizes[i];
  }
  for (Bin& bin : bins) closed.push_back(std::move(bin.items));
  return closed;
}

/// Doc-to-LoRA's numbers of pieces in training: 1 with 1/2, 2 with 1/8, 3 to 8 with 1/16 each, as far as
/// pieces then have 25 to 512 tokens; where no such number is left, the nearest that they allow.
inline Index random_piece_count(Random& random, Index tokens) {
  constexpr Index least_tokens = 25, most_tokens = 512, most_pieces = 8;
  check(tokens > 0,
        [] { return Error("an empty document", "random_piece_count", "a token or more", "none"); });
  const auto ceiling = [](Index a, Index b) { return (a + b - 1) / b; };
  const Index least = ceiling(tokens, most_tokens), most = ceiling(tokens, least_tokens);
  if (least > most_pieces) return least;
  const auto weight = [](Index count) { return count == 1 ? 8 : count == 2 ? 2 : 1; };
  Index all = 0;
  for (Index count = least; count <= std::min(most, most_pieces); ++count) all += weight(count);
  auto drawn = static_cast<Index>(random.below(static_cast<std::size_t>(all)));
  Index count = least;
  for (; drawn >= weight(count); ++count) drawn -= weight(count);
  return count;
}

}  // namespace hyperblocks
