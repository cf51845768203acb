// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of the Cuda device: by cuBLASLt, sums in float, in double for double. A frozen matrix stays
// row-major here, so packed and plain weights are multiplied by the same calls; rows meet weights of another
// scalar rounded to it.
#pragma once

#include <hyperblocks/cuda/kernels/extended_product.cuh>
#include <hyperblocks/cuda/kernels/strided.cuh>
#include <hyperblocks/cuda/kernels/thin_product.cuh>
#include <hyperblocks/cuda/matmul.cuh>
#include <hyperblocks/cuda/ops/element_ops.cuh>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/matrices.hpp>
#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks::cuda {

struct ProductOps {
  template <RealScalar Stored>
  static Index packed_size(Index out, Index in) {
    return out * in;
  }
  template <RealScalar Stored>
  static constexpr Index rows_together() {
    return 1;
  }
  template <RealScalar Stored>
  static void pack(Cuda& cuda, const Stored* weight, Index out, Index in, Stored* packed) {
    cuda.upload(packed, weight, static_cast<std::size_t>(out * in) * sizeof(Stored));
  }
  template <RealScalar Stored>
  static void unpack(Cuda& cuda, const Stored* packed, Index out, Index in, Stored* weight) {
    cuda.download(weight, packed, static_cast<std::size_t>(out * in) * sizeof(Stored));
  }

  /// y = x W^T + bias
  template <RealScalar Scalar>
  static void product(Cuda& cuda, Rows<const Scalar> x, Rows<const Scalar> weight, Row<const Scalar> bias,
                      Rows<Scalar> y) {
    product_packed<Scalar, Scalar>(cuda, x, weight.data(), bias, y);
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void product_packed(Cuda& cuda, Rows<const Scalar> x, const Stored* weight, Row<const Scalar> bias,
                             Rows<Scalar> y) {
    const ArenaScope scope(cuda);
    const Index in = x.columns(), out = y.columns(), tokens = x.rows();
    const Operand<const Stored> w{weight, in, out, in, true}, rows{as<Stored>(cuda, x), in, tokens, in};
    if constexpr (!writes<Stored, Scalar>) {
      const auto sums = take<float, dyn, dyn>(cuda, tokens, out);
      if (bias) ElementOps::broadcast<float, Scalar>(cuda, bias, sums);
      Matmul<Stored, float>{w, rows, {sums.data(), out, tokens, out}}.run(cuda, 1, bias ? 1 : 0);
      ElementOps::cast<Scalar, float>(cuda, sums.template reshape<dyn>(y.size()),
                                      y.template reshape<dyn>(y.size()));
    } else {
      Matmul<Stored, Scalar> matmul{w, rows, {y.data(), out, tokens, out}};
      // cuBLASLt adds no bias in double, and reads one in whole packs: else y starts from it.
      const bool added =
          !std::is_same_v<Scalar, double> && reinterpret_cast<std::uintptr_t>(bias.data()) % 16 == 0;
      if (added)
        matmul.bias = bias.data();
      else if (bias)
        ElementOps::broadcast<Scalar, Scalar>(cuda, bias, y);
      matmul.run(cuda, 1, bias && !added ? 1 : 0);
    }
  }

  /// dx [+]= dy W
  template <RealScalar Scalar>
  static void input_gradient(Cuda& cuda, Rows<const Scalar> dy, Rows<const Scalar> weight, Rows<Scalar> dx,
                             bool add) {
    input_gradient_packed<Scalar, Scalar>(cuda, dy, weight.data(), dx, add);
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void input_gradient_packed(Cuda& cuda, Rows<const Scalar> dy, const Stored* weight, Rows<Scalar> dx,
                                    bool add) {
    const ArenaScope scope(cuda);
    const Index in = dx.columns(), out = dy.columns(), tokens = dy.rows();
    const Operand<const Stored> w{weight, in, out, in}, rows{as<Stored>(cuda, dy), out, tokens, out};
    if constexpr (writes<Stored, Scalar>) {
      Matmul<Stored, Scalar>{w, rows, {dx.data(), in, tokens, in}}.run(cuda, 1, add ? 1 : 0);
    } else {
      const auto sums = take<float, dyn>(cuda, dx.size());
      const auto to = dx.template reshape<dyn>(dx.size());
      if (add) ElementOps::cast<float, Scalar>(cuda, to, sums);
      Matmul<Stored, float>{w, rows, {sums.data(), in, tokens, in}}.run(cuda, 1, add ? 1 : 0);
      ElementOps::cast<Scalar, float>(cuda, sums, to);
    }
  }

  /// dW [+]= dy^T x
  template <RealScalar Scalar>
  static void weight_gradient(Cuda& cuda, Rows<const Scalar> dy, Rows<const Scalar> x, Rows<Scalar> dweight,
                              bool add) {
    const Index in = x.columns(), out = dy.columns(), tokens = x.rows();
    if (tokens == 0) {  // a sum of nothing, which cuBLASLt does not know
      if (!add) cuda.fill(dweight.data(), 0, dweight.bytes());
      return;
    }
    Matmul<Scalar, Scalar>{
        {x.data(), in, tokens, in}, {dy.data(), out, tokens, out, true}, {dweight.data(), in, out, in}}
        .run(cuda, 1, add ? 1 : 0);
  }

  /// y [+]= a b for a batch of matrices with any strides; those that cuBLASLt knows nothing of by a kernel of
  /// our own.
  template <RealScalar Scalar>
  static void batched_product(Cuda& cuda, Matrices<const Scalar> a, Matrices<const Scalar> b,
                              Matrices<Scalar> y, bool add) {
    if (y.column_stride != 1 && y.row_stride == 1)
      return batched_product<Scalar>(cuda, b.transposed(), a.transposed(), y.transposed(), add);
    const auto known = [](const auto& m) {
      return (m.column_stride == 1 && m.row_stride >= m.columns) ||
             (m.row_stride == 1 && m.column_stride >= m.rows);
    };
    if (y.column_stride == 1 && y.row_stride >= y.columns && known(a) && known(b) && a.columns > 0)
      Matmul<Scalar, Scalar>{
          operand(b), operand(a), {y.data, y.columns, y.rows, y.row_stride, false, y.batch_stride}, y.batch}
          .run(cuda, 1, add ? 1 : 0);
    else if (const Index size = y.batch * y.rows * y.columns; size != 0)
      launch(cuda, kernels::strided_product<Scalar>, striding_grid(size), a, b, y, add);
  }

  /// y = x W^T + bias + scale (x A^T) B^T + C ...
  template <RealScalar Scalar, Index out, Index in>
  static void low_rank_update(Cuda& cuda, Rows<const Scalar> x, Rows<const Scalar> weight,
                              Row<const Scalar> bias, const LowRank<const Scalar, Cuda, out, in>& updates,
                              Rows<Scalar> y) {
    updated_product<Scalar>(cuda, x,
                            UpdatedProduct<Scalar, Scalar, Cuda, out, in>{weight.data(), bias, updates, y});
  }

  template <RealScalar Scalar, class... Products>
  static void updated_products(Cuda& cuda, Rows<const Scalar> x, const Products&... products) {
    (updated_product<Scalar>(cuda, x, products), ...);
  }

 private:
  /// Whether cuBLASLt gives this scalar from products of that one: the same, or float from any.
  template <class Stored, class Scalar>
  static constexpr bool writes = std::is_same_v<Stored, Scalar> || std::is_same_v<Scalar, float>;

  /// The rows in another scalar, in the arena of the caller's scope; themselves where it is theirs.
  template <class To, class From>
  static const To* as(Cuda& cuda, Rows<const From> x) {
    if constexpr (std::is_same_v<To, From>) {
      return x.data();
    } else {
      const auto rounded = take<To, dyn>(cuda, x.size());
      ElementOps::cast<To, From>(cuda, x.template reshape<dyn>(x.size()), rounded);
      return rounded.data();
    }
  }

  /// The transpose of a row-major matrix, or of a column-major one.
  template <class Scalar>
  static Operand<const Scalar> operand(const Matrices<const Scalar>& m) {
    if (m.column_stride == 1 && m.row_stride >= m.columns)
      return {m.data, m.columns, m.rows, m.row_stride, false, m.batch_stride};
    return {m.data, m.rows, m.columns, m.column_stride, true, m.batch_stride};
  }

  template <RealScalar Scalar, class Stored, Index out, Index in>
  static void updated_product(Cuda& cuda, Rows<const Scalar> x,
                              const UpdatedProduct<Scalar, Stored, Cuda, out, in>& product) {
    if constexpr (std::is_same_v<Scalar, Stored> && sizeof(Scalar) == 2) {
      fused_product<Scalar>(cuda, x, product);
    } else {
      product_packed<Scalar, Stored>(cuda, x, product.weight, product.bias, product.y);
      each_served(product.updates, x.rows(), [&](const auto& update, Index rows) {
        add_update<Scalar>(cuda, x, update, rows, product.y);
      });
    }
  }

  /// f(update, rows) for those that add something to so many rows.
  template <class Updates, class F>
  static void each_served(const Updates& updates, Index tokens, F f) {
    each_update(updates, [&](const auto& update) {
      const Index rows = update.row_count(tokens);
      if (update.given() && rows > 0) f(update, rows);
    });
  }

  /// Of few rows, the product and its updates in one kernel; of many, all updates in one behind cuBLASLt's
  /// product. Those of high ranks are cuBLASLt's too.
  template <RealScalar Scalar, Index out, Index in>
  static void fused_product(Cuda& cuda, Rows<const Scalar> x,
                            const UpdatedProduct<Scalar, Scalar, Cuda, out, in>& product) {
    using Fused = kernels::FusedProduct<Scalar>;
    const Index tokens = x.rows();
    const bool updated = static_cast<bool>(product.updates), thin = tokens <= kernels::most_thin_tokens;
    const bool own = packable(in, 8, x.data(), product.weight) &&
                     (thin || (updated && tokens <= tuning::most_extended_rows));
    const Fused whole{.x = x.data(),
                      .weight = product.weight,
                      .bias = product.bias.data(),
                      .y = product.y.data(),
                      .tokens = tokens,
                      .in = in,
                      .out = out};
    const Fused behind{.y = product.y.data(), .tokens = tokens, .out = out, .adds = true};
    if (!own) product_packed<Scalar, Scalar>(cuda, x, product.weight, product.bias, product.y);
    Fused next = own ? whole : behind;
    const auto run = [&] {
      if (thin && next.in > 0)
        thin_product<Scalar>(cuda, next);
      else
        extended_product<Scalar>(cuda, x, next);
      next = behind;
    };
    each_served(product.updates, tokens, [&](const auto& update, Index rows) {
      if (update.rank() > tuning::most_extended_rank) return;
      if (next.update_count == kernels::most_fused_updates) run();
      next.updates[next.update_count++] = {update.a.data(),    update.b.data(),
                                           update.bias.data(), update.rank(),
                                           next.vectors,       update.a.form(),
                                           update.b.form(),    static_cast<float>(update.scale),
                                           update.first_row,   rows};
      next.vectors += update.rank();
    });
    if (next.in > 0 || next.update_count > 0) run();
    each_served(product.updates, tokens, [&](const auto& update, Index rows) {
      if (update.rank() > tuning::most_extended_rank) add_update<Scalar>(cuda, x, update, rows, product.y);
    });
  }

  template <RealScalar Scalar>
  static void thin_product(Cuda& cuda, const kernels::FusedProduct<Scalar>& all) {
    if (all.tokens == 0) return;
    const ArenaScope scope(cuda);
    kernels::ThinProduct<Scalar> product{.all = all};
    product.shrunk =
        take<float, dyn>(cuda, std::max<Index>(all.vectors, 1) * kernels::most_thin_tokens).data();
    product.progress = static_cast<kernels::ThinProgress*>(cuda.progress());
    const auto run = [&]<int groups, int octets>(std::integral_constant<int, groups>,
                                                 std::integral_constant<int, octets>) {
      Grid grid{blocks_for(all.out, 16 * groups), kernels::thin_threads,
                kernels::thin_shared_bytes<groups, octets>(), true};
      product.producers =
          std::min({all.vectors, Index{grid.blocks.x}, Index{cuda.processors()}});  // which all run at once
      launch(cuda, kernels::thin_product<groups, octets, Scalar>, grid, product);
    };
    if (all.tokens <= 8)
      run(std::integral_constant<int, 1>(), std::integral_constant<int, 1>());
    else
      run(std::integral_constant<int, 2>(), std::integral_constant<int, 2>());
  }

  /// With scale x A^T of every update by cuBLASLt.
  template <RealScalar Scalar>
  static void extended_product(Cuda& cuda, Rows<const Scalar> x, const kernels::FusedProduct<Scalar>& all) {
    if (all.tokens == 0) return;
    const ArenaScope scope(cuda);
    kernels::ExtendedProduct<Scalar> product{.all = all};
    for (int i = 0; i < all.update_count; ++i) {
      const kernels::FusedUpdate<Scalar>& update = all.updates[i];
      if (update.rank > 0)
        product.shrunk[i] = shrunk<Scalar>(cuda, x.slice(update.first_row, update.rows), update.a,
                                           update.a_form, update.rank, update.scale);
    }
    const auto run = [&]<class Tile>(Tile) {
      launch(cuda, kernels::extended_product<Tile, Scalar>,
             {dim3(blocks_for(all.out, Tile::columns), blocks_for(all.tokens, Tile::rows)), Tile::threads,
              sizeof(Scalar) * Tile::stages * Tile::numbers},
             product);
    };
    using Wide = kernels::ExtendedTile<64>;  // where there are enough of them for all processors
    if (blocks_for(all.out, Wide::columns) * blocks_for(all.tokens, Wide::rows) >=
        static_cast<unsigned>(cuda.processors()))
      run(Wide());
    else
      run(kernels::ExtendedTile<32>());
  }

  /// To its rows of y, by cuBLASLt.
  template <RealScalar Scalar, class Update>
  static void add_update(Cuda& cuda, Rows<const Scalar> x, const Update& update, Index rows, Rows<Scalar> y) {
    const ArenaScope scope(cuda);
    const auto to = y.slice(update.first_row, rows);
    const Index out = y.columns(), rank = update.rank();
    if (update.a && rank > 0) {
      const bool columns = update.b.form() == FactorForm::columns;
      const Index height = columns ? rank : out;
      const Scalar* const kept = shrunk<Scalar>(cuda, x.slice(update.first_row, rows), update.a.data(),
                                                update.a.form(), rank, update.scale);
      Matmul<Scalar, Scalar>{{update.b.data(), height, columns ? out : rank, height, columns},
                             {kept, rank, rows, rank},
                             {to.data(), out, rows, out}}
          .run(cuda, 1, 1);
    }
    if (update.bias) ElementOps::add_rows<Scalar>(cuda, to, update.bias, to);
  }

  /// scale x A^T (rows, rank), in the arena of the caller's scope.
  template <RealScalar Scalar>
  static const Scalar* shrunk(Cuda& cuda, Rows<const Scalar> x, const Scalar* a, FactorForm form, Index rank,
                              double scale) {
    const Index in = x.columns(), rows = x.rows();
    const bool vectors = form == FactorForm::rows;
    const Index height = vectors ? in : rank;
    const auto y = take<Scalar, dyn>(cuda, rows * rank);
    Matmul<Scalar, Scalar>{{a, height, vectors ? rank : in, height, vectors},
                           {x.data(), in, rows, in},
                           {y.data(), rank, rows, rank}}
        .run(cuda, scale, 0);
    return y.data();
  }
};

}  // namespace hyperblocks::cuda
