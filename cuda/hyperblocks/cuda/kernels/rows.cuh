// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Kernels with one block to a row: RMSNorm and LayerNorm, softmax; forward and backward. A row is read by
// packs, `threads` at a time; what a second reading wants is still in the nearest cache.
#pragma once

#include <hyperblocks/cuda/kernels/reduce.cuh>

namespace hyperblocks::cuda::kernels {

/// A block's row, its packs dealt out to the threads.
template <int width, int threads, class Scalar>
struct BlockRow {
  using Sum = Accumulator<Scalar>;
  Index packs;

  __device__ explicit BlockRow(Index columns) : packs(columns / width) {}
  __device__ Index first() const { return static_cast<Index>(blockIdx.x) * packs * width; }
  template <class F>
  __device__ void each_pack(F f) const {
    for (Index i = threadIdx.x; i < packs; i += threads) f(i);
  }
  /// The sum of f(j) over the row's columns j, for all threads; f is given packs of x's.
  template <class F, class... X>
  __device__ Sum total(F f, const X*... x) const {
    Sum sum = 0;
    each_pack([&](Index i) {
      const auto add = [&](const auto&... pack) {
        each<width>([&](int k) { sum += f(wide(pack.values[k])...); });
      };
      add(load<width>(x, i)...);
    });
    return block_reduce<threads>(sum, Plus());
  }
};

template <class Sum>
struct Moments {
  Sum mean, scale;
};

/// Of a RMSNorm the mean counts as zero.
template <bool centred, class Row, class Scalar>
__device__ Moments<Accumulator<Scalar>> moments_of(const Row& row, const Scalar* x, Index columns,
                                                   double epsilon) {
  using Sum = Accumulator<Scalar>;
  const auto count = static_cast<Sum>(columns);
  Sum mean = 0;
  if constexpr (centred) mean = row.total([](Sum value) { return value; }, x) / count;
  const Sum squares = row.total([mean](Sum value) { return (value - mean) * (value - mean); }, x);
  return {mean, Sum{1} / std::sqrt(squares / count + static_cast<Sum>(epsilon))};
}

/// y = (x - mean) scale (weight + shift) + bias, the bias optional.
template <bool centred, int width, int threads, class Scalar>
__global__ void norm(const Scalar* x, const Scalar* weight, const Scalar* bias, Scalar* y, Index columns,
                     double epsilon, double shift) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(columns);
  x += row.first(), y += row.first();
  const Moments<Sum> moments = moments_of<centred>(row, x, columns, epsilon);
  row.each_pack([&](Index i) {
    const auto own = load<width>(x, i), factors = load<width>(weight, i);
    Pack<Scalar, width> added{}, result;
    if (bias != nullptr) added = load<width>(bias, i);
    each<width>([&](int k) {
      Sum value = (wide(own.values[k]) - moments.mean) * moments.scale *
                  (wide(factors.values[k]) + static_cast<Sum>(shift));
      if (bias != nullptr) value += wide(added.values[k]);
      result.values[k] = scalar_cast<Scalar>(value);
    });
    store(y, i, result);
  });
}

/// With n = (x - mean) scale and g = dy (weight + shift): dx = scale (g - mean(g) - n mean(g n)), without the
/// mean of g for a RMSNorm. Keeps every row's moments for the weight's gradient; dx may be null.
template <bool centred, int width, int threads, class Scalar>
__global__ void norm_backward(const Scalar* x, const Scalar* weight, const Scalar* dy, Scalar* dx,
                              Moments<Accumulator<Scalar>>* kept, Index columns, double epsilon,
                              double shift) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(columns);
  x += row.first(), dy += row.first();
  const Moments<Sum> moments = moments_of<centred>(row, x, columns, epsilon);
  if (threadIdx.x == 0) kept[blockIdx.x] = moments;
  if (dx == nullptr) return;
  dx += row.first();
  const auto count = static_cast<Sum>(columns), shifted = static_cast<Sum>(shift);
  const auto normal = [&](Sum value) { return (value - moments.mean) * moments.scale; };
  Sum mean = 0;
  if constexpr (centred)
    mean = row.total([&](Sum direction, Sum factor) { return direction * (factor + shifted); }, dy, weight) /
           count;
  const Sum along = row.total([&](Sum value, Sum direction,
                                  Sum factor) { return direction * (factor + shifted) * normal(value); },
                              x, dy, weight) /
                    count;
  row.each_pack([&](Index i) {
    const auto own = load<width>(x, i), directions = load<width>(dy, i), factors = load<width>(weight, i);
    Pack<Scalar, width> result;
    each<width>([&](int k) {
      const Sum gradient = wide(directions.values[k]) * (wide(factors.values[k]) + shifted);
      result.values[k] =
          scalar_cast<Scalar>(moments.scale * (gradient - mean - normal(wide(own.values[k])) * along));
    });
    store(dx, i, result);
  });
}

/// What a row gives to the gradient of the weight's column j.
template <class Scalar>
struct NormTerm {
  const Scalar *x, *dy;
  const Moments<Accumulator<Scalar>>* moments;
  Index columns;
  __device__ Accumulator<Scalar> operator()(Index i, Index j) const {
    return wide(dy[i * columns + j]) * (wide(x[i * columns + j]) - moments[i].mean) * moments[i].scale;
  }
};
/// The largest number of a row and the sum of e^(x - largest), combined as they come.
template <class Sum>
struct Exponentials {
  Sum largest, sum;

  __device__ static Exponentials none() { return {Sum(-HUGE_VAL), Sum{0}}; }
  __device__ static Sum shift(Sum largest) { return largest == Sum(-HUGE_VAL) ? Sum{0} : largest; }
  __device__ void add(Sum x) {
    if (x > largest) {
      sum = sum * std::exp(largest - x) + std::exp(x - x);  // of infinity NaN
      largest = x;
    } else {
      sum += std::exp(x - shift(largest));  // NaN too goes this way
    }
  }
};
struct JoinExponentials {
  template <class Sum>
  __device__ Exponentials<Sum> operator()(const Exponentials<Sum>& a, const Exponentials<Sum>& b) const {
    Exponentials<Sum> result;
    result.largest = a.largest > b.largest ? a.largest : b.largest;
    const Sum shift = result.shift(result.largest);
    result.sum = a.sum * std::exp(a.largest - shift) + b.sum * std::exp(b.largest - shift);
    return result;
  }
};

template <int width, int threads, class Scalar>
__device__ Exponentials<Accumulator<Scalar>> exponentials_of(const BlockRow<width, threads, Scalar>& row,
                                                             const Scalar* x) {
  auto own = Exponentials<Accumulator<Scalar>>::none();
  row.each_pack([&](Index i) {
    const auto pack = load<width>(x, i);
    each<width>([&](int k) { own.add(wide(pack.values[k])); });
  });
  return block_reduce<threads>(own, JoinExponentials());
}

/// y = e^x / sum(e^x); y may be x. A row of -infinity alone gives zeros.
template <int width, int threads, class Scalar>
__global__ void softmax(const Scalar* x, Scalar* y, Index columns) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(columns);
  x += row.first(), y += row.first();
  const Exponentials<Sum> all = exponentials_of(row, x);
  const Sum shift = all.shift(all.largest), factor = all.sum == 0 ? Sum{0} : Sum{1} / all.sum;
  row.each_pack([&](Index i) {
    auto pack = load<width>(x, i);
    each<width>([&](int k) {
      pack.values[k] = scalar_cast<Scalar>(std::exp(wide(pack.values[k]) - shift) * factor);
    });
    store(y, i, pack);
  });
}

/// dx = y (dy - sum(y dy)); dx may be dy.
template <int width, int threads, class Scalar>
__global__ void softmax_backward(const Scalar* y, const Scalar* dy, Scalar* dx, Index columns) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(columns);
  y += row.first(), dy += row.first(), dx += row.first();
  const Sum along = row.total([](Sum probability, Sum direction) { return probability * direction; }, y, dy);
  row.each_pack([&](Index i) {
    const auto probabilities = load<width>(y, i);
    auto pack = load<width>(dy, i);
    each<width>([&](int k) {
      pack.values[k] = scalar_cast<Scalar>(wide(probabilities.values[k]) * (wide(pack.values[k]) - along));
    });
    store(dx, i, pack);
  });
}

}  // namespace hyperblocks::cuda::kernels
