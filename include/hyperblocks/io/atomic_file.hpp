// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AtomicFile: writes beside the target, and takes its place only when everything is on the disk: a crash
// leaves the old file or the new one. Not committed, it leaves nothing behind. Files have the rights that the
// process gives to new ones.
#pragma once

#include <random>
#include <string>

#include <hyperblocks/io/mapped_file.hpp>

namespace hyperblocks {

/// A folder to write to, and those that it lies in.
inline void make_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  check(!failure, [&] {
    return Error("a file operation failed", folder.string(), "a folder to write to", failure.message());
  });
}

class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& target) : target_(target) {
    std::random_device random;
    do {
      temporary_ = target.string() + "." + std::to_string(random());
      file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file_ < 0 && errno == EEXIST);
    if (file_ < 0) throw_system_error(target_, "creating a temporary file beside it");
  }
  ~AtomicFile() {
    ::close(file_);
    if (!committed_) ::unlink(temporary_.c_str());
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& target() const { return target_; }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) throw_system_error(target_, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  /// Everything is on the disk.
  void synchronise() {
    if (::fsync(file_) != 0) throw_system_error(target_, "fsync");
  }

  void commit() {
    synchronise();
    take_place();
    synchronise_folder();
  }

  /// Two files of one folder: the first takes its place when both are on the disk, and `description`, without
  /// which the other means nothing, is away from before until right behind. A crash leaves the old files, the
  /// new ones, or, in the moment between, no description.
  static void commit_together(AtomicFile& content, AtomicFile& description) {
    content.synchronise();
    description.synchronise();
    if (::unlink(description.target_.c_str()) != 0 && errno != ENOENT)
      throw_system_error(description.target_, "unlink");
    content.take_place();
    description.take_place();
    description.synchronise_folder();
  }

 private:
  void take_place() {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw_system_error(target_, "rename");
    committed_ = true;
  }
  void synchronise_folder() const {
    const auto folder = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) throw_system_error(folder, "open");
    const bool synchronised = ::fsync(directory) == 0;
    ::close(directory);
    if (!synchronised) throw_system_error(folder, "fsync");
  }

  std::filesystem::path target_;
  std::string temporary_;
  int file_ = -1;
  bool committed_ = false;
};

}  // namespace hyperblocks
