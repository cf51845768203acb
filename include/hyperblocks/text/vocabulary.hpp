// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Vocabulary: tokens and their ids, both ways. PrefixSet: which texts of a set does this text begin with.
#pragma once

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <hyperblocks/text/json_element.hpp>

namespace hyperblocks::detail {

class Vocabulary {
 public:
  /// Ids may leave holes, but not many: a table of them all is made.
  void add(const std::string& token, std::int32_t id, const std::string& where) {
    constexpr std::size_t holes = 1'000'000;
    const auto place = static_cast<std::size_t>(id);
    check(place < ids_.size() + holes, [&] {
      return Error("malformed file", where + "/" + token,
                   "an id below " + std::to_string(ids_.size() + holes), std::to_string(id));
    });
    const auto [entry, added] = ids_.try_emplace(token, id);
    check(added, [&] { return Error("malformed file", where, "each token once", "'" + token + "' twice"); });
    if (place >= tokens_.size()) tokens_.resize(place + 1);
    check(tokens_[place] == nullptr, [&] {
      return Error("malformed file", where + "/" + token, "an id of its own",
                   std::to_string(id) + ", which '" + *tokens_[place] + "' has");
    });
    tokens_[place] = &entry->first;
    longest_ = std::max(longest_, token.size());
  }

  std::optional<std::int32_t> id_of(std::string_view token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  /// nullptr: the id has no token.
  const std::string* token_of(std::int32_t id) const {
    return id >= 0 && static_cast<std::size_t>(id) < tokens_.size() ? tokens_[static_cast<std::size_t>(id)]
                                                                    : nullptr;
  }
  std::int32_t end() const { return static_cast<std::int32_t>(tokens_.size()); }  ///< above the highest id
  std::size_t longest() const { return longest_; }                                ///< bytes

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> tokens_;  // the keys of ids_, which stay where they are
  std::size_t longest_ = 0;
};

/// {"token": id, ...}
inline Vocabulary read_vocabulary(const JsonElement& element) {
  // Holes are measured against the tokens seen so far, hence in the order of ids.
  std::vector<std::pair<std::int32_t, const std::string*>> entries;
  for (const auto& [token, id] : element.object().items())
    entries.emplace_back(JsonElement(id, element.where() + "/" + token).id(), &token);
  Vocabulary vocabulary;
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, *a.second) < std::tie(b.first, *b.second);
  });
  for (const auto& [id, token] : entries) vocabulary.add(*token, id, element.where());
  return vocabulary;
}

/// Texts with a number each, sorted, so that those a text begins with are found by narrowing a range byte by
/// byte.
class PrefixSet {
 public:
  void add(std::string text, std::int32_t number) {
    if (text.empty()) return;
    first_bytes_.set(static_cast<unsigned char>(text[0]));
    entries_.emplace_back(std::move(text), number);
  }
  /// After the last add; of equal texts the first one stays.
  void finish() {
    std::sort(entries_.begin(), entries_.end());
    const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
    entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  }
  bool empty() const { return entries_.empty(); }

  /// Calls f(size, number) for every text of the set that `text` begins with, the shortest first.
  template <class F>
  void each_prefix(std::string_view text, F f) const {
    if (text.empty() || !first_bytes_[static_cast<unsigned char>(text[0])]) return;
    auto low = entries_.begin(), high = entries_.end();
    for (std::size_t size = 1; size <= text.size() && low != high; ++size) {
      const auto byte = static_cast<unsigned char>(text[size - 1]);
      const auto at = [size](const auto& entry) { return static_cast<unsigned char>(entry.first[size - 1]); };
      low = std::partition_point(low, high, [&](const auto& entry) { return at(entry) < byte; });
      high = std::partition_point(low, high, [&](const auto& entry) { return at(entry) == byte; });
      if (low != high && low->first.size() == size) {
        f(size, low->second);
        ++low;
      }
    }
  }

  struct Found {
    std::size_t begin = 0, size = 0;
    std::int32_t number = 0;
  };
  /// The first place from `from` on where one of the texts stands, and there the longest.
  std::optional<Found> find(std::string_view text, std::size_t from) const {
    for (std::size_t at = from; at < text.size(); ++at) {
      Found found{at, 0, 0};
      each_prefix(text.substr(at), [&](std::size_t size, std::int32_t number) {
        found = {at, size, number};
      });
      if (found.size > 0) return found;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::pair<std::string, std::int32_t>> entries_;
  std::bitset<256> first_bytes_;
};

}  // namespace hyperblocks::detail
