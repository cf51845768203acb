// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The contract between blocks and devices: every operation that Ops<Device> must provide stands behind a
// function that checks the shapes once for all devices. Blocks call these with the scalar given:
//   ops::product<float>(cpu, x, weight, bias, y)
// Matrices are (rows, columns), row-major; an empty view as an optional argument means "not wanted". Sums
// over 16-bit scalars are kept in float. NaN and infinity go the way of IEEE arithmetic: into everything that
// is computed from them and nothing else; where a function says more, a test holds it.
#pragma once

#include <hyperblocks/ops/attention.hpp>
#include <hyperblocks/ops/choices.hpp>
#include <hyperblocks/ops/dropout.hpp>
#include <hyperblocks/ops/elementwise.hpp>
#include <hyperblocks/ops/losses.hpp>
#include <hyperblocks/ops/optimiser.hpp>
#include <hyperblocks/ops/products.hpp>
#include <hyperblocks/ops/rowwise.hpp>
