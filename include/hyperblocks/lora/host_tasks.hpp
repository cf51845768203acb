// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Work that the host does whatever the device is: by the device's threads where it has some.
#pragma once

#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::detail {

/// Calls f(task) for every task, in any order; exceptions reach the caller.
template <class Device, class F>
void run_on_host(Device& device, Index tasks, F f) {
  if constexpr (requires { device.threads().run(tasks, f); }) {
    device.threads().run(tasks, f);
  } else {
    for (Index task = 0; task < tasks; ++task) f(task);
  }
}

}  // namespace hyperblocks::detail
