// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Operations of the Cuda device element by element: sums, scaling, casts, activations, gated units; and
// reductions.
#pragma once

#include <algorithm>

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/cuda/kernels/elementwise.cuh>
#include <hyperblocks/cuda/kernels/reduce.cuh>
#include <hyperblocks/cuda/launch.cuh>
#include <hyperblocks/ops/dropout.hpp>

namespace hyperblocks::cuda {

template <class Scalar>
using Rows = View<Scalar, Cuda, dyn, dyn>;
template <class Scalar>
using Row = View<Scalar, Cuda, dyn>;
using Ids = View<const std::int32_t, Cuda, dyn>;

inline unsigned blocks_for(Index size, Index threads) {
  return static_cast<unsigned>((size + threads - 1) / threads);
}

/// For kernels whose threads go on with a stride, for as long as there is work.
inline Grid striding_grid(Index size) {
  constexpr Index threads = 256, most_blocks = 4096;
  return {blocks_for(std::min(size, threads * most_blocks), threads), threads};
}

/// f(std::integral_constant<int, width>) with the widest packs that rows of so many numbers allow.
template <class First, class... Scalar, class F>
void with_packs(F f, Index columns, const First* first, const Scalar*... data) {
  constexpr int width = pack_bytes / static_cast<int>(std::max({sizeof(First), sizeof(Scalar)...}));
  if (packable(columns, width, first, data...))
    f(std::integral_constant<int, width>());
  else
    f(std::integral_constant<int, 1>());
}

struct ElementOps {
  template <RealScalar Scalar>
  static void add(Cuda& cuda, Row<const Scalar> a, Row<const Scalar> b, Row<Scalar> y) {
    map(cuda, kernels::Plus(), y.size(), y.data(), a.data(), b.data());
  }

  template <RealScalar Scalar>
  static void scale_add(Cuda& cuda, double alpha, Row<const Scalar> x, Row<Scalar> y) {
    map(cuda, factor<Scalar>(alpha), y.size(), y.data(), x.data(), static_cast<const Scalar*>(y.data()));
  }

  template <RealScalar Scalar>
  static void scale(Cuda& cuda, double alpha, Row<const Scalar> x, Row<Scalar> y) {
    map(cuda, factor<Scalar>(alpha), y.size(), y.data(), x.data());
  }

  template <RealScalar To, RealScalar From>
  static void cast(Cuda& cuda, Row<const From> x, Row<To> y) {
    map(cuda, kernels::Identity(), y.size(), y.data(), x.data());
  }

  template <RealScalar Scalar>
  static void add_rows(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> row, Rows<Scalar> y) {
    add_row<Scalar, Scalar>(cuda, x.data(), row, y);
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void broadcast(Cuda& cuda, Row<const Stored> row, Rows<Scalar> y) {
    add_row<Scalar, Stored>(cuda, nullptr, row, y);
  }

  template <RealScalar Scalar>
  static void scale_rows(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> factors, Rows<Scalar> y) {
    if (y.size() == 0) return;
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          launch(cuda, kernels::scale_rows<width, Scalar>, row_grid(y, width), y.columns() / width, x.data(),
                 factors.data(), y.data());
        },
        y.columns(), x.data(), y.data());
  }

  template <RealScalar Scalar>
  static void activate(Cuda& cuda, Activation activation, Row<const Scalar> x, Row<Scalar> y) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map(cuda, kernels::Activated<f>(), y.size(), y.data(), x.data());
    });
  }

  template <RealScalar Scalar>
  static void activate_backward(Cuda& cuda, Activation activation, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map(cuda, kernels::ActivationSlope<f>(), dx.size(), dx.data(), x.data(), dy.data());
    });
  }

  template <RealScalar Scalar>
  static void soft_cap(Cuda& cuda, double cap, Row<const Scalar> x, Row<Scalar> y) {
    map(cuda, kernels::SoftCap<Accumulator<Scalar>>{static_cast<Accumulator<Scalar>>(cap)}, y.size(),
        y.data(), x.data());
  }

  template <RealScalar Scalar>
  static void soft_cap_backward(Cuda& cuda, double cap, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    map(cuda, kernels::SoftCap<Accumulator<Scalar>>{static_cast<Accumulator<Scalar>>(cap)}, dx.size(),
        dx.data(), x.data(), dy.data());
  }

  template <RealScalar Scalar>
  static void glu(Cuda& cuda, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                  Rows<Scalar> y) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map(cuda, kernels::GatedUnit<f>(), y.size(), y.data(), gate.data(), up.data());
    });
  }

  template <RealScalar Scalar>
  static void glu_backward(Cuda& cuda, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                           Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    if (gate.size() == 0) return;
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      with_packs(
          [&]<int width>(std::integral_constant<int, width>) {
            launch(cuda, kernels::glu_backward<width, f, Scalar>, striding_grid(gate.size() / width),
                   gate.size() / width, gate.data(), up.data(), dy.data(), dgate.data(), dup.data());
          },
          gate.size(), gate.data(), up.data(), dy.data(), dgate.data(), dup.data());
    });
  }

  template <RealScalar Scalar>
  static void dropout(Cuda& cuda, Row<const Scalar> x, const ops::DropoutFactor<Accumulator<Scalar>>& factor,
                      Row<Scalar> y) {
    if (y.size() == 0) return;
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          launch(cuda, kernels::scale_each<width, Scalar, ops::DropoutFactor<Accumulator<Scalar>>>,
                 striding_grid(y.size() / width), y.size() / width, factor, x.data(), y.data());
        },
        y.size(), x.data(), y.data());
  }

  template <RealScalar Scalar>
  static void column_sums(Cuda& cuda, Rows<const Scalar> x, Row<Scalar> y, bool add) {
    sum_columns<Scalar>(cuda, x.rows(), y, add, kernels::ColumnTerm<Scalar>{x.data(), x.columns()});
  }

  template <RealScalar Scalar>
  static double sum(Cuda& cuda, Row<const Scalar> x) {
    return reduce<Scalar>(cuda, x, kernels::Identity(), kernels::Plus());
  }

  template <RealScalar Scalar>
  static double squared_norm(Cuda& cuda, Row<const Scalar> x) {
    return reduce<Scalar>(cuda, x, kernels::Square(), kernels::Plus());
  }

  template <RealScalar Scalar>
  static double max_abs(Cuda& cuda, Row<const Scalar> x) {
    return reduce<Scalar>(cuda, x, kernels::Magnitude(), kernels::Largest());
  }

  /// y (columns) [+]= the sums over i < rows of term(i, column).
  template <class Scalar, class Term>
  static void sum_columns(Cuda& cuda, Index rows, Row<Scalar> y, bool add, const Term& term) {
    using Sum = Accumulator<Scalar>;
    constexpr Index rows_at_least = 64, most_splits = 64, threads = 128;
    if (y.size() == 0) return;
    const ArenaScope scope(cuda);
    const Index splits = std::clamp<Index>(rows / rows_at_least, 1, most_splits);
    const auto partial = take<Sum, dyn, dyn>(cuda, splits, y.size());
    launch(cuda, kernels::partial_column_sums<Sum, Term>,
           {dim3(blocks_for(y.size(), kernels::column_threads), static_cast<unsigned>(splits)),
            dim3(kernels::column_threads, kernels::column_rows)},
           rows, y.size(), term, partial.data());
    launch(cuda, kernels::finish_column_sums<Sum, Scalar>, {blocks_for(y.size(), threads), threads}, splits,
           y.size(), partial.data(), y.data(), add);
  }

  /// term(i) for i < size, combined in double.
  template <class Term, class F>
  static double reduce_terms(Cuda& cuda, Index size, const Term& term, F combine) {
    constexpr Index threads = kernels::total_threads, most_blocks = 512;
    if (size == 0) return 0;
    const ArenaScope scope(cuda);
    const Index blocks = std::clamp<Index>(size / (8 * threads), 1, most_blocks);
    const auto results = take<double, dyn>(cuda, blocks), total = take<double, dyn>(cuda, 1);
    using Parts = kernels::TermOf<double, kernels::Identity>;
    launch(cuda, kernels::reduce_all<Term, F>, {static_cast<unsigned>(blocks), threads}, size, term, combine,
           results.data());
    launch(cuda, kernels::reduce_all<Parts, F>, {1, threads}, blocks, Parts{results.data(), {}}, combine,
           total.data());
    double result = 0;
    cuda.download(&result, total.data(), sizeof result);
    return result;
  }

  /// to = f(from...), number by number.
  template <class F, class To, class... From>
  static void map(Cuda& cuda, const F& f, Index size, To* to, const From*... from) {
    if (size == 0) return;
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          void (*const kernel)(Index, F, To*, const From*...) = kernels::map<width, F, To, From...>;
          launch(cuda, kernel, striding_grid(size / width), size / width, f, to, from...);
        },
        size, to, from...);
  }

  /// Blocks of a warp for narrow rows, of eight for others, one to a row.
  template <class Scalar>
  static Grid row_grid(const Rows<Scalar>& rows, int width) {
    return {static_cast<unsigned>(rows.rows()), rows.columns() / width <= 64 ? 32u : 256u};
  }

 private:
  template <class Scalar>
  static kernels::ScaleBy<Accumulator<Scalar>> factor(double alpha) {
    return {static_cast<Accumulator<Scalar>>(alpha)};
  }

  template <class Scalar, class Stored>
  static void add_row(Cuda& cuda, const Scalar* x, Row<const Stored> row, Rows<Scalar> y) {
    if (y.size() == 0) return;
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          launch(cuda, kernels::add_row<width, Scalar, Stored>, row_grid(y, width), y.columns() / width, x,
                 row.data(), y.data());
        },
        y.columns(), x, row.data(), y.data());
  }

  template <class Scalar, class Term, class F>
  static double reduce(Cuda& cuda, Row<const Scalar> x, Term term, F combine) {
    return reduce_terms(cuda, x.size(), kernels::TermOf<Scalar, Term>{x.data(), term}, combine);
  }
};

}  // namespace hyperblocks::cuda
