// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Choices: which column of a row is the largest, which of some rows is the nearest; and the chosen one as a
// row of zeros and a one. What cannot be compared is never chosen; where nothing else is, that is an Error.
#pragma once

#include <hyperblocks/ops/operands.hpp>

namespace hyperblocks::ops {

template <class Device>
using Chosen = View<std::int32_t, std::type_identity_t<Device>, dyn>;

/// chosen(i) = the column of the largest number of x(i), the first of equal ones; never NaN nor -infinity.
template <RealScalar Scalar, class Device>
void largest(Device& device, Rows<const Scalar, Device> x, Chosen<Device> chosen) {
  detail::check_extent("ops::largest", "rows of x and choices", x.rows(), chosen.size());
  Ops<Device>::template largest<Scalar>(device, x, chosen);
}

/// chosen(i) = the row of `codes` at the smallest distance from x(i), the first of equal ones.
template <RealScalar Scalar, class Device>
void nearest(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> codes,
             Chosen<Device> chosen) {
  detail::check_extent("ops::nearest", "rows of x and choices", x.rows(), chosen.size());
  detail::check_extent("ops::nearest", "columns of x and of the codes", x.columns(), codes.columns());
  Ops<Device>::template nearest<Scalar>(device, x, codes, chosen);
}

/// y(i) = 1 in the column chosen(i), else 0; a column that there is not is an Error.
template <RealScalar Scalar, class Device>
void one_hot(Device& device, Ids<Device> chosen, Rows<Scalar, Device> y) {
  detail::check_extent("ops::one_hot", "choices and rows of y", chosen.size(), y.rows());
  Ops<Device>::template one_hot<Scalar>(device, chosen, y);
}

}  // namespace hyperblocks::ops
