// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TokenModel: what turns a word into ids. WordPiece, WordLevel and Unigram; BPE has a file of its own.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <hyperblocks/text/vocabulary.hpp>

namespace hyperblocks::detail {

using Ids = std::vector<std::int32_t>;

class TokenModel {
 public:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~TokenModel() = default;
  /// Appends the ids of a word.
  virtual void tokenize(std::string_view word, Ids& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
};

/// The ids of the tokens <0x00> to <0xFF>; those missing are -1.
inline std::vector<std::int32_t> byte_tokens(const Vocabulary& vocabulary) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::vector<std::int32_t> ids(256);
  for (std::size_t b = 0; b < ids.size(); ++b)
    ids[b] = vocabulary.id_of(std::string{'<', '0', 'x', digits[b / 16], digits[b % 16], '>'}).value_or(-1);
  return ids;
}

/// Appends the byte tokens of a text if there is one for every byte.
inline bool append_bytes(std::string_view text, const std::vector<std::int32_t>& tokens, Ids& ids) {
  const auto token = [&](char c) { return tokens[static_cast<unsigned char>(c)]; };
  if (!std::all_of(text.begin(), text.end(), [&](char c) { return token(c) >= 0; })) return false;
  for (const char c : text) ids.push_back(token(c));
  return true;
}

/// The longest token first, again and again; a word that cannot be so cut, or is too long, is unknown.
class WordPiece : public TokenModel {
 public:
  explicit WordPiece(const JsonElement& element)
      : TokenModel(read_vocabulary(element.at("vocab"))),
        prefix_(element.string_or("continuing_subword_prefix", "##")) {
    const std::string unknown = element.string_or("unk_token", "[UNK]");
    const auto id = vocabulary().id_of(unknown);
    check(id.has_value(), [&] {
      return Error("malformed file", element.where() + "/unk_token", "a token of the vocabulary",
                   "'" + unknown + "'");
    });
    unknown_ = id.value_or(0);
    if (element.has("max_input_chars_per_word"))
      most_characters_ = static_cast<std::size_t>(element.at("max_input_chars_per_word").id());
  }

  void tokenize(std::string_view word, Ids& ids) const override {
    const std::size_t before = ids.size();
    if (count_characters(word) > most_characters_) {
      ids.push_back(unknown_);
      return;
    }
    std::string piece;
    for (std::size_t at = 0; at < word.size();) {
      piece = at == 0 ? "" : prefix_;
      piece += word.substr(at, vocabulary().longest());
      const std::size_t start = at == 0 ? 0 : prefix_.size();
      auto id = vocabulary().id_of(piece);
      for (; piece.size() > start && !id; id = vocabulary().id_of(piece)) remove_last_character(piece);
      if (piece.size() <= start) {
        ids.resize(before);
        ids.push_back(unknown_);
        return;
      }
      ids.push_back(id.value_or(unknown_));
      at += piece.size() - start;
    }
  }

 private:
  static void remove_last_character(std::string& text) {
    while ((static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
    text.pop_back();
  }

  std::string prefix_;
  std::int32_t unknown_ = 0;
  std::size_t most_characters_ = 100;
};

/// A word is a token or unknown.
class WordLevel : public TokenModel {
 public:
  explicit WordLevel(const JsonElement& element)
      : TokenModel(read_vocabulary(element.at("vocab"))),
        where_(element.where()),
        unknown_(vocabulary().id_of(element.string_or("unk_token", "<unk>"))) {}

  void tokenize(std::string_view word, Ids& ids) const override {
    const auto id = vocabulary().id_of(word);
    check(id || unknown_, [&] {
      return Error("a word outside the vocabulary", where_, "an unk_token in it", in_quotes(word));
    });
    ids.push_back(id.value_or(unknown_.value_or(0)));
  }

 private:
  std::string where_;
  std::optional<std::int32_t> unknown_;
};

/// The pieces whose scores have the greatest sum (Viterbi).
class Unigram : public TokenModel {
 public:
  explicit Unigram(const JsonElement& element)
      : TokenModel(read_pieces(element.at("vocab"))), where_(element.where()) {
    for (const JsonElement& entry : element.at("vocab").elements()) {
      const auto pair = entry.elements();
      const double score = pair[1].number();
      check(std::isfinite(score), [&] { return pair[1].error("a finite score"); });
      pieces_.add(pair[0].string(), static_cast<std::int32_t>(scores_.size()));
      scores_.push_back(score);
    }
    pieces_.finish();
    if (element.has("unk_id")) {
      unknown_ = element.at("unk_id").id();
      check(static_cast<std::size_t>(*unknown_) < scores_.size(),
            [&] { return element.at("unk_id").error("an id below " + std::to_string(scores_.size())); });
    }
    constexpr double penalty = 10;
    unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - penalty;
    if (element.boolean_or("byte_fallback", false)) bytes_ = byte_tokens(vocabulary());
  }

  void tokenize(std::string_view word, Ids& ids) const override {
    const std::vector<Node> best = best_paths(word);
    std::vector<std::string_view> pieces;
    std::size_t unknown_end = 0;  // of a run of unknown pieces, which are one
    for (std::size_t end = word.size(); end > 0; end = best[end].begin) {
      const std::size_t begin = best[end].begin;
      if (unknown_ && best[end].id == *unknown_) {
        if (unknown_end == 0) unknown_end = end, pieces.emplace_back();
        pieces.back() = word.substr(begin, unknown_end - begin);
      } else {
        unknown_end = 0;
        pieces.push_back(word.substr(begin, end - begin));
      }
    }
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) append(*piece, ids);
  }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  struct Node {
    double score = 0;
    std::size_t begin = none;
    std::int32_t id = 0;
  };

  static Vocabulary read_pieces(const JsonElement& element) {
    Vocabulary vocabulary;
    for (const JsonElement& entry : element.elements()) {
      const auto pair = entry.elements();
      check(pair.size() == 2, [&] { return entry.error("[piece, score]"); });
      vocabulary.add(pair[0].string(), vocabulary.end(), element.where());
    }
    check(vocabulary.end() > 0, [&] { return element.error("at least one piece"); });
    return vocabulary;
  }

  std::vector<Node> best_paths(std::string_view word) const {
    std::vector<Node> best(word.size() + 1);
    const auto offer = [&](std::size_t end, Node node) {
      if (best[end].begin == none || node.score > best[end].score) best[end] = node;
    };
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = character_length(word[at]);
      const double before = best[at].score;
      bool single = false;
      pieces_.each_prefix(word.substr(at), [&](std::size_t size, std::int32_t id) {
        offer(at + size, {before + scores_[static_cast<std::size_t>(id)], at, id});
        single |= size == length;
      });
      if (!single) {
        check(unknown_.has_value(), [&] {
          return Error("a character outside the vocabulary", where_, "an unk_id",
                       in_quotes(word.substr(at, length)));
        });
        offer(at + length, {before + unknown_score_, at, unknown_.value_or(0)});
      }
      at += length;
    }
    return best;
  }

  void append(std::string_view piece, Ids& ids) const {
    if (const auto id = vocabulary().id_of(piece))
      ids.push_back(*id);
    else if (bytes_.empty() || !append_bytes(piece, bytes_, ids))
      ids.push_back(unknown_.value_or(0));  // checked where the path was found
  }

  std::string where_;
  PrefixSet pieces_;
  std::vector<double> scores_;
  std::optional<std::int32_t> unknown_;
  double unknown_score_ = 0;
  std::vector<std::int32_t> bytes_;
};

}  // namespace hyperblocks::detail
