// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tensors from one name to another: TensorSource, those of a PyTorch file, each to be taken once and with the
// shape that it must have; views of parts of them; TensorTarget, those of a hypernet.safetensors.
#pragma once

#include <charconv>
#include <deque>
#include <filesystem>
#include <initializer_list>
#include <set>

#include <hyperblocks/io/load_hypernet.hpp>
#include <hyperblocks/io/torch_zip.hpp>

namespace hyperblocks::example {

/// dyn stands for any extent.
using Extents = std::vector<Index>;

inline void check_finite(DType dtype, std::span<const std::byte> bytes, const std::string& where) {
  check(hyperblocks::detail::all_finite(dtype, bytes),
        [&] { return Error("a number is not finite", where, "finite numbers", "NaN or infinity"); });
}

/// That a tensor has the shape expected.
inline void check_shape(const TorchTensor& tensor, const Extents& expected, const std::string& where) {
  bool same = tensor.shape.size() == expected.size();
  for (std::size_t i = 0; same && i < expected.size(); ++i)
    same = expected[i] == dyn ? tensor.shape[i] > 0 : tensor.shape[i] == expected[i];
  check(same, [&] {
    std::string text = hyperblocks::detail::shape_text(expected);
    const std::string any = std::to_string(dyn);
    for (auto at = text.find(any); at != text.npos; at = text.find(any)) text.replace(at, any.size(), "any");
    return Error("the shape differs", where, text, hyperblocks::detail::shape_text(tensor.shape));
  });
}

/// That a tensor of real, finite numbers has the shape expected.
inline void check_extents(const TorchTensor& tensor, const Extents& expected, const std::string& where) {
  check_shape(tensor, expected, where);
  const bool real = tensor.dtype == DType::f64 || tensor.dtype == DType::f32 || tensor.dtype == DType::f16 ||
                    tensor.dtype == DType::bf16;
  check(real, [&] {
    return Error("not real numbers", where, "F64, F32, F16 or BF16", std::string(name(tensor.dtype)));
  });
  const std::size_t numbers = tensor.bytes.size() / byte_size(tensor.dtype);
  const bool bounded = std::find(expected.begin(), expected.end(), dyn) == expected.end();
  check(bounded || static_cast<std::size_t>(tensor.size()) <= numbers, [&] {
    return Error("a tensor that repeats its numbers", where,
                 "at most the " + std::to_string(numbers) + " of its storage",
                 hyperblocks::detail::shape_text(tensor.shape));
  });
  std::vector<std::byte> room;
  check_finite(tensor.dtype, row_major(tensor, room), where);
}

/// Some of the rows along an axis.
inline TorchTensor part(TorchTensor tensor, std::size_t axis, Index first, Index count) {
  if (first > 0 && tensor.size() > 0)
    tensor.bytes = tensor.bytes.subspan(static_cast<std::size_t>(first * tensor.strides[axis]) *
                                        byte_size(tensor.dtype));
  tensor.shape[axis] = count;
  return tensor;
}

/// One of the first axis, without it.
inline TorchTensor at(const TorchTensor& tensor, Index index) {
  TorchTensor result = part(tensor, 0, index, 1);
  result.shape.erase(result.shape.begin()), result.strides.erase(result.strides.begin());
  return result;
}

/// The last two axes swapped.
inline TorchTensor transposed(TorchTensor tensor) {
  const std::size_t last = tensor.shape.size() - 1;
  std::swap(tensor.shape[last], tensor.shape[last - 1]);
  std::swap(tensor.strides[last], tensor.strides[last - 1]);
  return tensor;
}

class TensorSource {
 public:
  explicit TensorSource(TorchTensors tensors) : tensors_(std::move(tensors)) {}

  const std::string& file() const { return tensors_.name(); }
  /// Keeps the bytes.
  std::shared_ptr<const void> owner() const { return tensors_.owner(); }
  const std::vector<std::string>& names() const { return tensors_.names(); }
  /// As contains() and take() know them.
  std::vector<std::string> plain_names() const {
    std::vector<std::string> result;
    for (const std::string& name : names()) result.push_back(plain(name));
    return result;
  }
  std::string where(const std::string& name) const { return hyperblocks::detail::place(file(), name); }
  bool contains(const std::string& name) const { return find(name) != nullptr; }
  /// To look at; take() gives it away.
  const TorchTensor& tensor(const std::string& name) const {
    const TorchTensor* const tensor = find(name);
    return tensor != nullptr ? *tensor : tensors_.tensor(name);  // its error
  }

  const TorchTensor& take(const std::string& name, const Extents& shape) {
    const TorchTensor& found = tensor(name);
    taken_.insert(&found);
    check_extents(found, shape, where(name));
    return found;
  }

  /// Not needed; but of this shape.
  void pass(const std::string& name, const Extents& shape) {
    taken_.insert(&tensor(name));
    check_shape(tensor(name), shape, where(name));
  }

  void ignore(const std::string& name) {
    if (const TorchTensor* const tensor = find(name)) taken_.insert(tensor);
  }

  /// How many there are of PREFIX.0.*, PREFIX.1.* ...: one more than the largest number.
  Index count(const std::string& prefix) const {
    Index count = 0;
    for (const std::string& full : names()) {
      const std::string name = plain(full);
      if (!name.starts_with(prefix)) continue;
      Index number = -1;
      const char* const end = name.data() + name.size();
      const auto [stop, failure] = std::from_chars(name.data() + prefix.size(), end, number);
      check(failure == std::errc() && stop != end && *stop == '.' && number >= 0 && number < 65536, [&] {
        return Error("an unknown tensor", where(full), prefix + "NUMBER.NAME", "'" + name + "'");
      });
      count = std::max(count, number + 1);
    }
    return count;
  }

  void check_all_taken() const {
    for (const std::string& name : names())
      check(taken_.contains(&tensors_.tensor(name)), [&] {
        return Error("a tensor that the hypernetwork does not have", file(), "only those of its kind",
                     "'" + name + "'");
      });
  }

 private:
  /// What compiled models' names begin with says nothing.
  static std::string plain(const std::string& name) {
    constexpr std::string_view compiled = "_orig_mod.";
    return name.starts_with(compiled) ? name.substr(compiled.size()) : name;
  }

  const TorchTensor* find(const std::string& name) const {
    for (const std::string& full : {name, "_orig_mod." + name})
      if (tensors_.contains(full)) return &tensors_.tensor(full);
    return nullptr;
  }

  TorchTensors tensors_;
  std::set<const TorchTensor*> taken_;
};

/// Where the tensors of the hypernetwork are put: as they lie in the files where they lie so, else copied.
class TensorTarget {
 public:
  TensorTarget() = default;
  TensorTarget(TensorTarget&&) = default;
  TensorTarget& operator=(TensorTarget&&) = default;

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  /// Of bytes that tensors look at.
  void keep(std::shared_ptr<const void> owner) { owners_.push_back(std::move(owner)); }

  void add(const std::string& name, const TorchTensor& tensor, const Extents& shape = {}) {
    rooms_.emplace_back();
    const auto bytes = row_major(tensor, rooms_.back());
    put(name, {tensor.dtype, shape.empty() ? tensor.shape : shape, bytes});
  }
  void add(const std::string& name, DType dtype, const Extents& shape, std::vector<std::byte> bytes) {
    rooms_.push_back(std::move(bytes));
    put(name, {dtype, shape, rooms_.back()});
  }

 private:
  void put(const std::string& name, const StoredTensor& tensor) {
    check_finite(tensor.dtype, tensor.bytes, "the tensor for '" + name + "'");  // sums may become infinite
    tensors_[name] = tensor;
  }

  std::deque<std::vector<std::byte>> rooms_;
  std::vector<std::shared_ptr<const void>> owners_;
  std::map<std::string, StoredTensor> tensors_;
};

/// Row-major numbers of several tensors one behind the other.
inline std::vector<std::byte> behind(const std::vector<TorchTensor>& tensors) {
  std::vector<std::byte> all, room;
  for (const TorchTensor& tensor : tensors) {
    check(tensor.dtype == tensors.front().dtype, [&] {
      return Error("tensors that become one", "the checkpoint", "numbers of one type",
                   std::string(name(tensors.front().dtype)) + " and " + std::string(name(tensor.dtype)));
    });
    const auto bytes = row_major(tensor, room);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

/// What an import gives.
struct ImportedHypernet {
  HypernetConfig config;
  TensorTarget tensors;
};

}  // namespace hyperblocks::example
