// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AtomicFile: all or nothing. MappedFile: bytes that outlive the object and the file's name. Lines of
// programs.
#include "../../examples/streams.hpp"
#include "support/folder.hpp"

#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/mapped_file.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::ptrdiff_t entries(const fs::path& folder) { return std::distance(fs::directory_iterator(folder), {}); }

}  // namespace

TEST_CASE("a file takes its place when it is committed") {
  const Folder folder;
  const fs::path path = folder.path / "f";
  std::ofstream(path) << "old";
  {
    AtomicFile file(path);
    file.write(bytes("new "));
    file.write({});
    file.write(bytes("contents"));
    CHECK(contents(path) == "old");
    file.commit();
    CHECK(contents(path) == "new contents");
  }
  CHECK(contents(path) == "new contents");
  CHECK(entries(folder.path) == 1);
}

TEST_CASE("two files that belong together take their places together, the description last") {
  const Folder folder;
  const auto content = folder.path / "content", description = folder.path / "description";
  for (const std::string round : {"first", "second"}) {
    AtomicFile one(content), other(description);
    one.write(std::as_bytes(std::span(round)));
    other.write(std::as_bytes(std::span(round)));
    AtomicFile::commit_together(one, other);
    CHECK(contents(content) == round);
    CHECK(contents(description) == round);
  }
  {
    AtomicFile one(content), other(description);
    std::filesystem::remove(content);
    std::filesystem::create_directory(content);  // a place that cannot be taken
    CHECK_THROWS_AS(AtomicFile::commit_together(one, other), Error);
  }
  CHECK(contents(description) == "second");  // an error leaves what was there
  CHECK(entries(folder.path) == 2);
  {
    AtomicFile one(folder.path / "new content"), other(folder.path / "new description");
    std::filesystem::create_directory(folder.path / "new description");
    CHECK_THROWS_AS(AtomicFile::commit_together(one, other), Error);
  }
  CHECK_FALSE(is_there(folder.path / "new content"));  // nothing would describe it
}

TEST_CASE("what killed writers have set aside goes with the next success, and nothing else does") {
  const Folder folder;
  const auto content = folder.path / "content", description = folder.path / "description";
  for (const char* const name :
       {"content.old.17", "description.old.4", "content.old.mine", "other.old.17", "content.old"})
    std::ofstream(folder.path / name) << name;
  {
    AtomicFile one(content), other(description);
    CHECK(entries(folder.path) == 5);
    AtomicFile::commit_together(one, other);
  }
  CHECK(entries(folder.path) == 5);  // two gone, two made
  for (const char* const name : {"content.old.mine", "other.old.17", "content.old"})
    CHECK(is_there(folder.path / name));
}

TEST_CASE("of several writers one wins, with both of its files") {
  const Folder folder;
  const auto content = folder.path / "content", description = folder.path / "description";
  std::vector<std::thread> writers;
  writers.reserve(4);
  for (int writer = 0; writer < 4; ++writer)
    writers.emplace_back([&, text = std::to_string(writer)] {
      for (int round = 0; round < 20; ++round) {
        AtomicFile one(content), other(description);
        one.write(std::as_bytes(std::span(text)));
        other.write(std::as_bytes(std::span(text)));
        AtomicFile::commit_together(one, other);
      }
    });
  for (auto& writer : writers) writer.join();
  CHECK(contents(content) == contents(description));
  CHECK(entries(folder.path) == 2);
}

TEST_CASE("folders and devices are never replaced") {
  const Folder folder;
  std::filesystem::create_directory(folder.path / "folder");
  REQUIRE(::mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  for (const char* const name : {"folder", "pipe"})
    CHECK_THROWS_WITH_AS(AtomicFile(folder.path / name), doctest::Contains("a regular file, or none"), Error);
  CHECK(entries(folder.path) == 2);
}

TEST_CASE("a message is one line, whatever it quotes") {
  const Error error("wrong", std::string("a\0b", 3), "c\nd", "\x1b[31m \xc3\xa9");
  CHECK(error.what() ==
        std::string("hyperblocks: wrong (a\\x00b): expected c\\x0ad, found \\x1b[31m \xc3\xa9"));
}

TEST_CASE("a file has the rights that the process gives to new ones") {
  const Folder folder;
  for (const ::mode_t taken : {0022, 0077}) {
    const ::mode_t before = ::umask(taken);
    AtomicFile(folder.path / "f").commit();
    ::umask(before);
    CHECK((fs::status(folder.path / "f").permissions() & fs::perms::all) == fs::perms(0666 & ~taken));
  }
}

TEST_CASE("killed, a process leaves no file behind, or one beside the target") {
  const Folder folder;
  const bool nameless = [&] {
    const int file = ::open(folder.path.c_str(), O_TMPFILE | O_WRONLY, 0600);
    if (file >= 0) ::close(file);
    return file >= 0;
  }();
  const ::pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(folder.path / "f");
    file.write(bytes("half"));
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(is_there(folder.path / "f"));
  CHECK(entries(folder.path) == (nameless ? 0 : 1));
}

TEST_CASE("a folder that nothing came into is gone again, those it was made in, too; any other stays") {
  const Folder folder;
  { const FolderToFill made(folder.path / "a" / "b" / ""); }
  CHECK(entries(folder.path) == 0);
  fs::create_directory(folder.path / "was there");
  { const FolderToFill made(folder.path / "was there"); }
  CHECK(entries(folder.path) == 1);
  {
    const FolderToFill made(folder.path / "a" / "b");
    std::ofstream(folder.path / "a" / "b" / "file") << "something";
  }
  CHECK(is_there(folder.path / "a" / "b" / "file"));
}

TEST_CASE("not committed, it leaves nothing behind") {
  const Folder folder;
  {
    AtomicFile file(folder.path / "f");
    file.write(bytes("half of the"));
    CHECK_FALSE(is_there(folder.path / "f"));
  }
  CHECK(entries(folder.path) == 0);
}

TEST_CASE("a name without a folder is a file of the working directory") {
  const Folder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  {
    AtomicFile file("f");
    file.write(bytes("here"));
    file.commit();
  }
  fs::current_path(before);
  CHECK(contents(folder.path / "f") == "here");
}

TEST_CASE("a place that cannot be taken is an error in the system's words") {
  const Folder folder;
  {
    AtomicFile file(folder.path / "taken");
    file.write(bytes("x"));
    fs::create_directory(folder.path / "taken");  // meanwhile
    CHECK_THROWS_WITH_AS(file.commit(), doctest::Contains("expected rename to succeed, found Is a directory"),
                         Error);
  }
  CHECK(entries(folder.path) == 1);
  CHECK_THROWS_WITH_AS(
      AtomicFile(folder.path / "none" / "f"),
      doctest::Contains("creating a temporary file beside it to succeed, found No such file"), Error);
}

TEST_CASE("a mapped file's bytes live as long as someone holds them") {
  const Folder folder;
  const fs::path path = folder.path / "f";
  std::ofstream(path) << "contents";
  std::shared_ptr<const void> owner;
  std::span<const std::byte> view;
  {
    const MappedFile file(path);
    owner = file.owner();
    view = file.bytes();
  }
  fs::remove(path);
  CHECK(text(view) == "contents");
  CHECK(owner.use_count() == 1);
}

TEST_CASE("an empty file, none, and what is not a file") {
  const Folder folder;
  std::ofstream(folder.path / "empty").close();
  CHECK(MappedFile(folder.path / "empty").bytes().empty());
  CHECK_THROWS_WITH_AS(MappedFile(folder.path / "none"),
                       doctest::Contains("expected open to succeed, found No such file"), Error);
  REQUIRE(::mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(MappedFile(folder.path / "pipe"),  // without waiting for a writer
                       doctest::Contains("expected a regular file, found another kind"), Error);
  CHECK_THROWS_WITH_AS(MappedFile{folder.path},
                       doctest::Contains("expected a regular file, found another kind"), Error);
}

TEST_CASE("a program's lines: with their numbers, and no file that cannot be read passes for an empty one") {
  const Folder folder;
  std::ofstream(folder.path / "f") << "one\n\nthree";
  std::string found;
  const auto read = [&](const fs::path& path) {
    example::each_line(path.string(), '\n', [&](const std::string& line, std::size_t number) {
      found += std::to_string(number) + ":" + line + ";";
    });
  };
  read(folder.path / "f");
  CHECK(found == "1:one;2:;3:three;");
  CHECK_THROWS_WITH_AS(read(folder.path / "none"), doctest::Contains("found No such file"), Error);
  CHECK_THROWS_WITH_AS(read(folder.path), doctest::Contains("found Is a directory"), Error);
}
