// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The base that all programs of the comparison share.
#pragma once

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/lesson.hpp>

#include <compare_base.hpp>

#include <train/setting.hpp>

namespace hyperblocks::compare {
using Model = Decoder<compare_base, float, Cpu>;
using Setting = example::Setting<Model>;
}  // namespace hyperblocks::compare

extern template struct hyperblocks::Lessons<hyperblocks::compare::Model>;  // exam.cpp
