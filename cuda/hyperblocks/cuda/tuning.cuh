// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Constants that only measurements can set: bench/gpu shows what they are worth. Those here are estimates
// that no GPU has seen yet.
#pragma once

#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::cuda::tuning {

/// Attention of few rows: keys are dealt out until there are so many blocks for every processor,
inline constexpr Index attention_blocks_to_processor = 2;
/// and no block has fewer tiles of keys.
inline constexpr Index attention_least_tiles = 2;

/// The product under updates is cuBLASLt's where there are more rows than this, and so are updates of higher
/// ranks;
inline constexpr Index most_extended_rows = 128, most_extended_rank = 128;
/// else ours, by tiles of so many columns of x and W, so many on their way at once.
inline constexpr int extended_depth = 64, extended_stages = 4;

}  // namespace hyperblocks::cuda::tuning
