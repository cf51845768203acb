// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// y (m, n) = start + sum over segments of x (m, k) * packed panels (k, n): thin and large products with
// packed right operands. Two segments make the fused low-rank update y = W x + B' (A x) without a second pass
// over y. Each element of y is one chain of multiply-adds over k, segment after segment: its bits depend
// neither on m nor on the number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <tuple>

#include <hyperblocks/ops/cpu/isa.hpp>
#include <hyperblocks/ops/cpu/kernels/product_kernels.hpp>
#include <hyperblocks/ops/cpu/panels.hpp>

namespace hyperblocks::cpu {

/// Who computes, and with which instructions.
struct Execution {
  Parallel& threads;
  Isa isa = best_isa();
};

/// One summand: x (m, k) with any strides times packed panels (k, n).
template <RealScalar X, RealScalar Panel>
struct Segment {
  Strided<const X> x;
  const Panel* panels;
  Index k;
};

/// A summand of some rows of y only: `segment.x` begins with the first of them.
template <RealScalar X, RealScalar Panel>
struct RowSegment {
  Index first_row, rows;
  Segment<X, Panel> segment;
};

// What y starts from: nothing, its present value, or a row of n numbers for every row.
struct FromZero {};
struct Accumulate {};
template <RealScalar B>
struct FromBias {
  const B* row;  // null: zeros
};

namespace detail {

/// k at a time: the staged rows of x stay in the first-level cache, a block of panels in the second.
inline constexpr Index block_bytes = 2048;
static_assert(block_bytes <= kernels::staged_bytes);
/// Panels at a time.
inline constexpr Index block_panels = 8;

constexpr Index ceil_divide(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a < b ? b : a; }

/// What of the product one task computes: rows of tiles [first_tile, last_tile), columns of panels
/// [first_panel, last_panel).
struct ProductRange {
  Index first_tile, last_tile, first_panel, last_panel;
};

/// How rows become tiles and how both are dealt out to the threads.
class ProductGrid {
 public:
  ProductGrid(Index m, Index n, Index tile_rows, Index panel_width, Index threads)
      : m_(m), tiles_(ceil_divide(m, tile_rows)), panels_(ceil_divide(n, panel_width)) {
    Index least = tiles_ * panels_ + 1;
    for (Index down = 1; down <= smaller(threads, tiles_); ++down) {
      const Index across = smaller(threads / down, panels_);
      const Index longest = ceil_divide(tiles_, down) * ceil_divide(panels_, across);
      if (longest < least) least = longest, down_ = down, across_ = across;
    }
  }

  Index tasks() const { return down_ * across_; }
  ProductRange range(Index task) const {
    const Index i = task / across_, j = task % across_;
    return {tiles_ * i / down_, tiles_ * (i + 1) / down_, panels_ * j / across_, panels_ * (j + 1) / across_};
  }
  /// Tiles of even heights: a thin remainder would be slow.
  Index first_row(Index tile) const { return m_ * tile / tiles_; }

 private:
  Index m_, tiles_, panels_, down_ = 1, across_ = 1;
};

/// Brings rows of x together as \p To, a number for every k (zero where an odd k is made even).
template <class X, class To>
void stage(Isa isa, Strided<const X> x, Index rows, Index k, Index padded_k, To* staged) {
  constexpr Index stride = kernels::staged_bytes / static_cast<Index>(sizeof(To));
  if (std::same_as<X, To> && x.row_stride == 1 && x.column_stride != 1) {
    if constexpr (std::same_as<X, To>) transpose(x.data, x.column_stride, k, rows, staged, stride);
  } else {
    for (Index r = 0; r < rows; ++r) {
      const X* row = &x(r, 0);
      To* to = staged + r * stride;
      if (x.column_stride != 1) {
        for (Index i = 0; i < k; ++i) to[i] = scalar_cast<To>(row[i * x.column_stride]);
      } else if constexpr (std::same_as<X, To>) {
        std::memcpy(to, row, static_cast<std::size_t>(k) * sizeof(X));
      } else {
        kernels::row_widener<X>(isa)(row, k, to);
      }
    }
  }
  for (Index r = 0; k < padded_k && r < rows; ++r) staged[r * stride + k] = scalar_cast<To>(0.0f);
}

/// One task. Sums live in y itself where y holds them at full precision, else in a buffer of one tile.
template <class Y, class Start, class Main, class... Riders>
class ProductTask {
  using Sum = Accumulator<Y>;
  static constexpr Index width = panel_columns<Y>;
  static constexpr bool accumulates = std::same_as<Start, Accumulate>;
  static constexpr Index near_ahead = 4096;  // bytes; see the kernel's prefetch()
  static constexpr Index main_panel_bytes = static_cast<Index>(sizeof(*Main::panels));
  using Companion = RowSegment<Sum, Sum>;
  static constexpr bool has_companions =
      std::same_as<std::remove_cvref_t<decltype(*Main::panels)>, Sum> &&
      std::same_as<std::tuple<Riders...>, std::tuple<std::span<const Companion>>>;

 public:
  template <class Product>
  ProductTask(Isa isa, const ProductGrid& grid, const Product& product)
      : isa_(isa),
        y_(product.y),
        n_(product.n),
        start_(product.start),
        grid_(grid),
        main_(product.main),
        riders_(product.riders) {}

  void run(const ProductRange& range) {
    const Index whole_panels = holds_sums() ? smaller(range.last_panel, n_ / width) : range.first_panel;
    Index panel = range.first_panel;
    while (panel < range.last_panel) {
      const bool in_place = panel < whole_panels;
      const Index last = smaller(panel + panels_at_once(range), in_place ? whole_panels : range.last_panel);
      prepare_start(panel, last);
      if constexpr (std::same_as<Y, Sum>)
        if (in_place) run_in_place(range, panel, last);
      if (!in_place) run_buffered(range, panel, last);
      panel = last;
    }
  }

 private:
  /// A tile of sums, panels [first_panel, last_panel) wide; each call of advance() starts from `start`.
  struct Sums {
    Index first_row, rows, first_panel, last_panel;
    Sum* data;
    Index stride;
    const Sum* start;
    Index start_stride;
    Index x_row = first_row;  // where a segment's rows begin
    void started() { start = data, start_stride = stride; }
  };

  bool holds_sums() const { return std::same_as<Y, Sum> && y_.column_stride == 1; }

  // The row that sums start from, for this block of panels.
  void prepare_start([[maybe_unused]] Index first_panel, [[maybe_unused]] Index last_panel) {
    if constexpr (!std::same_as<Start, FromZero> && !accumulates)
      for (Index j = first_panel * width; j < last_panel * width; ++j)
        start_row_[j - first_panel * width] =
            start_.row != nullptr && j < n_ ? scalar_cast<Sum>(start_.row[j]) : Sum{0};
  }

  void run_in_place(const ProductRange& range, Index first_panel, Index last_panel) {
    const Index block = k_block(main_);
    Index k = 0;
    do {
      const Index next = smaller(k + block, main_.k);
      for (Index tile = range.first_tile; tile < range.last_tile; ++tile) {
        const Index row = grid_.first_row(tile);
        Sum* data = reinterpret_cast<Sum*>(&y_(row, first_panel * width));
        Sums sums{
            row, grid_.first_row(tile + 1) - row, first_panel, last_panel, data, y_.row_stride, start_row_,
            0};
        if (accumulates || k > 0) sums.started();
        const bool fetches = streams(range) && tile == range.first_tile + 1;
        const Companion* companion = next < main_.k ? nullptr : companion_of(sums, next - k);
        advance(main_, k, next, sums, fetches ? distance_ahead(k, next) : near_ahead, companion);
        if (next == main_.k) advance_riders(sums, companion != nullptr);
      }
      k = next;
    } while (k < main_.k);
  }

  void run_buffered(const ProductRange& range, Index first_panel, Index last_panel) {
    for (Index tile = range.first_tile; tile < range.last_tile; ++tile) {
      const Index row = grid_.first_row(tile);
      Sums sums{row,         grid_.first_row(tile + 1) - row,
                first_panel, last_panel,
                buffer_,     block_panels * width,
                start_row_,  0};
      if constexpr (accumulates) {
        for_each_element(sums, [](Sum& sum, Y& y) { sum = scalar_cast<Sum>(y); });
        sums.started();
      }
      advance_all(main_, sums);
      advance_riders(sums);
      for_each_element(sums, [](Sum& sum, Y& y) { y = scalar_cast<Y>(sum); });
    }
  }

  template <class F>
  void for_each_element(const Sums& sums, F f) {
    const Index column = sums.first_panel * width, columns = smaller(sums.last_panel * width, n_) - column;
    for (Index i = 0; i < sums.rows; ++i)
      for (Index j = 0; j < columns; ++j)
        f(sums.data[i * sums.stride + j], y_(sums.first_row + i, column + j));
  }

  // The first rider, if the call that finishes the main segment can take it along: it has all of the tile's
  // rows, and its x fits behind the `staged` numbers of the main one's.
  const Companion* companion_of([[maybe_unused]] const Sums& sums, [[maybe_unused]] Index staged) const {
    if constexpr (has_companions) {
      constexpr Index room = kernels::staged_bytes / static_cast<Index>(sizeof(Sum));
      const auto& riders = std::get<0>(riders_);
      if (riders.empty() || staged + riders[0].segment.k > room) return nullptr;
      const Index first = riders[0].first_row, last = first + riders[0].rows;
      if (first <= sums.first_row && sums.first_row + sums.rows <= last) return &riders[0];
    }
    return nullptr;
  }

  void advance_riders(Sums& sums, [[maybe_unused]] bool without_first = false) {
    if constexpr (has_companions) {
      advance_all(std::get<0>(riders_).subspan(without_first ? 1 : 0), sums);
    } else {
      std::apply([&](const auto&... rider) { (advance_all(rider, sums), ...); }, riders_);
    }
  }

  // Those of the tile's rows that each segment has.
  template <class X, class Panel>
  void advance_all(std::span<const RowSegment<X, Panel>> segments, const Sums& sums) {
    for (const auto& [first_row, rows, segment] : segments) {
      const Index first = larger(sums.first_row, first_row);
      const Index last = smaller(sums.first_row + sums.rows, first_row + rows);
      if (first >= last) continue;
      Sums some = sums;
      some.data += (first - sums.first_row) * sums.stride;
      some.first_row = first, some.rows = last - first, some.x_row = first - first_row;
      some.started();
      advance_all(segment, some);
    }
  }

  // The whole of a segment.
  template <class X, class Panel>
  void advance_all(const Segment<X, Panel>& segment, Sums& sums) {
    const Index block = k_block(segment);
    // Short panels are not fetched ahead: behind them may lie what another thread writes.
    const bool fetches = panel_size<Panel>(segment.k) * static_cast<Index>(sizeof(Panel)) > 2 * near_ahead;
    Index k = 0;
    do {
      advance(segment, k, smaller(k + block, segment.k), sums, fetches ? near_ahead : 0);
      k += block;
    } while (k < segment.k);
  }

  // A few tiles of rows times weights beyond the caches: the first tile waits for memory. There, blocks are
  // half as wide, and the second tile fetches the next block while it uses the present one (measured at m =
  // 16 and 32: 1.2x).
  bool streams(const ProductRange& range) const {
    const Index tiles = range.last_tile - range.first_tile;
    return tiles >= 2 && tiles <= 4 && main_.k * n_ * main_panel_bytes > (Index{16} << 20);
  }

  Index panels_at_once(const ProductRange& range) const {
    return streams(range) ? block_panels / 2 : block_panels;
  }

  // From [first, next) of a panel to the next block of the same panel, or of the one that follows the block
  // of panels.
  Index distance_ahead(Index first, Index next) const {
    using Panel = std::remove_cvref_t<decltype(*main_.panels)>;
    const Index rest = block_panels / 2 * panel_size<Panel>(main_.k) - first * width;
    return (next < main_.k ? (next - first) * width : rest) * main_panel_bytes;
  }

  // sums += x (rows, [first, last)) * panels ([first, last), columns), and then what the companion adds
  template <class X, class Panel>
  void advance(const Segment<X, Panel>& segment, Index first, Index last, Sums& sums, Index ahead,
               [[maybe_unused]] const Companion* companion = nullptr) {
    const auto& kernel = kernels_of(segment);
    const Index k = ceil_divide(last - first, panel_interleave<Panel>) * panel_interleave<Panel>;
    const auto x = segment.x.block(sums.x_row, first);
    if constexpr (can_pair<X, Panel>) {
      if (kernel.pairs)
        stage(isa_, x, sums.rows, last - first, k, reinterpret_cast<bf16*>(staged_));
      else
        stage(isa_, x, sums.rows, last - first, k, reinterpret_cast<Sum*>(staged_));
    } else {
      stage(isa_, x, sums.rows, last - first, k, reinterpret_cast<Sum*>(staged_));
    }
    using Part = typename kernels::ProductTile<Panel>::Part;
    const Index stride = panel_size<Panel>(segment.k);
    Part main{k, segment.panels + first * width, stride, ahead}, second{};
    if constexpr (has_companions && std::same_as<Panel, Sum>) {
      if (companion != nullptr) {
        const Segment<Sum, Sum>& rest = companion->segment;
        const auto shrunk = rest.x.block(sums.first_row - companion->first_row, 0);
        stage(isa_, shrunk, sums.rows, rest.k, rest.k, reinterpret_cast<Sum*>(staged_) + k);
        second = {rest.k, rest.panels, panel_size<Sum>(rest.k), 0};
      }
    }
    const auto at = [](Part part, Index panel) {
      part.panel += panel * part.panel_stride;
      return part;
    };
    const auto call = [&](auto function, Index panel) {
      const Index column = (panel - sums.first_panel) * width;
      function({staged_,
                {at(main, panel), at(second, panel)},
                sums.start + column,
                sums.start_stride,
                sums.data + column,
                sums.stride});
    };
    Index panel = sums.first_panel;
    const Index several = kernel.panels[sums.rows];
    for (; panel + several <= sums.last_panel; panel += several) call(kernel.several[sums.rows], panel);
    for (; panel < sums.last_panel; ++panel) call(kernel.one[sums.rows], panel);
    sums.started();
  }

  template <class X, class Panel>
  static constexpr bool can_pair = std::same_as<X, bf16>&& std::same_as<Panel, bf16>;

  template <class X, class Panel>
  const kernels::ProductKernels<Panel>& kernels_of(const Segment<X, Panel>&) const {
    return kernels::product_kernels<Panel>(isa_, can_pair<X, Panel>);
  }

  // Even blocks of at most block_bytes staged bytes.
  template <class X, class Panel>
  Index k_block(const Segment<X, Panel>& segment) const {
    const Index most = block_bytes / (kernels_of(segment).pairs ? 2 : static_cast<Index>(sizeof(Sum)));
    const Index blocks = segment.k == 0 ? 1 : ceil_divide(segment.k, most);
    return ceil_divide(ceil_divide(segment.k, blocks), 2) * 2 + (segment.k == 0 ? 2 : 0);
  }

  Isa isa_;
  Strided<Y> y_;
  Index n_;
  [[no_unique_address]] Start start_;
  const ProductGrid& grid_;
  const Main& main_;
  const std::tuple<Riders...>& riders_;
  alignas(64) Sum start_row_[block_panels * width] = {};
  alignas(64) std::byte staged_[kernels::most_rows * kernels::staged_bytes];
  alignas(64) Sum buffer_[kernels::most_rows * block_panels * width];
};

}  // namespace detail

/// y (m, n) = start + main + riders, each of which is a Segment or a span of RowSegments. The main segment
/// should be the longest: it is blocked for the caches, the others ride along.
template <RealScalar Y, class Start, class Main, class... Riders>
struct PackedProduct {
  Strided<Y> y;
  Index n;
  Start start;
  Main main;
  std::tuple<Riders...> riders;
};
template <RealScalar Y, class Start, class Main, class... Riders>
PackedProduct<Y, Start, Main, Riders...> packed_product_of(Strided<Y> y, Index n, Start start,
                                                           const Main& main, const Riders&... riders) {
  return {y, n, start, main, {riders...}};
}

/// Products of m rows each, in one run of the threads whose every task calls `before` first. Allocates
/// nothing. Sums are in float (double for double); y is rounded once. k and n of zero are allowed.
template <class Before, class... Products>
void packed_products(Before&& before, const Execution& execution, Index m, const Products&... products) {
  if (m <= 0) return;
  const auto grid_of = [&]<class Y, class... Rest>(const PackedProduct<Y, Rest...>& product) {
    const Index rows = kernels::product_kernels<Accumulator<Y>>(execution.isa, false).rows;
    return detail::ProductGrid(product.n > 0 ? m : 0, product.n, rows, panel_columns<Y>,
                               execution.threads.count());
  };
  const std::array grids = {grid_of(products)...};
  Index tasks = 0;
  for (const auto& grid : grids) tasks = detail::larger(tasks, grid.tasks());
  const auto run = [&]<class Y, class Start, class Main, class... Riders>(
                       const detail::ProductGrid& grid, Index task,
                       const PackedProduct<Y, Start, Main, Riders...>& product) {
    if (product.n <= 0 || task >= grid.tasks()) return;
    detail::ProductTask<Y, Start, Main, Riders...> work(execution.isa, grid, product);
    work.run(grid.range(task));
  };
  execution.threads.run(tasks, [&](Index task) {
    before();
    std::size_t i = 0;
    (run(grids[i++], task, products), ...);
  });
}

template <RealScalar Y, class Start, class... Segments>
void packed_product(const Execution& execution, Strided<Y> y, Index m, Index n, Start start,
                    const Segments&... segments) {
  packed_products([] {}, execution, m, packed_product_of(y, n, start, segments...));
}

}  // namespace hyperblocks::cpu
