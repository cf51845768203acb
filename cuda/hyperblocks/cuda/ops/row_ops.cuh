// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Norms, sums over columns, activations and gated units of the Cuda device.
#pragma once

#include <hyperblocks/cuda/ops/product_ops.cuh>
#include <hyperblocks/ops/activation_functions.hpp>

namespace hyperblocks::cuda {

struct RowOps {
  template <class Scalar>
  using Rows = View<Scalar, Cuda, dyn, dyn>;
  template <class Scalar>
  using Row = View<Scalar, Cuda, dyn>;

  template <RealScalar Scalar>
  static void rms_norm(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight, Rows<Scalar> y,
                       double epsilon, double shift) {
    if (x.rows() == 0) return;
    cuda.select();
    kernels::rms_norm<<<static_cast<unsigned>(x.rows()), kernels::row_threads, 0, cuda.stream()>>>(
        x.data(), weight.data(), y.data(), x.columns(), epsilon, shift);
    check(cudaGetLastError());
  }

  template <RealScalar Scalar>
  static void rms_norm_backward(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight,
                                Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight, double epsilon,
                                double shift, bool add) {
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cuda);
    const auto scales = take<Sum, dyn>(cuda, x.rows());
    cuda.select();
    if (x.rows() > 0)
      kernels::rms_norm_backward<<<static_cast<unsigned>(x.rows()), kernels::row_threads, 0, cuda.stream()>>>(
          x.data(), weight.data(), dy.data(), dx.data(), scales.data(), x.columns(), epsilon, shift);
    check(cudaGetLastError());
    if (dweight)
      sum_columns<Scalar>(
          cuda, x.rows(), dweight, add,
          [x = x.data(), dy = dy.data(), s = scales.data(), n = x.columns()] __device__(Index i, Index j) {
            return kernels::wide(dy[i * n + j]) * kernels::wide(x[i * n + j]) * s[i];
          });
  }

  template <RealScalar Scalar>
  static void column_sums(Cuda& cuda, Rows<const Scalar> x, Row<Scalar> y, bool add) {
    sum_columns<Scalar>(cuda, x.rows(), y, add, [x = x.data(), n = x.columns()] __device__(Index i, Index j) {
      return kernels::wide(x[i * n + j]);
    });
  }

  template <RealScalar Scalar>
  static void add(Cuda& cuda, Row<const Scalar> a, Row<const Scalar> b, Row<Scalar> y) {
    ProductOps::map(cuda, y.size(), [a = a.data(), b = b.data(), y = y.data()] __device__(Index i) {
      y[i] = scalar_cast<Scalar>(kernels::wide(a[i]) + kernels::wide(b[i]));
    });
  }

  template <RealScalar Scalar>
  static void scale(Cuda& cuda, double alpha, Row<const Scalar> x, Row<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    ProductOps::map(cuda, y.size(),
                    [x = x.data(), y = y.data(), factor = static_cast<Sum>(alpha)] __device__(Index i) {
                      y[i] = scalar_cast<Scalar>(factor * kernels::wide(x[i]));
                    });
  }

  template <RealScalar Scalar>
  static void activate(Cuda& cuda, Activation activation, Row<const Scalar> x, Row<Scalar> y) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map_activation<f, Scalar>(cuda, x, y);
    });
  }

  template <RealScalar Scalar>
  static void activate_backward(Cuda& cuda, Activation activation, Row<const Scalar> x, Row<const Scalar> dy,
                                Row<Scalar> dx) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map_activation_backward<f, Scalar>(cuda, x, dy, dx);
    });
  }

  template <RealScalar Scalar>
  static void glu(Cuda& cuda, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                  Rows<Scalar> y) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map_glu<f, Scalar>(cuda, gate, up, y);
    });
  }

  template <RealScalar Scalar>
  static void glu_backward(Cuda& cuda, Activation activation, Rows<const Scalar> gate, Rows<const Scalar> up,
                           Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    with_activation(activation, [&]<Activation f>(std::integral_constant<Activation, f>) {
      map_glu_backward<f, Scalar>(cuda, gate, up, dy, dgate, dup);
    });
  }

  // nvcc wants device lambdas in named, public functions.
  template <Activation f, class Scalar>
  static void map_activation(Cuda& cuda, Row<const Scalar> x, Row<Scalar> y) {
    ProductOps::map(cuda, y.size(), [x = x.data(), y = y.data()] __device__(Index i) {
      y[i] = scalar_cast<Scalar>(evaluate<f>(kernels::wide(x[i])).value);
    });
  }

  template <Activation f, class Scalar>
  static void map_activation_backward(Cuda& cuda, Row<const Scalar> x, Row<const Scalar> dy, Row<Scalar> dx) {
    ProductOps::map(cuda, dx.size(), [x = x.data(), dy = dy.data(), dx = dx.data()] __device__(Index i) {
      dx[i] = scalar_cast<Scalar>(kernels::wide(dy[i]) * evaluate<f>(kernels::wide(x[i])).slope);
    });
  }

  template <Activation f, class Scalar>
  static void map_glu(Cuda& cuda, Rows<const Scalar> gate, Rows<const Scalar> up, Rows<Scalar> y) {
    ProductOps::map(cuda, y.size(), [gate = gate.data(), up = up.data(), y = y.data()] __device__(Index i) {
      y[i] = scalar_cast<Scalar>(evaluate<f>(kernels::wide(gate[i])).value * kernels::wide(up[i]));
    });
  }

  template <Activation f, class Scalar>
  static void map_glu_backward(Cuda& cuda, Rows<const Scalar> gate, Rows<const Scalar> up,
                               Rows<const Scalar> dy, Rows<Scalar> dgate, Rows<Scalar> dup) {
    ProductOps::map(cuda, gate.size(),
                    [gate = gate.data(), up = up.data(), dy = dy.data(), dgate = dgate.data(),
                     dup = dup.data()] __device__(Index i) {
                      const auto at = evaluate<f>(kernels::wide(gate[i]));
                      const auto direction = kernels::wide(dy[i]);
                      dgate[i] = scalar_cast<Scalar>(direction * kernels::wide(up[i]) * at.slope);
                      dup[i] = scalar_cast<Scalar>(direction * at.value);
                    });
  }

  template <class Scalar, class Term>
  static void sum_columns(Cuda& cuda, Index rows, Row<Scalar> y, bool add, Term term) {
    constexpr Index threads = 128;
    if (y.size() == 0) return;
    cuda.select();
    kernels::
        column_sums<<<static_cast<unsigned>((y.size() + threads - 1) / threads), threads, 0, cuda.stream()>>>(
            rows, y.size(), y.data(), add, term);
    check(cudaGetLastError());
  }
};

}  // namespace hyperblocks::cuda
