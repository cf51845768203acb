// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Row-wise operations of the Cpu device: norms, softmax, rotary positions, embedding, sums; forward and
// backward. A row is one thread's; sums over rows run down fixed blocks of columns: bits do not depend on the
// number of threads. A NaN in a row comes out as NaN. Forward functions may work in place.
#pragma once

#include <algorithm>
#include <functional>

#include <hyperblocks/ops/cpu/rows.hpp>
#include <hyperblocks/ops/rope.hpp>

namespace hyperblocks::cpu {

struct RowOps {
  /// y = x / sqrt(mean(x^2) + epsilon) * (weight + shift)
  template <RealScalar Scalar>
  static void rms_norm(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Rows<Scalar> y,
                       double epsilon, double shift) {
    norm<false, Scalar>(cpu, x, weight, {}, y, epsilon, shift);
  }

  /// With s = 1 / sqrt(mean(x^2) + epsilon), g = dy (weight + shift): dx = s g - x s^3 mean(g x), dweight
  /// [+]= sum of dy x s. dx and dweight are optional; dx is neither x nor dy.
  template <RealScalar Scalar>
  static void rms_norm_backward(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight,
                                Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight, double epsilon,
                                double shift, bool add) {
    norm_backward<false, Scalar>(cpu, x, weight, dy, dx, dweight, epsilon, shift, add);
  }

  /// y = (x - mean) / sqrt(variance + epsilon) * weight + bias; weight and bias are optional.
  template <RealScalar Scalar>
  static void layer_norm(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Row<const Scalar> bias,
                         Rows<Scalar> y, double epsilon) {
    norm<true, Scalar>(cpu, x, weight, bias, y, epsilon, 0);
  }

  /// With n = (x - mean) s, g = dy weight: dx = s (g - mean(g) - n mean(g n)), dweight [+]= sum of dy n,
  /// dbias [+]= sum of dy. dx, dweight and dbias are optional.
  template <RealScalar Scalar>
  static void layer_norm_backward(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight,
                                  Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight,
                                  Row<Scalar> dbias, double epsilon, bool add) {
    if (dbias) column_sums<Scalar>(cpu, dy, dbias, add);
    norm_backward<true, Scalar>(cpu, x, weight, dy, dx, dweight, epsilon, 0, add);
  }

  /// y = e^x / sum(e^x), row by row; a row of -infinity alone gives zeros.
  template <RealScalar Scalar>
  static void softmax(Cpu& cpu, Rows<const Scalar> x, Rows<Scalar> y) {
    const auto exponentials = HYPERBLOCKS_ROW_KERNEL_OF(cpu, exponentials<Scalar>);
    const auto scaled = HYPERBLOCKS_ROW_KERNEL_OF(cpu, scaled_exponentials<Scalar>);
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index i) {
      const auto [largest, sum] = exponentials(detail::row(x, i), x.columns());
      scaled(detail::row(x, i), detail::row(y, i), x.columns(), largest, sum == 0 ? 0 : 1 / sum, 0);
    });
  }

  /// dx = y (dy - sum(y dy)); dx may be dy.
  template <RealScalar Scalar>
  static void softmax_backward(Cpu& cpu, Rows<const Scalar> y, Rows<const Scalar> dy, Rows<Scalar> dx) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, softmax_backward<Scalar>);
    detail::for_rows(cpu, y.rows(), y.columns(), [&](Index i) {
      kernel(detail::row(y, i), detail::row(dy, i), detail::row(dx, i), y.columns());
    });
  }

  /// Turns the pairs (a, b) of every head of x (tokens, heads * width) in place: (a c - b s, b c + a s), with
  /// the tables' row of the token's position; elements from `rotated` on stay. `inverse` turns back, which is
  /// the backward pass.
  template <RealScalar Scalar>
  static void rope(Cpu& cpu, Rows<Scalar> x, const Rotary<Accumulator<Scalar>, Cpu>& rotary,
                   Index tokens_per_sequence, Index heads, RopeLayout layout, bool inverse) {
    const auto kernel = layout == RopeLayout::half_split
                            ? HYPERBLOCKS_ROW_KERNEL_OF(cpu, rotate_halves<Scalar>)
                            : HYPERBLOCKS_ROW_KERNEL_OF(cpu, rotate_pairs<Scalar>);
    const Index size = rotary.cosines.rows();
    const auto position_of = [&](Index token) {
      if (rotary.positions) return Index{rotary.positions.data()[token]};
      const Index past = rotary.past ? Index{rotary.past.data()[token / tokens_per_sequence]} : 0;
      return past + rotary.first + token % tokens_per_sequence;
    };
    for (Index token = 0; token < x.rows(); ++token)
      check(position_of(token) >= 0 && position_of(token) < size, [&] {
        return Error("a position is outside of the tables", "ops::rope", "0 .. " + std::to_string(size - 1),
                     std::to_string(position_of(token)) + " of token " + std::to_string(token));
      });
    const Index half = rotary.cosines.columns(), width = x.columns() / heads;
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index token) {
      const Index at = position_of(token) * half;
      for (Index head = 0; head < heads; ++head)
        kernel(detail::row(x, token) + head * width, rotary.cosines.data() + at, rotary.sines.data() + at,
               half, inverse ? -1 : 1);
    });
  }

  /// y(i) = scale table(ids(i)); ids out of range are an Error.
  template <RealScalar Scalar, RealScalar Table>
  static void embedding(Cpu& cpu, Ids ids, Rows<const Table> table, Rows<Scalar> y, double scale) {
    detail::check_ids("ops::embedding", ids.data(), ids.size(), false, table.rows());
    using Sum = Common<Scalar, Table>;
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, convert<Scalar, Table, Sum>);
    detail::for_rows(cpu, y.rows(), y.columns(), [&](Index i) {
      kernel(static_cast<Sum>(scale), detail::row(table, ids.data()[i]), detail::row(y, i), y.columns());
    });
  }

  /// dtable(id) [+]= scale * the sum of dy(i) over ids(i) = id: sorted by id, so that each row of the table
  /// is written once, by one thread, in the order of the tokens.
  template <RealScalar Scalar>
  static void embedding_backward(Cpu& cpu, Ids ids, Rows<const Scalar> dy, Rows<Scalar> dtable, double scale,
                                 bool add) {
    detail::check_ids("ops::embedding_backward", ids.data(), ids.size(), false, dtable.rows());
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cpu);
    const Index size = ids.size(), columns = dy.columns();
    std::uint64_t* const keys = take<std::uint64_t, dyn>(cpu, size).data();  // id, then token
    for (Index i = 0; i < size; ++i)
      keys[i] = static_cast<std::uint64_t>(ids.data()[i]) << 32 | static_cast<std::uint64_t>(i);
    std::sort(keys, keys + size);
    if (!add)
      detail::for_rows(cpu, dtable.rows(), columns, [&](Index id) {
        std::fill_n(detail::row(dtable, id), columns, scalar_cast<Scalar>(0.0f));
      });
    const Rows<Sum> sums(take<Sum, dyn, dyn>(cpu, cpu.threads().count(), columns));
    const auto accumulate = HYPERBLOCKS_ROW_KERNEL_OF(cpu, add_to<Scalar>);
    cpu.threads().run(size, [&](Index first, Index part) {
      const std::uint64_t id = keys[first] >> 32;
      if (first > 0 && keys[first - 1] >> 32 == id) return;  // not the first of its id
      Sum* const sum = detail::row(sums, part);
      std::fill_n(sum, columns, Sum{0});
      for (Index i = first; i < size && keys[i] >> 32 == id; ++i)
        accumulate(static_cast<Sum>(scale), detail::row(dy, static_cast<Index>(keys[i] & 0xffffffffu)), sum,
                   columns);
      Scalar* const target = detail::row(dtable, static_cast<Index>(id));
      for (Index j = 0; j < columns; ++j)
        target[j] = scalar_cast<Scalar>(scalar_cast<Sum>(target[j]) + sum[j]);
    });
  }

  /// y = a + b
  template <RealScalar Scalar>
  static void add(Cpu& cpu, Row<const Scalar> a, Row<const Scalar> b, Row<Scalar> y) {
    combine<Scalar>(cpu, 1, a, b, y);
  }

  /// y += alpha x
  template <RealScalar Scalar>
  static void scale_add(Cpu& cpu, double alpha, Row<const Scalar> x, Row<Scalar> y) {
    combine<Scalar>(cpu, alpha, x, y, y);
  }

  /// y = alpha x
  template <RealScalar Scalar>
  static void scale(Cpu& cpu, double alpha, Row<const Scalar> x, Row<Scalar> y) {
    convert<Scalar, Scalar>(cpu, alpha, x, y);
  }

  /// y = x, rounded once where the scalars differ.
  template <RealScalar To, RealScalar From>
  static void cast(Cpu& cpu, Row<const From> x, Row<To> y) {
    convert<To, From>(cpu, 1, x, y);
  }

  /// y(i) = x(i) + row
  template <RealScalar Scalar>
  static void add_rows(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> row, Rows<Scalar> y) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, combine<Scalar>);
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index i) {
      kernel(1, detail::row(x, i), 1, row.data(), detail::row(y, i), x.columns());
    });
  }

  /// y(i) = factors(i) x(i)
  template <RealScalar Scalar>
  static void scale_rows(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> factors, Rows<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, convert<Scalar, Scalar, Sum>);
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index i) {
      kernel(scalar_cast<Sum>(factors(i)), detail::row(x, i), detail::row(y, i), x.columns());
    });
  }

  /// y(i) = row
  template <RealScalar Scalar, RealScalar Stored>
  static void broadcast(Cpu& cpu, Row<const Stored> row, Rows<Scalar> y) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, convert<Scalar, Stored, Common<Scalar, Stored>>);
    detail::for_rows(cpu, y.rows(), y.columns(),
                     [&](Index i) { kernel(1, row.data(), detail::row(y, i), y.columns()); });
  }

  /// y [+]= the sums of the columns of x: the gradient of a bias.
  template <RealScalar Scalar>
  static void column_sums(Cpu& cpu, Rows<const Scalar> x, Row<Scalar> y, bool add) {
    sum_columns<false, Scalar>(cpu, x, {}, nullptr, y, add);
  }

  /// Finite wherever double is.
  template <RealScalar Scalar>
  static double sum(Cpu& cpu, Row<const Scalar> x) {
    return reduce_row(cpu, x, HYPERBLOCKS_ROW_KERNEL_OF(cpu, sum<Scalar, double>), std::plus<double>());
  }

  /// The sum of the squares; finite wherever double is.
  template <RealScalar Scalar>
  static double squared_norm(Cpu& cpu, Row<const Scalar> x) {
    return reduce_row(cpu, x, HYPERBLOCKS_ROW_KERNEL_OF(cpu, squares<Scalar>), std::plus<double>());
  }

  /// The sum of |x - target| (optional), and dx (optional) [+]= factor sign(x - target).
  template <RealScalar Scalar>
  static double l1_distance(Cpu& cpu, Row<const Scalar> x, Row<const Scalar> target, double factor,
                            Row<Scalar> dx, bool add) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, l1_distance<Scalar>);
    const auto from = [](auto row, Index first) { return row ? row.data() + first : nullptr; };
    return reduce(
        cpu, x.size(),
        [&](Index first, Index count) {
          return kernel(x.data() + first, from(target, first), static_cast<Accumulator<Scalar>>(factor),
                        from(dx, first), add, count);
        },
        std::plus<double>());
  }

  /// NaN if any element is.
  template <RealScalar Scalar>
  static double max_abs(Cpu& cpu, Row<const Scalar> x) {
    return reduce_row(cpu, x, HYPERBLOCKS_ROW_KERNEL_OF(cpu, max_abs<Scalar>),
                      [](double a, double b) { return a > b || a != a ? a : b; });
  }

 private:
  /// What conversions between two scalars are computed in.
  template <class To, class From>
  using Common = std::conditional_t<std::same_as<To, double> || std::same_as<From, double>, double, float>;

  template <bool centred, class Scalar>
  static void norm(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Row<const Scalar> bias,
                   Rows<Scalar> y, double epsilon, double shift) {
    using Sum = Accumulator<Scalar>;
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, norm<centred, Scalar>);
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index i) {
      kernel(detail::row(x, i), weight.data(), bias.data(), detail::row(y, i), x.columns(),
             static_cast<Sum>(epsilon), static_cast<Sum>(shift));
    });
  }

  template <bool centred, class Scalar>
  static void norm_backward(Cpu& cpu, Rows<const Scalar> x, Row<const Scalar> weight, Rows<const Scalar> dy,
                            Rows<Scalar> dx, Row<Scalar> dweight, double epsilon, double shift, bool add) {
    using Sum = Accumulator<Scalar>;
    const ArenaScope scope(cpu);
    auto* const kept = take<kernels::Moments<Sum>, dyn>(cpu, x.rows()).data();
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, norm_backward<centred, Scalar>);
    detail::for_rows(cpu, x.rows(), x.columns(), [&](Index i) {
      kernel(detail::row(x, i), weight.data(), detail::row(dy, i), detail::row(dx, i), x.columns(),
             static_cast<Sum>(epsilon), static_cast<Sum>(shift), kept + i);
    });
    if (dweight) sum_columns<true, Scalar>(cpu, dy, x, kept, dweight, add);
  }

  template <bool normalised, class Scalar>
  static void sum_columns(Cpu& cpu, Rows<const Scalar> dy, Rows<const Scalar> x,
                          const kernels::Moments<Accumulator<Scalar>>* moments, Row<Scalar> y, bool add) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, column_sums<normalised, Scalar>);
    detail::for_blocks(cpu, y.size(), kernels::column_block, [&](Index first, Index count) {
      kernel(dy.data() + first, normalised ? x.data() + first : nullptr, moments, dy.rows(), y.size(), count,
             y.data() + first, add);
    });
  }

  template <class Scalar>
  static void combine(Cpu& cpu, double alpha, Row<const Scalar> a, Row<const Scalar> b, Row<Scalar> y) {
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, combine<Scalar>);
    detail::for_elements(cpu, y.size(), [&](Index first, Index count) {
      kernel(static_cast<Accumulator<Scalar>>(alpha), a.data() + first, 1, b.data() + first, y.data() + first,
             count);
    });
  }

  template <class To, class From>
  static void convert(Cpu& cpu, double alpha, Row<const From> x, Row<To> y) {
    using Sum = Common<To, From>;
    const auto kernel = HYPERBLOCKS_ROW_KERNEL_OF(cpu, convert<To, From, Sum>);
    detail::for_elements(cpu, y.size(), [&](Index first, Index count) {
      kernel(static_cast<Sum>(alpha), x.data() + first, y.data() + first, count);
    });
  }

  template <class Scalar, class Kernel, class Combine>
  static double reduce_row(Cpu& cpu, Row<const Scalar> x, Kernel kernel, Combine combine) {
    return reduce(
        cpu, x.size(), [&](Index first, Index count) { return kernel(x.data() + first, count); }, combine);
  }

  /// of_block(first, count) for blocks of fixed size, their results one after the other in double.
  template <class OfBlock, class Combine>
  static double reduce(Cpu& cpu, Index size, OfBlock of_block, Combine combine) {
    constexpr Index block = 4096;
    const ArenaScope scope(cpu);
    const Index blocks = (size + block - 1) / block;
    double* const results = take<double, dyn>(cpu, blocks).data();
    detail::for_blocks(cpu, size, block,
                       [&](Index first, Index count) { results[first / block] = of_block(first, count); });
    double result = 0;
    for (Index i = 0; i < blocks; ++i) result = combine(result, results[i]);
    return result;
  }
};

}  // namespace hyperblocks::cpu
