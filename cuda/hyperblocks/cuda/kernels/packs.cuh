// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Pack: some neighbouring numbers that a thread reads or writes with one instruction, 16 bytes where the
// pointers and the sizes allow it; and the widening of stored numbers to what sums are kept in.
#pragma once

#include <cstdint>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::cuda {

/// What a thread reads at once, at most.
inline constexpr int pack_bytes = 16;

/// Whether rows of so many numbers can be read by packs of so many.
template <class... Scalar>
bool packable(Index columns, int width, const Scalar*... data) {
  return columns % width == 0 &&
         ((reinterpret_cast<std::uintptr_t>(data) % (sizeof(Scalar) * static_cast<std::size_t>(width)) ==
           0) &&
          ...);
}

namespace kernels {

template <class T, int width>
struct alignas(sizeof(T) * width) Pack {
  T values[width];
};

template <int width, class T>
__device__ Pack<T, width> load(const T* data, Index pack) {
  return reinterpret_cast<const Pack<T, width>*>(data)[pack];
}
template <int width, class T>
__device__ void store(T* data, Index pack, const Pack<T, width>& values) {
  reinterpret_cast<Pack<T, width>*>(data)[pack] = values;
}

template <RealScalar Scalar>
__device__ Accumulator<Scalar> wide(Scalar value) {
  return scalar_cast<Accumulator<Scalar>>(value);
}

/// f(k) for the numbers of a pack.
template <int width, class F>
__device__ void each(F f) {
#pragma unroll
  for (int k = 0; k < width; ++k) f(k);
}

}  // namespace kernels
}  // namespace hyperblocks::cuda
