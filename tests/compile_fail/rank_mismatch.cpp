// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: the shapes differ in rank
#include <hyperblocks/core/tensor.hpp>

// A vector where a matrix is asked for.
using namespace hyperblocks;
struct AnyDevice;
void wants_a_matrix(View<const float, AnyDevice, dyn, 64>);
void caller(View<float, AnyDevice, 64> view) { wants_a_matrix(view); }
