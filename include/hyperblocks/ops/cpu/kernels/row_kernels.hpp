// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The kernels of row-wise operations: one body (row_kernel.hpp) compiled once per instruction set, and the
// choice between them.
#pragma once

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include <hyperblocks/ops/activation_functions.hpp>
#include <hyperblocks/ops/cpu/kernels/product_kernels.hpp>
#include <hyperblocks/ops/optimiser.hpp>

namespace hyperblocks::cpu::kernels {

/// Of a row: n = (x - mean) scale is what a norm gives before weight and bias.
template <class A>
struct Moments {
  A mean, scale;
};

/// Of a row: softmax(x) = e^(x - largest) / sum.
template <class A>
struct Exponentials {
  A largest, sum;
};

/// The most columns that one call sums.
inline constexpr Index column_block = 256;

#define HYPERBLOCKS_LAMBDA __attribute__((always_inline))
#define HYPERBLOCKS_ROW_KERNEL
namespace portable {
#include <hyperblocks/ops/cpu/kernels/row_kernel.hpp>
#include <hyperblocks/ops/cpu/kernels/shrink_kernel.hpp>
}  // namespace portable

#if defined(__x86_64__)
HYPERBLOCKS_TARGET_BEGIN("avx2,fma")
namespace avx2 {
#include <hyperblocks/ops/cpu/kernels/row_kernel.hpp>
#include <hyperblocks/ops/cpu/kernels/shrink_kernel.hpp>
}  // namespace avx2
HYPERBLOCKS_TARGET_END

HYPERBLOCKS_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
#include <hyperblocks/ops/cpu/kernels/row_kernel.hpp>
#include <hyperblocks/ops/cpu/kernels/shrink_kernel.hpp>
}  // namespace avx512
HYPERBLOCKS_TARGET_END
#endif
#undef HYPERBLOCKS_ROW_KERNEL
#undef HYPERBLOCKS_LAMBDA

/// The function that choose(RowKernels) names, of the instruction set's RowKernels.
template <class Choose>
auto row_kernel(Isa isa, Choose choose) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return choose(avx512::RowKernels());
  if (isa == Isa::avx2) return choose(avx2::RowKernels());
#endif
  return choose(portable::RowKernels());
}

/// The function shrink<S> of the instruction set's ShrinkKernels.
template <class S>
auto shrink_kernel(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return &avx512::ShrinkKernels::shrink<S>;
  if (isa == Isa::avx2) return &avx2::ShrinkKernels::shrink<S>;
#endif
  return &portable::ShrinkKernels::shrink<S>;
}

}  // namespace hyperblocks::cpu::kernels
