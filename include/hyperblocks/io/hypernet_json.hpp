// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// hypernet.json: what a hypernetwork on disk is: its system and spec, the sizes of its base, and how it is
// fed. hyperblocks_add_hypernet makes a program's constants of it. A field that the file leaves out has the
// spec's default.
//   const HypernetConfig config = read_hypernet("path/to/net");
//   if (const auto* spec = std::get_if<ShineSpec>(&config.spec)) ...
#pragma once

#include <set>
#include <variant>

#include <hyperblocks/io/atomic_file.hpp>
#include <hyperblocks/io/hypernet_specs.hpp>
#include <hyperblocks/io/json_object.hpp>

namespace hyperblocks {

using AnyHypernetSpec = std::variant<ShineSpec, DocToLoraSpec, TextToLoraSpec>;

struct HypernetConfig {
  HypernetBase base = {};
  AnyHypernetSpec spec = {};
  ContextSpec context = {};  ///< Doc-to-LoRA: what is read of the reader
  std::string reader = {};   ///< Doc-to-LoRA, Text-to-LoRA: the model that reads, by its makers' name; empty:
                             ///< the base
  Index chunk = 512;         ///< Doc-to-LoRA: how many ids a piece of a document has at most
};

inline const char* system_of(const HypernetConfig& config) {
  return std::visit([]<class Spec>(const Spec&) { return detail::SpecCode<Spec>::system; }, config.spec);
}

namespace detail {

template <class T>
nlohmann::ordered_json field_json(const T& value) {
  if constexpr (NamedEnum<T>)
    return spec_text(value);
  else
    return value;
}

/// {"rank": 8, "m2p": {"blocks": 4}}
template <class Spec>
nlohmann::ordered_json fields_json(const Spec& spec) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  each_field(
      [&](std::string_view field, const auto& value) {
        const auto dot = field.find('.');
        auto& to = dot == field.npos ? json : json[std::string(field.substr(0, dot))];
        to[std::string(dot == field.npos ? field : field.substr(dot + 1))] = field_json(value);
      },
      spec);
  return json;
}

inline void check_keys(const JsonObject& json, const std::set<std::string>& known) {
  for (const auto& [key, value] : json.fields().items())
    check(known.contains(key), [&, &unknown = key] {
      std::string expected;
      for (const auto& each : known) expected += (expected.empty() ? "" : ", ") + each;
      return Error("an unknown field", json.where(unknown), "one of " + expected, "'" + unknown + "'");
    });
}

/// Takes the fields of a spec from JSON, and knows those that there are.
class FieldReader {
 public:
  explicit FieldReader(const JsonObject& json) : json_(json) {}

  template <class T>
  void operator()(std::string_view field, T& value) {
    const auto dot = field.find('.');
    if (dot == field.npos) {
      read(json_, std::string(field), value), known_.insert(std::string(field));
      return;
    }
    const std::string outer(field.substr(0, dot)), inner(field.substr(dot + 1));
    known_.insert(outer), within_[outer].insert(inner);
    read(json_.object(outer), inner, value);
  }

  void check_all_known() const {
    check_keys(json_, known_);
    for (const auto& [outer, known] : within_) check_keys(json_.object(outer), known);
  }

 private:
  template <class T>
  static void read(const JsonObject& from, const std::string& key, T& value) {
    if constexpr (NamedEnum<T>) {
      const auto text = from.find<std::string>(key);
      if (!text) return;
      constexpr auto& names = EnumNames<T>::names;
      const auto found = std::ranges::find(names, *text);
      check(found != names.end(), [&] {
        std::string expected;
        for (const char* const each : names) expected += (expected.empty() ? "" : ", ") + std::string(each);
        return Error("an unknown word", from.where(key), "one of " + expected, "'" + *text + "'");
      });
      value = static_cast<T>(found - names.begin());
    } else {
      value = from.find<T>(key).value_or(value);
    }
  }

  const JsonObject& json_;
  std::set<std::string> known_;
  std::map<std::string, std::set<std::string>> within_;
};

template <class Spec>
Spec read_fields(const JsonObject& json) {
  Spec spec;
  FieldReader reader(json);
  each_field([&](const char* field, auto& value) { reader(field, value); }, spec);
  reader.check_all_known();
  return spec;
}

/// The spec of a system by its name, with its defaults.
inline AnyHypernetSpec spec_of_system(const JsonObject& json) {
  const auto system = json.get<std::string>("system");
  if (system == SpecCode<ShineSpec>::system) return ShineSpec{};
  if (system == SpecCode<DocToLoraSpec>::system) return DocToLoraSpec{};
  if (system == SpecCode<TextToLoraSpec>::system) return TextToLoraSpec{};
  throw Error("an unknown system", json.where("system"), "shine, doc-to-lora or text-to-lora",
              "'" + system + "'");
}

inline void check_possible(const HypernetConfig& config, const std::string& file) {
  const SpecChecker possible(file, config.base);
  check_base(possible);
  std::visit([&](const auto& spec) { check_possible(resolved(spec, config.base), possible); }, config.spec);
  check_possible(config.context, possible);
  possible.least(config.chunk, "chunk");
}

}  // namespace detail

inline HypernetConfig hypernet_from_json(const nlohmann::json& fields, const std::string& file) {
  const JsonObject json(fields, file);
  const auto format = json.get<Index>("format");
  check(format == 1,
        [&] { return Error("an unknown format", json.where("format"), "1", std::to_string(format)); });
  HypernetConfig config;
  config.spec = detail::spec_of_system(json);
  std::set<std::string> known = {"format", "system", "base", "spec"};
  const bool reads = !std::holds_alternative<ShineSpec>(config.spec);
  const bool documents = std::holds_alternative<DocToLoraSpec>(config.spec);
  if (reads) known.insert("reader");
  if (documents) known.insert({"context", "chunk"});
  detail::check_keys(json, known);
  config.base = detail::read_fields<HypernetBase>(json.object("base"));
  std::visit([&]<class Spec>(Spec& spec) { spec = detail::read_fields<Spec>(json.object("spec")); },
             config.spec);
  if (reads) config.reader = json.find<std::string>("reader").value_or("");
  if (documents) {
    config.context = detail::read_fields<ContextSpec>(json.object("context"));
    config.chunk = json.find<Index>("chunk").value_or(config.chunk);
  }
  detail::check_possible(config, file);
  return config;
}

/// Of a folder or of the file itself.
inline HypernetConfig read_hypernet(const std::filesystem::path& path) {
  const auto file = is_folder(path) ? path / "hypernet.json" : path;
  return hypernet_from_json(read_json(file), file.string());
}

/// As text; an Error if the config cannot be, with `file` in it.
inline std::string hypernet_text(const HypernetConfig& config, const std::string& file) {
  detail::check_possible(config, file);
  nlohmann::ordered_json json = {{"format", 1}, {"system", system_of(config)}};
  json["base"] = detail::fields_json(config.base);
  std::visit(
      [&](const auto& spec) { json["spec"] = detail::fields_json(detail::resolved(spec, config.base)); },
      config.spec);
  if (!std::holds_alternative<ShineSpec>(config.spec)) json["reader"] = config.reader;
  if (std::holds_alternative<DocToLoraSpec>(config.spec)) {
    json["context"] = detail::fields_json(config.context);
    json["chunk"] = config.chunk;
  }
  return json.dump(2) + "\n";
}

/// A header that defines the spec as `constant`, and what a reader gives as `constant`_context: that tells
/// nothing but of a Doc-to-LoRA, so that a program for any system compiles with it.
inline std::string hypernet_header(const HypernetConfig& config, const std::string& constant,
                                   const std::string& origin) {
  return std::visit(
      [&]<class Spec>(const Spec& spec) {
        std::string text = spec_header(spec, constant, origin);
        text += "\n" + spec_constant(config.base, constant + "_base");
        text += "\n" + spec_constant(config.context, constant + "_context");
        const auto include = [](const std::string& header) {
          return "#include <hyperblocks/" + header + ">\n";
        };
        text.insert(
            text.find(include(detail::SpecCode<Spec>::header)),
            include(detail::SpecCode<ContextSpec>::header) + include(detail::SpecCode<HypernetBase>::header));
        return text;
      },
      config.spec);
}

}  // namespace hyperblocks
