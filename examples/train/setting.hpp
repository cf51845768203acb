// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What everything about a base stands on; all of it is kept by the caller.
#pragma once

#include <hyperblocks/hyperblocks.hpp>

#include "conversation.hpp"

namespace hyperblocks::example {

template <class Model>
struct Setting {
  const Plan& plan;
  const Conversation& conversation;
  const typename Model::Params& model;
  const typename Model::Positions& positions;
};

}  // namespace hyperblocks::example
