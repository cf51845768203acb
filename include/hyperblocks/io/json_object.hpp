// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// JsonObject: typed fields of a JSON object, with errors that name file and key. A field that is null counts
// as not there.
//   const JsonObject config(read_json(path), path.string());    config.get<Index>("hidden_size");
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hyperblocks/io/file_kind.hpp>
#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/io/stored_tensor.hpp>

namespace hyperblocks {

namespace detail {
/// A value as errors show it: no more than its kind if it has parts, which may be deep or many.
inline std::string shown(const nlohmann::json& value) {
  return value.is_structured() && !value.empty() ? std::string("an ") + value.type_name() : value.dump();
}
}  // namespace detail

namespace detail {
/// A parsed value is taken apart recursively: its depth is limited before it is one.
inline void check_depth(std::string_view text, const std::string& file) {
  constexpr int deepest = 64;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\') ++i;
    if (in_string) continue;
    depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    check(depth <= deepest, [&] {
      return Error("malformed JSON", file + ": offset " + std::to_string(i),
                   "at most " + std::to_string(deepest) + " levels", "another one");
    });
  }
}
}  // namespace detail

/// Text as JSON; `file` stands in errors, and `seen` is told of every part in the order of the text.
inline nlohmann::json parse_json(std::span<const std::byte> bytes, const std::string& file,
                                 const nlohmann::json::parser_callback_t& seen = nullptr) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view kind = detail::kind_of(bytes);
  check(kind.empty() || kind == "text",
        [&] { return Error("malformed JSON", file, "JSON", std::string(kind)); });
  detail::check_depth(text, file);
  try {
    return nlohmann::json::parse(text, seen);
  } catch (const nlohmann::json::exception& reason) {
    throw Error("malformed JSON", file, "JSON", reason.what());
  }
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json(MappedFile(path).bytes(), path.string());
}

class JsonObject {
 public:
  JsonObject(nlohmann::json fields, std::string file) : fields_(std::move(fields)), file_(std::move(file)) {
    check(fields_.is_object(),
          [&] { return Error("malformed JSON", file_, "an object", fields_.type_name()); });
  }

  const nlohmann::json& fields() const { return fields_; }
  const std::string& name() const { return file_; }
  std::string where(const std::string& key) const { return file_ + ": '" + key + "'"; }

  bool contains(const std::string& key) const {
    const auto found = fields_.find(key);
    return found != fields_.end() && !found->is_null();
  }

  /// A bool, integer, double, string or vector of them; nothing if not there, an Error if of another kind.
  template <class T>
  std::optional<T> find(const std::string& key) const {
    if (!contains(key)) return std::nullopt;
    return as<T>(key, fields_.at(key));
  }

  template <class T>
  T get(const std::string& key) const {
    if (auto value = find<T>(key)) return *std::move(value);
    throw Error("no such field", where(key), kind<T>(), "no value");
  }

  /// An object within; an empty one if not there.
  JsonObject object(const std::string& key) const {
    if (!contains(key)) return {nlohmann::json::object(), where(key)};
    return {fields_.at(key), where(key)};
  }

 private:
  template <class T>
  static std::string kind() {
    if constexpr (detail::is_vector<T>) return "an array, each " + kind<typename T::value_type>();
    if constexpr (std::same_as<T, bool>) return "true or false";
    if constexpr (std::floating_point<T>) return "a number";
    if constexpr (std::same_as<T, std::string>) return "a string";
    if constexpr (std::integral<T>) return "an integer";
  }

  template <class T>
  T as(const std::string& key, const nlohmann::json& value) const {
    const auto checked = [&](bool good) {
      check(good,
            [&] { return Error("a field of another kind", where(key), kind<T>(), detail::shown(value)); });
    };
    if constexpr (detail::is_vector<T>) {
      checked(value.is_array());
      T list;
      for (const auto& element : value) list.push_back(as<typename T::value_type>(key, element));
      return list;
    } else if constexpr (std::same_as<T, bool>) {
      checked(value.is_boolean());
      return value.get<bool>();
    } else if constexpr (std::same_as<T, std::string>) {
      checked(value.is_string());
      return value.get<std::string>();
    } else if constexpr (std::floating_point<T>) {
      checked(value.is_number());
      return value.get<T>();
    } else {
      checked(value.is_number_integer() &&
              (value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                          : std::in_range<T>(value.get<std::int64_t>())));
      return value.get<T>();
    }
  }

  nlohmann::json fields_;
  std::string file_;
};

}  // namespace hyperblocks
