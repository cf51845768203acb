// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// doctest's main, compiled once for all tests.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
