// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention forward on the Cpu. A task is a chunk of rows of one key head; its softmax advances block of keys
// by block of keys: no matrix (queries, keys) is ever in memory.
#pragma once

#include <hyperblocks/ops/cpu/attention_task.hpp>

namespace hyperblocks::cpu::detail {

template <class S>
class AttentionForward : AttentionTask<S> {
  using Base = AttentionTask<S>;
  using Sum = typename Base::Sum;
  using Product = typename Base::Product;
  using Place = typename Base::Place;
  using Panels = typename Base::Panels;
  using PackedRows = typename Base::PackedRows;
  static constexpr Index columns = Base::columns;
  static constexpr Index chunk_rows = 224, block_keys = 256;
  static_assert(block_keys <= Product::stride);

 public:
  AttentionForward(Cpu& cpu, const AttentionOptions& options, Heads<const S> q, Heads<const S> k,
                   Heads<const S> v, Heads<S> out, Sum* log_sum_exp)
      : Base(cpu, options, q, k, v),
        out_(out),
        log_sum_exp_(log_sum_exp),
        chunks_(ceil_divide(Base::rows_, chunk_rows)),
        output_width_(Base::padded(v.width)),
        keys_(cpu, block_keys * q.width),
        values_(cpu, block_keys * output_width_),
        buffer_(cpu, columns * q.width),
        staged_(cpu, kernels::most_rows * Product::stride),
        scores_(cpu, kernels::most_rows * Product::stride),
        output_(cpu, chunk_rows * output_width_),
        states_(cpu, chunk_rows) {}

  void run() {
    this->cpu_.threads().run(this->q_.batch * this->k_.heads * chunks_, [&](Index task, Index part) {
      // First and last chunks in turn: with causality later chunks see more keys, and threads should get
      // equal work.
      const Index i = task % chunks_, chunk = i % 2 == 0 ? i / 2 : chunks_ - 1 - i / 2;
      run_chunk(this->place(task / chunks_), chunk * chunk_rows,
                smaller((chunk + 1) * chunk_rows, this->rows_), part);
    });
  }

 private:
  /// Rows [first, last) of a chunk against the keys of a block, `size` from `key` on, packed.
  struct Block {
    Place at;
    Index first, last;
    Index key, size;
    PackedRows values;
  };

  void run_chunk(Place at, Index first, Index last, Index part) const {
    std::fill_n(output_[part], (last - first) * output_width_, Sum{0});
    std::fill_n(states_[part], last - first,
                kernels::SoftmaxState<Sum>{-std::numeric_limits<Sum>::infinity(), 0});
    const KeyRange keys = this->keys_of(at, first, last);
    for (Index key = keys.begin / block_keys * block_keys; key < keys.end; key += block_keys)
      run_block(at, first, last, key, part);
    finish(at, first, last, part);
  }

  void run_block(Place at, Index first, Index last, Index key, Index part) const {
    const Index size = smaller(block_keys, this->key_count(at) - key);
    const Panels panels = Base::panels_of(this->keys_of(at, first, last), key, size);
    this->pack_columns(this->k_, at, key, panels, size, keys_[part], buffer_[part]);
    const auto value = [&](Index i) { return this->v_.row(at.sequence, key + i, at.head); };
    const PackedRows values = this->pack_rows(value, panels.begin(), panels.end(size), this->v_.width,
                                              values_[part], block_keys * columns);
    const Block block{at, first, last, key, size, values};
    this->for_tiles(first, last, [&](Index row, Index rows) { run_tile(block, row, rows, part); });
  }

  void run_tile(const Block& block, Index first, Index rows, Index part) const {
    const auto& [at, chunk, last, key, size, values] = block;
    const Panels panels = Base::panels_of(this->keys_of(at, first, first + rows), key, size);
    if (panels.first == panels.last) return;
    Sum* const scores = scores_[part];
    Sum* const output = output_[part] + (first - chunk) * output_width_;
    const Index width = this->q_.width;
    this->stage(static_cast<Sum>(this->options_.scale), this->q_, at, first, rows, staged_[part]);
    this->product_.run(FromZero{}, staged_[part], rows, width,
                       {keys_[part], width * columns, panels.first, panels.last}, scores, Product::stride);
    const auto row_of = [&](Index r) {
      return this->score_row(block.at, first + r, block.key, panels, scores + r * Product::stride);
    };
    const auto softmax = kernels::attention_kernel(
        this->cpu_.isa(), [](auto set) { return &decltype(set)::template probabilities<Sum>; });
    for (Index r = 0; r < rows; ++r)
      softmax(row_of(r), states_[part][first + r - chunk], output + r * output_width_, output_width_);
    this->add_weighted(
        scores, rows, panels.begin(), panels.end(size), values,
        [&](Index r, Index i) { return row_of(r).sees(i); }, output, output_width_);
  }

  void finish(Place at, Index first, Index last, Index part) const {
    for (Index row = first; row < last; ++row) {
      const auto [largest, sum] = states_[part][row - first];
      this->convert(sum == 0 ? Sum{0} : 1 / sum, output_[part] + (row - first) * output_width_,
                    this->row_of(out_, at, row), out_.width);
      if (log_sum_exp_ != nullptr) log_sum_exp_[this->number_of(at, row)] = largest + std::log(sum);
    }
  }

  Heads<S> out_;
  Sum* log_sum_exp_;
  Index chunks_, output_width_;
  Slices<Sum> keys_, values_, buffer_, staged_, scores_, output_;
  Slices<kernels::SoftmaxState<Sum>> states_;
};

}  // namespace hyperblocks::cpu::detail
