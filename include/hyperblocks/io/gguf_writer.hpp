// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Writes small GGUF files, version 3: keys with numbers or strings, then tensors whose numbers lie ready.
//   write_gguf("adapter.gguf", {{"general.type", "adapter"}, {"adapter.lora.alpha", 8.0f}}, tensors);
#pragma once

#include <utility>
#include <variant>

#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/gguf.hpp>

namespace hyperblocks {

/// A value of the metadata to be written.
using GgufEntry = std::variant<std::uint32_t, float, std::string>;

namespace detail {

class GgufHeader {
 public:
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add(Number number) {
    const auto bytes = std::as_bytes(std::span(&number, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void add(const std::string& text) {
    add<std::uint64_t>(text.size());
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void add(GgufType type) { add(static_cast<std::uint32_t>(type)); }
  void add(const GgufEntry& value) {
    constexpr GgufType types[] = {GgufType::u32, GgufType::f32, GgufType::string};
    add(types[value.index()]);
    std::visit([&](const auto& held) { add(held); }, value);
  }
  void pad(std::size_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// That a reader will take a tensor: its name, its extents and its bytes.
inline void check_gguf_tensor(const std::string& where, const std::string& name, const GgufTensor& tensor) {
  check(!name.empty() && name.size() < 64, [&] {
    return Error("a tensor's name does not fit", where, "1 to 63 bytes", std::to_string(name.size()));
  });
  check(tensor.format != nullptr && !tensor.shape.empty() && tensor.shape.size() <= 4, [&] {
    return Error("a tensor cannot be written", where, "a format and 1 to 4 extents",
                 tensor.format == nullptr ? "no format" : shape_text(tensor.shape));
  });
  std::size_t blocks = static_cast<std::size_t>(tensor.shape.back() / tensor.format->numbers);
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i)
    blocks *= static_cast<std::size_t>(tensor.shape[i]);
  check(tensor.shape.back() % tensor.format->numbers == 0 &&
            tensor.bytes.size() == blocks * tensor.format->bytes,
        [&] {
          return Error("a tensor cannot be written", where,
                       shape_text(tensor.shape) + " of " + std::string(tensor.format->name),
                       std::to_string(tensor.bytes.size()) + " bytes");
        });
}

}  // namespace detail

/// Tensors have their shape in C order; the file lists it reversed. It appears whole or not at all.
inline void write_gguf(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, GgufEntry>>& metadata,
                       const std::map<std::string, GgufTensor>& tensors) {
  constexpr std::size_t alignment = 32;
  detail::GgufHeader header;
  for (const char letter : std::string_view("GGUF")) header.add(letter);
  header.add<std::uint32_t>(3);
  header.add<std::uint64_t>(tensors.size());
  header.add<std::uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) {
    header.add(key);
    header.add(value);
  }
  const auto padded = [](std::size_t size) { return (size + alignment - 1) / alignment * alignment; };
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    detail::check_gguf_tensor(detail::place(path.string(), name), name, tensor);
    header.add(name);
    header.add(static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;)
      header.add(static_cast<std::uint64_t>(tensor.shape[i]));
    header.add(tensor.format->id);
    header.add(offset);
    offset += padded(tensor.bytes.size());
  }
  header.pad(alignment);
  AtomicFile file(path);
  file.write(header.bytes());
  const std::array<std::byte, alignment> zeros{};
  for (const auto& [name, tensor] : tensors) {
    file.write(tensor.bytes);
    file.write(std::span(zeros).first(padded(tensor.bytes.size()) - tensor.bytes.size()));
  }
  file.commit();
}

}  // namespace hyperblocks
