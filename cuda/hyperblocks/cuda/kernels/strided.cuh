// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of matrices with any strides, a thread to a number: for what cuBLASLt cannot read.
#pragma once

#include <hyperblocks/cuda/kernels/packs.cuh>
#include <hyperblocks/ops/matrices.hpp>

namespace hyperblocks::cuda::kernels {

template <class Scalar>
__global__ void strided_product(Matrices<const Scalar> a, Matrices<const Scalar> b, Matrices<Scalar> y,
                                bool add) {
  const Index size = y.batch * y.rows * y.columns, stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const Index column = i % y.columns, row = i / y.columns % y.rows, batch = i / y.columns / y.rows;
    const Scalar* const left = a.data + batch * a.batch_stride + row * a.row_stride;
    const Scalar* const right = b.data + batch * b.batch_stride + column * b.column_stride;
    Scalar& to = y.data[batch * y.batch_stride + row * y.row_stride + column * y.column_stride];
    Accumulator<Scalar> sum = add ? wide(to) : Accumulator<Scalar>{0};
    for (Index k = 0; k < a.columns; ++k)
      sum += wide(left[k * a.column_stride]) * wide(right[k * b.row_stride]);
    to = scalar_cast<Scalar>(sum);
  }
}

}  // namespace hyperblocks::cuda::kernels
