// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// YamlScalars: single values of a YAML file's outermost mapping, as PyYAML's dump writes it: plain, 'quoted'
// and "quoted" scalars, folded over lines. Lists and mappings within are passed over, and no value is looked
// into before it is asked for.
#pragma once

#include <charconv>
#include <map>
#include <optional>
#include <string>

#include <hyperblocks/io/file_kind.hpp>
#include <hyperblocks/io/mapped_file.hpp>

namespace hyperblocks::example {

class YamlScalars {
 public:
  explicit YamlScalars(const std::filesystem::path& path) : file_(path.string()) {
    const MappedFile mapped(path);
    read({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()});
  }
  /// Of text in memory; `name` stands in errors.
  YamlScalars(std::string name, std::string_view text) : file_(std::move(name)) { read(text); }

  std::string where(const std::string& key) const { return file_ + ": '" + key + "'"; }

  bool contains(const std::string& key) const { return values_.contains(key); }
  /// That a key is there, null or not.
  void require(const std::string& key) const {
    check(contains(key), [&] { return Error("a value is missing", where(key), "a value", "none"); });
  }

  /// Nothing if it is not there or null.
  std::optional<std::string> text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return std::nullopt;
    const std::string& raw = found->second;
    if (raw.empty() || raw == "null" || raw == "Null" || raw == "NULL" || raw == "~") return std::nullopt;
    if (raw.front() == '\'') return single(key, raw);
    if (raw.front() == '"') return twice(key, raw);
    check(std::string_view("[{&*!|>%@`-").find(raw.front()) == std::string_view::npos || is_number(raw),
          [&] { return error(key, "a string, number, true, false or null", raw); });
    return raw;
  }

  std::optional<bool> boolean(const std::string& key) const {
    const auto found = text(key);
    if (!found) return std::nullopt;
    const bool yes = *found == "true" || *found == "True" || *found == "TRUE";
    check(yes || *found == "false" || *found == "False" || *found == "FALSE",
          [&] { return error(key, "true or false", *found); });
    return yes;
  }

  /// As Python asks for it: null is no.
  bool flag(const std::string& key, bool otherwise) const {
    return boolean(key).value_or(values_.contains(key) ? false : otherwise);
  }

  std::optional<double> number(const std::string& key) const {
    const auto found = text(key);
    if (!found) return std::nullopt;
    double value = 0;
    const char* const end = found->data() + found->size();
    const auto [stop, failure] = std::from_chars(found->data(), end, value);
    check(failure == std::errc() && stop == end, [&] { return error(key, "a number", *found); });
    return value;
  }

 private:
  Error error(const std::string& key, const std::string& expected, const std::string& found) const {
    return Error("a value of another kind", where(key), expected, "'" + found.substr(0, 80) + "'");
  }

  static bool is_number(const std::string& text) {
    return text.size() > 1 && text[0] == '-' && text[1] >= '0' && text[1] <= '9';
  }

  /// Lines that begin a key, and what follows up to the next: PyYAML indents everything else, or begins it
  /// with '-'.
  void read(std::string_view all) {
    std::string key;
    std::size_t number = 0;
    while (!all.empty()) {
      const auto end = all.find('\n');
      std::string_view line = all.substr(0, end);
      all = end == all.npos ? std::string_view() : all.substr(end + 1);
      ++number;
      if (line.ends_with('\r')) line.remove_suffix(1);
      const bool inside = line.empty() || line.front() == ' ' || line.front() == '-';
      if (inside && !key.empty()) append(values_[key], line);
      if (inside || line.front() == '#' || line.front() == '%' || line == "...") continue;
      const auto colon = line.find(':');
      check(colon != line.npos && (colon + 1 == line.size() || line[colon + 1] == ' '), [&] {
        return Error("malformed YAML", file_ + ": line " + std::to_string(number), "KEY: VALUE",
                     "'" + std::string(line.substr(0, 80)) + "'");
      });
      key = std::string(line.substr(0, colon));
      const auto value = line.find_first_not_of(' ', colon + 1);
      const bool once =
          values_.emplace(key, value == line.npos ? "" : without_comment(line.substr(value))).second;
      check(once, [&] { return Error("a key twice", where(key), "once", "another"); });
    }
  }

  /// A plain value ends before " #", and with what is no space.
  static std::string_view without_comment(std::string_view value) {
    if (value.starts_with('#')) return "";
    if (value.front() != '\'' && value.front() != '"') value = value.substr(0, value.find(" #"));
    return value.substr(0, value.find_last_not_of(" \t") + 1);
  }

  /// A folded line: a space in place of its break, or as many breaks as there are empty lines.
  static void append(std::string& value, std::string_view line) {
    const auto first = line.find_first_not_of(' ');
    if (first == line.npos) {
      value += '\n';
      return;
    }
    while (value.ends_with(' ')) value.pop_back();
    const auto last = value.find_last_not_of('\\');
    const auto escapes = value.size() - (last == value.npos ? 0 : last + 1);
    if (escapes % 2 == 1 && value.starts_with('"'))
      value.pop_back();  // a break that is not there
    else if (!value.empty() && !value.ends_with('\n'))
      value += ' ';
    value += line.substr(first);
  }

  std::string single(const std::string& key, const std::string& raw) const {
    std::string result;
    for (std::size_t i = 1; i < raw.size(); ++i) {
      if (raw[i] != '\'') {
        result += raw[i];
      } else if (i + 1 < raw.size() && raw[i + 1] == '\'') {
        result += raw[i++];
      } else {
        return result;
      }
    }
    throw error(key, "a quote at its end", raw);
  }

  std::string twice(const std::string& key, const std::string& raw) const {
    std::string result;
    for (std::size_t i = 1; i < raw.size(); ++i) {
      if (raw[i] == '"') return result;
      if (raw[i] != '\\') {
        result += raw[i];
        continue;
      }
      check(++i < raw.size(), [&] { return error(key, "a quote at its end", raw); });
      constexpr std::string_view letters = "nrt\"\\/ ", meant = "\n\r\t\"\\/ ", widths = "xuU";
      if (const auto width = widths.find(raw[i]); width != widths.npos) {
        append_letter(result, key, raw, i + 1, std::size_t{2} << width);
        i += std::size_t{2} << width;
        continue;
      }
      const auto letter = letters.find(raw[i]);
      check(letter != letters.npos,
            [&] { return error(key, "an escape: n r t \" \\ / x u U or a space", raw.substr(i - 1)); });
      result += meant[letter];
    }
    throw error(key, "a quote at its end", raw);
  }

  /// A letter by its number, as UTF-8.
  void append_letter(std::string& to, const std::string& key, const std::string& raw, std::size_t at,
                     std::size_t digits) const {
    std::uint32_t code = 0;
    const char* const end = raw.data() + std::min(at + digits, raw.size());
    const auto [stop, failure] = std::from_chars(raw.data() + at, end, code, 16);
    check(failure == std::errc() && stop == raw.data() + at + digits && code < 0x110000,
          [&] { return error(key, "a letter's number in hexadecimal digits", raw.substr(at - 2)); });
    const auto more = [&](int shift) { to += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) {
      to += static_cast<char>(code);
    } else if (code < 0x800) {
      to += static_cast<char>(0xc0 | (code >> 6)), more(0);
    } else if (code < 0x10000) {
      to += static_cast<char>(0xe0 | (code >> 12)), more(6), more(0);
    } else {
      to += static_cast<char>(0xf0 | (code >> 18)), more(12), more(6), more(0);
    }
  }

  std::string file_;
  std::map<std::string, std::string> values_;
};

}  // namespace hyperblocks::example
