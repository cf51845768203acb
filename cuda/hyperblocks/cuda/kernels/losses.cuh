// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses over rows of logits, one block to a row, with the gradient in the same launch; dlogits may be the
// logits, so that what is needed of them is read before a barrier and written behind it.
#pragma once

#include <hyperblocks/cuda/faults.cuh>
#include <hyperblocks/cuda/kernels/rows.cuh>

namespace hyperblocks::cuda::kernels {

template <class Scalar>
struct LossRows {
  const Scalar* logits;
  Accumulator<Scalar>* losses;
  Scalar* dlogits;                     ///< optional
  const Accumulator<Scalar>* weights;  ///< optional
  Index columns;
  FaultReport faults;

  __device__ Accumulator<Scalar> weight() const { return weights != nullptr ? weights[blockIdx.x] : 1; }
};

/// dx = f(column, x) for a row's numbers.
template <int width, int threads, class Scalar, class F>
__device__ void write_row(const BlockRow<width, threads, Scalar>& row, const Scalar* x, Scalar* dx, F f) {
  row.each_pack([&](Index i) {
    auto pack = load<width>(x, i);
    each<width>([&](int k) { pack.values[k] = scalar_cast<Scalar>(f(i * width + k, wide(pack.values[k]))); });
    store(dx, i, pack);
  });
}

/// loss = -(1 - s) log p(label) - s mean(log p)
template <int width, int threads, class Scalar>
__global__ void cross_entropy(LossRows<Scalar> rows, const std::int32_t* labels, double label_smoothing) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(rows.columns);
  const Scalar* const x = rows.logits + row.first();
  Scalar* const dx = rows.dlogits != nullptr ? rows.dlogits + row.first() : nullptr;
  const std::int32_t label = labels[blockIdx.x];
  const bool beyond = label >= rows.columns;
  if (label < 0 || beyond) {
    if (threadIdx.x == 0) {
      rows.losses[blockIdx.x] = beyond ? static_cast<Sum>(NAN) : Sum{0};
      if (beyond) rows.faults(Fault::label, label);
    }
    if (dx != nullptr) write_row(row, x, dx, [](Index, Sum) { return Sum{0}; });
    return;
  }
  const Sum of_label = wide(x[label]);
  const Exponentials<Sum> all = exponentials_of(row, x);
  const Sum shift = all.shift(all.largest), target = of_label - shift, log_sum = std::log(all.sum);
  const auto smoothing = static_cast<Sum>(label_smoothing), count = static_cast<Sum>(rows.columns);
  Sum loss = log_sum - target;
  if (smoothing != 0)
    loss = (1 - smoothing) * loss +
           smoothing * (log_sum + shift - row.total([](Sum value) { return value; }, x) / count);
  if (threadIdx.x == 0) rows.losses[blockIdx.x] = loss;
  if (dx == nullptr) return;
  const Sum weight = rows.weight(), rest = smoothing / count;
  write_row(row, x, dx, [&](Index j, Sum value) {
    return weight * (std::exp(value - shift) / all.sum - rest - (j == label ? 1 - smoothing : Sum{0}));
  });
}

/// loss = -sum_j p_j log softmax(x)(ids_j), p_j = e^(log_probabilities_j). `probabilities` and `logs` are
/// scratch, (rows, k): p_j and log softmax(x)(ids_j).
template <int width, int threads, class Scalar, class Stored>
__global__ void topk_kl(LossRows<Scalar> rows, const std::int32_t* ids, const Stored* log_probabilities,
                        Index k, Accumulator<Scalar>* probabilities, Accumulator<Scalar>* logs) {
  using Sum = Accumulator<Scalar>;
  const BlockRow<width, threads, Scalar> row(rows.columns);
  const Scalar* const x = rows.logits + row.first();
  ids += blockIdx.x * k, log_probabilities += blockIdx.x * k, probabilities += blockIdx.x * k,
      logs += blockIdx.x * k;
  const auto known = [&](Index j) { return ids[j] >= 0 && ids[j] < rows.columns; };
  const Exponentials<Sum> all = exponentials_of(row, x);
  const Sum shift = all.shift(all.largest), log_sum = std::log(all.sum);
  Sum loss = 0, mass = 0;
  for (Index j = threadIdx.x; j < k; j += threads) {
    if (!known(j)) rows.faults(Fault::teacher_id, ids[j]);
    const Sum p = std::exp(scalar_cast<Sum>(log_probabilities[j]));
    const Sum log = known(j) ? wide(x[ids[j]]) - shift - log_sum : static_cast<Sum>(NAN);
    probabilities[j] = p, logs[j] = log;
    if (p != 0) loss -= p * log;
    mass += p;
  }
  loss = block_reduce<threads>(loss, Plus()), mass = block_reduce<threads>(mass, Plus());
  if (threadIdx.x == 0) rows.losses[blockIdx.x] = loss;
  if (rows.dlogits == nullptr) return;
  Scalar* const dx = rows.dlogits + row.first();
  const Sum weight = rows.weight(), factor = weight * mass / all.sum;
  write_row(row, x, dx, [&](Index, Sum value) { return std::exp(value - shift) * factor; });
  __syncthreads();
  for (Index j = threadIdx.x; j < k; j += threads) {
    if (!known(j)) continue;
    Sum wanted = 0;  // an id that occurs twice gets the same number twice
    for (Index other = 0; other < k; ++other) wanted += ids[other] == ids[j] ? probabilities[other] : Sum{0};
    dx[ids[j]] = scalar_cast<Scalar>(weight * (mass * std::exp(logs[j]) - wanted));
  }
}

}  // namespace hyperblocks::cuda::kernels
