// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of the Cpu device with trainable and with frozen (packed) weights, and the fused low-rank update.
// All of them run the kernels of packed_product.hpp: what is not packed is packed into the arena on the way.
#pragma once

#include <hyperblocks/ops/cpu/device.hpp>
#include <hyperblocks/ops/cpu/low_rank_work.hpp>
#include <hyperblocks/ops/cpu/product.hpp>
#include <hyperblocks/ops/matrices.hpp>
#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks::cpu {

struct ProductOps {
  template <class Scalar>
  using Rows = View<Scalar, Cpu, dyn, dyn>;
  template <class Scalar>
  using Row = View<Scalar, Cpu, dyn>;

  template <RealScalar Stored>
  static Index packed_size(Index out, Index in) {
    return cpu::packed_size<Stored>(in, out);
  }

  /// A panel's rows of the weight.
  template <RealScalar Stored>
  static constexpr Index rows_together() {
    return panel_columns<Stored>;
  }

  template <RealScalar Stored>
  static void pack(Cpu& cpu, const Stored* weight, Index out, Index in, Stored* packed) {
    cpu::pack(cpu.threads(), Strided<const Stored>{weight, 1, in}, in, out, packed);
  }

  template <RealScalar Stored>
  static void unpack(Cpu& cpu, const Stored* packed, Index out, Index in, Stored* weight) {
    cpu.threads().run(out, [&](Index row) {
      for (Index i = 0; i < in; ++i) weight[row * in + i] = packed_element(packed, in, i, row);
    });
  }

  /// y = x W^T + bias; `weight` is packed, `bias` may be empty.
  template <RealScalar Scalar, RealScalar Stored>
  static void product_packed(Cpu& cpu, Rows<const Scalar> x, const Stored* weight, Row<const Scalar> bias,
                             Rows<Scalar> y) {
    with_start(bias, [&](auto start) {
      packed_product(cpu.execution(), whole(y), y.rows(), y.columns(), start, segment(x, weight));
    });
  }

  /// y = x W^T + bias for a plain weight (out, in).
  template <RealScalar Scalar>
  static void product(Cpu& cpu, Rows<const Scalar> x, Rows<const Scalar> weight, Row<const Scalar> bias,
                      Rows<Scalar> y) {
    with_start(bias, [&](auto start) {
      unpacked(cpu, whole(y), whole(x), whole(weight).transposed(), y.rows(), y.columns(), x.columns(),
               start);
    });
  }

  /// dx [+]= dy W, from the same packed weight as the forward product.
  template <RealScalar Scalar, RealScalar Stored>
  static void input_gradient_packed(Cpu& cpu, Rows<const Scalar> dy, const Stored* weight, Rows<Scalar> dx,
                                    bool add) {
    const ArenaScope scope(cpu);
    Stored* transposed = take<Stored, dyn>(cpu, cpu::packed_size<Stored>(dy.columns(), dx.columns())).data();
    repack_transposed(cpu.threads(), weight, dx.columns(), dy.columns(), transposed);
    with_sum(add, [&](auto start) {
      packed_product(cpu.execution(), whole(dx), dx.rows(), dx.columns(), start, segment(dy, transposed));
    });
  }

  /// dx [+]= dy W for a plain weight.
  template <RealScalar Scalar>
  static void input_gradient(Cpu& cpu, Rows<const Scalar> dy, Rows<const Scalar> weight, Rows<Scalar> dx,
                             bool add) {
    with_sum(add, [&](auto start) {
      unpacked(cpu, whole(dx), whole(dy), whole(weight), dx.rows(), dx.columns(), dy.columns(), start);
    });
  }

  /// dW = dy^T x, added to what is there if `add`.
  template <RealScalar Scalar>
  static void weight_gradient(Cpu& cpu, Rows<const Scalar> dy, Rows<const Scalar> x, Rows<Scalar> dweight,
                              bool add) {
    with_sum(add, [&](auto start) {
      unpacked(cpu, whole(dweight), whole(dy).transposed(), whole(x), dweight.rows(), dweight.columns(),
               dy.rows(), start);
    });
  }

  /// y(i) [+]= a(i) b(i), in parallel over the batch, or within the product where it is the only one.
  template <RealScalar Scalar>
  static void batched_product(Cpu& cpu, Matrices<const Scalar> a, Matrices<const Scalar> b,
                              Matrices<Scalar> y, bool add) {
    with_sum(add, [&](auto start) {
      if (y.batch == 1) {
        unpacked(cpu, strided(y), strided(a), strided(b), y.rows, y.columns, a.columns, start);
        return;
      }
      const ArenaScope scope(cpu);
      const Index size = batched_product_scratch<Scalar>(y.rows, y.columns, a.columns, cpu.threads().count());
      cpu::batched_product(cpu.execution(), y.batch, {y.batch_stride, a.batch_stride, b.batch_stride},
                           strided(y), strided(a), strided(b), y.rows, y.columns, a.columns, start,
                           take<Scalar, dyn>(cpu, size).data());
    });
  }

  /// y = x W^T + bias + scale (x A^T) B^T + C ... for a plain weight.
  template <RealScalar Scalar, Index out, Index in>
  static void low_rank_update(Cpu& cpu, Rows<const Scalar> x, Rows<const Scalar> weight,
                              Row<const Scalar> bias, const LowRank<const Scalar, Cpu, out, in>& updates,
                              Rows<Scalar> y) {
    const ArenaScope scope(cpu);
    Scalar* packed = take<Scalar, dyn>(cpu, cpu::packed_size<Scalar>(x.columns(), y.columns())).data();
    pack(cpu, weight.data(), y.columns(), x.columns(), packed);
    updated_products<Scalar>(cpu, x, UpdatedProduct<Scalar, Scalar, Cpu, out, in>{packed, bias, updates, y});
  }

  /// UpdatedProducts of the same x in one run of the threads, each in one pass over its y.
  template <RealScalar Scalar, class... Products>
  static void updated_products(Cpu& cpu, Rows<const Scalar> x, const Products&... products) {
    const ArenaScope scope(cpu);
    Index count = 0;
    (each_update(products.updates, [&](const auto&) { ++count; }), ...);
    LowRankWork<Scalar> work(cpu, whole(x), x.rows(), x.columns(), count);
    packed_products(
        work, cpu.execution(), x.rows(),
        packed_product_of(whole(products.y), products.y.columns(), FromBias<Scalar>{products.bias.data()},
                          segment(x, products.weight), work.add(products.updates, products.y.columns()))...);
  }

 private:
  template <class Scalar>
  static Strided<Scalar> whole(View<Scalar, Cpu, dyn, dyn> matrix) {
    return {matrix.data(), matrix.columns()};
  }

  template <class Scalar>
  static Strided<Scalar> strided(const Matrices<Scalar>& matrices) {
    return {matrices.data, matrices.row_stride, matrices.column_stride};
  }

  template <class Scalar, class Stored>
  static Segment<std::remove_const_t<Scalar>, Stored> segment(View<Scalar, Cpu, dyn, dyn> x,
                                                              const Stored* panels) {
    return {whole(x), panels, x.columns()};
  }

  template <class Scalar, class F>
  static void with_start(Row<const Scalar> bias, F f) {
    if (bias)
      f(FromBias<Scalar>{bias.data()});
    else
      f(FromZero{});
  }

  template <class F>
  static void with_sum(bool add, F f) {
    if (add)
      f(Accumulate{});
    else
      f(FromZero{});
  }

  template <RealScalar Scalar>
  static void unpacked(Cpu& cpu, Strided<Scalar> y, Strided<const Scalar> a, Strided<const Scalar> b, Index m,
                       Index n, Index k, auto start) {
    const ArenaScope scope(cpu);
    const Index threads = cpu.threads().count();
    Scalar* scratch = take<Scalar, dyn>(cpu, product_scratch<Scalar>(m, n, k, threads)).data();
    cpu::product(cpu.execution(), y, a, b, m, n, k, start, scratch);
  }
};

}  // namespace hyperblocks::cpu
