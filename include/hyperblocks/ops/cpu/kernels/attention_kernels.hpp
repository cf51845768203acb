// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The kernels of attention that are not products: one body (attention_kernel.hpp) compiled once per
// instruction set, and the choice between them.
#pragma once

#include <hyperblocks/ops/cpu/kernels/row_kernels.hpp>

namespace hyperblocks::cpu::kernels {

/// Scores of one query for the keys [first, last) of a block, whole panels of them, and what it may see.
template <class A>
struct ScoreRow {
  A* scores;  // of the block's keys
  Index first, last;
  Index begin, end;  // the visible keys
  const std::uint8_t* allowed;
  Index allowed_stride;
  A cap;  // 0: none

  bool sees(Index key) const {
    return key >= begin && key < end && (allowed == nullptr || allowed[key * allowed_stride] != 0);
  }
};

/// Of the keys so far: the largest score, and the sum of e^(score - largest).
template <class A>
struct SoftmaxState {
  A largest, sum;
};

#define HYPERBLOCKS_ATTENTION_KERNEL
namespace portable {
#include <hyperblocks/ops/cpu/kernels/attention_kernel.hpp>
}  // namespace portable

#if defined(__x86_64__)
HYPERBLOCKS_TARGET_BEGIN("avx2,fma")
namespace avx2 {
#include <hyperblocks/ops/cpu/kernels/attention_kernel.hpp>
}  // namespace avx2
HYPERBLOCKS_TARGET_END

HYPERBLOCKS_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
#include <hyperblocks/ops/cpu/kernels/attention_kernel.hpp>
}  // namespace avx512
HYPERBLOCKS_TARGET_END
#endif
#undef HYPERBLOCKS_ATTENTION_KERNEL

/// The function that choose(AttentionKernels) names, of the instruction set's AttentionKernels.
template <class Choose>
auto attention_kernel(Isa isa, Choose choose) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return choose(avx512::AttentionKernels());
  if (isa == Isa::avx2) return choose(avx2::AttentionKernels());
#endif
  return choose(portable::AttentionKernels());
}

}  // namespace hyperblocks::cpu::kernels
