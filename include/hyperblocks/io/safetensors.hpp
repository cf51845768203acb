// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// safetensors: u64 header length, JSON header, data. The reader maps the file, checks the whole header
// (offsets tile the data without hole, overlap or rest) and copies nothing until a tensor is asked for. NaN
// and infinity are numbers like others here: they are read and written as they stand.
//   save(cpu, params, "block.safetensors");    load(cpu, params, SafetensorsFile("block.safetensors"));
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/file_kind.hpp>
#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/io/stored_tensor.hpp>

namespace hyperblocks {

/// A tensor as it lies in the file; the bytes may be unaligned.
struct StoredTensor {
  DType dtype = DType::f32;
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
};

namespace detail {

/// A tensor's entry while the header is read.
struct SafetensorsEntry {
  DType dtype = DType::f32;
  std::vector<std::uint64_t> shape, offsets;
};

/// Takes the header's JSON event by event, so that duplicate keys are seen and nothing grows beyond the
/// header.
class SafetensorsHeader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit SafetensorsHeader(const std::string& file) : file_(file) {}

  std::vector<std::pair<std::string, SafetensorsEntry>> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a boolean"); }
  bool number_integer(number_integer_t value) override { return refuse(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return refuse(text); }
  bool binary(binary_t&) override { return refuse("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (numbers_ == nullptr) return refuse(std::to_string(value));
    numbers_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      metadata[key_] = value;
      return true;
    }
    if (depth_ != 2 || numbers_ != nullptr || key_ != "dtype") return refuse("the string '" + value + "'");
    int type = 0;
    while (type <= static_cast<int>(DType::boolean) && name(static_cast<DType>(type)) != value) ++type;
    check(type <= static_cast<int>(DType::boolean), [&] {
      return error("a dtype: F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL", "'" + value + "'");
    });
    entries.back().second.dtype = static_cast<DType>(type);
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2) return refuse("an object");
    if (++depth_ == 2) keys_of_entry_.clear();
    return true;
  }

  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_)
      for (const char* const needed : {"dtype", "shape", "data_offsets"})
        check(keys_of_entry_.contains(needed), [&] { return error(needed, "none"); });
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || numbers_ != nullptr) return refuse("an array");
    auto& entry = entries.back().second;
    if (key_ == "dtype") return refuse("an array");
    numbers_ = &(key_ == "shape" ? entry.shape : entry.offsets);
    return true;
  }

  bool end_array() override {
    numbers_ = nullptr;
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) {
      tensor_ = value;
      in_metadata_ = value == "__metadata__";
      if (!in_metadata_) entries.push_back({value, {}});
    }
    key_ = value;
    check((depth_ == 1 ? keys_ : keys_of_entry_).insert(value).second,
          [&] { return error("each key once", "'" + value + "' twice"); });
    check(depth_ == 1 || in_metadata_ || value == "dtype" || value == "shape" || value == "data_offsets",
          [&] { return error("dtype, shape, data_offsets", "'" + value + "'"); });
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& reason) override {
    throw Error("malformed header", file_ + ": offset " + std::to_string(position + 8), "JSON",
                reason.what());
  }

 private:
  Error error(const std::string& expected, const std::string& found) const {
    return Error("malformed header", file_ + ": '" + tensor_ + "'", expected, found);
  }
  bool refuse(const std::string& found) const {
    if (depth_ == 0) throw Error("malformed header", file_, "a JSON object", found);
    if (depth_ == 2 && in_metadata_) throw error("a string for '" + key_ + "'", found);
    throw error("{dtype, shape, data_offsets}, sizes being unsigned integers", found);
  }

  std::string file_, tensor_, key_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::vector<std::uint64_t>* numbers_ = nullptr;
  std::set<std::string> keys_, keys_of_entry_;
};

}  // namespace detail

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path) : file_(path.string()) {
    const MappedFile mapped(path);
    owner_ = mapped.owner();
    parse(mapped.bytes());
  }

  /// The same from bytes in memory, which must outlive the object; `name` stands in errors.
  static SafetensorsFile from_bytes(std::string name, std::span<const std::byte> bytes) {
    SafetensorsFile file;
    file.file_ = std::move(name);
    file.parse(bytes);
    return file;
  }

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Keeps the bytes of the tensors alive beyond this object's life.
  std::shared_ptr<const void> owner() const { return owner_; }

  const StoredTensor& tensor(const std::string& name) const {
    return detail::find_tensor(tensors_, file_, name);
  }

  /// An Error unless read() gives real numbers of this shape.
  void expect(const std::string& name, const std::vector<Index>& shape) const {
    const StoredTensor& stored = tensor(name);
    detail::check_real(where(name), shape, stored.shape, stored.dtype);
  }

  /// Copies a tensor: real numbers are converted, integers (ids, masks) must be of the type asked for; the
  /// shape must be the one given.
  template <class To>
  void read(const std::string& name, const std::vector<Index>& shape, std::span<To> to) const {
    const StoredTensor& stored = tensor(name);
    detail::check_shape(where(name), shape, stored.shape, stored.bytes.size() / byte_size(stored.dtype),
                        to.size());
    detail::read_numbers(stored.dtype, stored.bytes, where(name), to);
  }

 private:
  using Entries = std::vector<std::pair<std::string, detail::SafetensorsEntry>>;

  SafetensorsFile() = default;

  std::string where(const std::string& name) const { return detail::place(file_, name); }

  void parse(std::span<const std::byte> bytes) {
    constexpr std::uint64_t most = 100'000'000;
    check(bytes.size() >= 8, [&] {
      return Error("truncated file", file_ + ": offset 0", "8 bytes of header length",
                   std::to_string(bytes.size()));
    });
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    check(length <= most && length <= bytes.size() - 8, [&] {
      const std::string_view kind = detail::kind_of(bytes);
      return Error("impossible header length", file_ + ": offset 0",
                   "at most " + std::to_string(std::min<std::uint64_t>(most, bytes.size() - 8)),
                   kind.empty() ? std::to_string(length) : std::string(kind));
    });
    const auto* const text = reinterpret_cast<const char*>(bytes.data()) + 8;
    detail::SafetensorsHeader header(file_);
    nlohmann::json::sax_parse(text, text + length, &header);
    metadata_ = std::move(header.metadata);
    for (const auto& [name, entry] : header.entries)
      check(entry.offsets.size() == 2, [&, &tensor = name, &offsets = entry.offsets] {
        return Error("malformed header", file_ + ": '" + tensor + "'", "two data_offsets",
                     std::to_string(offsets.size()));
      });
    place(header.entries, bytes.subspan(8 + length));
  }

  /// Gives every tensor its bytes; the offsets must tile the data.
  void place(Entries& entries, std::span<const std::byte> data) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.second.offsets, a.first) < std::tie(b.second.offsets, b.first);
    });
    std::uint64_t end = 0;
    for (const auto& [name, entry] : entries) {
      const std::uint64_t first = entry.offsets[0], last = entry.offsets[1];
      check(first == end && last >= first, [&] {
        return Error("data_offsets do not tile the data", file_ + ": '" + name + "'",
                     "a begin of " + std::to_string(end) + ", and an end behind it",
                     "[" + std::to_string(first) + ", " + std::to_string(last) + ")");
      });
      check(last <= data.size(), [&] {
        return Error("truncated file", file_ + ": '" + name + "'", std::to_string(last) + " bytes of data",
                     std::to_string(data.size()));
      });
      StoredTensor tensor{entry.dtype, {}, data.subspan(first, last - first)};
      check(size_of(name, entry, tensor.shape) == last - first, [&] {
        return Error("data_offsets and shape differ", file_ + ": '" + name + "'",
                     detail::shape_text(tensor.shape) + " of " + std::string(hyperblocks::name(tensor.dtype)),
                     std::to_string(last - first) + " bytes");
      });
      tensors_.emplace(name, std::move(tensor));
      end = last;
    }
    check(end == data.size(), [&] {
      return Error("bytes that belong to no tensor", file_, std::to_string(end) + " bytes of data",
                   std::to_string(data.size()));
    });
  }

  /// Bytes by the shape, which is converted on the way; no product overflows.
  std::uint64_t size_of(const std::string& name, const detail::SafetensorsEntry& entry,
                        std::vector<Index>& shape) const {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
    std::uint64_t size = byte_size(entry.dtype);
    for (const std::uint64_t extent : entry.shape) {
      check(extent <= most && (extent == 0 || size <= most / extent), [&] {
        return Error("too many elements", file_ + ": '" + name + "'", "at most 2^63 - 1 bytes",
                     "an overflow at extent " + std::to_string(extent));
      });
      size *= extent;
      shape.push_back(static_cast<Index>(extent));
    }
    return size;
  }

  std::string file_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, StoredTensor> tensors_;
};

namespace detail {
using NamedTensor = const std::pair<const std::string, StoredTensor>;

/// How many bytes a tensor's shape and type make; nothing if they overflow.
inline std::optional<std::size_t> wanted_bytes(const StoredTensor& tensor) {
  std::size_t size = byte_size(tensor.dtype);
  for (const Index extent : tensor.shape) {
    const auto times = static_cast<std::size_t>(extent);
    if (extent < 0 || (times != 0 && size > SIZE_MAX / times)) return std::nullopt;
    size *= times;
  }
  return size;
}

/// A value as JSON text; `path` stands in errors.
template <class T>
std::string safetensors_json(const T& value, const std::filesystem::path& path) {
  try {
    return nlohmann::json(value).dump();
  } catch (const nlohmann::json::exception& reason) {
    throw Error("a name cannot be written", path.string(), "UTF-8", reason.what());
  }
}

/// The header's JSON, padded with spaces to a multiple of 8. Its keys are in the order that is usual in these
/// files, which a JSON object does not keep: it is put together as text.
inline std::string safetensors_header(const std::filesystem::path& path,
                                      const std::vector<NamedTensor*>& order,
                                      const std::map<std::string, std::string>& metadata) {
  constexpr std::size_t most = 100'000'000;  // that readers take
  std::string text = metadata.empty() ? "" : R"("__metadata__":)" + safetensors_json(metadata, path) + ",";
  std::size_t end = 0;
  for (const auto* named : order) {
    const auto& [name, tensor] = *named;
    const std::size_t size = tensor.bytes.size();
    check(wanted_bytes(tensor) == size && name != "__metadata__", [&] {
      return Error("a tensor cannot be written", path.string() + ": '" + name + "'",
                   shape_text(tensor.shape) + " of " + std::string(hyperblocks::name(tensor.dtype)),
                   std::to_string(tensor.bytes.size()) + " bytes");
    });
    text += safetensors_json(name, path) + R"(:{"dtype":")" + std::string(hyperblocks::name(tensor.dtype)) +
            R"(","shape":)" + safetensors_json(tensor.shape, path) + R"(,"data_offsets":[)" +
            std::to_string(end) + "," + std::to_string(end + size) + "]},";
    end += size;
  }
  if (!text.empty()) text.pop_back();
  text = "{" + text + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  check(text.size() <= most, [&] {
    return Error("too many names", path.string(), "a header of at most " + std::to_string(most) + " bytes",
                 std::to_string(text.size()));
  });
  return text;
}
}  // namespace detail

/// Writes tensors by dtype alignment (wide first), then name, into a file that is to be committed. Each one's
/// bytes are what bytes(name, tensor) gives when its turn comes, as many as the tensor has: a file may be
/// larger than memory.
template <std::invocable<const std::string&, const StoredTensor&> Bytes>
void write_safetensors(AtomicFile& file, const std::map<std::string, StoredTensor>& tensors,
                       const std::map<std::string, std::string>& metadata, Bytes bytes) {
  const auto& path = file.target();
  std::vector<detail::NamedTensor*> order;
  order.reserve(tensors.size());
  for (const auto& named : tensors) order.push_back(&named);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const auto size_a = byte_size(a->second.dtype), size_b = byte_size(b->second.dtype);
    return size_a != size_b ? size_a > size_b : a->first < b->first;
  });
  const std::string header = detail::safetensors_header(path, order, metadata);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const auto* named : order) {
    const auto& given = bytes(named->first, named->second);
    check(given.size() == named->second.bytes.size(), [&] {
      return Error("a tensor's size changed", detail::place(path.string(), named->first),
                   std::to_string(named->second.bytes.size()) + " bytes", std::to_string(given.size()));
    });
    file.write(given);
  }
}

/// The same of bytes that are there.
inline void write_safetensors(AtomicFile& file, const std::map<std::string, StoredTensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  write_safetensors(file, tensors, metadata,
                    [](const std::string&, const StoredTensor& tensor) { return tensor.bytes; });
}

/// A file by its name, which appears whole or not at all.
template <class... Bytes>
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, StoredTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {}, const Bytes&... bytes) {
  AtomicFile file(path);
  write_safetensors(file, tensors, metadata, bytes...);
  file.commit();
}

/// Tensors of a device on their way to a file: copies of their numbers, under names.
class Downloads {
 public:
  template <class Device, class Tensor>
  void add(Device& device, const std::string& name, const Tensor& tensor) {
    using Scalar = typename Tensor::ScalarType;
    const auto count = static_cast<std::size_t>(tensor.size());
    auto& host = bytes_[name];
    host.resize(count * sizeof(Scalar));
    tensor.download(device, std::span(reinterpret_cast<Scalar*>(host.data()), count));
    const auto shape = tensor.shape().all();
    tensors_[name] = {dtype_of<Scalar>, {shape.begin(), shape.end()}, host};
  }
  /// All of a group of parameters, behind a prefix of their names.
  template <class Device, class Params>
  void add_all(Device& device, const Params& params, const std::string& prefix = "") {
    visit([&](const std::string& name, const auto& tensor) { add(device, prefix + name, tensor); }, params);
  }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
  std::map<std::string, StoredTensor> tensors_;
};

/// Writes a group of parameters under their names.
template <class Device, class Params>
void save(Device& device, const Params& params, const std::filesystem::path& path,
          const std::map<std::string, std::string>& metadata = {}) {
  Downloads downloads;
  downloads.add_all(device, params);
  write_safetensors(path, downloads.tensors(), metadata);
}

}  // namespace hyperblocks
