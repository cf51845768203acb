// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// attend_absorbed: cross attention of few queries on a long context without keys and values. As (W_q x) .
// (W_k c) = (W_k^T W_q x) . c, the queries of each key head are multiplied with its W_k, look at the context
// itself, and what they bring is multiplied with its W_v: work that grows with the queries, where making keys
// and values grows with the context.
#pragma once

#include <hyperblocks/blocks/sequences.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks::detail {

/// merged (rows, heads * width) from query (rows, heads * width) and the context. Queries lie sequence behind
/// sequence, and the mask is the same for all queries of one.
template <RealScalar Scalar, class Device, RealScalar Stored, Index query_width, Index key_width, Index in>
void attend_absorbed(Device& device, const AttentionOptions& options,
                     View<const Scalar, Device, dyn, query_width> query, const Sequences& queries,
                     const FrozenMatrix<Stored, Device, key_width, in>& key,
                     const FrozenMatrix<Stored, Device, key_width, in>& value,
                     View<const Scalar, Device, dyn, in> context, const Sequences& keys, Index key_heads,
                     View<Scalar, Device, dyn, query_width> merged) {
  const ArenaScope scope(device);
  // Heads that share a key head are rows of one product: (key heads, rows, shared, ..).
  const Index width = key_width / key_heads, columns = query_width / key_heads, shared = columns / width;
  const Index rows = query.rows(), group = rows * shared;
  const auto asked = take<Scalar, dyn, dyn>(device, group, width);
  const auto turned = take<Scalar, dyn, in>(device, key_heads * group);
  const auto read = take<Scalar, dyn, in>(device, key_heads * group);
  const auto as_rows = [&]<class S>(S* data, Index stride) {
    return Heads<S>{data, 1, rows, 1, columns, 0, stride, 0};
  };
  for (Index head = 0; head < key_heads; ++head) {
    ops::copy_heads<Scalar>(device, as_rows(query.data() + head * columns, query_width),
                            as_rows(asked.data(), columns));
    ops::input_gradient<Scalar>(device, asked, key.rows(head * width, width),
                                turned.slice(head * group, group), Write::assign);
  }
  const auto all = [&]<class S>(S* data) {
    return Heads<S>{data, queries.count, queries.length * shared, key_heads, in, queries.length * shared * in,
                    in,   group * in};
  };
  ops::attention<Scalar>(device, options, all(turned.data()), keys.heads_of(context, 1),
                         keys.heads_of(context, 1), all(read.data()), {});
  for (Index head = 0; head < key_heads; ++head) {
    ops::product<Scalar>(device, read.slice(head * group, group), value.rows(head * width, width), {}, asked);
    ops::copy_heads<Scalar>(device, as_rows(std::as_const(asked).data(), columns),
                            as_rows(merged.data() + head * columns, query_width));
  }
}

}  // namespace hyperblocks::detail
