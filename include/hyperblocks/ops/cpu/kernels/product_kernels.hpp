// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The kernels of packed products: one body (product_kernel.hpp) compiled once per instruction set, and the
// tables to choose from.
#pragma once

#include <cstdint>
#include <cstring>

#include <hyperblocks/ops/cpu/isa.hpp>
#include <hyperblocks/ops/cpu/kernels/target.hpp>
#include <hyperblocks/ops/cpu/panels.hpp>

namespace hyperblocks::cpu::kernels {

/// One call: a tile of at most `ProductKernels::rows` rows times one panel, or several adjacent ones.
template <RealScalar Panel>
struct ProductTile {
  using Sum = Accumulator<Panel>;
  /// k numbers of x, and the panels that they meet.
  struct Part {
    Index k;  // a multiple of panel_interleave
    const Panel* panel;
    Index panel_stride;
    Index ahead;  // how many bytes ahead panels are fetched
  };
  const void* x;  // staged rows, staged_bytes apart: the numbers of the parts one behind the other
  Part parts[2];
  const Sum* start;  // what the sums start from
  Index start_stride;
  Sum* y;
  Index y_stride;
};

/// Bytes between the rows of a staged block of x. Staging brings the rows together and converts them; rows a
/// power of two apart would fight for the same cache sets (measured: a third of the speed).
inline constexpr Index staged_bytes = 2112;

inline constexpr Index most_rows = 14;
inline constexpr Index most_panels = 4;

template <RealScalar Panel>
struct ProductKernels {
  using Function = void (*)(const ProductTile<Panel>&);
  Index rows = 0;                    // of the largest tile
  bool pairs = false;                // x is staged as bf16, for dot products of pairs
  Index panels[most_rows + 1] = {};  // [rows of the tile]: how many panels `several` does at once
  Function one[most_rows + 1] = {};  // [rows of the tile]
  Function several[most_rows + 1] = {};
};

namespace portable {
inline constexpr Index vector_bytes = 16, tile_rows = 6, registers = 16;
inline constexpr bool has_pairs = false;
#define HYPERBLOCKS_PRODUCT_KERNEL
#include <hyperblocks/ops/cpu/kernels/product_kernel.hpp>
}  // namespace portable

#if defined(__x86_64__)
HYPERBLOCKS_TARGET_BEGIN("avx2,fma")
namespace avx2 {
inline constexpr Index vector_bytes = 32, tile_rows = 6, registers = 16;
inline constexpr bool has_pairs = false;
#include <hyperblocks/ops/cpu/kernels/product_kernel.hpp>
}  // namespace avx2
HYPERBLOCKS_TARGET_END

HYPERBLOCKS_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
inline constexpr Index vector_bytes = 64, tile_rows = 14, registers = 32;
inline constexpr bool has_pairs = true;
#include <hyperblocks/ops/cpu/kernels/product_kernel.hpp>
}  // namespace avx512
HYPERBLOCKS_TARGET_END
#endif
#undef HYPERBLOCKS_PRODUCT_KERNEL

/// The kernels for an instruction set; `pairs`: both operands are bf16, and dot products of pairs are wanted
/// where they exist.
template <RealScalar Panel>
const ProductKernels<Panel>& product_kernels(Isa isa, [[maybe_unused]] bool pairs) {
#if defined(__x86_64__)
  if constexpr (std::same_as<Panel, bf16>)
    if (isa == Isa::avx512_bf16 && pairs) return avx512::table<bf16, true>;
  if (isa >= Isa::avx512) return avx512::table<Panel, false>;
  if (isa == Isa::avx2) return avx2::table<Panel, false>;
#endif
  return portable::table<Panel, false>;
}

/// The function which widens contiguous 16-bit scalars.
template <class From>
auto row_widener(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return &avx512::widen_row<From>;
  if (isa == Isa::avx2) return &avx2::widen_row<From>;
#endif
  return &portable::widen_row<From>;
}

}  // namespace hyperblocks::cpu::kernels
