// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A corpus of texts, one JSON object in each line, {"id": "...", "text": "..."}, and a manifest of what has
// been made of them: one line for each, added when its files are there. What a manifest says of the same text
// and options is not made again while its files are there; several processes share the work, each with a
// manifest of its own.
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
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
    meet(peers_);  // nobody adds to a manifest that another has yet to read
  }

  /// make(text, place) -> tokens, for every text of this process that has not been made with the same options
  /// or whose files are_there(place) does not find. One that fails is noted and tried again the next time.
  /// How many failed.
  template <class Make, class AreThere>
  Index each(const std::string& options, Make make, AreThere are_there) {
    const auto start = Clock::now();
    make_folder(out_);
    std::ofstream manifest = own_manifest();
    Index made = 0, failed = 0, there = 0, all = 0;
    each_text([&](std::size_t number, const CorpusText& text) {
      const std::string of = fingerprint(options + '\n' + text.text);
      const auto before = done_.find(text.id);
      const bool is_made = before != done_.end() && before->second.of == of && are_there(out_ / text.id);
      ++all, there += is_made;
      if (static_cast<Index>(number) % peers_.count() != peers_.rank() || is_made) return;
      nlohmann::ordered_json line = {{"id", text.id}, {"of", of}, {"at", now()}};
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
    std::fprintf(stderr, "%td adapters made, %td failed, %td of %td were there; %.1f s\n", made, failed,
                 there, all, seconds_since(start));
    return failed;
  }

 private:
  struct Made {
    std::string of;  ///< fingerprint of the text and the options
    double at = 0;
  };
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Short, and hardly ever the same of two texts (FNV-1a).
  static std::string fingerprint(const std::string& text) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(hash));
    return digits.data();
  }

  /// Seconds of the clock on the wall: of two manifests' lines it tells the later one.
  static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
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
      if (json.contains("error") || !json.contains("of")) return;
      Made& last = done_[json.get<std::string>("id")];
      if (const double at = json.get<double>("at"); at >= last.at) last = {json.get<std::string>("of"), at};
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
  std::map<std::string, Made> done_;  ///< by id, the last time
};

}  // namespace hyperblocks::example
