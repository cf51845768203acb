// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Cuda device with the operations it has so far: what makes blocks on Cuda compile, with nvcc and the
// flags
// --extended-lambda --expt-relaxed-constexpr (the CMake target gives them).
#pragma once

#include <hyperblocks/cuda/device.cuh>
#include <hyperblocks/cuda/ops/product_ops.cuh>
#include <hyperblocks/cuda/ops/row_ops.cuh>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

template <>
struct Ops<Cuda> : cuda::ProductOps, cuda::RowOps {};

}  // namespace hyperblocks
