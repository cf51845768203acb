// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention of the Cuda device, forward and backward: which tiles fit a block's shared memory, and the
// launches.
#pragma once

#include <hyperblocks/cuda/kernels/attention.cuh>
#include <hyperblocks/cuda/kernels/attention_tensor_backward.cuh>
#include <hyperblocks/cuda/kernels/lookups.cuh>
#include <hyperblocks/cuda/ops/element_ops.cuh>
#include <hyperblocks/cuda/tuning.cuh>

namespace hyperblocks::cuda {

struct AttentionOps {
  template <RealScalar Scalar>
  static void copy_heads(Cuda& cuda, Heads<const Scalar> from, Heads<Scalar> to) {
    append_heads<Scalar>(cuda, from, to, {});
  }

  template <RealScalar Scalar>
  static void append_heads(Cuda& cuda, Heads<const Scalar> from, Heads<Scalar> to, Ids past) {
    const Index size = from.batch * from.tokens * from.heads * from.width;
    if (size != 0)
      launch(cuda, kernels::copy_heads<Scalar>, striding_grid(size), from, to, past.data(), cuda.faults());
  }

  template <RealScalar Scalar>
  static void attention(Cuda& cuda, const AttentionOptions& options, Heads<const Scalar> q,
                        Heads<const Scalar> k, Heads<const Scalar> v, Heads<Scalar> out,
                        Row<Accumulator<Scalar>> log_sum_exp) {
    const auto shape = shape_of<Scalar>(options, q, k, v);
    if (q.batch * shape.rows == 0) return;
    if constexpr (sizeof(Scalar) == 2) {
      constexpr Index most = 256;
      if (fit_tensor_cores(most, q, k, v, out))
        return attention_tensor<Scalar>(cuda, shape, out, log_sum_exp);
    }
    with_tile<Scalar>([](auto tile) { return kernels::attention_forward_numbers<tile>; }, q.width, v.width,
                      [&]<int tile>(std::integral_constant<int, tile>, std::size_t shared) {
                        const Grid grid = tiles_of(q.batch * k.heads, shape.rows, tile, shared);
                        const auto run = [&](const Grid& blocks, const auto& part, auto to, auto* weights) {
                          launch(cuda, kernels::attention_forward<tile, Scalar>, blocks, part, to, weights);
                        };
                        if constexpr (sizeof(Scalar) == 2)
                          run(grid, shape, out, log_sum_exp.data());
                        else
                          in_shares(cuda, grid, shape, tile, out, log_sum_exp, run);
                      });
  }

  template <RealScalar Scalar>
  static void attention_backward(Cuda& cuda, const AttentionOptions& options, Heads<const Scalar> q,
                                 Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out,
                                 Row<const Accumulator<Scalar>> log_sum_exp, Heads<const Scalar> dout,
                                 Heads<Scalar> dq, Heads<Scalar> dk, Heads<Scalar> dv) {
    constexpr int warp = 32;
    const ArenaScope scope(cuda);
    const auto shape = shape_of<Scalar>(options, q, k, v);
    const auto along = take<Accumulator<Scalar>, dyn>(cuda, log_sum_exp.size());
    const kernels::AttentionGradients<Scalar> gradients{dout, log_sum_exp.data(), along.data(), dq, dk, dv};
    if (log_sum_exp.size() != 0)
      launch(cuda, kernels::attention_along<warp, Scalar>, {static_cast<unsigned>(log_sum_exp.size()), warp},
             out, dout, along.data());
    if constexpr (sizeof(Scalar) == 2) {
      constexpr Index most = 128;  // dk and dv of wider heads do not fit a warp's registers
      if (fit_tensor_cores(most, q, k, v, dout, dq, dk, dv))
        return attention_backward_tensor<Scalar>(cuda, shape, gradients);
    }
    with_tile<Scalar>([](auto tile) { return kernels::attention_backward_numbers<tile>; }, q.width, v.width,
                      [&]<int tile>(std::integral_constant<int, tile>, std::size_t shared) {
                        if (q.batch * k.tokens != 0)
                          launch(cuda, kernels::attention_backward_keys<tile, Scalar>,
                                 tiles_of(q.batch * k.heads, k.tokens, tile, shared), shape, gradients);
                        if (q.batch * shape.rows != 0)
                          launch(cuda, kernels::attention_backward_rows<tile, Scalar>,
                                 tiles_of(q.batch * k.heads, shape.rows, tile, shared), shape, gradients);
                      });
  }

 private:
  template <class Scalar>
  static kernels::AttentionShape<Scalar> shape_of(const AttentionOptions& options, Heads<const Scalar> q,
                                                  Heads<const Scalar> k, Heads<const Scalar> v) {
    const Index group = q.heads / k.heads;
    return {options, q, k, v, group, q.tokens * group, k.tokens};
  }

  /// run(grid, shape, out, log_sum_exp) for all keys; where the rows alone would leave much of the GPU idle,
  /// as in decoding, for shares of whole tiles of keys side by side.
  template <class Scalar, class Run>
  static void in_shares(Cuda& cuda, Grid grid, kernels::AttentionShape<Scalar> shape, Index tile,
                        Heads<Scalar> out, Row<Accumulator<Scalar>> log_sum_exp, Run run) {
    using Sum = Accumulator<Scalar>;
    const auto& [options, q, k] = std::tie(shape.options, shape.q, shape.k);
    const bool known = options.past == nullptr;  // which keys a sequence has
    const Index begin = known ? visible_keys(options, 0, q.tokens, k.tokens).begin / tile * tile : 0;
    const Index end = known ? visible_keys(options, q.tokens - 1, q.tokens, k.tokens).end : k.tokens;
    const Index tiles = (end - begin + tile - 1) / tile;
    const Index wanted = tuning::attention_blocks_to_processor * cuda.processors() / grid.blocks.x;
    const Index most =
        std::clamp<Index>(tiles / tuning::attention_least_tiles, 1, std::max<Index>(wanted, 1));
    const Index tiles_each = (tiles + most - 1) / most;
    if (most == 1) return run(grid, shape, out, log_sum_exp.data());

    const ArenaScope scope(cuda);
    const Index shares = (tiles + tiles_each - 1) / tiles_each, rows = q.batch * q.heads * q.tokens;
    const auto parts = take<Sum, dyn>(cuda, shares * rows * out.width);
    const auto weights = take<Sum, dyn>(cuda, shares * rows);
    shape.first_key = begin, shape.share = tiles_each * tile, grid.blocks.y = static_cast<unsigned>(shares);
    run(grid, shape,
        Heads<Sum>{parts.data(), q.batch, q.tokens, q.heads, out.width, q.heads * q.tokens * out.width,
                   out.width, q.tokens * out.width},
        weights.data());
    launch(cuda, kernels::attention_combine<Scalar>,
           {static_cast<unsigned>(rows), kernels::attention_threads}, shares, parts.data(), weights.data(),
           out, log_sum_exp.data());
  }

  /// Whether every row of heads is whole pieces of 16 bytes, of no more numbers than a warp can keep.
  template <class... S>
  static bool fit_tensor_cores(Index most, const Heads<S>&... heads) {
    const auto fits = [&](const auto& of) {
      constexpr Index together = pack_bytes / static_cast<Index>(sizeof *of.data);
      return of.width <= most && packable(of.width, together, of.data) && of.batch_stride % together == 0 &&
             of.token_stride % together == 0 && of.head_stride % together == 0;
    };
    return (fits(heads) && ...);
  }

  /// f(width) with the narrowest of the widths, integral constants, that hold the heads.
  template <int... widths, class F>
  static void with_width(Index wanted, F f) {
    bool done = false;
    ((done = done || (wanted <= widths && (f(std::integral_constant<int, widths>()), true))), ...);
  }

  /// Blocks of as many warps as there is work for, up to four, each with 16 of `size` rows of every head.
  static Grid warps_of(Index heads, Index size) {
    const auto warps =
        std::clamp<Index>((size + kernels::warp_rows - 1) / kernels::warp_rows, 1, kernels::most_warps);
    Grid grid = tiles_of(heads, size, warps * kernels::warp_rows, 0);
    grid.threads = static_cast<unsigned>(32 * warps);
    return grid;
  }

  template <class Scalar>
  static void attention_tensor(Cuda& cuda, const kernels::AttentionShape<Scalar>& shape, Heads<Scalar> out,
                               Row<float> log_sum_exp) {
    with_width<64, 128, 256>(
        std::max(shape.q.width, shape.v.width), [&]<int width>(std::integral_constant<int, width>) {
          Grid grid = warps_of(shape.q.batch * shape.k.heads, shape.rows);
          grid.shared = static_cast<std::size_t>(kernels::tensor_forward_numbers<kernels::TensorTile<width>>(
                                                     static_cast<int>(grid.threads.x / 32)) *
                                                 2);
          in_shares(cuda, grid, shape, kernels::TensorTile<width>::rows, out, log_sum_exp,
                    [&](const Grid& blocks, const auto& part, auto to, float* weights) {
                      using Out = std::remove_pointer_t<decltype(to.data)>;
                      launch(cuda, kernels::attention_forward_tensor<width, Scalar, Out>, blocks, part, to,
                             weights);
                    });
        });
  }

  template <class Scalar>
  static void attention_backward_tensor(Cuda& cuda, const kernels::AttentionShape<Scalar>& shape,
                                        const kernels::AttentionGradients<Scalar>& gradients) {
    with_width<64, 128>(
        std::max(shape.q.width, shape.v.width), [&]<int width>(std::integral_constant<int, width>) {
          using Tile = kernels::BackwardTensorTile<width>;
          const auto run = [&](auto kernel, Index size) {
            Grid grid = warps_of(shape.q.batch * shape.k.heads, size);
            if (grid.blocks.x == 0) return;
            grid.shared = static_cast<std::size_t>(
                kernels::tensor_backward_numbers<Tile>(static_cast<int>(grid.threads.x / 32)) * 2 +
                kernels::tensor_backward_floats<Tile>() * 4);
            launch(cuda, kernel, grid, shape, gradients);
          };
          run(kernels::attention_backward_keys_tensor<width, Scalar>, shape.k.tokens);
          run(kernels::attention_backward_rows_tensor<width, Scalar>, shape.rows);
        });
  }

  static Grid tiles_of(Index heads, Index size, Index tile, std::size_t shared) {
    return {static_cast<unsigned>(heads * ((size + tile - 1) / tile)), kernels::attention_threads, shared};
  }

  /// f(tile, bytes of shared memory) with the largest tile of which two blocks fit a multiprocessor, or else
  /// the smallest; numbers(tile) says how many numbers a tile wants.
  template <class Scalar, class Numbers, class F>
  static void with_tile(Numbers numbers, Index key_width, Index value_width, F f) {
    constexpr std::size_t wanted = 96 << 10,
                          most = 160 << 10;  // of the 164 KB that sm_80 has, and the 228 KB of sm_90
    const auto bytes = [&](auto tile) {
      return static_cast<std::size_t>(numbers(tile)(key_width, value_width)) * sizeof(Accumulator<Scalar>);
    };
    constexpr std::integral_constant<int, 32> large;
    constexpr std::integral_constant<int, 16> middle;
    constexpr std::integral_constant<int, 8> small;
    if (bytes(large) <= wanted) return f(large, bytes(large));
    if (bytes(middle) <= wanted) return f(middle, bytes(middle));
    hyperblocks::check(bytes(small) <= most, [&] {
      return Error("the heads are too wide for the Cuda device", "ops::attention",
                   "at most 850 numbers, 423 in double", std::to_string(std::max(key_width, value_width)));
    });
    f(small, bytes(small));
  }
};

}  // namespace hyperblocks::cuda
