// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A SHINE, Doc-to-LoRA or Text-to-LoRA as its hypernet.json says.
#pragma once

#include "architecture.hpp"

#include <compare_net.hpp>

namespace hyperblocks::compare {
template <class Model>
using Published = example::System<Model, compare_net, compare_net_context>;
}  // namespace hyperblocks::compare
