// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the readers of tensor files share: the look-up of a name, the check of a shape, numbers that lie
// anywhere in memory turned into another scalar, and parameters read from any of these files.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/io/mapped_file.hpp>

namespace hyperblocks {

static_assert(std::endian::native == std::endian::little,
              "hyperblocks: tensor files are read on little-endian machines");

namespace detail {

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

inline std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

/// "file: 'name'", as errors say where.
inline std::string place(const std::string& file, const std::string& name) {
  return file + ": '" + name + "'";
}

/// The tensor of a name; the error for a wrong one shows its neighbour.
template <class Stored>
const Stored& find_tensor(const std::map<std::string, Stored>& tensors, const std::string& file,
                          const std::string& name) {
  const auto found = tensors.find(name);
  check(found != tensors.end(), [&] {
    const auto next = tensors.lower_bound(name);
    return Error("no such tensor", place(file, name), "one of its " + std::to_string(tensors.size()),
                 next == tensors.end() ? "no name like it" : "'" + next->first + "' as the next name");
  });
  return found->second;
}

/// That a stored tensor has the shape asked for.
inline void check_shape(const std::string& where, const std::vector<Index>& expected,
                        const std::vector<Index>& stored) {
  check(stored == expected,
        [&] { return Error("the shape differs", where, shape_text(expected), shape_text(stored)); });
}

/// And that there is room for its numbers.
inline void check_shape(const std::string& where, const std::vector<Index>& expected,
                        const std::vector<Index>& stored, std::size_t numbers, std::size_t room) {
  check_shape(where, expected, stored);
  check(room == numbers, [&] {
    return Error("the size differs", where, std::to_string(numbers), "room for " + std::to_string(room));
  });
}

inline Error not_real(DType dtype, const std::string& where) {
  return {"not real numbers", where, "F64, F32, F16 or BF16", std::string(name(dtype))};
}

/// That a stored tensor is real numbers of the shape asked for.
inline void check_real(const std::string& where, const std::vector<Index>& expected,
                       const std::vector<Index>& stored, DType dtype) {
  check_shape(where, expected, stored);
  check(dtype == DType::f64 || dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16,
        [&] { return not_real(dtype, where); });
}

/// Reads a number from any address.
template <class Number>
Number number_at(const void* from) {
  Number number;
  std::memcpy(&number, from, sizeof number);
  return number;
}

template <RealScalar From, RealScalar To>
void convert_numbers(std::span<const std::byte> bytes, std::span<To> to) {
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = scalar_cast<To>(number_at<From>(bytes.data() + i * sizeof(From)));
}

/// Whether no number's exponent is all ones, which says NaN or infinity; of whole numbers always.
inline bool all_finite(DType dtype, std::span<const std::byte> bytes) {
  const auto none = [&]<class Bits>(Bits exponent) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(Bits))
      if ((number_at<Bits>(bytes.data() + i) & exponent) == exponent) return false;
    return true;
  };
  if (dtype == DType::f64) return none(std::uint64_t{0x7ff0'0000'0000'0000});
  if (dtype == DType::f32) return none(std::uint32_t{0x7f80'0000});
  if (dtype == DType::bf16) return none(std::uint16_t{0x7f80});
  if (dtype == DType::f16) return none(std::uint16_t{0x7c00});
  return true;
}

/// Copies real numbers of any dtype, converting them.
template <RealScalar To>
void read_numbers(DType dtype, std::span<const std::byte> bytes, const std::string& where, std::span<To> to) {
  switch (dtype) {
    case DType::f64:
      return convert_numbers<double>(bytes, to);
    case DType::f32:
      return convert_numbers<float>(bytes, to);
    case DType::f16:
      return convert_numbers<half>(bytes, to);
    case DType::bf16:
      return convert_numbers<bf16>(bytes, to);
    default:
      throw not_real(dtype, where);
  }
}

/// Copies integers, which must be of the type asked for; a boolean's byte may be any but 0.
template <std::integral To>
void read_numbers(DType dtype, std::span<const std::byte> bytes, const std::string& where, std::span<To> to) {
  constexpr DType asked = hyperblocks::dtype_of<To>;
  check(dtype == asked,
        [&] { return Error("another type", where, std::string(name(asked)), std::string(name(dtype))); });
  if constexpr (std::same_as<To, bool>)
    std::ranges::transform(bytes, to.begin(), [](std::byte byte) { return byte != std::byte{}; });
  else if (!to.empty())
    std::memcpy(to.data(), bytes.data(), to.size_bytes());
}

}  // namespace detail

namespace detail {
template <class Tensor>
std::vector<Index> shape_of(const Tensor& tensor) {
  const auto shape = tensor.shape().all();
  return {shape.begin(), shape.end()};
}
}  // namespace detail

/// Reads a group of parameters, whose names begin with `prefix` in the file; every one of them must be there
/// with its shape, whatever real dtype it has. After an Error the parameters are what they were.
template <class Device, class Params, class File>
void load(Device& device, Params& params, const File& file, const std::string& prefix = "") {
  visit([&](const std::string& name,
            const auto& tensor) { file.expect(prefix + name, detail::shape_of(tensor)); },
        std::as_const(params));
  visit(
      [&](const std::string& name, auto& tensor) {
        using Scalar = typename std::remove_cvref_t<decltype(tensor)>::ScalarType;
        std::vector<Scalar> host(static_cast<std::size_t>(tensor.size()));
        file.template read<Scalar>(prefix + name, detail::shape_of(tensor), host);
        tensor.upload(device, host);
        if constexpr (requires { file.owner(); })
          if (file.owner().use_count() == 2)  // a mapped file that nobody shares: the file's own and this one
            release_pages(file.tensor(prefix + name).bytes);
      },
      params);
}

}  // namespace hyperblocks
