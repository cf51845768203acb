// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Tokenizer: text to ids and back, as tokenizer.json or a GGUF file says (docs/tokenizers.md). StreamDecoder:
// text as ids come, in whole characters.
//   const auto tokenizer = Tokenizer::from_json_file("model/");
//   const std::vector<std::int32_t> ids = tokenizer.encode("Hello");    tokenizer.decode(ids) == "Hello"
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/text/added_tokens.hpp>
#include <hyperblocks/text/bpe.hpp>
#include <hyperblocks/text/decoders.hpp>
#include <hyperblocks/text/gguf_rules.hpp>
#include <hyperblocks/text/gguf_vocabulary.hpp>
#include <hyperblocks/text/post_processors.hpp>
#include <hyperblocks/text/pre_tokenizers.hpp>

namespace hyperblocks {

/// Immutable: copies share their tables, and threads may use one together.
class Tokenizer {
 public:
  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

  /// A tokenizer.json, or the directory that holds one; a tokenizer_config.json beside it tells bos and eos.
  static Tokenizer from_json_file(const std::filesystem::path& path) {
    const auto file = is_folder(path) ? path / "tokenizer.json" : path;
    Tokenizer tokenizer = from_json(file.string(), contents(file));
    const auto config = file.parent_path() / "tokenizer_config.json";
    if (is_there(config)) tokenizer.read_config(config.string(), contents(config));
    return tokenizer;
  }

  /// The same from text in memory; `name` stands in errors.
  static Tokenizer from_json(const std::string& name, std::string_view text) {
    const auto json = detail::JsonElement::parse(text, name);
    const detail::JsonElement root(json, name);
    Tokenizer tokenizer;
    if (root.has("normalizer")) tokenizer.normalizer_ = detail::read_normalizer(root.at("normalizer"));
    if (root.has("pre_tokenizer"))
      tokenizer.pre_tokenizer_ = detail::read_pre_tokenizer(root.at("pre_tokenizer"));
    tokenizer.model_ = read_model(root.at("model"));
    if (root.has("post_processor"))
      tokenizer.surround_ = detail::read_post_processor(root.at("post_processor"));
    if (root.has("decoder")) tokenizer.decoder_ = detail::read_decoder(root.at("decoder"));
    std::vector<detail::AddedToken> added;
    if (root.has("added_tokens"))
      added = detail::read_added_tokens(root.at("added_tokens"), tokenizer.model_->vocabulary());
    tokenizer.set_added(std::move(added));
    return tokenizer;
  }

  static Tokenizer from_gguf_parts(const GgufVocabulary& parts) {
    detail::GgufRules rules = detail::gguf_rules(parts);
    Tokenizer tokenizer;
    tokenizer.model_ = std::move(rules.model);
    tokenizer.pre_tokenizer_ = std::move(rules.pre_tokenizer);
    tokenizer.decoder_ = std::move(rules.decoder);
    tokenizer.surround_ = std::move(rules.surround);
    tokenizer.space_prefix_ = rules.space_prefix;
    tokenizer.bos_ = parts.bos;
    tokenizer.eos_ = parts.eos;
    tokenizer.set_added(std::move(rules.added));
    return tokenizer;
  }

  /// The ids of a text. `special`: with the model's own tokens around it (BOS, [CLS] ...). At most `most`
  /// ids are given, these included: the end of the text is cut. Broken UTF-8 is read as U+FFFD.
  std::vector<std::int32_t> encode(std::string_view text, bool special = true,
                                   std::size_t most = unlimited) const {
    std::vector<std::int32_t> ids;
    if (special) ids = surround_.before;
    const std::size_t begin = ids.size();
    if (detail::valid_size(text) == text.size())
      append(text, ids);
    else
      append(detail::valid_utf8(text), ids);
    const std::size_t around = special ? begin + surround_.after.size() : 0;
    check(most >= around, [&] {
      return Error("no room for the model's own tokens", "Tokenizer::encode",
                   "at least " + std::to_string(around), std::to_string(most));
    });
    if (ids.size() - begin > most - around) ids.resize(begin + most - around);
    if (special) ids.insert(ids.end(), surround_.after.begin(), surround_.after.end());
    return ids;
  }

  /// The text of ids, always valid UTF-8. An id without a token stands for nothing.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = true) const {
    detail::Texts tokens;
    for (const std::int32_t id : ids) {
      const std::string* const token = token_or_null(id);
      if (token != nullptr && !(skip_special && added_->is_special(*token))) tokens.push_back(*token);
    }
    if (decoder_) {
      if (!tokens.empty()) decoder_(tokens);
      return detail::joined(tokens);
    }
    std::string text;
    for (std::size_t i = 0; i < tokens.size(); ++i) text.append(i == 0 ? "" : " ").append(tokens[i]);
    return text;
  }

  /// One more than the highest id. (A model's table may have more rows.)
  std::int32_t vocabulary_size() const { return vocabulary_size_; }

  std::optional<std::int32_t> id_of(const std::string& token) const {
    if (const auto* added = added_->named(token)) return added->id;
    return model_->vocabulary().id_of(token);
  }
  /// As it stands in the vocabulary, so with the alphabet's signs for bytes, "##" and the like.
  std::optional<std::string> token_of(std::int32_t id) const {
    const std::string* const token = token_or_null(id);
    return token == nullptr ? std::nullopt : std::optional(*token);
  }
  std::optional<std::int32_t> bos() const { return bos_; }
  std::optional<std::int32_t> eos() const { return eos_; }

 private:
  Tokenizer() = default;

  static std::string contents(const std::filesystem::path& file) {
    const MappedFile mapped(file);
    return {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()};
  }

  static std::shared_ptr<const detail::TokenModel> read_model(const detail::JsonElement& element) {
    // Files older than the key are told apart by what they have.
    const std::string type = element.string_or("type", element.has("merges") ? "BPE" : "");
    if (type == "BPE") return detail::read_bpe(element);
    if (type == "WordPiece") return std::make_shared<detail::WordPiece>(element);
    if (type == "WordLevel") return std::make_shared<detail::WordLevel>(element);
    if (type == "Unigram") return std::make_shared<detail::Unigram>(element);
    throw Error("a model that is not supported", element.where() + "/type",
                "BPE, WordPiece, WordLevel or Unigram", type.empty() ? "none" : "'" + type + "'");
  }

  void read_config(const std::string& name, std::string_view text) {
    const auto json = detail::JsonElement::parse(text, name);
    const detail::JsonElement root(json, name);
    const auto token = [&](const std::string& key) -> std::optional<std::int32_t> {
      if (!root.has(key)) return std::nullopt;
      const auto element = root.at(key);
      return id_of(element.json().is_object() ? element.at("content").string() : element.string());
    };
    bos_ = token("bos_token");
    eos_ = token("eos_token");
  }

  void set_added(std::vector<detail::AddedToken> tokens) {
    vocabulary_size_ = model_->vocabulary().end();
    for (const detail::AddedToken& token : tokens) {
      check(token.id < 0x7FFFFFFF, [&] {
        return Error("an id too high", token.content, "below 2147483647", std::to_string(token.id));
      });
      vocabulary_size_ = std::max(vocabulary_size_, token.id + 1);
    }
    added_ = std::make_shared<const detail::AddedTokens>(std::move(tokens), normalizer_);
  }

  const std::string* token_or_null(std::int32_t id) const {
    if (const auto* added = added_->of(id)) return &added->shown;
    return model_->vocabulary().token_of(id);
  }

  /// Added tokens that stand for themselves, then the normalised text between them and the tokens found
  /// there.
  void append(std::string_view text, std::vector<std::int32_t>& ids) const {
    bool begins = true, behind_token = true;  // the whole text; a text after an added token
    const auto on_token = [&](std::int32_t id) {
      ids.push_back(id);
      begins = false, behind_token = true;
    };
    const auto on_words = [&](std::string_view piece) {
      append_words(detail::concatenated({space_prefix_ && behind_token ? " " : "", piece}), begins, ids);
      begins = behind_token = false;
    };
    const auto on_text = [&](std::string_view piece) {
      std::string normal(piece);
      if (normalizer_) normalizer_(normal);
      added_->cut(normal, true, on_words, on_token);
      begins = false;
    };
    added_->cut(text, false, on_text, on_token);
  }

  void append_words(std::string text, bool begins, std::vector<std::int32_t>& ids) const {
    detail::Words words(std::move(text), begins);
    if (pre_tokenizer_) pre_tokenizer_(words);
    words.each([&](std::string_view word) { model_->tokenize(word, ids); });
  }

  detail::Normalizer normalizer_;
  detail::PreTokenizer pre_tokenizer_;
  std::shared_ptr<const detail::TokenModel> model_;
  std::shared_ptr<const detail::AddedTokens> added_;
  detail::Surround surround_;
  detail::Decoder decoder_;
  bool space_prefix_ = false;  ///< a space goes before a text that does not follow another
  std::int32_t vocabulary_size_ = 0;
  std::optional<std::int32_t> bos_, eos_;
};

/// Decodes ids one by one. What might still change with the next id (part of a character) is held back.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  /// The text that this id completes; often empty.
  std::string next(std::int32_t id) {
    ids_.push_back(id);
    const std::string text = tokenizer_.decode(ids_, skip_special_);
    if (text.size() <= given_.size() || text.ends_with(detail::replacement_character)) return {};
    std::string piece = text.substr(given_.size());
    // The ids of this piece stay, as decoders treat the first token in its own way.
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(known_));
    known_ = ids_.size();
    given_ = tokenizer_.decode(ids_, skip_special_);
    return piece;
  }

  /// What was held back, broken as it is.
  std::string finish() {
    const std::string text = tokenizer_.decode(ids_, skip_special_);
    std::string piece = text.substr(std::min(given_.size(), text.size()));
    ids_.clear();
    given_.clear();
    known_ = 0;
    return piece;
  }

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::vector<std::int32_t> ids_;  ///< those of the last piece given, and those since
  std::size_t known_ = 0;          ///< how many are of the last piece
  std::string given_;              ///< its text
};

}  // namespace hyperblocks
