// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Cpu device with all of its operations: what makes blocks on Cpu compile.
#pragma once

#include <hyperblocks/ops/cpu/activation_ops.hpp>
#include <hyperblocks/ops/cpu/attention_ops.hpp>
#include <hyperblocks/ops/cpu/choice_ops.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <hyperblocks/ops/cpu/loss_ops.hpp>
#include <hyperblocks/ops/cpu/optimiser_ops.hpp>
#include <hyperblocks/ops/cpu/product_ops.hpp>
#include <hyperblocks/ops/cpu/row_ops.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

template <>
struct Ops<Cpu> : cpu::ProductOps,
                  cpu::RowOps,
                  cpu::ActivationOps,
                  cpu::LossOps,
                  cpu::AttentionOps,
                  cpu::ChoiceOps,
                  cpu::OptimiserOps {};

}  // namespace hyperblocks
