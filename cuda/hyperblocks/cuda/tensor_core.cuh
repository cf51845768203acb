// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Instructions that CUDA C++ has no names for, of sm_80 and up: products of small matrices that a warp holds
// together, loads of such matrices from shared memory, copies to shared memory that go on by themselves. The
// tests' emulator has a file of the same name in its place.
//
// In lane l = 4 g + t a matrix (16, 16) to the left holds, in pairs of columns, (g, 2t), (g + 8, 2t), (g, 2t
// + 8) and
// (g + 8, 2t + 8); one (16, 8) to the right, in pairs of rows, (2t, g) and (2t + 8, g); sums (16, 8), in pairs of
// columns, (g, 2t) and (g + 8, 2t).
#pragma once

#include <cstdint>
#include <type_traits>

#include <hyperblocks/core/dtype.hpp>

namespace hyperblocks::cuda {

/// sums += left * right, of bf16 or half.
template <class Scalar>
__device__ void multiply_add(float (&sums)[4], const std::uint32_t (&left)[4],
                             const std::uint32_t (&right)[2]) {
  if constexpr (std::is_same_v<Scalar, bf16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

/// Four matrices (8, 8) of 16-bit numbers: lane 8 i + r gives the address of row r of the i-th, 16 bytes in
/// shared memory. Of each a lane gets (g, 2t) and (g, 2t + 1); of transposed ones (2t, g) and (2t + 1, g).
template <bool transposed>
__device__ void load_matrices(std::uint32_t (&to)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

/// 16 bytes to shared memory, or zeros in their place, at some time before wait_for_copies.
__device__ inline void copy_later(void* to, const void* from, bool wanted) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(wanted ? 16 : 0)
               : "memory");
}
/// The copies so far that are in no group become one.
__device__ inline void group_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until this thread's copies are there, but for those of the latest `groups` groups.
template <int groups>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

}  // namespace hyperblocks::cuda
