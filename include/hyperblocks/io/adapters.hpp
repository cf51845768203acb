// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapter files of either kind: a path that ends in .gguf is llama.cpp's, a folder PEFT's. What a file needs
// and does not say, heads and architecture, comes from a base model.
//   const AdapterBase base("path/to/model");
//   const HostAdapter adapter = read_adapter("adapter.gguf", base);    check_fits(adapter, base.spec, "...");
#pragma once

#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/io/gguf_adapter.hpp>
#include <hyperblocks/io/peft.hpp>

namespace hyperblocks {

/// What adapters need to know of the model they change.
struct AdapterBase {
  DecoderSpec spec;
  std::string architecture;  ///< llama.cpp's name
  std::string name;          ///< where it lies

  AdapterBase(const DecoderSpec& spec_, std::string architecture_, std::string name_)
      : spec(spec_), architecture(std::move(architecture_)), name(std::move(name_)) {}
  /// A folder with config.json, a config.json by any name, or a GGUF file.
  explicit AdapterBase(const std::filesystem::path& path) : spec(decoder_spec(path)), name(path.string()) {
    if (detail::is_gguf(path)) {
      architecture = GgufFile(path).get<std::string_view>("general.architecture");
      return;
    }
    const auto config = std::filesystem::is_directory(path) ? path / "config.json" : path;
    const auto family = JsonObject(read_json(config), config.string()).get<std::string>("model_type");
    architecture = family == "mistral" ? "llama" : family.starts_with("gemma3") ? "gemma3" : family;
  }

  /// How its adapters are written; what is not the base's to say is as given.
  AdapterOptions options(AdapterOptions given = {}) const {
    if (given.base_model.empty()) given.base_model = name;
    given.layers = spec.layers;
    given.architecture = architecture;
    given.heads = AttentionHeads(spec);
    return given;
  }
};

/// Whether a path names an adapter of llama.cpp, by its ending: so it is for files that are yet to be
/// written.
inline bool names_gguf(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return ending == ".gguf";
}

inline HostAdapter read_adapter(const std::filesystem::path& path, const AdapterBase* base = nullptr) {
  if (!names_gguf(path)) {
    check(std::filesystem::is_directory(path), [&] {
      return Error("not an adapter", path.string(), "a folder with adapter_config.json, or a file *.gguf",
                   std::filesystem::exists(path) ? "another file" : "nothing there");
    });
    return read_peft(path);
  }
  if (base == nullptr) return read_gguf_adapter(path);
  const GgufFile file(path);
  const auto architecture = file.get<std::string_view>("general.architecture");
  check(architecture == base->architecture, [&] {
    return Error("an adapter of another base", detail::place(path.string(), "general.architecture"),
                 base->architecture + ", as " + base->name, std::string(architecture));
  });
  return read_gguf_adapter(file, AttentionHeads(base->spec));
}

/// What an adapter's file says besides factors.
inline AdapterOptions adapter_options(const std::filesystem::path& path) {
  return names_gguf(path) ? gguf_adapter_options(path) : peft_options(path);
}

/// Gives the rank of a folder's linears; 0 for a GGUF file, which needs AdapterBase::options().
inline Index write_adapter(const std::filesystem::path& path, const HostAdapter& adapter,
                           const AdapterOptions& options = {}) {
  if (!names_gguf(path)) return write_peft(path, adapter, options);
  check(!options.architecture.empty(), [&] {
    return Error("the base's architecture is not known", path.string(),
                 "a base model: GGUF adapters name their base's architecture", "none");
  });
  write_gguf_adapter(path, adapter, options);
  return 0;
}

/// Whether factors add anything at all to their linear: NaN is something.
inline bool changes(const HostFactors& factors) {
  const auto any = [](const std::vector<float>& numbers) {
    return std::any_of(numbers.begin(), numbers.end(), [](float number) { return number != 0; });
  };
  return any(factors.bias) || (factors.scale != 0 && any(factors.a) && any(factors.b));
}

inline bool changes(const HostAdapter& adapter) {
  return std::any_of(adapter.linears.begin(), adapter.linears.end(),
                     [](const auto& linear) { return changes(linear.second); });
}

/// That an adapter changes something: one that matches nothing would go unnoticed.
inline void check_changes(const HostAdapter& adapter, const std::string& where) {
  check(changes(adapter), [&] {
    return Error("the adapter changes nothing", where, "factors and a scale that are not zero",
                 adapter.linears.empty()
                     ? "no linears"
                     : "scale B A of zero in all " + std::to_string(adapter.linears.size()) + " linears");
  });
}

/// That an adapter's linears are a model's; every one that does not fit is named.
inline void check_sizes(const HostAdapter& adapter, const DecoderSpec& spec, const std::string& where) {
  check_adapter(adapter, where);
  std::string expected, found;
  const auto say = [](std::string& text, const std::string& more) {
    text += (text.empty() ? "" : "; ") + more;
  };
  const auto size = [](LinearSize of) { return std::to_string(of.in) + " -> " + std::to_string(of.out); };
  for (const auto& [at, factors] : adapter.linears) {
    const LinearSize fitting = size_of(spec, at.projection);
    if (at.layer < 0 || at.layer >= spec.layers) {
      say(expected, "a layer of 0 to " + std::to_string(spec.layers - 1));
      say(found, to_string(at));
    } else if (factors.size != fitting) {
      say(expected, to_string(at) + " of " + size(fitting));
      say(found, size(factors.size));
    }
  }
  check(found.empty(), [&] { return Error("the adapter does not fit the model", where, expected, found); });
}

/// That an adapter fits a model and changes it.
inline void check_fits(const HostAdapter& adapter, const DecoderSpec& spec, const std::string& where) {
  check_sizes(adapter, spec, where);
  check_changes(adapter, where);
}

}  // namespace hyperblocks
