// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Row-wise operations of the Cpu device: norms, softmax, sums over columns, forward and backward. A row is
// one thread's; sums over rows run down blocks of columns: bits do not depend on the number of threads.
#pragma once

#include <cmath>
#include <limits>

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/cpu/device.hpp>

namespace hyperblocks::cpu {

struct RowOps {
  template <class Scalar>
  using Row = View<Scalar, Cpu, dyn>;
  template <class Scalar>
  using Rows = View<Scalar, Cpu, dyn, dyn>;

  /// y = a + b; y may be a or b.
  template <RealScalar Scalar>
  static void add(Cpu& cpu, Row<const Scalar> a, Row<const Scalar> b, Row<Scalar> y) {
    constexpr Index block = 16384;
    cpu.threads().run(detail::ceil_divide(a.size(), block), [&](Index index) {
      const Index last = detail::smaller(a.size(), (index + 1) * block);
      for (Index i = index * block; i < last; ++i)
        y.data()[i] = scalar_cast<Scalar>(wide(a.data()[i]) + wide(b.data()[i]));
    });
  }

  /// y [+]= sums of the columns of x
  template <RealScalar Scalar>
  static void column_sums(Cpu& cpu, Rows<const Scalar> x, Row<Scalar> y, bool add) {
    accumulate_columns<Scalar>(cpu, x.rows(), y, add,
                               [&](Index i, Index j) { return wide(x.data()[i * x.columns() + j]); });
  }

  /// y = x / sqrt(mean(x^2) + epsilon) * (weight + shift); y may be x.
  template <RealScalar Scalar>
  static void rms_norm(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Rows<Scalar> y,
                       double epsilon, double shift) {
    using Sum = Accumulator<Scalar>;
    for_rows(cpu, x, [&](Index i) {
      const Scalar* from = row(x, i);
      const Sum scale = root_mean_square_scale(from, x.columns(), epsilon);
      for (Index j = 0; j < x.columns(); ++j)
        row(y, i)[j] =
            scalar_cast<Scalar>(wide(from[j]) * scale * (wide(weight.data()[j]) + static_cast<Sum>(shift)));
    });
  }

  /// With s = 1/sqrt(mean(x^2) + epsilon), g = dy (weight + shift): dx = s g - x s^3 mean(g x), dweight = sum
  /// dy x s.
  template <RealScalar Scalar>
  static void rms_norm_backward(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight,
                                Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight, double epsilon,
                                double shift, bool add) {
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cpu);
    const auto scales = take<Sum, dyn>(cpu, x.rows());
    const Index columns = x.columns();
    for_rows(cpu, x, [&](Index i) {
      const Scalar *from = row(x, i), *direction = row(dy, i);
      const Sum scale = scales.data()[i] = root_mean_square_scale(from, columns, epsilon);
      if (!dx) return;
      const auto gradient = [&](Index j) {
        return wide(direction[j]) * (wide(weight.data()[j]) + static_cast<Sum>(shift));
      };
      Sum along = 0;
      for (Index j = 0; j < columns; ++j) along += gradient(j) * wide(from[j]);
      along *= scale * scale / static_cast<Sum>(columns);
      for (Index j = 0; j < columns; ++j)
        row(dx, i)[j] = scalar_cast<Scalar>(scale * (gradient(j) - wide(from[j]) * along));
    });
    if (dweight)
      accumulate_columns<Scalar>(cpu, x.rows(), dweight, add, [&](Index i, Index j) {
        return wide(row(dy, i)[j]) * wide(row(x, i)[j]) * scales.data()[i];
      });
  }

  /// y = (x - mean) / sqrt(variance + epsilon) * weight + bias; bias may be empty, y may be x.
  template <RealScalar Scalar>
  static void layer_norm(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Row<const Scalar> bias,
                         Rows<Scalar> y, double epsilon) {
    for_rows(cpu, x, [&](Index i) {
      const Scalar* from = row(x, i);
      const auto [mean, scale] = moments(from, x.columns(), epsilon);
      for (Index j = 0; j < x.columns(); ++j) {
        auto value = (wide(from[j]) - mean) * scale * wide(weight.data()[j]);
        if (bias) value += wide(bias.data()[j]);
        row(y, i)[j] = scalar_cast<Scalar>(value);
      }
    });
  }

  /// With n = (x - mean) s, g = dy weight: dx = s (g - mean(g) - n mean(g n)), dweight = sum dy n, dbias =
  /// sum dy.
  template <RealScalar Scalar>
  static void layer_norm_backward(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight,
                                  Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight,
                                  Row<Scalar> dbias, double epsilon, bool add) {
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cpu);
    const auto kept = take<Moments<Sum>, dyn>(cpu, x.rows());
    const Index columns = x.columns();
    for_rows(cpu, x, [&](Index i) {
      const Scalar *from = row(x, i), *direction = row(dy, i);
      const auto [mean, scale] = kept.data()[i] = moments(from, columns, epsilon);
      if (!dx) return;
      Sum total = 0, along = 0;
      for (Index j = 0; j < columns; ++j) {
        const Sum gradient = wide(direction[j]) * wide(weight.data()[j]);
        total += gradient;
        along += gradient * ((wide(from[j]) - mean) * scale);
      }
      total /= static_cast<Sum>(columns);
      along /= static_cast<Sum>(columns);
      for (Index j = 0; j < columns; ++j) {
        const Sum gradient = wide(direction[j]) * wide(weight.data()[j]);
        row(dx, i)[j] =
            scalar_cast<Scalar>(scale * (gradient - total - (wide(from[j]) - mean) * scale * along));
      }
    });
    if (dweight)
      accumulate_columns<Scalar>(cpu, x.rows(), dweight, add, [&](Index i, Index j) {
        const auto [mean, scale] = kept.data()[i];
        return wide(row(dy, i)[j]) * ((wide(row(x, i)[j]) - mean) * scale);
      });
    if (dbias) column_sums<Scalar>(cpu, dy, dbias, add);
  }

  /// Row by row; a row of -infinity alone gives zeros. y may be x.
  template <RealScalar Scalar>
  static void softmax(Cpu& cpu, Rows<const Scalar> x, Rows<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    for_rows(cpu, x, [&](Index i) {
      const Scalar* from = row(x, i);
      Sum largest = -std::numeric_limits<Sum>::infinity(), total = 0;
      for (Index j = 0; j < x.columns(); ++j) largest = wide(from[j]) > largest ? wide(from[j]) : largest;
      const auto weight = [&](Index j) {
        return wide(from[j]) == -std::numeric_limits<Sum>::infinity() ? Sum{0}
                                                                      : std::exp(wide(from[j]) - largest);
      };
      for (Index j = 0; j < x.columns(); ++j) total += weight(j);
      const Sum scale = total == 0 ? Sum{0} : 1 / total;
      for (Index j = 0; j < x.columns(); ++j) row(y, i)[j] = scalar_cast<Scalar>(weight(j) * scale);
    });
  }

  /// dx = y (dy - sum(y dy)); dx may be dy.
  template <RealScalar Scalar>
  static void softmax_backward(Cpu& cpu, Rows<const Scalar> y, Rows<const Scalar> dy, Rows<Scalar> dx) {
    for_rows(cpu, y, [&](Index i) {
      const Scalar *probability = row(y, i), *direction = row(dy, i);
      Accumulator<Scalar> along = 0;
      for (Index j = 0; j < y.columns(); ++j) along += wide(probability[j]) * wide(direction[j]);
      for (Index j = 0; j < y.columns(); ++j)
        row(dx, i)[j] = scalar_cast<Scalar>(wide(probability[j]) * (wide(direction[j]) - along));
    });
  }

 private:
  template <class Sum>
  struct Moments {
    Sum mean, scale;
  };

  template <class Scalar>
  static Accumulator<std::remove_const_t<Scalar>> wide(Scalar value) {
    return scalar_cast<Accumulator<Scalar>>(value);
  }

  template <class Scalar>
  static Scalar* row(View<Scalar, Cpu, dyn, dyn> matrix, Index i) {
    return matrix.data() + i * matrix.columns();
  }

  /// f(i) for every row, several rows to a task where they are short.
  template <class Scalar, class F>
  static void for_rows(Cpu& cpu, Rows<const Scalar> x, F f) {
    constexpr Index elements = 8192;
    const Index rows = x.rows(), block = detail::ceil_divide(elements, x.columns() + 1);
    cpu.threads().run(detail::ceil_divide(rows, block), [&](Index index) {
      const Index last = detail::smaller(rows, (index + 1) * block);
      for (Index i = index * block; i < last; ++i) f(i);
    });
  }

  /// y(j) [+]= sum over i of term(i, j), each in one chain down the rows.
  template <class Scalar, class Term>
  static void accumulate_columns(Cpu& cpu, Index rows, Row<Scalar> y, bool add, Term term) {
    constexpr Index width = 64;
    cpu.threads().run(detail::ceil_divide(y.size(), width), [&](Index block) {
      const Index first = block * width, count = detail::smaller(width, y.size() - first);
      Accumulator<Scalar> sums[width] = {};
      for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < count; ++j) sums[j] += term(i, first + j);
      for (Index j = 0; j < count; ++j) {
        Scalar& target = y.data()[first + j];
        target = scalar_cast<Scalar>(add ? wide(target) + sums[j] : sums[j]);
      }
    });
  }

  template <class Scalar>
  static Accumulator<Scalar> root_mean_square_scale(const Scalar* x, Index columns, double epsilon) {
    using Sum = Accumulator<Scalar>;
    Sum squares = 0;
    for (Index j = 0; j < columns; ++j) squares += wide(x[j]) * wide(x[j]);
    return 1 / std::sqrt(squares / static_cast<Sum>(columns) + static_cast<Sum>(epsilon));
  }

  template <class Scalar>
  static Moments<Accumulator<Scalar>> moments(const Scalar* x, Index columns, double epsilon) {
    using Sum = Accumulator<Scalar>;
    Sum mean = 0, squares = 0;
    for (Index j = 0; j < columns; ++j) mean += wide(x[j]);
    mean /= static_cast<Sum>(columns);
    for (Index j = 0; j < columns; ++j) squares += (wide(x[j]) - mean) * (wide(x[j]) - mean);
    return {mean, 1 / std::sqrt(squares / static_cast<Sum>(columns) + static_cast<Sum>(epsilon))};
  }
};

}  // namespace hyperblocks::cpu
