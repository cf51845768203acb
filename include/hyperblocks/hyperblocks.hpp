// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Everything that runs on the CPU. hyperblocks/cuda/cuda.cuh adds the second device.
#pragma once

#include "hyperblocks/version.hpp"
