// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AtomicFile: a file that takes its place only when everything is on the disk: a crash leaves the old file or
// the new one. Not committed, it leaves nothing behind; nor does a killed process, where the file system
// knows files without a name (elsewhere a file FILE.<number> stays). Files have the rights that the process
// gives to new ones. What is no regular file, a folder or a device, is never replaced.
#pragma once

#include <sys/file.h>

#include <random>
#include <string>
#include <vector>

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

/// A folder to write to, and those that it lies in; what had to be made is gone again if nothing came into
/// it.
class FolderToFill {
 public:
  explicit FolderToFill(const std::filesystem::path& folder) {
    std::error_code unknown;
    for (auto at = std::filesystem::absolute(folder); !std::filesystem::exists(at, unknown) && !unknown;
         at = at.parent_path())
      made_.push_back(at);
    make_folder(folder);
  }
  ~FolderToFill() {
    std::error_code not_empty;
    for (const auto& folder : made_) std::filesystem::remove(folder, not_empty);
  }
  FolderToFill(const FolderToFill&) = delete;
  FolderToFill& operator=(const FolderToFill&) = delete;

 private:
  std::vector<std::filesystem::path> made_;  ///< the deepest first
};

namespace detail {
/// That a file may be written in this place.
inline void check_replaceable(const std::filesystem::path& place) {
  struct stat status {};
  check(::stat(place.c_str(), &status) != 0 || S_ISREG(status.st_mode), [&] {
    return Error("not a file", place.string(), "a regular file, or none", "a folder or a device");
  });
}

/// A file away from its place, under a name beside it: it comes back unless it is let go.
class SetAside {
 public:
  explicit SetAside(const std::filesystem::path& place)
      : place_(place), aside_(place.string() + ".old." + std::to_string(std::random_device()())) {
    check_replaceable(place);
    there_ = ::rename(place_.c_str(), aside_.c_str()) == 0;
    if (!there_ && errno != ENOENT) throw_system_error(place_, "rename");
  }
  ~SetAside() {
    if (gone_)
      ::unlink(aside_.c_str());
    else if (there_)
      (void)::rename(aside_.c_str(), place_.c_str());
    else
      ::unlink(place_.c_str());  // nothing was there before
  }
  SetAside(const SetAside&) = delete;
  SetAside& operator=(const SetAside&) = delete;
  void let_go() { gone_ = true; }

  /// What killed writers of this place have set aside, while nobody else writes.
  static void remove_left_behind(const std::filesystem::path& place) {
    const std::string prefix = place.filename().string() + ".old.";
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(
             place.has_parent_path() ? place.parent_path() : std::filesystem::path("."), failure)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(prefix) && name.find_first_not_of("0123456789", prefix.size()) == name.npos)
        ::unlink(entry.path().c_str());
    }
  }

 private:
  std::filesystem::path place_;
  std::string aside_;
  bool there_ = false, gone_ = false;
};

/// A folder that others wait for, if its file system knows of locks.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : folder_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (folder_ < 0) throw_system_error(folder, "open");
    held_ = ::flock(folder_, LOCK_EX) == 0;
  }
  ~FolderLock() { ::close(folder_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool synchronise() const { return ::fsync(folder_) == 0; }
  bool held() const { return held_; }

 private:
  int folder_;
  bool held_ = false;
};
}  // namespace detail

class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& target) : target_(target) {
    detail::check_replaceable(target);
    if (open_nameless()) return;
    under_a_free_name([&](const char* name) {
      return file_ = ::open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    });
    if (file_ < 0) throw_system_error(target_, "creating a temporary file beside it");
  }
  ~AtomicFile() {
    ::close(file_);
    if (!committed_ && !temporary_.empty()) ::unlink(temporary_.c_str());
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
    if (!detail::FolderLock(folder()).synchronise()) throw_system_error(folder(), "fsync");
  }

  /// Two files of one folder: they take their places when both are on the disk, never one beside another
  /// writer's. `description`, without which the other means nothing, is away from before until right behind.
  /// After an error the old ones are back; a crash leaves the old files, the new ones, or, in the moment
  /// between, no description (the old files are then there as *.old.*, until the next success).
  static void commit_together(AtomicFile& content, AtomicFile& description) {
    content.synchronise();
    description.synchronise();
    const detail::FolderLock lock(description.folder());
    detail::SetAside old_description(description.target_), old_content(content.target_);
    content.take_place();
    description.take_place();
    old_content.let_go(), old_description.let_go();
    if (lock.held())
      for (const AtomicFile* const file : {&content, &description})
        detail::SetAside::remove_left_behind(file->target_);
    if (!lock.synchronise()) throw_system_error(description.folder(), "fsync");
  }

 private:
  /// A file that has no name until it takes its place.
  bool open_nameless() {
#ifdef O_TMPFILE
    file_ = ::open(folder().c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (file_ >= 0 && ::access(through_process().c_str(), F_OK) == 0) return true;
    if (file_ >= 0) ::close(file_);
#endif
    return false;
  }
  /// By which the system lets a nameless file have a name.
  std::string through_process() const { return "/proc/self/fd/" + std::to_string(file_); }

  /// use(name) until it is not told that there is such a file.
  template <class Use>
  void under_a_free_name(Use use) {
    std::random_device random;
    int result = 0;
    do {
      temporary_ = target_.string() + "." + std::to_string(random());
      result = use(temporary_.c_str());
    } while (result < 0 && errno == EEXIST);
    if (result < 0) temporary_.clear();
  }

  void take_place() {
    if (temporary_.empty())
      under_a_free_name([&](const char* name) {
        return ::linkat(AT_FDCWD, through_process().c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW);
      });
    if (temporary_.empty()) throw_system_error(target_, "linkat");
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw_system_error(target_, "rename");
    committed_ = true;
  }
  std::filesystem::path folder() const {
    return target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
  }

  std::filesystem::path target_;
  std::string temporary_;
  int file_ = -1;
  bool committed_ = false;
};

}  // namespace hyperblocks
