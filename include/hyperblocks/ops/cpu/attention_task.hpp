// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What attention's forward and backward share on the Cpu: products of tiles, rows, blocks of keys, packing.
// The query heads that share a key head are rows of one product: row = query * group + head % group.
#pragma once

#include <hyperblocks/ops/attention.hpp>
#include <hyperblocks/ops/cpu/kernels/attention_kernels.hpp>
#include <hyperblocks/ops/cpu/rows.hpp>

namespace hyperblocks::cpu::detail {

/// y (rows, columns of panels) [+]= x (rows, k) * panels, with x staged and at most rows() rows.
template <class Sum>
class TileProduct {
 public:
  static constexpr Index stride = kernels::staged_bytes / static_cast<Index>(sizeof(Sum));
  static constexpr Index columns = panel_columns<Sum>;

  /// Panels [first, last) of a packed operand, `stride` numbers apart.
  struct Operand {
    const Sum* panels;
    Index stride;
    Index first, last;
  };

  explicit TileProduct(Isa isa) : table_(kernels::product_kernels<Sum>(isa, false)) {}

  Index rows() const { return table_.rows; }

  template <class Start>
  void run(Start, const Sum* x, Index rows, Index k, const Operand& right, Sum* y, Index y_stride) const {
    static constexpr Sum zeros[kernels::most_panels * columns] = {};
    constexpr bool accumulates = std::same_as<Start, Accumulate>;
    constexpr Index ahead = 1024;  // bytes: the panels are in the second-level cache
    const auto call = [&](auto function, Index panel) {
      Sum* const to = y + panel * columns;
      function({x,
                {{k, right.panels + panel * right.stride, right.stride, ahead}},
                accumulates ? to : zeros,
                accumulates ? y_stride : 0,
                to,
                y_stride});
    };
    Index panel = right.first;
    const Index several = table_.panels[rows];
    for (; panel + several <= right.last; panel += several) call(table_.several[rows], panel);
    for (; panel < right.last; ++panel) call(table_.one[rows], panel);
  }

 private:
  const kernels::ProductKernels<Sum>& table_;
};

/// Scratch, a slice for every thread.
template <class T>
class Slices {
 public:
  Slices(Cpu& cpu, Index size)
      : size_(ceil_divide(size, 64) * 64), data_(take<T, dyn>(cpu, size_ * cpu.threads().count()).data()) {}
  T* operator[](Index part) const { return data_ + part * size_; }

 private:
  Index size_;
  T* data_;
};

template <class S>
class AttentionTask {
 protected:
  using Sum = Accumulator<S>;
  using Product = TileProduct<Sum>;
  static constexpr Index columns = Product::columns;

  /// Keys of a block, with the panels that hold them; both count from the block's beginning.
  struct Panels {
    Index first, last;
    Index begin() const { return first * columns; }
    Index end(Index size) const { return smaller(last * columns, size); }
  };
  /// Rows packed as the right operand of a product; whether all of their numbers are finite.
  struct PackedRows {
    const Sum* panels;
    Index stride;
    bool finite;
  };
  /// A key head of a sequence.
  struct Place {
    Index sequence, head;
  };

  AttentionTask(Cpu& cpu, const AttentionOptions& options, Heads<const S> q, Heads<const S> k,
                Heads<const S> v)
      : cpu_(cpu),
        options_(options),
        q_(q),
        k_(k),
        v_(v),
        group_(q.heads / k.heads),
        rows_(q.tokens * group_),
        product_(cpu.isa()) {
    check(std::max(q.width, v.width) <= Product::stride, [&] {
      return Error("the heads are too wide for the Cpu", "ops::attention",
                   "at most " + std::to_string(Product::stride) + " numbers of this scalar",
                   std::to_string(std::max(q.width, v.width)));
    });
  }

  static Index padded(Index width) { return ceil_divide(width, columns) * columns; }

  Place place(Index index) const { return {index / k_.heads, index % k_.heads}; }
  Index query(Index row) const { return row / group_; }
  Index head(Place at, Index row) const { return at.head * group_ + row % group_; }
  template <class T>
  T* row_of(Heads<T> heads, Place at, Index row) const {
    return heads.row(at.sequence, query(row), head(at, row));
  }
  /// Where a row's number lies in (batch, heads, queries).
  Index number_of(Place at, Index row) const {
    return (at.sequence * q_.heads + head(at, row)) * q_.tokens + query(row);
  }

  /// How many keys the sequence has.
  Index key_count(Place at) const { return options_.keys_of(at.sequence, q_.tokens, k_.tokens); }
  /// The keys that any of the rows [first, last) sees, but for the mask.
  KeyRange keys_of(Place at, Index first, Index last) const {
    return {visible(at, first).begin, visible(at, last - 1).end};
  }
  KeyRange visible(Place at, Index row) const {
    return visible_keys(options_, query(row), q_.tokens, key_count(at));
  }
  static Panels panels_of(KeyRange keys, Index block, Index block_size) {
    const Index begin = std::max(keys.begin - block, Index{0}), end = smaller(keys.end - block, block_size);
    return end <= begin ? Panels{0, 0} : Panels{begin / columns, ceil_divide(end, columns)};
  }

  kernels::ScoreRow<Sum> score_row(Place at, Index row, Index block, Panels panels, Sum* scores) const {
    const KeyRange keys = visible(at, row);
    const std::uint8_t* allowed = options_.mask.row(at.sequence, head(at, row), query(row));
    const Index stride = options_.mask.key_stride;
    return {scores,
            panels.begin(),
            panels.last * columns,
            keys.begin - block,
            keys.end - block,
            allowed == nullptr ? nullptr : allowed + block * stride,
            stride,
            static_cast<Sum>(options_.soft_cap)};
  }

  /// to (count) = alpha from
  template <class To, class From>
  void convert(Sum alpha, const From* from, To* to, Index count) const {
    HYPERBLOCKS_ROW_KERNEL_OF(cpu_, convert<To, From, Sum>)(alpha, from, to, count);
  }

  /// Rows of a tile, times alpha, as the product wants them.
  void stage(Sum alpha, Heads<const S> heads, Place at, Index first, Index rows, Sum* staged) const {
    for (Index r = 0; r < rows; ++r)
      convert(alpha, row_of(heads, at, first + r), staged + r * Product::stride, heads.width);
  }

  /// The transpose (width, keys) of a block's keys or values as panels, a panel's missing keys as zeros.
  void pack_columns(Heads<const S> heads, Place at, Index block, Panels keys, Index size, Sum* packed,
                    Sum* buffer) const {
    const Index width = heads.width;
    for (Index panel = keys.first; panel < keys.last; ++panel) {
      const Index key = panel * columns, count = smaller(columns, size - key);
      const S* from = heads.row(at.sequence, block + key, at.head);
      Sum* const to = packed + panel * columns * width;
      if constexpr (std::same_as<S, Sum>) {
        if (count == columns) {
          transpose(from, heads.token_stride, columns, width, to, columns);
          continue;
        }
      }
      for (Index i = 0; i < count; ++i) convert(1, from + i * heads.token_stride, buffer + i * width, width);
      std::fill(buffer + count * width, buffer + columns * width, Sum{0});
      transpose<Sum>(buffer, width, columns, width, to, columns);
    }
  }

  /// Rows [first, last) of `width` numbers as panels; row(i) says where the i-th lies.
  template <class Row>
  PackedRows pack_rows(Row row, Index first, Index last, Index width, Sum* packed, Index stride) const {
    const auto kernel =
        kernels::attention_kernel(cpu_.isa(), [](auto set) { return &decltype(set)::template pack_row<S>; });
    bool finite = true;
    for (Index i = first; i < last; ++i)
      finite = kernel(row(i), width, packed + i * columns, stride) && finite;
    return {packed, stride, finite};
  }

  /// sums (rows, width) += weights (rows, [begin, end)) * packed rows [begin, end). Weights of what a row
  /// does not see are zeros, but 0 * NaN is not: rows that are not finite are left out there, run by run.
  template <class Sees>
  void add_weighted(const Sum* weights, Index rows, Index begin, Index end, const PackedRows& packed,
                    Sees sees, Sum* sums, Index width) const {
    const auto add = [&](Index row, Index count, Index first, Index last) {
      product_.run(Accumulate{}, weights + row * Product::stride + first, count, last - first,
                   {packed.panels + first * columns, packed.stride, 0, width / columns}, sums + row * width,
                   width);
    };
    if (packed.finite) return add(0, rows, begin, end);
    for (Index row = 0; row < rows; ++row) {
      Index first = begin;
      for (Index i = begin; i < end; ++i) {
        if (sees(row, i)) continue;
        if (first < i) add(row, 1, first, i);
        first = i + 1;
      }
      if (first < end) add(row, 1, first, end);
    }
  }

  /// f(first, count) for tiles of [begin, end), of even heights.
  template <class F>
  void for_tiles(Index begin, Index end, F f) const {
    const Index size = end - begin, tiles = ceil_divide(size, product_.rows());
    for (Index tile = 0; tile < tiles; ++tile)
      f(begin + size * tile / tiles, size * (tile + 1) / tiles - size * tile / tiles);
  }

  Cpu& cpu_;
  const AttentionOptions& options_;
  Heads<const S> q_, k_, v_;
  Index group_, rows_;
  Product product_;
};

}  // namespace hyperblocks::cpu::detail
