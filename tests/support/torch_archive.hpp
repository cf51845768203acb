// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Bytes of small zip archives and pickles, to be edited: what PyTorch would never write.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace hyperblocks::test {

/// A number's bytes, little-endian.
inline std::string bytes_of(std::uint64_t number, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i, number >>= 8) bytes += static_cast<char>(number & 0xff);
  return bytes;
}

/// Other bytes at a place.
inline std::string patched(std::string bytes, std::size_t at, const std::string& other) {
  return bytes.replace(at, other.size(), other);
}

struct ZipEntry {
  std::string name, bytes;
  bool wide = false;  ///< its size and place in an extra field of the directory
};

/// An archive of stored entries.
inline std::string zip_of(const std::vector<ZipEntry>& entries) {
  std::string data, directory;
  for (const auto& [name, bytes, wide] : entries) {
    const std::uint64_t at = data.size();
    const std::string extra = wide ? bytes_of(9, 2) + bytes_of(1, 2) + "?" + bytes_of(1, 2) +
                                         bytes_of(24, 2) + bytes_of(bytes.size(), 8) +
                                         bytes_of(bytes.size(), 8) + bytes_of(at, 8)
                                   : "";
    const std::uint64_t size = wide ? 0xffffffff : bytes.size();
    data += "PK\3\4" + bytes_of(20, 2) + bytes_of(0, 12) + bytes_of(size, 4) + bytes_of(size, 4) +
            bytes_of(name.size(), 2) + bytes_of(3, 2) + name + "..." + bytes;
    directory += "PK\1\2" + bytes_of(0, 2) + bytes_of(20, 2) + bytes_of(0, 12) + bytes_of(size, 4) +
                 bytes_of(size, 4) + bytes_of(name.size(), 2) + bytes_of(extra.size(), 2) + bytes_of(1, 2) +
                 bytes_of(0, 8) + bytes_of(wide ? 0xffffffff : at, 4) + name + extra + "!";
  }
  return data + directory + "PK\5\6" + bytes_of(0, 4) + bytes_of(entries.size(), 2) +
         bytes_of(entries.size(), 2) + bytes_of(directory.size(), 4) + bytes_of(data.size(), 4) +
         bytes_of(0, 2);
}

/// A file around a pickle, with one storage of 24 bytes.
inline std::string torch_file(const std::string& pickle) {
  return zip_of({{"a/data.pkl", pickle}, {"a/data/0", std::string(24, '\0')}, {"a/byteorder", "little"}});
}

// Instructions of pickles.
inline std::string pickled(const std::string& text) { return "X" + bytes_of(text.size(), 4) + text; }
inline std::string pickled(std::int64_t number) {
  return "\x8a\x08" + bytes_of(static_cast<std::uint64_t>(number), 8);
}
inline std::string pickled(const std::vector<std::int64_t>& numbers) {
  std::string tuple = "(";
  for (const std::int64_t number : numbers) tuple += pickled(number);
  return tuple + "t";
}
inline std::string pickled_name(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string pickled_storage(std::int64_t numbers, const std::string& type = "FloatStorage",
                                   const std::string& key = "0") {
  return "(" + pickled("storage") + pickled_name("torch", type) + pickled(key) + pickled("cpu") +
         pickled(numbers) + "tQ";
}

inline std::string pickled_tensor(const std::string& storage, std::int64_t offset,
                                  const std::vector<std::int64_t>& size,
                                  const std::vector<std::int64_t>& strides, const std::string& more = "") {
  return pickled_name("torch._utils", "_rebuild_tensor_v2") + "(" + storage + pickled(offset) +
         pickled(size) + pickled(strides) + "\x89}" + more + "tR";
}

}  // namespace hyperblocks::test
