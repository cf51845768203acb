// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// MappedFile: a file's bytes, mapped into memory for as long as anyone holds them. The file itself is never
// written to: its pages are private, so that a tensor that shares them may be changed like any other. Whoever
// shortens the file meanwhile takes the bytes away: touching them then ends the program (SIGBUS).
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <system_error>

#include <hyperblocks/core/check.hpp>

namespace hyperblocks {

/// Of the last call, in the system's words.
[[noreturn]] inline void throw_system_error(const std::filesystem::path& path, const char* call) {
  const int reason = errno;
  throw Error("a file operation failed", path.string(), std::string(call) + " to succeed",
              std::strerror(reason));
}

/// Whether a path is a folder, or is there at all. One that cannot be looked at is not: opening it says why.
inline bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}
inline bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) {
    // Not blocking: a pipe is refused below, not waited for.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) throw_system_error(path, "open");
    const std::shared_ptr<void> closer(nullptr, [file](void*) { ::close(file); });
    struct stat status {};
    if (::fstat(file, &status) != 0) throw_system_error(path, "fstat");
    check(S_ISREG(status.st_mode),
          [&] { return Error("not a file", path.string(), "a regular file", "another kind"); });
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return;
    void* const bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (bytes == MAP_FAILED) throw_system_error(path, "mmap");
    owner_ =
        std::shared_ptr<const void>(bytes, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
    bytes_ = {static_cast<const std::byte*>(bytes), size};
  }

  std::span<const std::byte> bytes() const { return bytes_; }
  /// Keeps the bytes mapped beyond this object's life.
  std::shared_ptr<const void> owner() const { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

/// Gives whole pages of a mapped file back, once their bytes were copied: they do not count as this program's
/// memory any more, and are there again when somebody looks. What was written into them is lost.
inline void release_pages(std::span<const std::byte> bytes) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::size_t skipped = (page - address % page) % page;
  if (bytes.size() < skipped + page) return;
  const std::size_t size = (bytes.size() - skipped) / page * page;
  (void)::madvise(const_cast<std::byte*>(bytes.data() + skipped), size, MADV_DONTNEED);
}

}  // namespace hyperblocks
