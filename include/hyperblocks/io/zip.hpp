// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// zip: the entries of an archive whose bytes are stored as they are, with ZIP64. The central directory, at
// the archive's end, says where each entry lies and how long it is, so that data descriptors need no reading.
// CRCs are not compared: a check would touch every page of a mapped file, PyTorch itself compares none, and
// torch.serialization.set_crc32_options lets it write none.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include <hyperblocks/io/byte_cursor.hpp>

namespace hyperblocks {

/// Names and bytes, both as they lie in the file.
using ZipEntries = std::map<std::string_view, std::span<const std::byte>>;

namespace detail {

class ZipReader {
 public:
  ZipReader(const std::string& file, std::span<const std::byte> bytes) : file_(file), bytes_(bytes) {}

  ZipEntries entries() {
    find_directory();
    ByteCursor cursor(file_, bytes_.first(end_));
    cursor.seek(begin_, "the directory");
    for (std::uint64_t i = 0; i < count_; ++i) add_entry(cursor);
    check(cursor.left() == 0, [&] {
      return Error("bytes that belong to no entry", cursor.where(),
                   std::to_string(count_) + " entries to fill the directory",
                   std::to_string(cursor.left()) + " bytes besides");
    });
    check_overlaps();
    return std::move(entries_);
  }

 private:
  static constexpr std::uint32_t end_letters = 0x06054b50, wide_end_letters = 0x06064b50,
                                 wide_place_letters = 0x07064b50, directory_letters = 0x02014b50,
                                 entry_letters = 0x04034b50;
  static constexpr std::uint64_t end_size = 22, wide_place_size = 20, wide_end_size = 56;
  static constexpr std::uint64_t in_extra = 0xffffffff;  ///< a field of 32 bits that is kept in 64

  struct Range {
    std::uint64_t begin, end;
    std::string_view name;
  };

  /// The end record is the file's last 22 bytes (no comment); with ZIP64 its numbers stand in a record of
  /// their own, whose place is told right before. Either way the directory ends where these records begin.
  void find_directory() {
    ByteCursor cursor(file_, bytes_);
    const auto is_at = [&](std::uint64_t offset, std::uint32_t letters) {
      cursor.seek(offset, "a record");
      return cursor.number<std::uint32_t>("a record") == letters;
    };
    const std::uint64_t size = bytes_.size();
    check(size >= end_size && is_at(size - end_size, end_letters), [&] {
      return Error("truncated file, or no zip archive", file_,
                   "a zip archive's end record in the last 22 bytes of " + std::to_string(size), "others");
    });
    std::uint64_t length = 0, records = size - end_size;
    if (records >= wide_place_size && is_at(records - wide_place_size, wide_place_letters)) {
      cursor.take(4, "a number of disks");
      records = cursor.number<std::uint64_t>("the ZIP64 end record's place");
      check(size >= end_size + wide_place_size + wide_end_size &&
                records <= size - end_size - wide_place_size - wide_end_size &&
                is_at(records, wide_end_letters),
            [&] {
              return Error("malformed zip archive", file_, "a ZIP64 end record where its place is told",
                           "offset " + std::to_string(records));
            });
      cursor.take(8 + 2 + 2 + 4 + 4 + 8, "a ZIP64 end record");
      count_ = cursor.number<std::uint64_t>("a number of entries");
      length = cursor.number<std::uint64_t>("the directory's size");
      begin_ = cursor.number<std::uint64_t>("the directory's place");
    } else {
      cursor.seek(records + 10, "the end record");
      count_ = cursor.number<std::uint16_t>("a number of entries");
      length = cursor.number<std::uint32_t>("the directory's size");
      begin_ = cursor.number<std::uint32_t>("the directory's place");
    }
    end_ = records;
    check(begin_ <= end_ && length == end_ - begin_, [&] {
      return Error("malformed zip archive", file_,
                   "a directory that ends where the end records begin, at " + std::to_string(end_),
                   std::to_string(length) + " bytes at " + std::to_string(begin_));
    });
  }

  void add_entry(ByteCursor& cursor) {
    const std::string at = cursor.where();
    const auto letters = cursor.number<std::uint32_t>("an entry of the directory");
    check(letters == directory_letters,
          [&] { return Error("malformed zip archive", at, "an entry of the directory", "other bytes"); });
    cursor.take(4, "versions");
    const auto flags = cursor.number<std::uint16_t>("flags");
    const auto method = cursor.number<std::uint16_t>("a method");
    cursor.take(8, "time, date and CRC");
    std::uint64_t packed = cursor.number<std::uint32_t>("a packed size");
    std::uint64_t size = cursor.number<std::uint32_t>("a size");
    const auto name_size = cursor.number<std::uint16_t>("a name's size");
    const auto extra_size = cursor.number<std::uint16_t>("an extra field's size");
    const auto comment_size = cursor.number<std::uint16_t>("a comment's size");
    cursor.take(8, "disk and attributes");
    std::uint64_t offset = cursor.number<std::uint32_t>("an entry's place");
    const std::string_view name = cursor.text(name_size, "a name");
    const auto extra = cursor.take(extra_size, "an extra field");
    cursor.take(comment_size, "a comment");
    widen({file_, extra}, {&size, &packed, &offset});
    const auto refuse = [&](const char* what, const std::string& expected, const std::string& found) {
      throw Error(what, place(file_, std::string(name)), expected, found);
    };
    if ((flags & 1) != 0)
      refuse("an entry that cannot be read", "one that is not encrypted", "an encrypted one");
    if (method != 0 || packed != size)
      refuse("an entry that cannot be read", "bytes stored as they are, as torch.save does",
             "compression method " + std::to_string(method) + ", " + std::to_string(size) + " bytes in " +
                 std::to_string(packed));
    const auto data = locate(name, offset, size);
    if (!entries_.emplace(name, data).second) refuse("malformed zip archive", "each name once", "it twice");
  }

  /// Fields too large for 32 bits stand in the extra field of number 1: those alone, in this order.
  void widen(ByteCursor extra, std::array<std::uint64_t*, 3> fields) const {
    while (extra.left() >= 4) {
      const auto number = extra.number<std::uint16_t>("an extra field");
      const auto size = extra.number<std::uint16_t>("an extra field");
      ByteCursor wide(file_, extra.take(size, "an extra field"));
      if (number != 1) continue;
      for (std::uint64_t* const field : fields)
        if (*field == in_extra) *field = wide.number<std::uint64_t>("a ZIP64 size or place");
      return;
    }
  }

  /// The bytes behind an entry's own header, which repeats the name.
  std::span<const std::byte> locate(std::string_view name, std::uint64_t offset, std::uint64_t size) {
    ByteCursor cursor(place(file_, std::string(name)), bytes_.first(begin_));
    cursor.seek(offset, "an entry");
    const auto letters = cursor.number<std::uint32_t>("an entry");
    cursor.take(22, "an entry's header");
    const auto name_size = cursor.number<std::uint16_t>("a name's size");
    const auto extra_size = cursor.number<std::uint16_t>("an extra field's size");
    check(letters == entry_letters && cursor.text(name_size, "a name") == name, [&] {
      return Error("malformed zip archive", place(file_, std::string(name)),
                   "its header at offset " + std::to_string(offset), "another");
    });
    cursor.take(extra_size, "an extra field");
    const auto data = cursor.take(size, "an entry");
    ranges_.push_back({offset, cursor.offset(), name});
    return data;
  }

  void check_overlaps() {
    std::sort(ranges_.begin(), ranges_.end(),
              [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < ranges_.size(); ++i)
      check(ranges_[i - 1].end <= ranges_[i].begin, [&] {
        return Error("entries that overlap", place(file_, std::string(ranges_[i].name)),
                     "a place behind '" + std::string(ranges_[i - 1].name) + "', which ends at " +
                         std::to_string(ranges_[i - 1].end),
                     "offset " + std::to_string(ranges_[i].begin));
      });
  }

  const std::string& file_;
  std::span<const std::byte> bytes_;
  std::uint64_t begin_ = 0, end_ = 0, count_ = 0;  ///< the directory's
  std::vector<Range> ranges_;
  ZipEntries entries_;
};

}  // namespace detail

/// All entries of an archive; the bytes must outlive them, `file` stands in errors.
inline ZipEntries zip_entries(const std::string& file, std::span<const std::byte> bytes) {
  return detail::ZipReader(file, bytes).entries();
}

}  // namespace hyperblocks
