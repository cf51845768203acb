// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tensor owns, View looks; both are <Scalar, Device, extents...>, row-major and contiguous, the shape in the
// type. A View<const Scalar, ...> reads only. Mixed static and run-time extents convert where they can agree.
#pragma once

#include <cassert>
#include <span>
#include <vector>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/memory.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks {

namespace detail {
/// One sentence for extents that can never agree; the numbers stand in the type: ExtentsAgree<expected,
/// found>.
template <Index expected, Index found>
struct ExtentsAgree {
  static_assert(expected == found || expected == dyn || found == dyn,
                "hyperblocks: the shapes differ in an extent: ExtentsAgree<expected, found>");
  static constexpr bool value = extents_agree(expected, found);
};

template <class Expected, class Found>
struct ShapesAgree;
template <Index... expected, Index... found>
struct ShapesAgree<Shape<expected...>, Shape<found...>> {
  static constexpr bool same_rank = sizeof...(expected) == sizeof...(found);
  static constexpr bool value = [] {
    static_assert(sizeof...(expected) == sizeof...(found),
                  "hyperblocks: the shapes differ in rank: ShapesAgree<Shape<expected>, Shape<found>>");
    if constexpr (same_rank)
      return (ExtentsAgree<expected, found>::value && ...);
    else
      return false;
  }();
  /// Whether the conversion can only fail at compile time: no fixed extent is asked of a run-time one.
  static constexpr bool certain = [] {
    if constexpr (same_rank)
      return ((expected == dyn || found != dyn) && ...);
    else
      return true;
  }();
};

// What can fail is told by functions of no type: every shape of a program would bring its own otherwise.

/// The bytes of a shape's elements; an Error instead of an overflow.
inline std::size_t byte_count(const char* where, std::span<const Index> extents, Index width) {
  Index size = 1;
  for (const Index extent : extents) size *= extent;
  check(size <= std::numeric_limits<Index>::max() / width, [&] {
    return Error("too many bytes", std::string(where) + " " + to_string(extents), "at most 2^63 - 1",
                 std::to_string(size) + " elements of " + std::to_string(width) + " bytes");
  });
  return static_cast<std::size_t>(size * width);
}

inline void check_memory(bool there, std::span<const Index> extents) {
  check(there, [&] {
    return Error("a tensor without memory", "Tensor " + to_string(extents),
                 "one of a device, such as make<Params>(device) gives", "one that owns nothing");
  });
}

inline void check_size(bool there, std::span<const Index> extents, Index expected, std::size_t found) {
  check(found == static_cast<std::size_t>(expected) && there, [&] {
    return Error("the number of elements differs", "Tensor " + to_string(extents), std::to_string(expected),
                 std::to_string(found) + (there ? "" : " for a tensor without memory"));
  });
}

inline void check_bytes(std::span<const Index> extents, std::size_t expected, std::size_t found) {
  check(found == expected, [&] {
    return Error("the number of bytes differs", "Tensor::sharing " + to_string(extents),
                 std::to_string(expected), std::to_string(found));
  });
}
}  // namespace detail

template <class Scalar, class Device, Index... extents>
class View {
 public:
  using ScalarType = Scalar;
  using DeviceType = Device;
  using ShapeType = Shape<extents...>;
  static constexpr std::size_t rank = sizeof...(extents);

  /// Looks at nothing; as an argument it means "not wanted".
  constexpr View() noexcept = default;  // stated: g++ 12 crashes on finding it out inside braces
  constexpr View(Scalar* data, const ShapeType& shape) : data_(data), shape_(shape) {}

  /// Reading what can be written, and forgetting extents, is implicit; fixing a run-time extent is explicit
  /// and checked, and extents that differ in the types are one error.
  template <class Other, Index... others>
  requires(std::same_as<Scalar, Other> || std::same_as<Scalar, const Other>) constexpr explicit(
      !detail::ShapesAgree<ShapeType, Shape<others...>>::certain)
      View(const View<Other, Device, others...>& other)
      : data_(other.data()) {
    if constexpr (detail::ShapesAgree<ShapeType, Shape<others...>>::value)
      shape_ = ShapeType::of(other.shape().all());
  }

  constexpr Scalar* data() const { return data_; }
  constexpr const ShapeType& shape() const { return shape_; }
  constexpr Index extent(std::size_t i) const { return shape_[i]; }
  constexpr Index size() const { return shape_.size(); }
  constexpr explicit operator bool() const { return data_ != nullptr; }
  constexpr std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(Scalar); }

  /// The last extent, and how many rows of it there are.
  constexpr Index columns() const { return shape_[rank - 1]; }
  constexpr Index rows() const {
    Index rows = 1;
    for (std::size_t i = 0; i + 1 < rank; ++i) rows *= shape_[i];
    return rows;
  }

  /// One element; for devices whose memory the host can read.
  template <std::convertible_to<Index>... Indices>
  requires(sizeof...(Indices) == rank) constexpr Scalar& operator()(Indices... indices) const {
    const std::array<Index, rank> at = {static_cast<Index>(indices)...};
    Index offset = 0;
    for (std::size_t i = 0; i < rank; ++i) {
      assert(at[i] >= 0 && at[i] < shape_[i]);
      offset = offset * shape_[i] + at[i];
    }
    return data_[offset];
  }

  /// The elements in order, for devices whose memory the host can read.
  constexpr std::span<Scalar> span() const { return {data_, static_cast<std::size_t>(size())}; }

  /// The same elements under another shape of the same size: v.reshape<dyn, 4, 16>(tokens).
  template <Index... others, std::convertible_to<Index>... RunTime>
  constexpr View<Scalar, Device, others...> reshape(RunTime... run_time) const {
    const Shape<others...> shape(run_time...);
    check(shape.size() == size(), [&] {
      return Error("a reshape keeps the number of elements", "View::reshape", std::to_string(size()),
                   to_string(shape.all()));
    });
    return {data_, shape};
  }

  /// All rows of the last extent as one matrix.
  constexpr auto as_rows() const {
    constexpr Index last = ShapeType::static_extents[rank - 1];
    if constexpr (last == dyn)
      return View<Scalar, Device, dyn, dyn>(data_, Shape<dyn, dyn>(rows(), columns()));
    else
      return View<Scalar, Device, dyn, last>(data_, Shape<dyn, last>(rows()));
  }

  /// A run of the first extent, which becomes a run-time one.
  constexpr auto slice(Index begin, Index count) const {
    check(begin >= 0 && count >= 0 && begin <= extent(0) && count <= extent(0) - begin, [&] {
      return Error("a slice must lie within the first extent", "View::slice",
                   "0 <= begin and begin + count <= " + std::to_string(extent(0)),
                   "begin " + std::to_string(begin) + ", count " + std::to_string(count));
    });
    return sliced(begin, count, std::make_index_sequence<rank - 1>());
  }

 private:
  template <std::size_t... rest>
  constexpr auto sliced(Index begin, Index count, std::index_sequence<rest...>) const {
    using Part = View<Scalar, Device, dyn, ShapeType::static_extents[rest + 1]...>;
    return Part(data_ + begin * (size() / std::max<Index>(extent(0), 1)),
                Part::ShapeType::of({count, shape_[rest + 1]...}));
  }

  Scalar* data_ = nullptr;
  ShapeType shape_;
};

template <class Scalar, class Device, Index... extents>
class Tensor {
 public:
  using ScalarType = Scalar;
  using DeviceType = Device;
  using ShapeType = Shape<extents...>;

  /// Owns nothing yet.
  Tensor() = default;

  /// Zeros; the run-time extents in their order: Tensor<float, Cpu, dyn, 64>(cpu, tokens).
  template <std::convertible_to<Index>... RunTime>
  requires(sizeof...(RunTime) == ShapeType::dynamic_rank) explicit Tensor(Memory& memory, RunTime... run_time)
      : shape_(run_time...) {
    buffer_ = memory.allocate(detail::byte_count("Tensor", shape_.all(), sizeof(Scalar)));
  }

  /// Numbers that are there already, and that others may hold too: a mapped file's.
  static Tensor sharing(Buffer buffer, const ShapeType& shape) {
    Tensor tensor;
    tensor.shape_ = shape;
    tensor.buffer_ = std::move(buffer);
    detail::check_bytes(shape.all(), detail::byte_count("Tensor", shape.all(), sizeof(Scalar)),
                        tensor.buffer_.size);
    return tensor;
  }

  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  using ViewType = View<Scalar, Device, extents...>;
  using ConstViewType = View<const Scalar, Device, extents...>;
  ViewType view() {
    check_memory();
    return {data(), shape_};
  }
  ConstViewType view() const {
    check_memory();
    return {data(), shape_};
  }
  template <class Other>
  requires std::constructible_from<Other, ViewType> && std::convertible_to<ViewType, Other>
  operator Other() { return view(); }
  template <class Other>
  requires std::constructible_from<Other, ConstViewType> && std::convertible_to<ConstViewType, Other>
  operator Other() const { return view(); }

  Scalar* data() { return static_cast<Scalar*>(buffer_.bytes.get()); }
  const Scalar* data() const { return static_cast<const Scalar*>(buffer_.bytes.get()); }
  const ShapeType& shape() const { return shape_; }
  Index extent(std::size_t i) const { return shape_[i]; }
  Index size() const { return shape_.size(); }
  std::span<Scalar> span() { return view().span(); }
  std::span<const Scalar> span() const { return view().span(); }
  template <class... Indices>
  Scalar& operator()(Indices... indices) {
    return ViewType(data(), shape_)(indices...);
  }
  template <class... Indices>
  const Scalar& operator()(Indices... indices) const {
    return ConstViewType(data(), shape_)(indices...);
  }

  /// Copies from and to the host, in row-major order; sizes must be equal.
  void upload(Memory& memory, std::span<const Scalar> host) {
    check_size(host.size());
    memory.upload(data(), host.data(), host.size_bytes());
  }
  void download(Memory& memory, std::span<Scalar> host) const {
    check_size(host.size());
    memory.download(host.data(), data(), host.size_bytes());
  }

 private:
  /// Numbers that the type promises must be there.
  void check_memory() const { detail::check_memory(data() != nullptr || size() == 0, shape_.all()); }
  void check_size(std::size_t found) const {
    detail::check_size(buffer_.bytes != nullptr, shape_.all(), size(), found);
  }

  Buffer buffer_;
  ShapeType shape_;
};

/// Scratch of a shape from the device's arena; it lives until the enclosing ArenaScope ends.
template <class Scalar, Index... extents, class Device, std::convertible_to<Index>... RunTime>
View<Scalar, Device, extents...> take(Device& device, RunTime... run_time) {
  const Shape<extents...> shape(run_time...);
  void* const place = device.arena().take(detail::byte_count("take", shape.all(), sizeof(Scalar)));
  return {static_cast<Scalar*>(place), shape};
}

}  // namespace hyperblocks
