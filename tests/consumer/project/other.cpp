// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The same headers a second time.
#include <hyperblocks/hyperblocks.hpp>
#include <string_view>

#include "components.hpp"

std::string_view version_seen_by_other() { return hyperblocks::version; }
