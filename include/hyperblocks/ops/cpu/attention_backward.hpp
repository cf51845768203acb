// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention backward on the Cpu. A task is one key head: block of keys by block of keys, and within it block
// of rows by block of rows,
//   p = e^(scores - log_sum_exp), ds = p (dout v^T - <dout, out>), dv += p^T dout, dk += ds^T q, dq += ds k.
#pragma once

#include <hyperblocks/ops/cpu/attention_task.hpp>

namespace hyperblocks::cpu::detail {

template <class S>
class AttentionBackward : AttentionTask<S> {
  using Base = AttentionTask<S>;
  using Sum = typename Base::Sum;
  using Product = typename Base::Product;
  using Place = typename Base::Place;
  using Panels = typename Base::Panels;
  using PackedRows = typename Base::PackedRows;
  static constexpr Index columns = Base::columns;
  static constexpr Index block_rows = 128, block_keys = 128;
  static_assert(block_rows <= Product::stride && block_keys <= Product::stride);

 public:
  AttentionBackward(Cpu& cpu, const AttentionOptions& options, Heads<const S> q, Heads<const S> k,
                    Heads<const S> v, Heads<const S> out, const Sum* log_sum_exp, Heads<const S> dout,
                    Heads<S> dq, Heads<S> dk, Heads<S> dv)
      : Base(cpu, options, q, k, v),
        out_(out),
        log_sum_exp_(log_sum_exp),
        dout_(dout),
        dq_(dq),
        dk_(dk),
        dv_(dv),
        key_width_(Base::padded(q.width)),
        value_width_(Base::padded(v.width)),
        key_columns_(cpu, block_keys * q.width),
        value_columns_(cpu, block_keys * v.width),
        key_rows_(cpu, block_keys * key_width_),
        query_rows_(cpu, block_rows * key_width_),
        dout_rows_(cpu, block_rows * value_width_),
        buffer_(cpu, columns * std::max(q.width, v.width)),
        staged_(cpu, kernels::most_rows * Product::stride),
        probabilities_(cpu, block_rows * Product::stride),
        slopes_(cpu, block_rows * Product::stride),
        query_sums_(cpu, Base::rows_ * key_width_),
        key_sums_(cpu, block_keys * key_width_),
        value_sums_(cpu, block_keys * value_width_),
        along_(cpu, Base::rows_) {}

  void run() {
    this->cpu_.threads().run(this->q_.batch * this->k_.heads,
                             [&](Index task, Index part) { run_head(this->place(task), part); });
  }

 private:
  /// `keys` keys from `key` on, packed, against `rows` rows from `row` on.
  struct Block {
    Place at;
    Index key, keys;
    Index row, rows;
    Panels panels;
    PackedRows key_rows;
  };

  void run_head(Place at, Index part) const {
    std::fill_n(query_sums_[part], this->rows_ * key_width_, Sum{0});
    for (Index row = 0; row < this->rows_; ++row) along_[part][row] = along(at, row);
    for (Index key = 0; key < this->k_.tokens; key += block_keys) run_keys(at, key, part);
    const auto scale = static_cast<Sum>(this->options_.scale);
    for (Index row = 0; row < this->rows_; ++row)
      this->convert(scale, query_sums_[part] + row * key_width_, this->row_of(dq_, at, row), dq_.width);
  }

  /// <dout, out> of a row.
  Sum along(Place at, Index row) const {
    const S* a = this->row_of(dout_, at, row);
    const S* b = this->row_of(out_, at, row);
    Sum sum = 0;
    for (Index i = 0; i < out_.width; ++i) sum += scalar_cast<Sum>(a[i]) * scalar_cast<Sum>(b[i]);
    return sum;
  }

  void run_keys(Place at, Index key, Index part) const {
    const Index keys = smaller(block_keys, this->k_.tokens - key);
    const Panels all{0, ceil_divide(keys, columns)};
    this->pack_columns(this->k_, at, key, all, keys, key_columns_[part], buffer_[part]);
    this->pack_columns(this->v_, at, key, all, keys, value_columns_[part], buffer_[part]);
    const PackedRows key_rows =
        this->pack_rows([&](Index i) { return this->k_.row(at.sequence, key + i, at.head); }, 0, keys,
                        this->k_.width, key_rows_[part], block_keys * columns);
    std::fill_n(key_sums_[part], keys * key_width_, Sum{0});
    std::fill_n(value_sums_[part], keys * value_width_, Sum{0});
    for (Index row = 0; row < this->rows_; row += block_rows) {
      const Index rows = smaller(block_rows, this->rows_ - row);
      const Panels panels = Base::panels_of(this->keys_of(at, row, row + rows), key, keys);
      if (panels.first < panels.last) run_block({at, key, keys, row, rows, panels, key_rows}, part);
    }
    const auto scale = static_cast<Sum>(this->options_.scale);
    for (Index i = 0; i < keys; ++i) {
      this->convert(scale, key_sums_[part] + i * key_width_, dk_.row(at.sequence, key + i, at.head),
                    dk_.width);
      this->convert(1, value_sums_[part] + i * value_width_, dv_.row(at.sequence, key + i, at.head),
                    dv_.width);
    }
  }

  void run_block(const Block& block, Index part) const {
    this->for_tiles(0, block.rows, [&](Index first, Index rows) { run_tile(block, first, rows, part); });
    const auto pack = [&](Heads<const S> heads, Sum* packed) {
      return this->pack_rows([&](Index i) { return this->row_of(heads, block.at, block.row + i); }, 0,
                             block.rows, heads.width, packed, block_rows * columns);
    };
    const PackedRows queries = pack(this->q_, query_rows_[part]), douts = pack(dout_, dout_rows_[part]);
    this->for_tiles(block.panels.begin(), block.panels.end(block.keys), [&](Index first, Index keys) {
      add_transposed(block, probabilities_[part], first, keys, douts, value_sums_[part], value_width_, part);
      add_transposed(block, slopes_[part], first, keys, queries, key_sums_[part], key_width_, part);
    });
  }

  kernels::ScoreRow<Sum> score_row(const Block& block, Index r, Index part) const {
    return Base::score_row(block.at, block.row + r, block.key, block.panels,
                           probabilities_[part] + r * Product::stride);
  }

  /// Scores, probabilities and their gradients for some rows of a block, and what they add to dq.
  void run_tile(const Block& block, Index first, Index rows, Index part) const {
    Sum* const scores = probabilities_[part] + first * Product::stride;
    Sum* const slopes = slopes_[part] + first * Product::stride;
    const Index row = block.row + first, width = this->q_.width, value_width = this->v_.width;
    const Panels panels = block.panels;
    this->stage(static_cast<Sum>(this->options_.scale), this->q_, block.at, row, rows, staged_[part]);
    this->product_.run(FromZero{}, staged_[part], rows, width,
                       {key_columns_[part], width * columns, panels.first, panels.last}, scores,
                       Product::stride);
    this->stage(1, dout_, block.at, row, rows, staged_[part]);
    this->product_.run(FromZero{}, staged_[part], rows, value_width,
                       {value_columns_[part], value_width * columns, panels.first, panels.last}, slopes,
                       Product::stride);
    const auto gradients = kernels::attention_kernel(
        this->cpu_.isa(), [](auto set) { return &decltype(set)::template score_gradients<Sum>; });
    for (Index r = 0; r < rows; ++r)
      gradients(score_row(block, first + r, part), slopes + r * Product::stride,
                log_sum_exp_[this->number_of(block.at, row + r)], along_[part][row + r]);
    this->add_weighted(
        slopes, rows, panels.begin(), panels.end(block.keys), block.key_rows,
        [&](Index r, Index i) { return score_row(block, first + r, part).sees(i); },
        query_sums_[part] + row * key_width_, key_width_);
  }

  /// sums (keys [first, first + keys), width) += (those columns of matrix)^T * packed, over a block's rows.
  void add_transposed(const Block& block, const Sum* matrix, Index first, Index keys,
                      const PackedRows& packed, Sum* sums, Index width, Index part) const {
    transpose(matrix + first, Product::stride, block.rows, keys, staged_[part], Product::stride);
    this->add_weighted(
        staged_[part], keys, 0, block.rows, packed,
        [&](Index i, Index r) { return score_row(block, r, part).sees(first + i); }, sums + first * width,
        width);
  }

  Heads<const S> out_;
  const Sum* log_sum_exp_;
  Heads<const S> dout_;
  Heads<S> dq_, dk_, dv_;
  Index key_width_, value_width_;
  Slices<Sum> key_columns_, value_columns_, key_rows_, query_rows_, dout_rows_, buffer_, staged_;
  Slices<Sum> probabilities_, slopes_, query_sums_, key_sums_, value_sums_, along_;
};

}  // namespace hyperblocks::cpu::detail
