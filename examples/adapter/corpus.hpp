// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A corpus of texts, one JSON object in each line, {"id": "...", "text": "..."}, and a manifest of what has
// been made of them: one line for each, added when its files are there. What is in a manifest is not made
// again; several processes share the work, each with a manifest of its own.
#pragma once

#include <chrono>
#include <filesystem>
#include <set>

#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/text/task_description.hpp>

#include "../processes.hpp"
#include "../streams.hpp"

namespace hyperblocks::example {

/// A text without a byte order mark, which says more than white space.
inline std::string some_text(std::string text, const std::string& where) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  check(!hyperblocks::detail::stripped(text).empty(), [&] {
    return Error("an empty text", where, "a word or more", text.empty() ? "nothing" : "white space");
  });
  return text;
}

struct CorpusText {
  std::string id, text;
  std::string where;  ///< in the corpus
};

class Corpus {
 public:
  /// Reads the whole corpus once: what is wrong with it shows before the work.
  Corpus(std::string file, std::filesystem::path out, const Peers& peers)
      : file_(std::move(file)), out_(std::move(out)), peers_(peers) {
    std::set<std::string> ids;
    each_text([&](std::size_t, const CorpusText& text) {
      check(ids.insert(text.id).second,
            [&] { return Error("an id twice", text.where, "each once", "'" + text.id + "'"); });
    });
    check(!ids.empty(), [&] { return Error("an empty corpus", file_, "a line or more", "none"); });
    if (is_there(out_))
      for (const auto& entry : std::filesystem::directory_iterator(out_))
        if (is_manifest(entry.path())) read_manifest(entry.path());
    count_ = ids.size();
    meet(peers_);  // nobody adds to a manifest that another has yet to read
  }

  /// make(text, place) -> tokens, for every text of this process that is in no manifest. One that fails is
  /// noted and tried again the next time. How many failed.
  template <class Make>
  Index each(Make make) {
    const auto start = Clock::now();
    make_folder(out_);
    std::ofstream manifest = own_manifest();
    Index made = 0, failed = 0;
    each_text([&](std::size_t number, const CorpusText& text) {
      if (static_cast<Index>(number) % peers_.count() != peers_.rank() || done_.contains(text.id)) return;
      nlohmann::ordered_json line = {{"id", text.id}};
      const auto begin = Clock::now();
      try {
        line["tokens"] = make(text, out_ / text.id);
        line["seconds"] = seconds_since(begin);
        ++made;
      } catch (const Error& error) {
        line = {{"id", text.id}, {"error", error.what()}};
        std::cerr << error.what() << '\n';
        ++failed;
      }
      manifest << line.dump() << std::endl;
      check(manifest.good(), [&] {
        return Error("cannot write", manifest_path().string(), "room for a line", std::strerror(errno));
      });
    });
    std::fprintf(stderr, "%td adapters made, %td failed, %zu of %zu were there; %.1f s\n", made, failed,
                 done_.size(), count_, seconds_since(start));
    return failed;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  static bool is_manifest(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    return name.starts_with("manifest.") && name.ends_with(".jsonl");
  }
  std::filesystem::path manifest_path() const {
    return out_ / ("manifest." + std::to_string(peers_.rank()) + ".jsonl");
  }

  template <class F>
  void each_text(F f) const {
    each_line(file_, '\n', [&](const std::string& line, std::size_t number) {
      if (line.empty()) return;
      const std::string where = file_ + ": line " + std::to_string(number);
      const JsonObject json(parse_json(std::as_bytes(std::span(line)), where), where);
      CorpusText text{json.get<std::string>("id"), "", where};
      check_id(text);
      text.text = some_text(json.get<std::string>("text"), json.where("text"));
      f(number, text);
    });
  }

  /// An id is the name of a file.
  static void check_id(const CorpusText& text) {
    const bool good = !text.id.empty() && text.id.size() <= 200 && text.id.front() != '.' &&
                      !is_manifest(text.id) && std::ranges::all_of(text.id, [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                               c == '.' || c == '_' || c == '-';
                      });
    check(good, [&] {
      return Error("an id that names no file", text.where, "letters, digits, '.', '_' and '-', not '.' first",
                   "'" + text.id + "'");
    });
  }

  void read_manifest(const std::filesystem::path& path) {
    each_line(path.string(), '\n', [&](const std::string& line, std::size_t number) {
      const std::string where = path.string() + ": line " + std::to_string(number);
      const auto fields = nlohmann::json::parse(line, nullptr, false);
      if (!fields.is_object()) return;  // cut off when the program was killed
      const JsonObject json(fields, where);
      if (!json.contains("error")) done_.insert(json.get<std::string>("id"));
    });
  }

  /// Behind its last whole line.
  std::ofstream own_manifest() const {
    const auto path = manifest_path();
    std::ofstream manifest(path, std::ios::app);
    check(manifest.good(),
          [&] { return Error("cannot write", path.string(), "a file", std::strerror(errno)); });
    if (manifest.tellp() > 0) {
      std::ifstream before(path, std::ios::binary);
      before.seekg(-1, std::ios::end);
      if (before.get() != '\n') manifest << '\n';
    }
    return manifest;
  }

  std::string file_;
  std::filesystem::path out_;
  const Peers& peers_;
  std::set<std::string> done_;
  std::size_t count_ = 0;
};

}  // namespace hyperblocks::example
