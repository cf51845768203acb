// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention of the Cpu device, forward and backward. Products run the kernels of
// packed_product.hpp; bits do not depend on the number of threads, and a query's output not on the queries
// and sequences beside it.
#pragma once

#include <hyperblocks/ops/cpu/attention_backward.hpp>
#include <hyperblocks/ops/cpu/attention_forward.hpp>

namespace hyperblocks::cpu {

struct AttentionOps {
  template <RealScalar Scalar>
  static void attention(Cpu& cpu, const AttentionOptions& options, Heads<const Scalar> q,
                        Heads<const Scalar> k, Heads<const Scalar> v, Heads<Scalar> out,
                        Row<Accumulator<Scalar>> log_sum_exp) {
    const ArenaScope scope(cpu);
    detail::AttentionForward<Scalar>(cpu, options, q, k, v, out, log_sum_exp.data()).run();
  }

  template <RealScalar Scalar>
  static void copy_heads(Cpu& cpu, Heads<const Scalar> from, Heads<Scalar> to) {
    copy(cpu, from, to, [](Index) { return 0; });
  }

  template <RealScalar Scalar>
  static void append_heads(Cpu& cpu, Heads<const Scalar> from, Heads<Scalar> to, Ids past) {
    const auto past_of = [&](Index sequence) { return Index{past.data()[sequence]}; };
    for (Index i = 0; i < from.batch; ++i)
      check(past_of(i) >= 0 && past_of(i) <= to.tokens - from.tokens, [&] {
        return Error("the cache is full", "ops::append_heads",
                     "at most " + std::to_string(to.tokens) + " tokens",
                     std::to_string(past_of(i)) + " and " + std::to_string(from.tokens) + " more");
      });
    copy(cpu, from, to, past_of);
  }

  template <RealScalar Scalar>
  static void attention_backward(Cpu& cpu, const AttentionOptions& options, Heads<const Scalar> q,
                                 Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out,
                                 Row<const Accumulator<Scalar>> log_sum_exp, Heads<const Scalar> dout,
                                 Heads<Scalar> dq, Heads<Scalar> dk, Heads<Scalar> dv) {
    const ArenaScope scope(cpu);
    detail::AttentionBackward<Scalar>(cpu, options, q, k, v, out, log_sum_exp.data(), dout, dq, dk, dv).run();
  }

 private:
  /// to = from; a sequence's tokens to those from past_of(sequence) on.
  template <class Scalar, class Past>
  static void copy(Cpu& cpu, Heads<const Scalar> from, Heads<Scalar> to, Past past_of) {
    detail::for_rows(cpu, from.batch * from.tokens, from.heads * from.width, [&](Index row) {
      const Index sequence = row / from.tokens, token = row % from.tokens;
      for (Index head = 0; head < from.heads; ++head)
        std::copy_n(from.row(sequence, token, head), from.width,
                    to.row(sequence, past_of(sequence) + token, head));
    });
  }
};

}  // namespace hyperblocks::cpu
