// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Operations of the Cuda device row by row: norms, softmax, rotary positions, embedding; forward and
// backward.
#pragma once

#include <cub/device/device_radix_sort.cuh>

#include <hyperblocks/cuda/kernels/lookups.cuh>
#include <hyperblocks/cuda/kernels/rows.cuh>
#include <hyperblocks/cuda/ops/element_ops.cuh>
#include <hyperblocks/ops/rope.hpp>

namespace hyperblocks::cuda {

/// f(width, threads), both integral constants, for kernels with a block to a row: packs as wide as the
/// pointers allow, a warp where it holds a row at once.
template <class F, class First, class... Scalar>
void with_block_rows(F f, Index columns, const First* first, const Scalar*... data) {
  with_packs(
      [&]<int width>(std::integral_constant<int, width> packs) {
        if (columns / width <= 64)
          f(packs, std::integral_constant<int, 32>());
        else
          f(packs, std::integral_constant<int, 256>());
      },
      columns, first, data...);
}

struct RowOps {
  template <RealScalar Scalar>
  static void rms_norm(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight, Rows<Scalar> y,
                       double epsilon, double shift) {
    norm<false, Scalar>(cuda, x, weight, {}, y, epsilon, shift);
  }

  template <RealScalar Scalar>
  static void rms_norm_backward(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight,
                                Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight, double epsilon,
                                double shift, bool add) {
    norm_backward<false, Scalar>(cuda, x, weight, dy, dx, dweight, epsilon, shift, add);
  }

  template <RealScalar Scalar>
  static void layer_norm(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight, Row<const Scalar> bias,
                         Rows<Scalar> y, double epsilon) {
    norm<true, Scalar>(cuda, x, weight, bias, y, epsilon, 0);
  }

  template <RealScalar Scalar>
  static void layer_norm_backward(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight,
                                  Rows<const Scalar> dy, Rows<Scalar> dx, Row<Scalar> dweight,
                                  Row<Scalar> dbias, double epsilon, bool add) {
    norm_backward<true, Scalar>(cuda, x, weight, dy, dx, dweight, epsilon, 0, add);
    if (dbias) ElementOps::column_sums<Scalar>(cuda, dy, dbias, add);
  }

  template <RealScalar Scalar>
  static void softmax(Cuda& cuda, Rows<const Scalar> x, Rows<Scalar> y) {
    if (x.size() == 0) return;
    with_block_rows(
        [&]<int width, int threads>(std::integral_constant<int, width>,
                                    std::integral_constant<int, threads>) {
          launch(cuda, kernels::softmax<width, threads, Scalar>, grid_of(x, threads), x.data(), y.data(),
                 x.columns());
        },
        x.columns(), x.data(), y.data());
  }

  template <RealScalar Scalar>
  static void softmax_backward(Cuda& cuda, Rows<const Scalar> y, Rows<const Scalar> dy, Rows<Scalar> dx) {
    if (y.size() == 0) return;
    with_block_rows(
        [&]<int width, int threads>(std::integral_constant<int, width>,
                                    std::integral_constant<int, threads>) {
          launch(cuda, kernels::softmax_backward<width, threads, Scalar>, grid_of(y, threads), y.data(),
                 dy.data(), dx.data(), y.columns());
        },
        y.columns(), y.data(), dy.data(), dx.data());
  }

  template <RealScalar Scalar>
  static void rope(Cuda& cuda, Rows<Scalar> x, const Rotary<Accumulator<Scalar>, Cuda>& rotary,
                   Index tokens_per_sequence, Index heads, RopeLayout layout, bool inverse) {
    const Index half = rotary.cosines.columns(), pairs = x.rows() * heads * half;
    if (pairs == 0) return;
    const kernels::Rotation<Scalar> rotation{x.data(),
                                             x.rows(),
                                             heads,
                                             x.columns() / heads,
                                             half,
                                             rotary.cosines.data(),
                                             rotary.sines.data(),
                                             rotary.positions.data(),
                                             rotary.past.data(),
                                             rotary.first,
                                             tokens_per_sequence,
                                             rotary.cosines.rows(),
                                             layout == RopeLayout::interleaved,
                                             inverse,
                                             cuda.faults()};
    launch(cuda, kernels::rope<Scalar>, striding_grid(pairs), rotation);
  }

  template <RealScalar Scalar, RealScalar Table>
  static void embedding(Cuda& cuda, Ids ids, Rows<const Table> table, Rows<Scalar> y, double scale) {
    using Sum =
        std::conditional_t<std::same_as<Scalar, double> || std::same_as<Table, double>, double, float>;
    if (y.size() == 0) return;
    with_packs(
        [&]<int width>(std::integral_constant<int, width>) {
          launch(cuda, kernels::embedding<width, Sum, Scalar, Table>, ElementOps::row_grid(y, width),
                 ids.data(), table.data(), table.rows(), y.data(), y.columns() / width, scale, cuda.faults());
        },
        y.columns(), table.data(), y.data());
  }

  template <RealScalar Scalar>
  static void embedding_backward(Cuda& cuda, Ids ids, Rows<const Scalar> dy, Rows<Scalar> dtable,
                                 double scale, bool add) {
    constexpr Index threads = 256;
    const ArenaScope scope(cuda);
    const Index size = ids.size();
    if (!add) cuda.fill(dtable.data(), 0, dtable.bytes());
    if (dy.size() == 0) return;
    const auto keys = take<std::uint32_t, dyn>(cuda, size), sorted = take<std::uint32_t, dyn>(cuda, size);
    const auto rows = take<std::int32_t, dyn>(cuda, size), sorted_rows = take<std::int32_t, dyn>(cuda, size);
    launch(cuda, kernels::number_rows<std::int32_t>, {blocks_for(size, threads), threads}, size, ids.data(),
           keys.data(), rows.data());
    const auto sort = [&](void* storage, std::size_t& bytes) {
      check(cub::DeviceRadixSort::SortPairs(storage, bytes, keys.data(), sorted.data(), rows.data(),
                                            sorted_rows.data(), static_cast<int>(size), 0, 32,
                                            cuda.stream()));
    };
    std::size_t bytes = 0;
    sort(nullptr, bytes);
    sort(take<unsigned char, dyn>(cuda, static_cast<Index>(bytes)).data(), bytes);
    launch(cuda, kernels::embedding_backward<Scalar>, {static_cast<unsigned>(size), threads}, size,
           sorted.data(), sorted_rows.data(), dy.data(), dtable.data(), dtable.rows(), dy.columns(), scale,
           cuda.faults());
  }

 private:
  template <class View>
  static Grid grid_of(const View& rows, int threads) {
    return {static_cast<unsigned>(rows.rows()), static_cast<unsigned>(threads)};
  }

  template <bool centred, class Scalar>
  static void norm(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight, Row<const Scalar> bias,
                   Rows<Scalar> y, double epsilon, double shift) {
    if (x.size() == 0) return;
    with_block_rows(
        [&]<int width, int threads>(std::integral_constant<int, width>,
                                    std::integral_constant<int, threads>) {
          launch(cuda, kernels::norm<centred, width, threads, Scalar>, grid_of(x, threads), x.data(),
                 weight.data(), bias.data(), y.data(), x.columns(), epsilon, shift);
        },
        x.columns(), x.data(), weight.data(), bias.data(), y.data());
  }

  template <bool centred, class Scalar>
  static void norm_backward(Cuda& cuda, Rows<const Scalar> x, Row<const Scalar> weight, Rows<const Scalar> dy,
                            Rows<Scalar> dx, Row<Scalar> dweight, double epsilon, double shift, bool add) {
    const ArenaScope scope(cuda);
    const auto moments = take<kernels::Moments<Accumulator<Scalar>>, dyn>(cuda, x.rows());
    if (x.size() != 0)
      with_block_rows(
          [&]<int width, int threads>(std::integral_constant<int, width>,
                                      std::integral_constant<int, threads>) {
            launch(cuda, kernels::norm_backward<centred, width, threads, Scalar>, grid_of(x, threads),
                   x.data(), weight.data(), dy.data(), dx.data(), moments.data(), x.columns(), epsilon,
                   shift);
          },
          x.columns(), x.data(), weight.data(), dy.data(), dx.data());
    if (dweight)
      ElementOps::sum_columns<Scalar>(
          cuda, x.rows(), dweight, add,
          kernels::NormTerm<Scalar>{x.data(), dy.data(), moments.data(), x.columns()});
  }
};

}  // namespace hyperblocks::cuda
