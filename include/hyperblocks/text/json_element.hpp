// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A value of a JSON file that knows its place, so that every error names file and key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/text/unicode.hpp>

namespace hyperblocks::detail {

class JsonElement {
 public:
  using Json = nlohmann::json;

  /// `path` leads to it from the file's root: /model/vocab.
  JsonElement(const Json& json, std::string file, std::string path = "")
      : json_(&json), file_(std::move(file)), path_(std::move(path)) {}

  /// A file's text as JSON.
  static Json parse(std::string_view text, const std::string& file) {
    return parse_json(std::as_bytes(std::span(text)), file);
  }

  const Json& json() const { return *json_; }
  std::string where() const { return path_.empty() ? file_ : file_ + ": " + path_; }
  bool is_null() const { return json_->is_null(); }

  Error error(const std::string& expected) const {
    return Error("malformed file", where(), expected, shown());
  }
  /// The value as an error shows it.
  std::string shown() const {
    std::string text = json_->dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, valid_size(std::string_view(text).substr(0, 57))) + "...";
    return text;
  }

  bool has(const std::string& key) const {
    const auto found = object().find(key);
    return found != json_->end() && !found->is_null();
  }
  JsonElement at(const std::string& key) const {
    const auto found = object().find(key);
    check(found != json_->end(),
          [&] { return Error("malformed file", where(), "the key '" + key + "'", shown()); });
    return {*found, file_, path_ + "/" + key};
  }
  std::vector<JsonElement> elements() const {
    check(json_->is_array(), [&] { return error("an array"); });
    std::vector<JsonElement> all;
    all.reserve(json_->size());
    for (const Json& element : *json_)
      all.emplace_back(element, file_, path_ + "/" + std::to_string(all.size()));
    return all;
  }
  const Json& object() const {
    check(json_->is_object(), [&] { return error("an object"); });
    return *json_;
  }

  const std::string& string() const {
    check(json_->is_string(), [&] { return error("a string"); });
    return json_->get_ref<const std::string&>();
  }
  bool boolean() const {
    check(json_->is_boolean(), [&] { return error("true or false"); });
    return json_->get<bool>();
  }
  double number() const {
    check(json_->is_number(), [&] { return error("a number"); });
    return json_->get<double>();
  }
  std::int32_t id() const {
    check(json_->is_number_unsigned() && json_->get<std::uint64_t>() <= 0x7FFFFFFF,
          [&] { return error("an id: an integer from 0 to 2147483647"); });
    return static_cast<std::int32_t>(json_->get<std::uint64_t>());
  }
  /// The only character of a string.
  char32_t character() const {
    const std::string& text = string();
    check(count_characters(text) == 1, [&] { return error("one character"); });
    std::size_t at = 0;
    return next_character(text, at);
  }

  /// The values of keys that may be missing or null.
  std::string string_or(const std::string& key, const std::string& otherwise) const {
    return has(key) ? at(key).string() : otherwise;
  }
  bool boolean_or(const std::string& key, bool otherwise) const {
    return has(key) ? at(key).boolean() : otherwise;
  }

  std::string type() const { return at("type").string(); }
  Error unsupported(const std::string& what) const {
    return Error(what + " that is not supported", where(), "one of those docs/tokenizers.md lists", shown());
  }

 private:
  const Json* json_;
  std::string file_, path_;
};

}  // namespace hyperblocks::detail
