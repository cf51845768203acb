// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The worst of several errors.
#pragma once

#include <cmath>

namespace hyperblocks::test {

/// The larger one; NaN is larger than any (std::max would forget it).
inline double worse(double worst, double error) {
  return std::isnan(worst) || worst >= error ? worst : error;
}

}  // namespace hyperblocks::test
