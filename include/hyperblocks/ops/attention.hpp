// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention, the part that no device changes: out = softmax(cap tanh(scale q k^T / cap) + mask) v, head by
// head; where heads lie in memory, and which keys a query may see.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

/// (batch, tokens, heads, width) with any strides but the last, which is 1: the axis attended along is a
/// choice of strides, and a part of a fused matrix needs no copy.
template <class Scalar>
struct Heads {
  Scalar* data = nullptr;
  Index batch = 0, tokens = 0, heads = 0, width = 0;
  Index batch_stride = 0, token_stride = 0, head_stride = 0;

  std::array<Index, 4> shape() const { return {batch, tokens, heads, width}; }
  /// The numbers of one head of one token.
  Scalar* row(Index sequence, Index token, Index head) const {
    return data + sequence * batch_stride + token * token_stride + head * head_stride;
  }
  template <class Reader>
  requires(std::same_as<Reader, const Scalar> && !std::is_const_v<Scalar>) operator Heads<Reader>() const {
    return {data, batch, tokens, heads, width, batch_stride, token_stride, head_stride};
  }
};

/// The heads of contiguous rows (batch, tokens, hidden), hidden = heads * width.
template <class Scalar, class Device, Index... extents>
Heads<Scalar> heads_of(const View<Scalar, Device, extents...>& x, Index heads) {
  static_assert(sizeof...(extents) == 3, "hyperblocks: heads_of wants (batch, tokens, hidden)");
  const Index tokens = x.extent(1), hidden = x.columns();
  check(heads > 0 && hidden % heads == 0, [&] {
    return Error("the heads do not divide the hidden size", "heads_of",
                 "a divisor of " + std::to_string(hidden), std::to_string(heads));
  });
  const Index width = hidden / heads;
  return {x.data(), x.extent(0), tokens, heads, width, tokens * hidden, hidden, width};
}

/// The same rows attended along their first axis: of (layers, tokens, hidden), `tokens` sequences of layers.
template <class Scalar, class Device, Index... extents>
Heads<Scalar> heads_across(const View<Scalar, Device, extents...>& x, Index heads) {
  Heads<Scalar> across = heads_of(x, heads);
  std::swap(across.batch, across.tokens);
  std::swap(across.batch_stride, across.token_stride);
  return across;
}

/// Non-zero where a query may see a key; without `allowed` everywhere. A stride of 0 repeats: a padding mask
/// (batch, 1, 1, keys) has head_stride = query_stride = 0.
struct AttentionMask {
  const std::uint8_t* allowed = nullptr;
  Index batch_stride = 0, head_stride = 0, query_stride = 0, key_stride = 1;

  const std::uint8_t* row(Index sequence, Index head, Index query) const {
    if (allowed == nullptr) return nullptr;
    return allowed + sequence * batch_stride + head * head_stride + query * query_stride;
  }
};

/// Query i of `queries` has position keys - queries + i: the ends are aligned.
struct AttentionOptions {
  double scale = 1;
  double soft_cap = 0;  ///< scores become cap tanh(score / cap); 0: they stay
  bool causal = false;  ///< keys after the query's position are hidden
  Index window = 0;     ///< keys `window` or more before the query's position are hidden; 0: none
  AttentionMask mask;
};

struct KeyRange {
  Index begin, end;
};

/// The keys that causality and window leave to a query; both ends grow with the query.
inline KeyRange visible_keys(const AttentionOptions& options, Index query, Index queries, Index keys) {
  const Index position = keys - queries + query;
  const Index end = options.causal ? std::clamp<Index>(position + 1, 0, keys) : keys;
  return {options.window > 0 ? std::clamp<Index>(position - options.window + 1, 0, end) : 0, end};
}

}  // namespace hyperblocks
