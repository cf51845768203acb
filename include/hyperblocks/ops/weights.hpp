// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a block's weights are: Trainable (plain tensors, with gradients) or Frozen<Stored> (matrices in the
// device's own packed form, without). Parameter<...> is the tensor type that follows from it.
#pragma once

#include <span>
#include <type_traits>
#include <vector>

#include <hyperblocks/core/params.hpp>

namespace hyperblocks {

/// The operations of a device; a specialisation comes with the device's header.
template <class Device>
struct Ops {
  static_assert(detail::always_false<Device>,
                "hyperblocks: no operations for this device: include <hyperblocks/ops/cpu/cpu.hpp> for Cpu, "
                "<hyperblocks/cuda/cuda.cuh> for Cuda");
};

/// Weights in the block's own scalar that training changes.
struct Trainable {};

/// Weights that stay as loaded, kept as `Stored` numbers.
template <RealScalar Stored>
struct Frozen {};

/// Some rows of a FrozenMatrix, or all.
template <RealScalar Stored>
struct FrozenRows {
  const Stored* packed;
  Index rows, columns;
};

/// A constant matrix (out, in) in the form that the device multiplies fastest with.
template <RealScalar Stored, class Device, Index out, Index in>
class FrozenMatrix {
 public:
  using ScalarType = Stored;
  using DeviceType = Device;
  using ShapeType = Shape<out, in>;

  FrozenMatrix() = default;
  explicit FrozenMatrix(Device& device)
      : packed_(device, Ops<Device>::template packed_size<Stored>(out, in)) {}

  const Stored* packed() const {
    check(packed_.data() != nullptr, [] {
      return Error("a matrix without memory", "FrozenMatrix " + to_string(shape().all()),
                   "one of a device, such as make<Params>(device) gives", "one that owns nothing");
    });
    return packed_.data();
  }
  static ShapeType shape() { return {}; }
  static constexpr Index size() { return out * in; }

  /// `first` is a multiple of Ops<Device>::rows_together<Stored>().
  FrozenRows<Stored> rows(Index first, Index count) const {
    check(first >= 0 && count > 0 && first <= out - count &&
              first % Ops<Device>::template rows_together<Stored>() == 0,
          [&] {
            return Error(
                "these rows cannot be taken out", "FrozenMatrix " + to_string(shape().all()),
                "from a multiple of " + std::to_string(Ops<Device>::template rows_together<Stored>()) + " on",
                std::to_string(count) + " from " + std::to_string(first));
          });
    return {packed() + Ops<Device>::template packed_size<Stored>(first, in), count, in};
  }

  /// From and to row-major numbers on the host.
  void upload(Device& device, std::span<const Stored> host) {
    check_size(host.size());
    Ops<Device>::pack(device, host.data(), out, in, packed_.data());
  }
  void download(Device& device, std::span<Stored> host) const {
    check_size(host.size());
    Ops<Device>::unpack(device, packed_.data(), out, in, host.data());
  }

 private:
  void check_size(std::size_t found) const {
    check(found == static_cast<std::size_t>(size()) && packed_.data() != nullptr, [&] {
      return Error("the number of elements differs", "FrozenMatrix " + to_string(shape().all()),
                   std::to_string(size()),
                   std::to_string(found) + (packed_.data() ? "" : " for a matrix without memory"));
    });
  }

  Tensor<Stored, Device, dyn> packed_;
};

namespace detail {
template <Role role, class Weights, class Scalar, class Device, Index... extents>
struct ParameterOf {
  using Type = Tensor<Scalar, Device, extents...>;
};
template <class Stored, class Scalar, class Device, Index out, Index in>
struct ParameterOf<Role::value, Frozen<Stored>, Scalar, Device, out, in> {
  static_assert(std::same_as<Accumulator<Stored>, Accumulator<Scalar>>,
                "hyperblocks: a block in double takes weights frozen as double, other blocks take others");
  using Type = FrozenMatrix<Stored, Device, out, in>;
};
template <class Stored, class Scalar, class Device, Index... extents>
struct ParameterOf<Role::gradient, Frozen<Stored>, Scalar, Device, extents...> {
  using Type = Nothing;
};
template <Role role, class Weights, class Scalar, class Device, Index... extents>
struct TableOf {
  using Type = Tensor<Scalar, Device, extents...>;
};
template <class Stored, class Scalar, class Device, Index... extents>
struct TableOf<Role::value, Frozen<Stored>, Scalar, Device, extents...> {
  using Type = Tensor<Stored, Device, extents...>;
};
template <class Stored, class Scalar, class Device, Index... extents>
struct TableOf<Role::gradient, Frozen<Stored>, Scalar, Device, extents...> {
  using Type = Nothing;
};
}  // namespace detail

/// A matrix that is looked up by rows and so stays row-major, in the stored scalar if frozen.
template <Role role, class Weights, class Scalar, class Device, Index... extents>
using Table = typename detail::TableOf<role, Weights, Scalar, Device, extents...>::Type;

/// Numbers that are read as they are: never packed, in the block's scalar even if frozen.
template <Role role, class Weights, class Scalar, class Device, Index... extents>
using Plain = std::conditional_t<role == Role::gradient && !std::same_as<Weights, Trainable>, Nothing,
                                 Tensor<Scalar, Device, extents...>>;

/// The tensor of a parameter: `present` false makes it Nothing (a bias that is switched off).
template <Role role, class Weights, bool present, class Scalar, class Device, Index... extents>
using Parameter =
    std::conditional_t<present, typename detail::ParameterOf<role, Weights, Scalar, Device, extents...>::Type,
                       Nothing>;

}  // namespace hyperblocks
