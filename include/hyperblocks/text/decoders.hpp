// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Decoders of tokenizer.json: what makes texts of tokens. Each is a function on the list of tokens, which are
// joined at the end.
#pragma once

#include <charconv>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <hyperblocks/text/pre_tokenizers.hpp>

namespace hyperblocks::detail {

using Texts = std::vector<std::string>;
using Decoder = std::function<void(Texts&)>;

inline std::string joined(const Texts& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  std::string result;
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(from, at)) != text.npos; at = found + from.size())
    result.append(text, at, found - at).append(to);
  text = result.append(text, at);
}

inline void decode_byte_level(Texts& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += from_byte_level(token);
  tokens = {valid_utf8(bytes)};
}

/// Runs of tokens <0xNN> are their bytes, or U+FFFD for each when those are no whole characters.
inline void decode_byte_fallback(Texts& tokens) {
  Texts result;
  std::string bytes;
  const auto flush = [&] {
    if (valid_size(bytes) == bytes.size())
      result.push_back(bytes);
    else
      for (std::size_t i = 0; i < bytes.size(); ++i) result.emplace_back(replacement_character);
    bytes.clear();
  };
  for (std::string& token : tokens) {
    unsigned value = 0;
    if (token.size() == 6 && token.starts_with("<0x") && token.ends_with('>') &&
        std::from_chars(token.data() + 3, token.data() + 5, value, 16).ptr == token.data() + 5) {
      bytes += static_cast<char>(value);
      continue;
    }
    if (!bytes.empty()) flush();
    result.push_back(std::move(token));
  }
  if (!bytes.empty()) flush();
  tokens = std::move(result);
}

/// Words are joined by spaces; `cleanup` takes back those before punctuation and English contractions.
struct WordPieceDecoder {
  std::string prefix = "##";
  bool cleanup = true;

  void operator()(Texts& tokens) const {
    constexpr std::pair<std::string_view, std::string_view> tidy[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && tokens[i].starts_with(prefix))
        tokens[i].erase(0, prefix.size());
      else if (i > 0)
        tokens[i].insert(tokens[i].begin(), ' ');
      if (cleanup)
        for (const auto& [from, to] : tidy) replace_all(tokens[i], from, to);
    }
  }
};

struct MetaspaceDecoder {
  Metaspace metaspace;

  void operator()(Texts& tokens) const {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], metaspace.replacement,
                  i == 0 && metaspace.prepend != Metaspace::Prepend::never ? "" : " ");
  }
};

/// Up to so many of a character are taken from both ends of every token.
struct StripDecoder {
  char32_t content = ' ';
  std::int32_t start = 0, stop = 0;

  void operator()(Texts& tokens) const {
    std::string mark;
    append_character(mark, content);
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::int32_t i = 0; i < start && rest.starts_with(mark); ++i) rest.remove_prefix(mark.size());
      for (std::int32_t i = 0; i < stop && rest.ends_with(mark); ++i) rest.remove_suffix(mark.size());
      token = std::string(rest);
    }
  }
};

/// Words end with a suffix, which becomes a space except at the end.
inline void decode_suffixes(Texts& tokens, const std::string& suffix) {
  for (std::string& token : tokens) replace_all(token, suffix, &token == &tokens.back() ? "" : " ");
}

inline Decoder read_decoder(const JsonElement& element) {
  const std::string type = element.type();
  if (type == "Sequence") return read_sequence<Texts>(element.at("decoders"), read_decoder);
  if (type == "ByteLevel") return decode_byte_level;
  if (type == "ByteFallback") return decode_byte_fallback;
  if (type == "Fuse") return [](Texts& tokens) { tokens = {joined(tokens)}; };
  if (type == "WordPiece")
    return WordPieceDecoder{element.string_or("prefix", "##"), element.boolean_or("cleanup", true)};
  if (type == "Metaspace") return MetaspaceDecoder{read_metaspace(element)};
  if (type == "Strip")
    return StripDecoder{element.at("content").character(), element.at("start").id(), element.at("stop").id()};
  if (type == "BPEDecoder")
    return [suffix = element.string_or("suffix", "</w>")](Texts& tokens) { decode_suffixes(tokens, suffix); };
  if (type == "Replace")
    return [replace = Replace(element)](Texts& tokens) {
      for (std::string& token : tokens) replace(token);
    };
  throw element.unsupported("a decoder");
}

}  // namespace hyperblocks::detail
