// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The parts of one of PyTorch's files: the zip archive's entries, among them storages, and the pickle that
// says what they are.
#pragma once

#include <memory>

#include <hyperblocks/io/pickle.hpp>
#include <hyperblocks/io/zip.hpp>

namespace hyperblocks::detail {

/// What a file is made of; its values hold it together.
struct TorchArchive {
  TorchArchive(std::string name, std::span<const std::byte> bytes, std::shared_ptr<const void> keep)
      : file(std::move(name)), owner(std::move(keep)) {
    check_format(bytes);
    entries = zip_entries(file, bytes);
    find_prefix();
    const std::string order = std::string(prefix) + "/byteorder";
    if (const auto found = entries.find(order); found != entries.end()) {
      const std::string_view text{reinterpret_cast<const char*>(found->second.data()), found->second.size()};
      check(text == "little", [&] {
        return Error("numbers in another order", place(file, order), "little",
                     text == "big" ? "big" : "another word");
      });
    }
    const std::string pickle = std::string(prefix) + "/data.pkl";
    tree = std::make_unique<PickleTree>(file + ": " + pickle, entries.at(pickle));
  }

  std::string file;
  std::shared_ptr<const void> owner;
  ZipEntries entries;
  std::string_view prefix;  ///< the name that all entries begin with
  std::unique_ptr<const PickleTree> tree;

 private:
  /// Formats that have the same endings are known by name.
  void check_format(std::span<const std::byte> bytes) const {
    struct Other {
      std::size_t offset;
      std::string_view letters;
      const char* what;
    };
    constexpr Other others[] = {
        {0,
         {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14},
         "a bare pickle, as before PyTorch 1.6"},
        {257, "ustar", "a tar archive, as before PyTorch 0.2"},
        {0, "version https://git-lfs", "a pointer of Git LFS in its place (git lfs pull fetches it)"}};
    for (const auto& [offset, letters, what] : others)
      check(bytes.size() < offset + letters.size() ||
                std::memcmp(bytes.data() + offset, letters.data(), letters.size()) != 0,
            [&, &other = what] {
              return Error(
                  "another format", file,
                  "PyTorch's zip format: torch.save(torch.load(old), new) in PyTorch 1.6 or later writes it",
                  other);
            });
  }

  void find_prefix() {
    constexpr std::string_view pickle = "/data.pkl";
    std::size_t found = 0;
    for (const auto& [name, bytes] : entries)
      if (name.ends_with(pickle) && name.find('/') == name.size() - pickle.size()) {
        prefix = name.substr(0, name.size() - pickle.size());
        ++found;
      }
    check(found == 1, [&] {
      return Error("not PyTorch's format", file, "a zip archive with one <name>/data.pkl",
                   std::to_string(found) + " of them in " + std::to_string(entries.size()) + " entries");
    });
  }
};

}  // namespace hyperblocks::detail
