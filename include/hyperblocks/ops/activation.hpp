// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The element-wise functions that blocks may name.
#pragma once

#include <cstdint>

namespace hyperblocks {

enum class Activation : std::uint8_t {
  identity,
  relu,
  silu,        ///< x sigmoid(x)
  gelu_exact,  ///< x Phi(x), by the error function
  gelu_tanh,   ///< the approximation of GPT-2 and Gemma
  sigmoid      ///< 1 / (1 + exp(-x))
};

}  // namespace hyperblocks
