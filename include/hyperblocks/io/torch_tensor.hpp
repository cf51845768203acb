// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tensors of PyTorch's files: a storage and the way its numbers are strided; the pickled call that describes
// one, read with every number checked against what the storage holds; and all those of a state dict.
#pragma once

#include <algorithm>
#include <limits>

#include <hyperblocks/io/torch_archive.hpp>

namespace hyperblocks {

struct TorchTensor {
  DType dtype = DType::f32;
  std::vector<Index> shape, strides;  ///< strides in numbers
  std::span<const std::byte> bytes;   ///< the storage from the tensor's first number on; may be unaligned

  Index size() const {
    Index numbers = 1;
    for (const Index extent : shape) numbers *= extent;
    return numbers;
  }

  /// Whether the numbers lie row-major without gaps.
  bool contiguous() const {
    Index expected = 1;
    for (std::size_t i = shape.size(); i-- > 0; expected *= shape[i])
      if (shape[i] != 1 && strides[i] != expected) return size() == 0;
    return true;
  }
};

namespace detail {

/// The numbers row-major in memory of their own.
inline std::vector<std::byte> gathered(const TorchTensor& tensor) {
  const std::size_t size = byte_size(tensor.dtype);
  std::vector<std::byte> result(static_cast<std::size_t>(tensor.size()) * size);
  std::vector<Index> at(tensor.shape.size());
  Index from = 0;
  for (std::size_t to = 0; to < result.size(); to += size) {
    std::memcpy(result.data() + to, tensor.bytes.data() + static_cast<std::size_t>(from) * size, size);
    for (std::size_t i = at.size(); i-- > 0;) {
      from += tensor.strides[i];
      if (++at[i] < tensor.shape[i]) break;
      from -= tensor.shape[i] * tensor.strides[i];
      at[i] = 0;
    }
  }
  return result;
}

/// The numbers row-major: where they are if they lie so, else copied to `room`.
inline std::span<const std::byte> any_row_major(const TorchTensor& tensor, std::vector<std::byte>& room) {
  const std::size_t size = static_cast<std::size_t>(tensor.size()) * byte_size(tensor.dtype);
  if (tensor.contiguous()) return tensor.bytes.first(size);
  room = gathered(tensor);
  return room;
}

inline bool is_name(const PickleObject& object, std::string_view module, std::string_view name) {
  return object.module == module && object.name == name;
}

/// The arguments of the call that makes a tensor, behind the calls that wrap it in a Parameter, a Buffer or
/// another kind; nothing if the value is no tensor.
inline const PickleTuple* tensor_arguments(const PickleObject& function, const PickleValue* arguments,
                                           int wraps = 4) {
  const auto* const tuple = arguments == nullptr ? nullptr : arguments->as<PickleTuple>();
  if (tuple == nullptr || tuple->elements.empty() || wraps == 0) return nullptr;
  constexpr std::string_view utils = "torch._utils";
  if (is_name(function, utils, "_rebuild_tensor_v2") || is_name(function, utils, "_rebuild_tensor"))
    return tuple;
  const auto* const first = tuple->elements[0]->as<PickleObject>();
  if (first == nullptr) return nullptr;
  if (is_name(function, utils, "_rebuild_parameter") ||
      is_name(function, utils, "_rebuild_parameter_with_state"))
    return tensor_arguments(*first, first->arguments, wraps - 1);
  if (is_name(function, "torch._tensor", "_rebuild_from_type_v2") && tuple->elements.size() == 4)
    return tensor_arguments(*first, tuple->elements[2], wraps - 1);
  return nullptr;
}

inline const PickleTuple* tensor_arguments(const PickleValue& value) {
  const auto* const object = value.as<PickleObject>();
  return object == nullptr ? nullptr : tensor_arguments(*object, object->arguments);
}

/// Reads a tensor's arguments: (storage, offset, size, stride, ...), the storage being known by
/// ('storage', torch.FloatStorage, key, location, numbers). Where it once lay (location) does not matter.
class TorchTensorReader {
 public:
  TorchTensorReader(const TorchArchive& archive, std::string where)
      : archive_(archive), where_(std::move(where)) {}

  TorchTensor read(const PickleTuple& arguments) const {
    const auto& given = arguments.elements;
    expect(given.size() >= 4, "a storage, an offset, a size and strides", "fewer arguments");
    if (given.size() > 6) check_plain(*given[6]);
    TorchTensor tensor;
    const Index room = find_storage(*given[0], tensor);
    const Index offset = count(*given[1], "an offset");
    tensor.shape = counts(*given[2], "a size");
    tensor.strides = counts(*given[3], "strides");
    check_within(tensor, offset, room);
    tensor.bytes = tensor.bytes.subspan(static_cast<std::size_t>(offset) * byte_size(tensor.dtype));
    return tensor;
  }

 private:
  static constexpr std::size_t most_extents = 64;

  Error error(const std::string& expected, const std::string& found) const {
    return Error("a tensor that cannot be read", where_, expected, found);
  }
  void expect(bool holds, const char* expected, const char* found) const {
    check(holds, [&] { return error(expected, found); });
  }

  Index count(const PickleValue& value, const char* what) const {
    const auto* const number = value.as<std::int64_t>();
    check(number != nullptr && *number >= 0, [&] {
      return error(std::string(what) + " of zero or more",
                   number == nullptr ? std::string("no integer of 64 bits") : std::to_string(*number));
    });
    return *number;
  }

  std::vector<Index> counts(const PickleValue& value, const char* what) const {
    const auto* const tuple = value.as<PickleTuple>();
    check(tuple != nullptr && tuple->elements.size() <= most_extents, [&] {
      return error(std::string(what) + ": a tuple of up to " + std::to_string(most_extents),
                   tuple == nullptr ? "another value" : std::to_string(tuple->elements.size()));
    });
    std::vector<Index> result;
    result.reserve(tuple->elements.size());
    for (const PickleRef element : tuple->elements) result.push_back(count(*element, what));
    return result;
  }

  /// Marks of numbers that are yet to be negated or conjugated.
  void check_plain(const PickleValue& metadata) const {
    const auto* const dict = metadata.as<PickleDict>();
    expect(metadata.as<PickleNone>() != nullptr || (dict != nullptr && dict->items.empty()),
           "numbers as they are", "some to be negated or conjugated first");
  }

  /// Gives the tensor its dtype and the storage's bytes; says how many numbers these are.
  Index find_storage(const PickleValue& value, TorchTensor& tensor) const {
    const auto* const persistent = value.as<PicklePersistent>();
    const auto* const tuple = persistent == nullptr ? nullptr : persistent->id->as<PickleTuple>();
    expect(tuple != nullptr && tuple->elements.size() == 5, "a storage", "another value");
    const auto* const word = tuple->elements[0]->as<std::string_view>();
    const auto* const type = tuple->elements[1]->as<PickleObject>();
    const auto* const key = tuple->elements[2]->as<std::string_view>();
    expect(word != nullptr && *word == "storage" && type != nullptr && key != nullptr,
           "a storage's type and key", "other values");
    tensor.dtype = storage_type(*type);
    const Index numbers = count(*tuple->elements[4], "a storage's size");
    const std::string name = std::string(archive_.prefix) + "/data/" + std::string(*key);
    const auto entry = archive_.entries.find(name);
    check(entry != archive_.entries.end(),
          [&] { return error("the storage '" + name + "'", "no such entry"); });
    const auto size = static_cast<Index>(byte_size(tensor.dtype));
    const auto bytes = entry->second;
    check(numbers <= static_cast<Index>(bytes.size()) / size, [&] {
      return error("a storage '" + name + "' of " + std::to_string(numbers) + " numbers " +
                       std::string(hyperblocks::name(tensor.dtype)),
                   std::to_string(bytes.size()) + " bytes");
    });
    tensor.bytes = bytes.first(static_cast<std::size_t>(numbers * size));
    return numbers;
  }

  DType storage_type(const PickleObject& type) const {
    constexpr std::pair<std::string_view, DType> types[] = {
        {"DoubleStorage", DType::f64},    {"FloatStorage", DType::f32}, {"HalfStorage", DType::f16},
        {"BFloat16Storage", DType::bf16}, {"LongStorage", DType::i64},  {"IntStorage", DType::i32},
        {"ShortStorage", DType::i16},     {"CharStorage", DType::i8},   {"ByteStorage", DType::u8},
        {"BoolStorage", DType::boolean}};
    for (const auto& [name, dtype] : types)
      if (is_name(type, "torch", name)) return dtype;
    throw error("a storage: Double Float Half BFloat16 Long Int Short Char Byte Bool",
                "'" + std::string(type.module) + "." + std::string(type.name) + "'");
  }

  /// That no number lies outside the storage, and that their bytes can be counted.
  void check_within(const TorchTensor& tensor, Index offset, Index room) const {
    const auto& [dtype, shape, strides, bytes] = tensor;
    expect(shape.size() == strides.size(), "a stride for each extent", "more or fewer");
    const auto outside = [&] {
      return error("numbers within the storage's " + std::to_string(room),
                   "offset " + std::to_string(offset) + ", size " + shape_text(shape) + ", strides " +
                       shape_text(strides));
    };
    check(offset <= room, outside);
    Index most = std::numeric_limits<Index>::max() / static_cast<Index>(byte_size(dtype));
    for (const Index extent : shape) {
      check(extent <= most,
            [&] { return error("at most 2^63 - 1 bytes", "a size of " + shape_text(shape)); });
      if (extent > 0) most /= extent;
    }
    if (std::ranges::find(shape, Index{0}) != shape.end()) return;
    Index left = room - offset - 1;  // behind the first number
    check(left >= 0, outside);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 1 || strides[i] == 0) continue;
      check(shape[i] - 1 <= left / strides[i], outside);
      left -= (shape[i] - 1) * strides[i];
    }
  }

  const TorchArchive& archive_;
  std::string where_;
};

/// A key as paths in errors show it: of keys that are very long, the beginning.
inline std::string shown(const std::string& text) {
  constexpr std::size_t most = 80;
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

}  // namespace detail

/// A tensor's numbers row-major: where they are if they lie so, else copied to `room`. A small storage can
/// make a tensor of any size (expand): such a one is an Error, so that no file decides what is allocated.
inline std::span<const std::byte> row_major(const TorchTensor& tensor, std::vector<std::byte>& room) {
  const std::size_t numbers = tensor.bytes.size() / byte_size(tensor.dtype);
  check(static_cast<std::size_t>(tensor.size()) <= numbers, [&] {
    return Error("a tensor that repeats its numbers", "row_major",
                 "at most the " + std::to_string(numbers) + " of its storage",
                 detail::shape_text(tensor.shape));
  });
  return detail::any_row_major(tensor, room);
}

/// The tensors of a state dict by name, as files of tensors give them; those of dicts within dicts have
/// names joined by dots.
class TorchTensors {
 public:
  const std::string& name() const { return archive_->file; }
  /// In the file's order.
  const std::vector<std::string>& names() const& { return names_; }
  std::vector<std::string> names() && { return std::move(names_); }
  const std::map<std::string, TorchTensor>& tensors() const& { return tensors_; }
  std::map<std::string, TorchTensor> tensors() && { return std::move(tensors_); }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Keeps the bytes of the tensors alive beyond this object's life.
  std::shared_ptr<const void> owner() const { return archive_->owner; }

  const TorchTensor& tensor(const std::string& name) const& {
    return detail::find_tensor(tensors_, where_, name);
  }

  /// An Error unless read() gives real numbers of this shape.
  void expect(const std::string& name, const std::vector<Index>& shape) const {
    const TorchTensor& stored = tensor(name);
    detail::check_real(detail::place(where_, name), shape, stored.shape, stored.dtype);
  }

  /// Copies a tensor row-major: real numbers are converted, integers must be of the type asked for; the shape
  /// must be the one given.
  template <class To>
  void read(const std::string& name, const std::vector<Index>& shape, std::span<To> to) const {
    const TorchTensor& stored = tensor(name);
    const std::string where = detail::place(where_, name);
    detail::check_shape(where, shape, stored.shape, static_cast<std::size_t>(stored.size()), to.size());
    std::vector<std::byte> room;
    detail::read_numbers(stored.dtype, detail::any_row_major(stored, room), where, to);
  }

 private:
  friend class TorchValue;

  TorchTensors(std::shared_ptr<const detail::TorchArchive> archive, std::string where)
      : archive_(std::move(archive)), where_(std::move(where)) {}

  /// Values may be shared, so that a small file can hold as many names as it likes: their letters, and all
  /// entries on the way, are counted.
  void collect(const PickleDict& dict, const std::string& prefix, int depth) {
    constexpr std::size_t most = 1 << 26, most_tensors = 1 << 20;
    constexpr int deepest = 64;
    check(depth <= deepest, [&] {
      return Error("dicts within dicts", detail::place(where_, detail::shown(prefix)),
                   "a depth of at most " + std::to_string(deepest), "a deeper one");
    });
    for (const auto& [key, value] : dict.items) {
      ++length_;
      const auto* const inner = value->as<PickleDict>();
      const PickleTuple* const tensor = detail::tensor_arguments(*value);
      const auto text = detail::key_of(*key);
      if (inner == nullptr && tensor == nullptr) continue;
      if (!text.has_value())
        throw Error("a name that cannot be told", detail::place(where_, detail::shown(prefix)),
                    "keys that are strings or integers", "another");
      const std::string name = detail::joined(prefix, detail::to_string(*text));
      length_ += name.size();
      check(length_ <= most && names_.size() < most_tensors, [&] {
        return Error(
            "too many names", where_,
            "at most " + std::to_string(most_tensors) + " tensors, " + std::to_string(most) + " letters",
            "more");
      });
      if (inner != nullptr) {
        collect(*inner, name, depth + 1);
        continue;
      }
      const detail::TorchTensorReader reader(*archive_, detail::place(where_, detail::shown(name)));
      check(tensors_.emplace(name, reader.read(*tensor)).second, [&] {
        return Error("two tensors of one name", detail::place(where_, detail::shown(name)), "one", "another");
      });
      names_.push_back(name);
    }
  }

  std::shared_ptr<const detail::TorchArchive> archive_;
  std::string where_;
  std::vector<std::string> names_;
  std::map<std::string, TorchTensor> tensors_;
  std::size_t length_ = 0;
};

}  // namespace hyperblocks
