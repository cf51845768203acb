// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Recorded: work that is done again and again. A device that can does it by what it recorded the first time;
// it then runs the same operations on the same memory, and none of the host's code.
//   Recorded<Device> step(device, [&] { Model::forward(device, params, input, output); });    done once
//   step.run();                                                                               and again
#pragma once

#include <functional>
#include <utility>

namespace hyperblocks {

template <class Device>
class Recorded {
 public:
  Recorded(Device&, std::function<void()> work) : work_(std::move(work)) { work_(); }
  void run() { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace hyperblocks
