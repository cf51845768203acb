// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Texts and lists of ids as the pieces that a system reads, checked against the models: tokenizers and
// templates are loaded once.
#pragma once

#include <iostream>

#include <hyperblocks/hypernets/pieces.hpp>
#include <hyperblocks/io/hypernet_json.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>
#include <hyperblocks/text/task_description.hpp>

#include "../around_document.hpp"
#include "options.hpp"
#include "writers.hpp"

namespace hyperblocks::example {

/// In place of the spec of another model that reads: the base does.
struct BaseReads {};

inline Tokenizer tokenizer_of(const std::string& model,
                              const char* wanted_for = "--text; without it give --ids") {
  const std::filesystem::path file = std::filesystem::path(model) / "tokenizer.json";
  check(names_gguf(model) || is_there(file), [&] {
    return Error("no tokenizer", model, std::string("tokenizer.json in the folder, for ") + wanted_for,
                 "none");
  });
  return load_tokenizer(model);
}

template <auto base_spec, auto net_spec, auto encoder_spec, class Net>
class TextReader {
 public:
  using NetSpec = std::remove_cv_t<decltype(net_spec)>;
  using EncoderSpec = std::remove_cv_t<decltype(encoder_spec)>;
  static constexpr bool is_shine = std::same_as<NetSpec, ShineSpec>;
  static constexpr bool is_doc_to_lora = std::same_as<NetSpec, DocToLoraSpec>;
  static constexpr bool is_text_to_lora = std::same_as<NetSpec, TextToLoraSpec>;

  /// Kept by the caller.
  explicit TextReader(const Options& options)
      : options_(options), reader_(options.encoder.empty() ? options.base : options.encoder) {
    if (!options.text.empty() || !options.corpus.empty()) load();
    if constexpr (!is_shine) reads_as_ = read_hypernet(options.hypernet).reader;
    if (reads_as_.empty())
      reads_as_ = (std::filesystem::absolute(reader_) / "").parent_path().filename().string();
  }

  /// Tokens that the program puts behind a piece.
  static constexpr Index appended = [] {
    if constexpr (is_shine) return Net::memory_tokens;
    return Index{0};
  }();

  /// `where` names the text in errors.
  std::vector<Tokens> read(const std::string& text, const std::string& where) const {
    if constexpr (is_text_to_lora) {
      const TaskStyle style =
          reads_as_.find("SFR") != reads_as_.npos ? TaskStyle::query : TaskStyle::sentence;
      constexpr Index most =
          std::same_as<EncoderSpec, TextEncoderSpec> ? std::min<Index>(most_read(), 8192) : 8192;
      return {task_tokens(*tokenizer_, text, style, static_cast<std::size_t>(most))};
    } else if constexpr (is_shine) {
      return checked(pieces(tokenizer_->encode(text, true), {.most = options_.chunk.value_or(0)}), where);
    } else {  // through the template of the model that reads, with the base's around each piece
      return checked(pieces(tokenizer_->encode(before_ + text + behind_, false), around_pieces_), where);
    }
  }

  std::vector<Tokens> read_ids() const {
    return checked(parse_ids(options_.ids, "--ids", most_id()), "--ids");
  }

 private:
  void load() {
    tokenizer_.emplace(tokenizer_of(reader_));
    if constexpr (is_doc_to_lora) {
      const Tokenizer own = tokenizer_of(options_.base);
      std::tie(before_, behind_) = around_document(load_chat_template(reader_));
      const auto [prefix, suffix] = around_document(load_chat_template(options_.base));
      around_pieces_ = {.most = options_.chunk.value_or(read_hypernet(options_.hypernet).chunk),
                        .prefix = own.encode(prefix, false),
                        .suffix = own.encode(suffix, false)};
    }
  }

  /// Of the model that reads documents.
  static constexpr Index most_id() {
    if constexpr (std::same_as<EncoderSpec, DecoderSpec> && is_doc_to_lora)
      return encoder_spec.vocabulary;
    else
      return base_spec.vocabulary;
  }
  static constexpr Index most_read() {
    if constexpr (std::same_as<EncoderSpec, BaseReads>)
      return base_spec.positions;
    else
      return encoder_spec.positions;
  }

  /// Tokens that the model has, and pieces that it was trained to read, SHINE's memory tokens behind them,
  /// unless the pieces are the caller's own choice.
  std::vector<Tokens> checked(std::vector<Tokens> pieces, const std::string& where) const {
    const Index room = std::max<Index>(0, most_read() - appended);
    Index longer = 0, longest = 0;
    for (const Tokens& piece : pieces) {
      const auto size = static_cast<Index>(piece.size());
      check(size <= room || !options_.ids.empty() || options_.chunk.has_value(), [&] {
        return Error(
            "a piece is longer than what the model was trained to read", where,
            "at most " + std::to_string(room) +
                " tokens (--chunk N cuts a text into pieces, a template around them counts, too; with "
                "--chunk 0 it is read as it is)",
            std::to_string(size));
      });
      longer += size > room, longest = std::max(longest, size);
      const auto wrong = std::ranges::find_if(piece, [](auto id) { return id >= most_id(); });
      check(wrong == piece.end(), [&] {
        return Error("the tokenizer is another model's", where,
                     "tokens below " + std::to_string(most_id()) + ", the model's vocabulary",
                     std::to_string(*wrong));
      });
    }
    if (longer > 0)
      std::cerr << "note: " << where << ": " << longer << " of " << pieces.size() << " pieces have up to "
                << longest << " tokens, the model was trained to read " << room << '\n';
    return pieces;
  }

  const Options& options_;
  std::string reader_;    ///< the model that reads
  std::string reads_as_;  ///< its name: its makers', or its folder's
  std::optional<Tokenizer> tokenizer_;
  std::string before_, behind_;
  PiecesOptions around_pieces_;
};

}  // namespace hyperblocks::example
