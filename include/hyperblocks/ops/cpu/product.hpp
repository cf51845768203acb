// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// c (m, n) = start + a (m, k) * b (k, n) where neither operand is packed (both change at every call): the
// smaller one is packed into the caller's scratch, then the kernels of packed_product.hpp do the rest.
#pragma once

#include <hyperblocks/ops/cpu/packed_product.hpp>

namespace hyperblocks::cpu {

namespace detail {

/// Whether each panel is packed just before its use, which spares the way to memory and back: measured to pay
/// for few rows of a and a b beyond the caches. Otherwise all of b is packed first, which spares staging a
/// for every panel.
constexpr bool packs_panelwise(Index m, Index n, Index k) { return m <= 32 && k * n > (Index{1} << 20); }

/// What the columns from `column` on start from.
template <class Start>
constexpr Start start_at(Start start, [[maybe_unused]] Index column) {
  if constexpr (requires { start.row; }) start.row += column;
  return start;
}

}  // namespace detail

/// Elements of scratch, of type Scalar, that product() needs on `threads` threads.
template <RealScalar Scalar>
constexpr Index product_scratch(Index m, Index n, Index k, Index threads) {
  return detail::packs_panelwise(m, n, k) ? threads * panel_size<Scalar>(k) : packed_size<Scalar>(k, n);
}

/// All operands with any strides.
template <RealScalar Y, class A, class B, class Start, RealScalar Scalar>
void product(const Execution& execution, Strided<Y> y, Strided<A> a, Strided<B> b, Index m, Index n, Index k,
             Start start, Scalar* scratch) {
  static_assert(std::same_as<std::remove_const_t<A>, Scalar> && std::same_as<std::remove_const_t<B>, Scalar>,
                "hyperblocks: both operands of a product have one type");
  constexpr Index width = panel_columns<Scalar>;
  if (!detail::packs_panelwise(m, n, k)) {
    pack(execution.threads, b, k, n, scratch);
    packed_product(execution, y, m, n, start, Segment<Scalar, Scalar>{a, scratch, k});
  } else {
    execution.threads.run(detail::ceil_divide(n, width), [&](Index panel, Index part) {
      Scalar* packed = scratch + part * panel_size<Scalar>(k);
      const Index columns = detail::smaller(width, n - panel * width);
      detail::pack_panel(Strided<const Scalar>(b.block(0, panel * width)), k, columns, packed);
      packed_product(execution, y.block(0, panel * width), m, columns, detail::start_at(start, panel * width),
                     Segment<Scalar, Scalar>{a, packed, k});
    });
  }
}

/// How far apart, in elements, the operands of consecutive products of a batch begin.
struct BatchStrides {
  Index y, a, b;
};

/// Elements of scratch that batched_product() needs on `threads` threads.
template <RealScalar Scalar>
constexpr Index batched_product_scratch(Index m, Index n, Index k, Index threads) {
  return threads * product_scratch<Scalar>(m, n, k, 1);
}

/// `batch` products of one shape, in parallel over the batch.
template <RealScalar Y, class A, class B, class Start, RealScalar Scalar>
void batched_product(const Execution& execution, Index batch, BatchStrides strides, Strided<Y> y,
                     Strided<A> a, Strided<B> b, Index m, Index n, Index k, Start start, Scalar* scratch) {
  execution.threads.run(batch, [&](Index i, Index part) {
    const auto at = [&](auto matrix, Index stride) {
      matrix.data += i * stride;
      return matrix;
    };
    product(execution, at(y, strides.y), at(a, strides.a), at(b, strides.b), m, n, k, start,
            scratch + part * product_scratch<Scalar>(m, n, k, 1));
  });
}

}  // namespace hyperblocks::cpu
