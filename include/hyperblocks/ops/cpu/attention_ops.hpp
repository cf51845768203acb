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
    detail::for_rows(cpu, from.batch * from.tokens, from.heads * from.width, [&](Index row) {
      for (Index head = 0; head < from.heads; ++head)
        std::copy_n(from.row(row / from.tokens, row % from.tokens, head), from.width,
                    to.row(row / from.tokens, row % from.tokens, head));
    });
  }

  template <RealScalar Scalar>
  static void attention_backward(Cpu& cpu, const AttentionOptions& options, Heads<const Scalar> q,
                                 Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out,
                                 Row<const Accumulator<Scalar>> log_sum_exp, Heads<const Scalar> dout,
                                 Heads<Scalar> dq, Heads<Scalar> dk, Heads<Scalar> dv) {
    const ArenaScope scope(cpu);
    detail::AttentionBackward<Scalar>(cpu, options, q, k, v, out, log_sum_exp.data(), dout, dq, dk, dv).run();
  }
};

}  // namespace hyperblocks::cpu
