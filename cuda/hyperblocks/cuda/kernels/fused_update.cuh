// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Low-rank updates as the kernels take them that compute a product with all that is added to it.
#pragma once

#include <array>

#include <hyperblocks/cuda/kernels/packs.cuh>
#include <hyperblocks/ops/low_rank.hpp>

namespace hyperblocks::cuda::kernels {

inline constexpr int most_fused_updates = 16;

template <class Scalar>
struct FusedUpdate {
  const Scalar *a = nullptr, *b = nullptr, *c = nullptr;  ///< A and B, or C, or all
  Index rank = 0, first_vector = 0;                       ///< where its vectors stand among all
  FactorForm a_form = FactorForm::rows, b_form = FactorForm::columns;
  float scale = 1;
  Index first_row = 0, rows = 0;

  __device__ bool serves(Index token) const { return token >= first_row && token < first_row + rows; }
  /// The k-th number of A's j-th vector, and of B's.
  __device__ Scalar a_of(Index j, Index k, Index in) const {
    return a_form == FactorForm::rows ? a[j * in + k] : a[k * rank + j];
  }
  __device__ Scalar b_of(Index j, Index k, Index out) const {
    return b_form == FactorForm::rows ? b[j * out + k] : b[k * rank + j];
  }
};

/// y = x W^T + bias + updates; without columns of x, updates alone.
template <class Scalar>
struct FusedProduct {
  const Scalar *x = nullptr, *weight = nullptr, *bias = nullptr;
  Scalar* y = nullptr;
  Index tokens = 0, in = 0, out = 0;
  bool adds = false;  ///< to what y holds
  Index vectors = 0;  ///< of all updates
  int update_count = 0;
  FusedUpdate<Scalar> updates[most_fused_updates] = {};

  /// What is added to y(token, row) whatever x is.
  __device__ float constant(Index token, Index row) const {
    float sum = bias != nullptr ? wide(bias[row]) : 0.0f;
    for (int i = 0; i < update_count; ++i)
      if (updates[i].c != nullptr && updates[i].serves(token)) sum += wide(updates[i].c[row]);
    return sum;
  }
};

}  // namespace hyperblocks::cuda::kernels
