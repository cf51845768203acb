// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Shapes in the type: Shape<dyn, 64> is a matrix of a run-time number of rows and 64 columns, row-major.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include <hyperblocks/core/check.hpp>

namespace hyperblocks {

using Index = std::ptrdiff_t;

/// An extent that only run time knows.
inline constexpr Index dyn = -1;

/// Whether two extents of a type can be equal at run time.
constexpr bool extents_agree(Index first, Index second) {
  return first == dyn || second == dyn || first == second;
}

/// The product of non-negative extents; an Error names the overflow instead of wrapping round.
constexpr Index checked_size(std::span<const Index> extents) {
  Index size = 1;
  for (const Index extent : extents) {
    check(extent >= 0, [&] {
      return Error("negative extent", "shape", "extents of zero or more", std::to_string(extent));
    });
    check(extent == 0 || size <= std::numeric_limits<Index>::max() / extent, [&] {
      return Error("too many elements", "shape", "at most 2^63 - 1",
                   "an overflow at extent " + std::to_string(extent));
    });
    size *= extent;
  }
  return size;
}

inline std::string to_string(std::span<const Index> extents) {
  std::string text = "(";
  for (std::size_t i = 0; i < extents.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(extents[i]);
  return text + ")";
}

namespace detail {
/// Whether the product of the extents that a type fixes is an Index.
constexpr bool size_fits(std::span<const Index> extents) {
  Index size = 1;
  for (const Index extent : extents) {
    if (extent > 0 && size > std::numeric_limits<Index>::max() / extent) return false;
    size *= extent > 0 ? extent : 1;
  }
  return size <= std::numeric_limits<Index>::max() / 8;  // in bytes, of the widest scalar
}
}  // namespace detail

template <Index... extents>
class Shape {
  static_assert(((extents >= 0 || extents == dyn) && ...),
                "hyperblocks: an extent is zero or more, or `dyn` for one that run time gives");
  static_assert(detail::size_fits(std::array<Index, sizeof...(extents)>{extents...}),
                "hyperblocks: a Shape's extents make more bytes than memory can have");

 public:
  static constexpr std::size_t rank = sizeof...(extents);
  static constexpr std::size_t dynamic_rank = (std::size_t{extents == dyn} + ... + 0);
  static constexpr std::array<Index, rank> static_extents = {extents...};

  /// A shape whose run-time extents, if any, are zero.
  constexpr Shape() : extents_{(extents == dyn ? 0 : extents)...} {}

  /// The run-time extents in their order: Shape<dyn, 64, dyn>(2, 3) is (2, 64, 3).
  template <std::convertible_to<Index>... RunTime>
  requires(sizeof...(RunTime) == dynamic_rank &&
           dynamic_rank > 0) constexpr explicit Shape(RunTime... run_time)
      : Shape() {
    const std::array<Index, dynamic_rank> given = {static_cast<Index>(run_time)...};
    for (std::size_t i = 0, next = 0; i < rank; ++i)
      if (static_extents[i] == dyn) extents_[i] = given[next++];
    checked_size(extents_);
  }

  /// All extents, checked against those the type fixes.
  static constexpr Shape of(const std::array<Index, rank>& all) {
    Shape shape;
    for (std::size_t i = 0; i < rank; ++i)
      check(extents_agree(static_extents[i], all[i]),
            [&] { return Error("the shape does not fit its type", "shape", type_name(), to_string(all)); });
    shape.extents_ = all;
    checked_size(all);
    return shape;
  }

  constexpr Index operator[](std::size_t i) const { return extents_[i]; }
  constexpr const std::array<Index, rank>& all() const { return extents_; }
  constexpr Index size() const {
    Index size = 1;
    for (const Index extent : extents_) size *= extent;
    return size;
  }
  constexpr bool operator==(const Shape&) const = default;

  /// "(dyn, 64)"
  static std::string type_name() {
    std::string text = "(";
    for (std::size_t i = 0; i < rank; ++i)
      text += (i == 0 ? "" : ", ") + (static_extents[i] == dyn ? "dyn" : std::to_string(static_extents[i]));
    return text + ")";
  }

 private:
  std::array<Index, rank> extents_;
};

}  // namespace hyperblocks
