// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The library's version; the build system reads it from here.
#pragma once

#include <string_view>

#define HYPERBLOCKS_VERSION "0.1.0"

namespace hyperblocks {

inline constexpr std::string_view version = HYPERBLOCKS_VERSION;

}  // namespace hyperblocks
