// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// GGUF, versions 2 and 3: keys and values, the tensors' names and places, data. The reader maps the file,
// checks the whole header and copies nothing until a value or a tensor is asked for; strings are views of the
// mapped file and live as long as the object. Tensors have their shape in C order: the file's, reversed.
//   GgufFile file("model.gguf");
//   file.get<Index>("llama.block_count"); file.get<std::vector<std::string_view>>("tokenizer.ggml.tokens");
//   file.read<float>("output_norm.weight", {2048}, to);
#pragma once

#include <algorithm>
#include <concepts>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <hyperblocks/io/byte_cursor.hpp>
#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/io/quantised.hpp>

namespace hyperblocks {

/// A tensor as it lies in the file; the bytes may be unaligned.
struct GgufTensor {
  const BlockFormat* format = nullptr;
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
};

/// The types of metadata, numbered as in the file.
enum class GgufType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

constexpr std::string_view name(GgufType type) {
  constexpr std::string_view names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
  return names[static_cast<std::size_t>(type)];
}

/// A value of the metadata as it lies in the file.
struct GgufValue {
  GgufType type;  ///< of an array: of its elements
  bool is_array = false;
  std::uint64_t count = 1;           ///< of elements
  std::span<const std::byte> bytes;  ///< of the elements
};

namespace detail {

/// Bytes of a number; 0 for strings and arrays.
constexpr std::size_t number_size(GgufType type) {
  constexpr std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return sizes[static_cast<std::size_t>(type)];
}

/// Goes through the values of the metadata.
class GgufCursor : public ByteCursor {
 public:
  using ByteCursor::ByteCursor;

  std::string_view string(const char* what) { return text(number<std::uint64_t>(what), what); }

  GgufType type() {
    const auto type = number<std::uint32_t>("a value's type");
    check(type <= static_cast<std::uint32_t>(GgufType::f64), [&] {
      return Error("no such type of values", where(), "a type of 0 to 12", std::to_string(type));
    });
    return static_cast<GgufType>(type);
  }

  GgufValue value() {
    GgufValue value{type(), false, 1, {}};
    if (value.type == GgufType::array) {
      value.is_array = true;
      value.type = type();
      value.count = number<std::uint64_t>("an array's length");
    }
    const std::uint64_t start = offset();
    skip(value.type, value.count, 1);
    value.bytes = since(start);
    return value;
  }

 private:
  /// Passes over so many values of a type; every element takes bytes, so that a lying count ends here.
  void skip(GgufType type, std::uint64_t count, int depth) {
    constexpr int deepest = 4;
    if (const std::size_t size = number_size(type); size != 0) {
      check(count <= left() / size, [&] {
        return Error("truncated file", where(),
                     std::to_string(count) + " values of " + std::string(name(type)),
                     std::to_string(left()) + " bytes left");
      });
      take(count * size, "values");
      return;
    }
    check(depth <= deepest,
          [&] { return Error("arrays within arrays", where(), "a depth of at most 4", "a deeper one"); });
    for (std::uint64_t i = 0; i < count; ++i) {
      if (type == GgufType::string) {
        string("a string");
      } else {
        const GgufType inner = this->type();
        skip(inner, number<std::uint64_t>("an array's length"), depth + 1);
      }
    }
  }
};

/// What a value of this C++ type may be, for errors.
template <class T>
std::string gguf_kind() {
  if constexpr (is_vector<T>) return "an array of " + gguf_kind<typename T::value_type>();
  if constexpr (std::same_as<T, bool>) return "bool";
  if constexpr (std::floating_point<T>) return "f32 or f64";
  if constexpr (std::same_as<T, std::string_view>) return "string";
  if constexpr (std::integral<T>)
    return "an integer of " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max());
}

/// f(number) with a number of a type of the file; not called for strings, arrays and booleans.
template <class F>
void with_number(GgufType type, const std::byte* from, F f) {
  switch (type) {
    case GgufType::u8:
      return f(number_at<std::uint8_t>(from));
    case GgufType::i8:
      return f(number_at<std::int8_t>(from));
    case GgufType::u16:
      return f(number_at<std::uint16_t>(from));
    case GgufType::i16:
      return f(number_at<std::int16_t>(from));
    case GgufType::u32:
      return f(number_at<std::uint32_t>(from));
    case GgufType::i32:
      return f(number_at<std::int32_t>(from));
    case GgufType::u64:
      return f(number_at<std::uint64_t>(from));
    case GgufType::i64:
      return f(number_at<std::int64_t>(from));
    case GgufType::f32:
      return f(number_at<float>(from));
    case GgufType::f64:
      return f(number_at<double>(from));
    default:
      return;
  }
}

/// The element at an address, if its type and value allow it.
template <class T>
std::optional<T> gguf_element(GgufType type, const std::byte* from) {
  std::optional<T> result;
  if constexpr (std::same_as<T, bool>) {
    const auto byte = std::to_integer<unsigned>(*from);
    if (type == GgufType::boolean && byte <= 1) result = byte == 1;
  } else if constexpr (std::same_as<T, std::string_view>) {
    if (type == GgufType::string)
      result.emplace(reinterpret_cast<const char*>(from) + 8, number_at<std::uint64_t>(from));
  } else {
    with_number(type, from, [&](auto number) {
      if constexpr (std::integral<T> && std::integral<decltype(number)>) {
        if (std::in_range<T>(number)) result = static_cast<T>(number);
      } else if constexpr (std::floating_point<T> && std::floating_point<decltype(number)>) {
        result = static_cast<T>(number);
      }
    });
  }
  return result;
}

}  // namespace detail

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path) : file_(path.string()) {
    const MappedFile mapped(path);
    owner_ = mapped.owner();
    parse(mapped.bytes());
  }

  /// The same from bytes in memory, which must outlive the object; `name` stands in errors.
  static GgufFile from_bytes(std::string name, std::span<const std::byte> bytes) {
    GgufFile file;
    file.file_ = std::move(name);
    file.parse(bytes);
    return file;
  }

  const std::string& name() const { return file_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Keeps the bytes of strings and tensors alive beyond this object's life.
  std::shared_ptr<const void> owner() const { return owner_; }

  /// The value of a key as bool, an integer type, float, double, std::string_view or a std::vector of them;
  /// nothing if there is no such key, an Error if it is of another kind or does not fit.
  template <class T>
  std::optional<T> find(std::string_view key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) return std::nullopt;
    const GgufValue& value = found->second;
    check(value.is_array == detail::is_vector<T>, [&] { return another_kind<T>(key, value); });
    if constexpr (detail::is_vector<T>)
      return elements<typename T::value_type>(key, value);
    else
      return element<T>(key, value, value.bytes.data());
  }

  /// The same of a key that must be there.
  template <class T>
  T get(std::string_view key) const {
    if (auto value = find<T>(key)) return *std::move(value);
    throw Error("no such key", where(key), detail::gguf_kind<T>(), "no value");
  }

  const GgufTensor& tensor(const std::string& name) const {
    return detail::find_tensor(tensors_, file_, name);
  }

  /// An Error unless read() gives numbers of this shape.
  void expect(const std::string& name, const std::vector<Index>& shape) const {
    const GgufTensor& stored = tensor(name);
    detail::check_shape(where(name), shape, stored.shape);
    check(stored.format->expand != nullptr, [&] {
      return Error("a format that cannot be read", where(name),
                   "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K or Q6_K",
                   std::string(stored.format->name));
    });
  }

  /// Copies a tensor, expanding and converting it; the shape must be the one given.
  template <RealScalar To>
  void read(const std::string& name, const std::vector<Index>& shape, std::span<To> to) const {
    const GgufTensor& stored = tensor(name);
    const std::size_t numbers =
        stored.bytes.size() / stored.format->bytes * static_cast<std::size_t>(stored.format->numbers);
    detail::check_shape(where(name), shape, stored.shape, numbers, to.size());
    expect(name, shape);
    expand(*stored.format, stored.bytes, to);
  }

 private:
  GgufFile() = default;

  std::string where(std::string_view name) const { return detail::place(file_, std::string(name)); }

  template <class T>
  Error another_kind(std::string_view key, const GgufValue& value) const {
    std::string found(hyperblocks::name(value.type));
    if (value.is_array)  // which may have no bytes
      found = "an array of " + found;
    else
      detail::with_number(value.type, value.bytes.data(),
                          [&](auto number) { found += " " + std::to_string(number); });
    return Error("a value of another kind", where(key), detail::gguf_kind<T>(), found);
  }

  template <class T, class Asked = T>
  T element(std::string_view key, const GgufValue& value, const std::byte* from) const {
    if (const auto result = detail::gguf_element<T>(value.type, from)) return *result;
    throw another_kind<Asked>(key, value);
  }

  template <class T>
  std::vector<T> elements(std::string_view key, const GgufValue& value) const {
    std::vector<T> all;
    const std::byte* from = value.bytes.data();
    for (std::uint64_t i = 0; i < value.count; ++i) {
      all.push_back(element<T, std::vector<T>>(key, value, from));
      if constexpr (std::same_as<T, std::string_view>)
        from += 8 + all.back().size();
      else
        from += detail::number_size(value.type);
    }
    return all;
  }

  /// A tensor's entry in the header, without its bytes.
  struct Entry {
    std::string name;
    GgufTensor tensor;
    std::uint64_t size = 0, offset = 0;
  };

  void parse(std::span<const std::byte> bytes) {
    detail::GgufCursor cursor(file_, bytes);
    const auto magic = cursor.take(4, "GGUF");
    check(std::memcmp(magic.data(), "GGUF", 4) == 0,
          [&] { return Error("not a GGUF file", file_ + ": offset 0", "the letters GGUF", "others"); });
    const auto revision = cursor.number<std::uint32_t>("a version");
    check(revision == 2 || revision == 3, [&] {
      return Error("a version that cannot be read", file_ + ": offset 4", "2 or 3, little-endian",
                   std::to_string(revision));
    });
    const auto tensors = cursor.number<std::uint64_t>("a number of tensors");
    const auto values = cursor.number<std::uint64_t>("a number of keys");
    for (std::uint64_t i = 0; i < values; ++i) read_value(cursor);
    std::vector<Entry> entries;
    while (entries.size() < tensors) entries.push_back(read_entry(cursor));
    if (!entries.empty()) place(entries, bytes, cursor.offset());
  }

  void read_value(detail::GgufCursor& cursor) {
    constexpr std::size_t longest = 65535;
    const std::string key(cursor.string("a key"));
    check(key.size() <= longest, [&] {
      return Error("too long a key", cursor.where(), "at most 65535 bytes", std::to_string(key.size()));
    });
    const GgufValue value = cursor.value();
    check(metadata_.emplace(key, value).second,
          [&] { return Error("malformed header", where(key), "each key once", "it twice"); });
  }

  /// Bytes by the shape; no product overflows.
  Entry read_entry(detail::GgufCursor& cursor) const {
    Entry entry;
    entry.name = cursor.string("a tensor's name");
    check(entry.name.size() < 64, [&] {
      return Error("too long a name", where(entry.name), "at most 63 bytes",
                   std::to_string(entry.name.size()));
    });
    const auto rank = cursor.number<std::uint32_t>("a number of dimensions");
    check(rank <= 4,
          [&] { return Error("too many dimensions", where(entry.name), "at most 4", std::to_string(rank)); });
    for (std::uint32_t i = 0; i < rank; ++i) {
      const auto extent = cursor.number<std::uint64_t>("an extent");
      check(std::in_range<Index>(extent), [&] {
        return Error("too large an extent", where(entry.name), "at most 2^63 - 1", std::to_string(extent));
      });
      entry.tensor.shape.insert(entry.tensor.shape.begin(), static_cast<Index>(extent));
    }
    const auto format = cursor.number<std::uint32_t>("a tensor's type");
    entry.offset = cursor.number<std::uint64_t>("an offset");
    entry.tensor.format = block_format(format);
    check(entry.tensor.format != nullptr, [&] {
      return Error("an unknown type", where(entry.name), "a type of GGUF tensors", std::to_string(format));
    });
    entry.size = size_of(entry);
    return entry;
  }

  std::uint64_t size_of(const Entry& entry) const {
    const auto& [format, shape, bytes] = entry.tensor;
    const Index row = shape.empty() ? 1 : shape.back();
    check(row % format->numbers == 0, [&] {
      return Error("rows that are not whole blocks", where(entry.name),
                   "a multiple of " + std::to_string(format->numbers) + " for " + std::string(format->name),
                   std::to_string(row));
    });
    const auto most = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
    std::uint64_t size = format->bytes;
    std::uint64_t extents = static_cast<std::uint64_t>(row / format->numbers);
    for (std::size_t i = shape.size(); i-- > 0;) {
      check(extents == 0 || size <= most / extents, [&] {
        return Error("too many elements", where(entry.name), "at most 2^63 - 1 bytes",
                     detail::shape_text(shape));
      });
      size *= extents;
      extents = i == 0 ? 1 : static_cast<std::uint64_t>(shape[i - 1]);
    }
    return size;
  }

  /// Gives every tensor its bytes: each begins where the one before ends, padded to the alignment.
  void place(std::vector<Entry>& entries, std::span<const std::byte> bytes, std::uint64_t header) {
    constexpr std::uint32_t largest = 1u << 16;
    const auto alignment = find<std::uint32_t>("general.alignment").value_or(32);
    check(std::has_single_bit(alignment) && alignment <= largest, [&] {
      return Error("an impossible alignment", where("general.alignment"), "a power of two up to 65536",
                   std::to_string(alignment));
    });
    const auto padded = [&](std::uint64_t size) { return (size + alignment - 1) / alignment * alignment; };
    const std::uint64_t start = std::min<std::uint64_t>(padded(header), bytes.size());
    const auto data = bytes.subspan(start);
    std::uint64_t next = 0;
    for (Entry& entry : entries) {
      check(entry.offset == next, [&] {
        return Error("a tensor out of place", where(entry.name), "offset " + std::to_string(next),
                     std::to_string(entry.offset));
      });
      check(next <= data.size() && entry.size <= data.size() - next, [&] {
        return Error("truncated file", where(entry.name),
                     std::to_string(entry.size) + " bytes at offset " + std::to_string(start + next),
                     "a file of " + std::to_string(bytes.size()));
      });
      entry.tensor.bytes = data.subspan(next, entry.size);
      check(tensors_.emplace(entry.name, std::move(entry.tensor)).second,
            [&] { return Error("malformed header", where(entry.name), "each tensor once", "it twice"); });
      next = padded(next + entry.size);
    }
  }

  std::string file_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

}  // namespace hyperblocks
