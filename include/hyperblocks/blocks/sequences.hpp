// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Sequences: which rows of a matrix belong together, and along which axis they are attended.
#pragma once

#include <hyperblocks/ops/attention.hpp>

namespace hyperblocks {

/// Which rows of a matrix form sequences. Not given: all rows are one. The strides, in rows, choose the axis:
/// the rows of (layers, tokens) are layers sequences along the tokens as {layers, tokens}, and tokens
/// sequences along the layers as {tokens, layers, 1, tokens}.
struct Sequences {
  Index count = 0, length = 0;
  Index count_stride = 0, length_stride = 1;

  Sequences() = default;
  Sequences(Index count_, Index length_) : Sequences(count_, length_, length_, 1) {}
  Sequences(Index count_, Index length_, Index count_stride_, Index length_stride_)
      : count(count_), length(length_), count_stride(count_stride_), length_stride(length_stride_) {}

  /// Those of a matrix of so many rows, each of which must belong to one sequence.
  Sequences of(Index rows) const {
    if (count == 0 && length == 0) return {1, rows};
    const bool contiguous = count_stride == length && length_stride == 1;
    const bool interleaved = count_stride == 1 && length_stride == count;
    const bool covers = length > 0 ? rows % length == 0 && rows / length == count : rows == 0;
    check(count >= 0 && length >= 0 && covers && (contiguous || interleaved), [&] {
      return Error("the sequences do not cover the rows", "Attention",
                   std::to_string(rows) + " rows as {count, length} or {count, length, 1, count}",
                   "{" + std::to_string(count) + ", " + std::to_string(length) + ", " +
                       std::to_string(count_stride) + ", " + std::to_string(length_stride) + "}");
    });
    return *this;
  }

  /// Rows (count * length, heads * width) as the attention op takes them.
  template <class Scalar, class Device, Index columns>
  Heads<Scalar> heads_of(const View<Scalar, Device, dyn, columns>& x, Index heads) const {
    const Index width = x.columns() / heads;
    return {x.data(), count, length, heads, width, count_stride * x.columns(), length_stride * x.columns(),
            width};
  }
};

}  // namespace hyperblocks
