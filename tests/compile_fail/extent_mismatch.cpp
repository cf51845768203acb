// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: ExtentsAgree<64, 32>
// expect: the shapes differ in an extent: ExtentsAgree<expected, found>
#include <hyperblocks/core/tensor.hpp>

// A view of 32 columns where 64 are asked for: one error, and the numbers stand in its context.
using namespace hyperblocks;
struct AnyDevice;
void wants_64_columns(View<const float, AnyDevice, dyn, 64>);
void caller(View<float, AnyDevice, dyn, 32> view) { wants_64_columns(view); }
