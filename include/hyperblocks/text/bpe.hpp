// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Byte-pair encoding: a word begins as its characters; of all neighbours that may merge, those of the best
// rank do, until none may. A queue and a linked list make that n log n.
#pragma once

#include <algorithm>
#include <bit>

#include <hyperblocks/text/token_model.hpp>

namespace hyperblocks::detail {

/// One part of a word: a token, its bytes, and its neighbours.
struct Symbol {
  std::int32_t id = 0;
  std::uint32_t begin = 0, size = 0;  ///< size 0: merged into the one before
  std::int32_t previous = -1, next = -1;
};

inline void check_word(std::string_view word) {
  check(word.size() <= 0x7FFFFFFF, [&] {
    return Error("a word too long", "Tokenizer::encode", "at most 2147483647 bytes",
                 std::to_string(word.size()));
  });
}

/// A merge that is allowed: the lower rank goes first.
struct Merge {
  double rank = 0;
  std::int32_t id = 0;
};

/// Merges the symbols of a word; find(left, right) gives the merge of two neighbours, if there is one.
template <class Find>
void merge_symbols(std::vector<Symbol>& symbols, Find find) {
  struct Candidate {
    Merge merge;
    std::int32_t at = 0;
    std::uint32_t size = 0;
    bool operator<(const Candidate& other) const {  // std::priority_queue takes the greatest
      return merge.rank != other.merge.rank ? merge.rank > other.merge.rank : at > other.at;
    }
  };
  thread_local std::vector<Candidate> queue;
  queue.clear();
  const auto symbol = [&](std::int32_t at) -> Symbol& { return symbols[static_cast<std::size_t>(at)]; };
  const auto candidate = [&](std::int32_t at) -> std::optional<Candidate> {
    const Symbol& left = symbol(at);
    const std::optional<Merge> merge = find(left, symbol(left.next));
    if (!merge) return std::nullopt;
    return Candidate{*merge, at, left.size + symbol(left.next).size};
  };
  const auto offer = [&](std::int32_t at) {
    if (const auto found = candidate(at)) {
      queue.push_back(*found);
      std::push_heap(queue.begin(), queue.end());
    }
  };

  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<std::int32_t>(i) - 1;
    symbols[i].next = i + 1 < symbols.size() ? static_cast<std::int32_t>(i) + 1 : -1;
  }
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
    if (const auto found = candidate(static_cast<std::int32_t>(i))) queue.push_back(*found);
  std::make_heap(queue.begin(), queue.end());
  while (!queue.empty()) {
    const Candidate best = queue.front();
    std::pop_heap(queue.begin(), queue.end());
    queue.pop_back();
    Symbol& left = symbol(best.at);
    if (left.size == 0 || left.next < 0) continue;
    Symbol& right = symbol(left.next);
    const std::optional<Merge> now = find(left, right);
    if (!now || now->id != best.merge.id) continue;  // its neighbours have changed
    left = {best.merge.id, left.begin, left.size + right.size, left.previous, right.next};
    right.size = 0;
    if (left.next >= 0) symbol(left.next).previous = best.at;
    if (left.previous >= 0) offer(left.previous);
    if (left.next >= 0) offer(best.at);
  }
}

/// Pairs of ids and their merges: a table of open addresses, half full at most.
class MergeTable {
 public:
  explicit MergeTable(std::size_t count) : slots_(std::bit_ceil(2 * count + 1)) {}

  /// A later merge of the same pair replaces an earlier one.
  void add(std::int32_t left, std::int32_t right, Merge merge) {
    Slot& slot = slots_[place(key(left, right))];
    slot = {key(left, right), merge, true};
  }
  std::optional<Merge> find(std::int32_t left, std::int32_t right) const {
    const Slot& slot = slots_[place(key(left, right))];
    if (!slot.used) return std::nullopt;
    return slot.merge;
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Merge merge;
    bool used = false;
  };
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t place(std::uint64_t key) const {
    std::uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    for (;; ++hash) {
      const std::size_t at = hash & (slots_.size() - 1);
      if (!slots_[at].used || slots_[at].key == key) return at;
    }
  }
  std::vector<Slot> slots_;
};

struct BpeOptions {
  std::optional<std::string> unknown;  ///< the token for characters outside the vocabulary; none: they vanish
  std::string prefix, suffix;          ///< of every part of a word but the first, and of its last
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
};

class Bpe : public TokenModel {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;

  Bpe(Vocabulary vocabulary, const Pairs& merges, BpeOptions options, const std::string& where)
      : TokenModel(std::move(vocabulary)), options_(std::move(options)), merges_(merges.size()) {
    for (std::size_t i = 0; i < merges.size(); ++i) add(merges[i], i, where + "/merges/" + std::to_string(i));
    if (options_.unknown) {
      unknown_ = this->vocabulary().id_of(*options_.unknown);
      check(unknown_.has_value(), [&] {
        return Error("malformed file", where + "/unk_token", "a token of the vocabulary",
                     "'" + *options_.unknown + "'");
      });
    }
    if (options_.byte_fallback) bytes_ = byte_tokens(this->vocabulary());
    for (char32_t c = 0; c < 0x180; ++c) {
      std::string text;
      append_character(text, c);
      low_characters_.push_back(this->vocabulary().id_of(text).value_or(-1));
    }
  }

  void tokenize(std::string_view word, Ids& ids) const override {
    if (options_.ignore_merges)
      if (const auto id = vocabulary().id_of(word)) {
        ids.push_back(*id);
        return;
      }
    check_word(word);
    thread_local std::vector<Symbol> symbols;
    symbols.clear();
    split(word, symbols);
    merge_symbols(symbols, [&](const Symbol& a, const Symbol& b) { return merges_.find(a.id, b.id); });
    for (const Symbol& symbol : symbols)
      if (symbol.size > 0) ids.push_back(symbol.id);
  }

 private:
  void add(const std::pair<std::string, std::string>& merge, std::size_t rank, const std::string& where) {
    const auto id = [&](const std::string& token) {
      const auto found = vocabulary().id_of(token);
      check(found.has_value(),
            [&] { return Error("malformed file", where, "tokens of the vocabulary", "'" + token + "'"); });
      return *found;
    };
    const auto& [left, right] = merge;
    check(right.size() >= options_.prefix.size(), [&] {
      return Error("malformed file", where, "'" + options_.prefix + "' and more", "'" + right + "'");
    });
    const std::int32_t left_id = id(left), right_id = id(right);
    merges_.add(left_id, right_id,
                {static_cast<double>(rank), id(left + right.substr(options_.prefix.size()))});
  }

  std::optional<std::int32_t> character(char32_t c, std::string_view bytes, bool first, bool last) const {
    if ((first || options_.prefix.empty()) && (!last || options_.suffix.empty())) {
      if (c >= low_characters_.size()) return vocabulary().id_of(bytes);
      const std::int32_t id = low_characters_[c];
      return id < 0 ? std::nullopt : std::optional(id);
    }
    return vocabulary().id_of((first ? "" : options_.prefix) + std::string(bytes) +
                              (last ? options_.suffix : ""));
  }

  /// The characters of a word as symbols. One outside the vocabulary becomes its bytes, or unknown; that
  /// symbol waits, as more unknown characters may join it.
  void split(std::string_view word, std::vector<Symbol>& symbols) const {
    std::optional<Symbol> waiting;
    const auto flush = [&] {
      if (waiting) symbols.push_back(*waiting);
      waiting.reset();
    };
    std::uint32_t at = 0;
    each_character(word, [&](char32_t c, std::string_view bytes) {
      const auto size = static_cast<std::uint32_t>(bytes.size());
      const std::uint32_t begin = at;
      at += size;
      if (const auto id = character(c, bytes, begin == 0, at == word.size())) {
        flush();
        symbols.push_back({*id, begin, size});
      } else if (!split_bytes(bytes, begin, symbols) && unknown_) {
        if (waiting && options_.fuse_unknown) {
          waiting->size += size;
        } else {
          flush();
          waiting = Symbol{*unknown_, begin, size};
        }
      }
    });
    flush();
  }

  bool split_bytes(std::string_view bytes, std::uint32_t begin, std::vector<Symbol>& symbols) const {
    Ids ids;
    if (bytes_.empty() || !append_bytes(bytes, bytes_, ids)) return false;
    for (const std::int32_t id : ids) symbols.push_back({id, begin++, 1});
    return true;
  }

  BpeOptions options_;
  MergeTable merges_;
  std::optional<std::int32_t> unknown_;
  std::vector<std::int32_t> bytes_, low_characters_;
};

/// "a b" or ["a", "b"]
inline Bpe::Pairs read_merges(const JsonElement& element) {
  Bpe::Pairs merges;
  for (const JsonElement& merge : element.elements()) {
    if (merge.json().is_array()) {
      const auto pair = merge.elements();
      check(pair.size() == 2, [&] { return merge.error("two tokens"); });
      merges.emplace_back(pair[0].string(), pair[1].string());
      continue;
    }
    const std::string& text = merge.string();
    if (text.starts_with("#version")) continue;
    const std::size_t space = text.find(' ');
    check(space != text.npos && text.find(' ', space + 1) == text.npos,
          [&] { return merge.error("two tokens, one space between"); });
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return merges;
}

inline std::unique_ptr<TokenModel> read_bpe(const JsonElement& element) {
  check(!element.has("dropout") || element.at("dropout").number() == 0,
        [&] { return element.at("dropout").unsupported("a dropout"); });
  BpeOptions options{.unknown = {},
                     .prefix = element.string_or("continuing_subword_prefix", ""),
                     .suffix = element.string_or("end_of_word_suffix", ""),
                     .fuse_unknown = element.boolean_or("fuse_unk", false),
                     .byte_fallback = element.boolean_or("byte_fallback", false),
                     .ignore_merges = element.boolean_or("ignore_merges", false)};
  if (element.has("unk_token")) options.unknown = element.at("unk_token").string();
  return std::make_unique<Bpe>(read_vocabulary(element.at("vocab")), read_merges(element.at("merges")),
                               std::move(options), element.where());
}

/// As SentencePiece and llama.cpp have it: two neighbours merge when their joined text is a token, the one
/// of the highest score first; what is no token in the end becomes bytes.
class ScoredBpe : public TokenModel {
 public:
  ScoredBpe(Vocabulary vocabulary, std::vector<float> scores, std::optional<std::int32_t> unknown)
      : TokenModel(std::move(vocabulary)),
        scores_(std::move(scores)),
        unknown_(unknown),
        bytes_(byte_tokens(this->vocabulary())) {}

  void tokenize(std::string_view word, Ids& ids) const override {
    check_word(word);
    std::vector<Symbol> symbols;
    std::uint32_t at = 0;
    each_character(word, [&](char32_t, std::string_view bytes) {
      const auto size = static_cast<std::uint32_t>(bytes.size());
      symbols.push_back({vocabulary().id_of(bytes).value_or(-1), at, size});
      at += size;
    });
    merge_symbols(symbols, [&](const Symbol& a, const Symbol& b) -> std::optional<Merge> {
      if (a.size + b.size > vocabulary().longest()) return std::nullopt;
      const auto id = vocabulary().id_of(word.substr(a.begin, a.size + b.size));
      if (!id) return std::nullopt;
      return Merge{-double{scores_[static_cast<std::size_t>(*id)]}, *id};
    });
    for (const Symbol& symbol : symbols) {
      if (symbol.size == 0) continue;
      if (symbol.id >= 0)
        ids.push_back(symbol.id);
      else if (!append_bytes(word.substr(symbol.begin, symbol.size), bytes_, ids) && unknown_)
        ids.push_back(*unknown_);
    }
  }

 private:
  std::vector<float> scores_;
  std::optional<std::int32_t> unknown_;
  std::vector<std::int32_t> bytes_;
};

}  // namespace hyperblocks::detail
