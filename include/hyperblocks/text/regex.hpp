// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Regular expressions of tokenizer files, by PCRE2. The files are written for Oniguruma; where its syntax
// means something else to PCRE2 the pattern is rewritten, and what cannot be is an error.
#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/text/unicode.hpp>

namespace hyperblocks::detail {

/// Rewrites one pattern from Oniguruma's syntax to PCRE2's.
class PatternTranslation {
 public:
  PatternTranslation(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {
    while (at_ < pattern_.size()) step();
  }
  std::string result;

 private:
  // White space is Unicode's White_Space; PCRE2's \s has U+180E as well. A word has marks
  // and connectors; outside a set also those numbers of Latin-1 that are no digits.
  static constexpr std::string_view spaces =
      R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  static constexpr std::string_view word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
  static constexpr std::string_view numbers = R"(\xb2\xb3\xb9\xbc-\xbe)";

  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  Error unsupported(std::string_view what) const {
    return Error("a regular expression that is not supported", where_,
                 "syntax that Oniguruma and PCRE2 share", std::string(what));
  }

  void step() {
    const char c = peek();
    if (c == '\\') return escape();
    if (in_class_) {
      constexpr std::string_view digit = "[:digit:]";
      if (pattern_.substr(at_).starts_with(digit)) return copy(digit.size());
      check(c != '[', [&] { return unsupported("a set within a set"); });
      check(c != '&' || peek(1) != '&', [&] { return unsupported("an intersection of sets"); });
      in_class_ = c != ']';
    } else if (c == '[') {
      in_class_ = true;
      copy(peek(1) == '^' ? 2 : 1);
      if (peek() == ']') copy(1);  // the first member
      return;
    } else if (c == '(' && peek(1) == '?') {
      return group();
    } else if (c == '{') {
      return interval();
    }
    copy(1);
  }

  void copy(std::size_t count) {
    result += pattern_.substr(at_, count);
    at_ += count;
  }

  /// (?m) lets the dot match a new line there, as (?s) does here; other options mean the same.
  void group() {
    copy(2);
    std::size_t end = at_;
    while (end < pattern_.size() && (pattern_[end] == '-' || (pattern_[end] >= 'a' && pattern_[end] <= 'z')))
      ++end;
    if (end == pattern_.size() || (pattern_[end] != ':' && pattern_[end] != ')')) return;
    for (; at_ < end; ++at_) {
      const char option = pattern_[at_];
      check(option == 'i' || option == 'm' || option == 'x' || option == '-',
            [&] { return unsupported(std::string("the option '") + option + "'"); });
      result += option == 'm' ? 's' : option;
    }
  }

  /// A plus behind {n,m} repeats once more there; here it would be possessive.
  void interval() {
    const std::size_t end = pattern_.find('}', at_);
    if (end == pattern_.npos) return copy(1);
    const std::string_view bounds = pattern_.substr(at_ + 1, end - at_ - 1);
    if (bounds.empty() || bounds.find_first_not_of("0123456789,") != bounds.npos) return copy(1);
    check(bounds.front() != ',', [&] { return unsupported("a repetition without lower bound"); });
    if (end + 1 >= pattern_.size() || pattern_[end + 1] != '+') return copy(end + 1 - at_);
    const std::string_view low = bounds.substr(0, bounds.find(','));
    check(low == "0" || low == "1", [&] { return unsupported("a repeated repetition"); });
    result += low == "0" ? "*" : "+";
    at_ = end + 2;
  }

  void escape() {
    const char kind = peek(1);
    const auto either = [&](std::string_view outside, std::string_view inside) {
      result += in_class_ ? inside : outside;
      at_ += 2;
    };
    switch (kind) {
      case 's':
        return either(concatenated({"[", spaces, "]"}), spaces);
      case 'S':
        return either(R"([\S\x{180e}])", R"(\S\x{180e})");
      case 'w':
        return either(concatenated({"[", word, numbers, "]"}), word);
      case 'W':
        check(!in_class_, [&] { return unsupported("\\W within a set"); });
        return either(concatenated({"[^", word, numbers, "]"}), {});
      case 'h':
        return either("[0-9a-fA-F]", "0-9a-fA-F");
      case 'u':
        result += concatenated({"\\x{", std::string_view(pattern_).substr(at_ + 2, 4), "}"});
        at_ = std::min(pattern_.size(), at_ + 6);
        return;
      case 'p':
      case 'P':
        return property();
      case 'b':
      case 'B':  // by another idea of a word
      case 'H':
      case 'Q':
      case 'K':
      case 'C':
      case 'N':
        throw unsupported(std::string("\\") + kind);
      default:
        copy(std::min<std::size_t>(2, pattern_.size() - at_));
    }
  }

  /// A script's name stands for the script there, here for its extensions too.
  void property() {
    const std::size_t end = pattern_.find('}', at_);
    if (peek(2) != '{' || end == pattern_.npos) return copy(2);
    const std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    const bool script = name.size() > 2 && name.find_first_of(":=^") == name.npos &&
                        compiles(concatenated({"\\p{sc:", name, "}"}));
    result += std::string("\\") + peek(1) + "{" + (script ? "sc:" : "") + std::string(name) + "}";
    at_ = end + 1;
  }

  static bool compiles(const std::string& pattern) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* const compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                               PCRE2_UTF, &code, &offset, nullptr);
    pcre2_code_free(compiled);
    return compiled != nullptr;
  }

  std::string_view pattern_;
  std::string where_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

/// What matching needs beside the pattern; one a thread.
struct RegexScratch {
  RegexScratch()
      : match(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 * 1024, 8 * 1024 * 1024, nullptr)) {
    check(match != nullptr && context != nullptr,
          [] { return Error("no memory", "regular expression", "room for its registers", "none"); });
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  RegexScratch(const RegexScratch&) = delete;
  ~RegexScratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
  }
  static RegexScratch& mine() {
    thread_local RegexScratch scratch;
    return scratch;
  }

  pcre2_match_data* match;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

/// A compiled pattern; copies share it, and threads may.
class Regex {
 public:
  struct Match {
    std::size_t begin = 0, end = 0;
  };

  /// `where` stands in errors: the file and the key the pattern comes from.
  Regex(std::string_view pattern, const std::string& where)
      : Regex(PatternTranslation(pattern, where).result, where,
              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C) {}
  static Regex literal(std::string_view text, std::string where) {
    return {std::string(text), std::move(where), PCRE2_UTF | PCRE2_LITERAL};
  }

  /// Calls f(match) for every match from left to right, none overlapping; an empty one behind a match is
  /// none.
  template <class F>
  void each_match(std::string_view text, F f) const {
    std::optional<std::size_t> last_end;
    for (std::size_t at = 0; at <= text.size();) {
      const std::optional<Match> match = find(text, at);
      if (!match) return;
      if (match->begin == match->end && last_end == match->end) {
        at += at < text.size() ? character_length(text[at]) : 1;
        continue;
      }
      f(*match);
      at = match->end;
      last_end = at;
    }
  }

 private:
  Regex(const std::string& pattern, std::string where, std::uint32_t options) : where_(std::move(where)) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
        pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
    if (context) pcre2_set_max_pattern_length(context.get(), 64 * 1024);
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &code,
                              &offset, context.get()),
                &pcre2_code_free);
    check(code_ != nullptr, [&] {
      return Error("a regular expression that is not supported", where_, "one that PCRE2 compiles",
                   message(code) + " at " + std::to_string(offset) + " of '" + pattern + "'");
    });
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching is slower, no more
  }

  static std::string message(int code) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<const char*>(text);
  }

  std::optional<Match> find(std::string_view text, std::size_t from) const {
    RegexScratch& scratch = RegexScratch::mine();
    // Enough for any linear backtracking; a pattern of exponential cost is given up.
    pcre2_set_match_limit(scratch.context, static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                               10'000'000 + 16 * std::uint64_t{text.size()},
                                               std::numeric_limits<std::uint32_t>::max())));
    const int count = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                  PCRE2_NO_UTF_CHECK, scratch.match, scratch.context);
    if (count == PCRE2_ERROR_NOMATCH) return std::nullopt;
    check(count >= 0, [&] {
      return Error("matching was given up", where_ + ", at byte " + std::to_string(from) + " of the text",
                   "a pattern of moderate cost", message(count));
    });
    const PCRE2_SIZE* const offsets = pcre2_get_ovector_pointer(scratch.match);
    return Match{offsets[0], std::max(offsets[0], offsets[1])};
  }

  std::string where_;
  std::shared_ptr<pcre2_code> code_;
};

}  // namespace hyperblocks::detail
