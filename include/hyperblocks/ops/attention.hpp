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

#include <hyperblocks/ops/operands.hpp>

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
  constexpr Scalar* row(Index sequence, Index token, Index head) const {
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
/// (batch, keys) is {.allowed = bytes, .size = batch * keys, .batch_stride = keys}.
struct AttentionMask {
  const std::uint8_t* allowed = nullptr;
  Index size = 0;  ///< how many bytes there are
  Index batch_stride = 0, head_stride = 0, query_stride = 0, key_stride = 1;

  constexpr const std::uint8_t* row(Index sequence, Index head, Index query) const {
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
  AttentionMask mask = {};
  /// Where given, on the device: sequence i has past[i] + queries keys, and k and v room for more.
  const std::int32_t* past = nullptr;

  constexpr Index keys_of(Index sequence, Index queries, Index room) const {
    return past != nullptr ? std::clamp<Index>(past[sequence] + queries, 0, room) : room;
  }
};

struct KeyRange {
  Index begin, end;
};

/// The keys that causality and window leave to a query; both ends grow with the query.
constexpr KeyRange visible_keys(const AttentionOptions& options, Index query, Index queries, Index keys) {
  const Index position = keys - queries + query;
  const Index end = options.causal ? std::clamp<Index>(position + 1, 0, keys) : keys;
  return {options.window > 0 ? std::clamp<Index>(position - options.window + 1, 0, end) : 0, end};
}

}  // namespace hyperblocks

namespace hyperblocks::ops {

namespace detail {
/// Whether a mask has bytes for all (sequences, heads, queries, keys).
inline void check_mask(const char* where, const AttentionMask& mask, const std::array<Index, 4>& extents) {
  if (mask.allowed == nullptr || std::ranges::min(extents) <= 0) return;
  const std::array strides = {mask.batch_stride, mask.head_stride, mask.query_stride, mask.key_stride};
  Index last = 0;
  for (std::size_t i = 0; i < strides.size(); ++i) last += strides[i] * (extents[i] - 1);
  check(std::ranges::min(strides) >= 0 && last < mask.size, [&] {
    return Error("the mask does not fit the heads", where,
                 "strides of zero or more, " + std::to_string(last + 1) + " bytes for " + to_string(extents),
                 "strides " + to_string(strides) + ", " + std::to_string(mask.size) + " bytes");
  });
}

template <class Scalar>
void check_attention(const char* where, const AttentionOptions& options, Heads<const Scalar> q,
                     Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out) {
  const bool fits = k.shape() == std::array{q.batch, k.tokens, k.heads, q.width} &&
                    v.shape() == std::array{q.batch, k.tokens, k.heads, v.width} &&
                    out.shape() == std::array{q.batch, q.tokens, q.heads, v.width};
  check(fits, [&] {
    return Error("the heads' shapes do not fit", where,
                 "q (b, m, h, d), k (b, n, g, d), v (b, n, g, e), out (b, m, h, e)",
                 to_string(q.shape()) + ", " + to_string(k.shape()) + ", " + to_string(v.shape()) + ", " +
                     to_string(out.shape()));
  });
  check(k.heads > 0 && q.heads % k.heads == 0, [&] {
    return Error("the key heads do not divide the query heads", where,
                 "a divisor of " + std::to_string(q.heads), std::to_string(k.heads));
  });
  check(options.soft_cap >= 0 && options.window >= 0, [&] {
    return Error("impossible options", where, "soft cap and window of zero (none) or more",
                 std::to_string(options.soft_cap) + " and " + std::to_string(options.window));
  });
  check_mask(where, options.mask, {q.batch, q.heads, q.tokens, k.tokens});
}

/// Of each query with each key that causality and window let it see, `each` operations for every number of
/// the key and its value; of a cache all room counts.
template <class Scalar, class Device>
void count_attention(Device& device, const AttentionOptions& options, Heads<const Scalar> q,
                     Heads<const Scalar> k, Heads<const Scalar> v, Index each) {
  Index pairs = 0;
  for (Index query = 0; query < q.tokens; ++query) {
    const KeyRange keys = visible_keys(options, query, q.tokens, k.tokens);
    pairs += std::max<Index>(0, keys.end - keys.begin);
  }
  Work& work = device.work();
  const Index width = q.width + v.width;
  work.operations += static_cast<double>(q.batch * q.heads * pairs) * static_cast<double>(each * width);
  const Index numbers = q.batch * (q.tokens * q.heads + k.tokens * k.heads) * width;
  work.bytes += static_cast<double>(numbers * each) / 2 * sizeof(Scalar);
}

template <class Scalar>
void check_same(const char* where, Heads<const Scalar> expected, Heads<Scalar> found) {
  check(expected.shape() == found.shape(), [&] {
    return Error("a gradient's shape differs from its heads'", where, to_string(expected.shape()),
                 to_string(found.shape()));
  });
}
}  // namespace detail

/// to = from, whatever their strides.
template <RealScalar Scalar, class Device>
void copy_heads(Device& device, Heads<const Scalar> from, Heads<Scalar> to) {
  check(from.shape() == to.shape(), [&] {
    return Error("the heads' shapes differ", "ops::copy_heads", to_string(from.shape()),
                 to_string(to.shape()));
  });
  Ops<Device>::template copy_heads<Scalar>(device, from, to);
}

/// Every sequence's tokens, behind the past[i] ones that are there: to = from, from token past[i] on.
template <RealScalar Scalar, class Device>
void append_heads(Device& device, Heads<const Scalar> from, Heads<Scalar> to, Ids<Device> past) {
  check(
      from.tokens <= to.tokens && from.batch == to.batch && from.heads == to.heads && from.width == to.width,
      [&] {
        return Error("the heads' shapes do not fit", "ops::append_heads", to_string(to.shape()),
                     to_string(from.shape()));
      });
  detail::check_extent("ops::append_heads", "sequences and elements of past", from.batch, past.size());
  Ops<Device>::template append_heads<Scalar>(device, from, to, past);
}

/// out = softmax(scores) v with scores = cap(scale q k^T), over the keys that options let a query see; query
/// head h uses key head h / (q.heads / k.heads). A query that sees no key gives zeros. NaN and infinity in a
/// key or its value reach the queries that see the key, no others: hidden ones count for nothing whatever
/// they hold. log_sum_exp (batch * heads * queries), of the scores, is optional; backward wants it.
template <RealScalar Scalar, class Device>
void attention(Device& device, const AttentionOptions& options, Heads<const Scalar> q, Heads<const Scalar> k,
               Heads<const Scalar> v, Heads<Scalar> out, Row<Accumulator<Scalar>, Device> log_sum_exp) {
  detail::check_attention<Scalar>("ops::attention", options, q, k, v, out);
  if (log_sum_exp)
    detail::check_extent("ops::attention", "elements of log_sum_exp", q.batch * q.heads * q.tokens,
                         log_sum_exp.size());
  detail::count_attention<Scalar>(device, options, q, k, v, 2);
  Ops<Device>::template attention<Scalar>(device, options, q, k, v, out, log_sum_exp);
}

/// The gradients of q, k and v, assigned; out and log_sum_exp are forward's. Gradients overlap no input.
template <RealScalar Scalar, class Device>
void attention_backward(Device& device, const AttentionOptions& options, Heads<const Scalar> q,
                        Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out,
                        Row<const Accumulator<Scalar>, Device> log_sum_exp, Heads<const Scalar> dout,
                        Heads<Scalar> dq, Heads<Scalar> dk, Heads<Scalar> dv) {
  constexpr const char* where = "ops::attention_backward";
  check(options.past == nullptr,
        [] { return Error("keys of a cache have no gradients", where, "options without past", "past"); });
  detail::check_attention<Scalar>(where, options, q, k, v, out);
  detail::check_attention<Scalar>(where, options, q, k, v, dout);
  detail::check_same<Scalar>(where, q, dq);
  detail::check_same<Scalar>(where, k, dk);
  detail::check_same<Scalar>(where, v, dv);
  detail::check_extent(where, "elements of log_sum_exp", q.batch * q.heads * q.tokens, log_sum_exp.size());
  detail::count_attention<Scalar>(device, options, q, k, v, 5);
  Ops<Device>::template attention_backward<Scalar>(device, options, q, k, v, out, log_sum_exp, dout, dq, dk,
                                                   dv);
}

}  // namespace hyperblocks::ops
