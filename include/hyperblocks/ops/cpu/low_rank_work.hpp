// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LowRankWork: what low-rank updates need before they ride along with a product: scale x A^T, and B and C in
// panels unless they came so. The product's own tasks do it, in pieces that whoever comes claims, and go on
// when all pieces are done: one wake-up of the threads for everything.
#pragma once

#include <atomic>
#include <span>
#include <thread>

#include <hyperblocks/ops/cpu/device.hpp>
#include <hyperblocks/ops/cpu/kernels/row_kernels.hpp>
#include <hyperblocks/ops/low_rank.hpp>

namespace hyperblocks::cpu {

/// Pieces of work that the tasks of one run share out. Only pieces that a running task has claimed are waited
/// for, never a task that has not begun.
class SharedPieces {
 public:
  template <class F>
  void finish(Index count, F f) {
    for (Index i = 0; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) {
      f(i);
      finished_.fetch_add(1, std::memory_order_release);
    }
    for (int turn = 1; finished_.load(std::memory_order_acquire) < count; ++turn)
      turn % 4096 == 0 ? std::this_thread::yield() : detail::pause();  // its thread may wait for this core
  }

 private:
  std::atomic<Index> next_{0}, finished_{0};
};

template <RealScalar Scalar>
class LowRankWork {
  using Sum = Accumulator<Scalar>;

 public:
  using Rider = RowSegment<Sum, Scalar>;

  /// For x (m, in) and at most so many updates; scratch comes from the arena.
  LowRankWork(Cpu& cpu, Strided<const Scalar> x, Index m, Index in, Index updates)
      : cpu_(cpu), x_(x), m_(m), in_(in), shrink_(kernels::shrink_kernel<Scalar>(cpu.isa())) {
    parts_ = static_cast<Part*>(cpu.arena().take(static_cast<std::size_t>(updates) * sizeof(Part)));
    riders_ = static_cast<Rider*>(cpu.arena().take(static_cast<std::size_t>(2 * updates) * sizeof(Rider)));
  }

  /// An update of y (m, out) and those linked to it; the riders that they are.
  template <class Update>
  std::span<const Rider> add(const Update& updates, Index out) {
    const Index first = rider_count_;
    each_update(updates, [&](const Update& update) {
      add_one({update.first_row, update.row_count(m_), update.rank(), update.a.form(), update.b.form(),
               update.a.data(), update.b.data(), update.packed_b, update.bias.data(), update.scale},
              out);
    });
    return {riders_ + first, static_cast<std::size_t>(rider_count_ - first)};
  }

  /// Returns when everything that the riders need is there.
  void operator()() {
    shared_.finish(pieces_, [&](Index piece) { do_piece(piece); });
  }

 private:
  // Small enough to be shared out, large enough for the kernels.
  static constexpr Index rows_at_once = 8, ranks_at_once = 64, columns_at_once = 32 * panel_columns<Scalar>;
  static constexpr Sum one_ = 1;

  // An update without sizes in its type: what follows is compiled once for all linears.
  struct Untyped {
    Index first_row, rows, rank;
    FactorForm a_form, b_form;
    const Scalar *a, *b, *packed_b, *c;
    double scale;
  };

  struct Part {
    Index first_row, rows, rank, out;
    Sum scale;
    Index first_piece, shrink_pieces = 0, pack_pieces = 0;
    const Scalar* a = nullptr;  // (rank, in)
    Sum* shrunk = nullptr;      // (rows, rank)
    Strided<const Scalar> b = {};
    Scalar* packed_b = nullptr;
    const Scalar* c = nullptr;
    Scalar* packed_c = nullptr;
  };

  static Index pieces_of(Index size, Index at_once) { return detail::ceil_divide(size, at_once); }

  void add_one(const Untyped& update, Index out) {
    const auto& [first_row, rows, rank, a_form, b_form, a, b, packed_b, c, scale] = update;
    Part part{first_row, rows, rank, out, static_cast<Sum>(scale), pieces_};
    if (a != nullptr && rows > 0) {
      part.a = a_form == FactorForm::rows ? a : turned(a, rank);
      part.shrunk = take<Sum, dyn>(cpu_, rows * rank).data();
      part.shrink_pieces = pieces_of(rows, rows_at_once) * pieces_of(rank, ranks_at_once);
      const Scalar* panels = packed_b;
      if (panels == nullptr) {
        part.b = b_form == FactorForm::columns ? Strided<const Scalar>{b, 1, rank}
                                               : Strided<const Scalar>{b, out, 1};
        part.packed_b = take<Scalar, dyn>(cpu_, packed_size<Scalar>(rank, out)).data();
        part.pack_pieces = pieces_of(out, columns_at_once);
        panels = part.packed_b;
      }
      riders_[rider_count_++] = {first_row, rows, {{part.shrunk, rank}, panels, rank}};
    }
    if (c != nullptr && rows > 0) {
      part.c = c;
      part.packed_c = take<Scalar, dyn>(cpu_, packed_size<Scalar>(1, out)).data();
      riders_[rider_count_++] = {first_row, rows, {{&one_, 0}, part.packed_c, 1}};
    }
    pieces_ += part.shrink_pieces + part.pack_pieces + (part.c != nullptr ? 1 : 0);
    parts_[part_count_++] = part;
  }

  // A (in, rank) as (rank, in), which is how the kernel reads it.
  const Scalar* turned(const Scalar* a, Index rank) {
    Scalar* const rows = take<Scalar, dyn>(cpu_, rank * in_).data();
    detail::transpose(a, rank, in_, rank, rows, in_);
    return rows;
  }

  void do_piece(Index piece) {
    const Part* part = parts_ + part_count_ - 1;
    while (part->first_piece > piece) --part;
    piece -= part->first_piece;
    if (piece < part->shrink_pieces) return shrink(*part, piece);
    piece -= part->shrink_pieces;
    if (piece < part->pack_pieces) return pack_columns(part->b, part->rank, part->out, piece, part->packed_b);
    for (Index all = 0; all < pieces_of(part->out, columns_at_once); ++all)
      pack_columns({part->c, part->out, 1}, 1, part->out, all, part->packed_c);
  }

  void shrink(const Part& part, Index piece) const {
    const Index across = pieces_of(part.rank, ranks_at_once);
    const Index row = piece / across * rows_at_once, rank = piece % across * ranks_at_once;
    shrink_(&x_(part.first_row + row, 0), x_.row_stride, detail::smaller(rows_at_once, part.rows - row),
            part.a, rank, detail::smaller(rank + ranks_at_once, part.rank), in_, part.scale,
            part.shrunk + row * part.rank, part.rank);
  }

  // Some panels of a (k, out) matrix.
  static void pack_columns(Strided<const Scalar> matrix, Index k, Index out, Index piece, Scalar* packed) {
    constexpr Index width = panel_columns<Scalar>;
    const Index last = detail::smaller((piece + 1) * columns_at_once, out);
    for (Index column = piece * columns_at_once; column < last; column += width)
      detail::pack_panel(matrix.block(0, column), k, detail::smaller(width, out - column),
                         packed + column / width * panel_size<Scalar>(k));
  }

  Cpu& cpu_;
  Strided<const Scalar> x_;
  Index m_, in_;
  decltype(kernels::shrink_kernel<Scalar>(Isa{})) shrink_;
  Part* parts_;
  Rider* riders_;
  Index part_count_ = 0, rider_count_ = 0, pieces_ = 0;
  SharedPieces shared_;
};

}  // namespace hyperblocks::cpu
