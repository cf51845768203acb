// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The views that operations take, and the checks that they share.
#pragma once

#include <string>
#include <type_traits>

#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks::ops {

// Views whose device is named by the first argument alone, so that every compatible view converts.
template <class Scalar, class Device>
using Rows = View<Scalar, std::type_identity_t<Device>, dyn, dyn>;
template <class Scalar, class Device>
using Row = View<Scalar, std::type_identity_t<Device>, dyn>;
/// Token ids, labels, positions.
template <class Device>
using Ids = View<const std::int32_t, std::type_identity_t<Device>, dyn>;

namespace detail {
inline void check_extent(const char* where, const char* which, Index expected, Index found) {
  check(expected == found, [&] {
    return Error(std::string("the shapes do not fit: ") + which, where, std::to_string(expected),
                 std::to_string(found));
  });
}

template <class A, class B>
void check_same(const char* where, const A& expected, const B& found) {
  check(expected.shape().all() == found.shape().all(), [&] {
    return Error("the shapes differ", where, to_string(expected.shape().all()),
                 to_string(found.shape().all()));
  });
}
}  // namespace detail

}  // namespace hyperblocks::ops
