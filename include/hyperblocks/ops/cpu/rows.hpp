// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the Cpu's row-wise operations share: their views, how rows and elements become tasks, checks of ids.
// Tasks depend on the shape alone, never on the number of threads.
#pragma once

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <hyperblocks/ops/cpu/kernels/row_kernels.hpp>

/// A function of RowKernels for the device's instruction set: HYPERBLOCKS_ROW_KERNEL_OF(cpu, norm<true, S>)
#define HYPERBLOCKS_ROW_KERNEL_OF(cpu, ...) \
  kernels::row_kernel((cpu).isa(), [](auto set) { return &decltype(set)::template __VA_ARGS__; })

namespace hyperblocks::cpu {

template <class Scalar>
using Rows = View<Scalar, Cpu, dyn, dyn>;
template <class Scalar>
using Row = View<Scalar, Cpu, dyn>;
using Ids = View<const std::int32_t, Cpu, dyn>;

namespace detail {

template <class Scalar>
Scalar* row(Rows<Scalar> matrix, Index i) {
  return matrix.data() == nullptr ? nullptr : matrix.data() + i * matrix.columns();
}

/// Elements that are worth a task.
inline constexpr Index elements_per_task = 16384;

/// f(first, count) for blocks of [0, size), a task each.
template <class F>
void for_blocks(Cpu& cpu, Index size, Index block, F f) {
  cpu.threads().run((size + block - 1) / block, [&](Index task) {
    const Index first = task * block;
    f(first, size - first < block ? size - first : block);
  });
}

template <class F>
void for_elements(Cpu& cpu, Index size, F f) {
  for_blocks(cpu, size, elements_per_task, f);
}

/// f(i) for every row, several to a task where they are short.
template <class F>
void for_rows(Cpu& cpu, Index rows, Index columns, F f) {
  for_blocks(cpu, rows, 1 + elements_per_task / (columns + 1), [&](Index first, Index count) {
    for (Index i = first; i < first + count; ++i) f(i);
  });
}

/// Throws for ids outside [lowest, limit); what is negative where negatives are allowed was meant.
inline void check_ids(const char* where, const std::int32_t* ids, Index count, bool negatives, Index limit) {
  for (Index i = 0; i < count; ++i)
    check((negatives || ids[i] >= 0) && ids[i] < limit, [&] {
      return Error("an id is out of range", where, "less than " + std::to_string(limit) + " (vocabulary)",
                   std::to_string(ids[i]) + " at index " + std::to_string(i));
    });
}

}  // namespace detail
}  // namespace hyperblocks::cpu
