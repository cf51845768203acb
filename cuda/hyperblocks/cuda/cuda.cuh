// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Cuda device with all of its operations: what makes blocks on Cuda compile, with nvcc and the flag
// --expt-relaxed-constexpr (the CMake target gives it).
#pragma once

#include <hyperblocks/cuda/device.cuh>
#include <hyperblocks/cuda/graph.cuh>
#include <hyperblocks/cuda/ops/attention_ops.cuh>
#include <hyperblocks/cuda/ops/choice_ops.cuh>
#include <hyperblocks/cuda/ops/loss_ops.cuh>
#include <hyperblocks/cuda/ops/optimiser_ops.cuh>
#include <hyperblocks/cuda/ops/product_ops.cuh>
#include <hyperblocks/cuda/ops/row_ops.cuh>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

template <>
struct Ops<Cuda> : cuda::ProductOps,
                   cuda::ElementOps,
                   cuda::RowOps,
                   cuda::LossOps,
                   cuda::AttentionOps,
                   cuda::ChoiceOps,
                   cuda::OptimiserOps {};

}  // namespace hyperblocks
