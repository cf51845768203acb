// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Settings: the values that make up a hypernetwork's spec, and where each came from: the files, options of
// the command line (NAME=VALUE), or defaults. An option that contradicts the files is an Error.
#pragma once

#include <charconv>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <hyperblocks/io/spec_text.hpp>

namespace hyperblocks::example {

class Settings {
 public:
  /// `known`: the names that may be given.
  Settings(const std::vector<std::string>& given, const std::set<std::string>& known) : known_(known) {
    for (const std::string& option : given) {
      const auto equals = option.find('=');
      check(equals != option.npos && equals > 0,
            [&] { return Error("not an option", "--set " + option, "NAME=VALUE", "'" + option + "'"); });
      const std::string name = option.substr(0, equals);
      check(known.contains(name), [&] {
        std::string names;
        for (const auto& each : known) names += (names.empty() ? "" : ", ") + each;
        return Error("an unknown option", "--set " + option, names.empty() ? "none" : "one of " + names,
                     "'" + name + "'");
      });
      check(options_.emplace(name, option.substr(equals + 1)).second,
            [&] { return Error("an option twice", "--set " + name, "one value", "another"); });
    }
  }

  /// What the files say: an option of that name may say the same.
  template <class T>
  T found(const std::string& name, T value) {
    if (const auto option = options_.find(name); option != options_.end())
      check(parsed<T>(name, option->second) == value, [&] {
        return Error("an option that contradicts the files", "--set " + name, text(value), option->second);
      });
    used_.insert(name);
    from_files_.emplace_back(name, text(value));
    return value;
  }

  /// What the files do not say.
  template <class T>
  T asked(const std::string& name, T otherwise) {
    const auto option = options_.find(name);
    used_.insert(name);
    if (option == options_.end()) {
      defaults_.emplace_back(name, text(otherwise));
      return otherwise;
    }
    from_options_.emplace_back(name, option->second);
    return parsed<T>(name, option->second);
  }

  /// One of some words.
  std::string asked_word(const std::string& name, const std::vector<std::string>& words) {
    const auto word = asked<std::string>(name, words.front());
    check_word(name, word, words);
    return word;
  }
  std::string found_word(const std::string& name, const std::string& word,
                         const std::vector<std::string>& words) {
    if (const auto option = options_.find(name); option != options_.end())
      check_word(name, option->second, words);
    return found(name, word);
  }

  bool given(const std::string& name) const { return options_.contains(name); }

  /// What stands for a value that these files leave out.
  template <class T>
  T assumed(const std::string& name, T value) {
    used_.insert(name);
    defaults_.emplace_back(name, text(value));
    return value;
  }

  void print(std::ostream& out) const {
    print(out, "from the files", from_files_);
    print(out, "from options", from_options_);
    print(out, "defaults", defaults_);
    for (const auto& [name, value] : options_)
      if (!used_.contains(name)) out << "not needed: --set " << name << "=" << value << '\n';
  }

 private:
  using Values = std::vector<std::pair<std::string, std::string>>;

  static void print(std::ostream& out, const char* title, const Values& values) {
    out << title << (values.empty() ? ": none\n" : ":\n");
    for (const auto& [name, value] : values) out << "  " << name << " = " << value << '\n';
  }

  static void check_word(const std::string& name, const std::string& word,
                         const std::vector<std::string>& words) {
    std::string all;
    for (const auto& each : words) all += (all.empty() ? "" : ", ") + each;
    check(std::find(words.begin(), words.end(), word) != words.end(), [&] {
      return Error("a value that cannot be", "--set " + name, "one of " + all, "'" + word + "'");
    });
  }

  template <class T>
  static std::string text(const T& value) {
    if constexpr (std::same_as<T, std::string>)
      return value;
    else
      return hyperblocks::detail::spec_text(value);
  }

  template <class T>
  static T parsed(const std::string& name, const std::string& word) {
    const auto refuse = [&](const char* expected) {
      return Error("a value that cannot be", "--set " + name, expected, "'" + word + "'");
    };
    if constexpr (std::same_as<T, std::string>) {
      return word;
    } else if constexpr (std::same_as<T, bool>) {
      if (word == "true" || word == "True") return true;
      if (word == "false" || word == "False") return false;
      throw refuse("true or false");
    } else {
      T value{};
      const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
      const bool whole = failure == std::errc() && end == word.data() + word.size();
      if constexpr (std::same_as<T, double>)
        check(whole && std::isfinite(value) && value > 0, [&] { return refuse("a number above 0"); });
      else
        check(whole && value > 0 && value < (Index{1} << 31),
              [&] { return refuse("an integer of 1 to 2147483647"); });
      return value;
    }
  }

  std::set<std::string> known_, used_;
  std::map<std::string, std::string> options_;
  Values from_files_, from_options_, defaults_;
};

}  // namespace hyperblocks::example
