// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LoRA adapters as PEFT keeps them: a folder with adapter_config.json and adapter_model.safetensors. What the
// reader cannot take over exactly is an Error that names it. What is written has one rank, padded with zeros,
// and one scale, which is 1 (the linears' own is in B) unless that would round numbers of 16 bits again.
//   const HostAdapter adapter = read_peft("folder");    write_peft("other", adapter, {.base_model = "name"});
#pragma once

#include <regex>
#include <set>

#include <hyperblocks/io/adapter_tensors.hpp>
#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/io/safetensors.hpp>

namespace hyperblocks {

namespace detail {

/// Whether a key of rank_pattern or alpha_pattern means a module: Python's re.match("(.*\.)?(key)$", module).
class PeftPattern {
 public:
  PeftPattern(std::string key, const std::string& where) : key_(std::move(key)) {
    plain_ = std::all_of(key_.begin(), key_.end(), [](unsigned char c) {
      return c < 128 && (std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.');
    });
    if (!plain_) compile(where);
  }

  bool matches(const std::string& module) const {
    if (!plain_) return std::regex_match(module, expression_);
    if (key_.size() > module.size()) return false;
    const std::size_t start = module.size() - key_.size();
    if (start > 0 && module[start - 1] != '.') return false;
    return std::equal(key_.begin(), key_.end(), module.begin() + static_cast<std::ptrdiff_t>(start),
                      [](char expected, char found) { return expected == '.' || expected == found; });
  }

 private:
  /// What ECMAScript and Python read alike; the rest is refused rather than misread.
  void compile(const std::string& where) {
    constexpr std::size_t longest = 256;
    const auto refuse = [&](const std::string& found) {
      throw Error("a regular expression that is not supported", where,
                  "at most 256 characters that Python and ECMAScript read alike", found);
    };
    if (key_.size() > longest) refuse(std::to_string(key_.size()) + " characters");
    for (std::size_t i = 0; i < key_.size(); ++i) {
      if (static_cast<unsigned char>(key_[i]) >= 128) refuse("'" + key_ + "'");
      for (const std::string_view other : {"[]", "[^]", "[:", "[=", "[.", "*+", "++", "?+", "}+"})
        if (std::string_view(key_).substr(i).starts_with(other)) refuse("'" + std::string(other) + "'");
      if (key_[i] != '\\' || i + 1 == key_.size()) continue;
      const char escaped = key_[++i];
      if (std::isalnum(static_cast<unsigned char>(escaped)) != 0 &&
          std::string_view("dDwWsSbB").find(escaped) == std::string_view::npos)
        refuse("'\\" + std::string(1, escaped) + "'");
    }
    auto syntax = std::regex::ECMAScript;
#ifdef __GLIBCXX__
    syntax |= std::regex_constants::__polynomial;  // no expression takes exponential time
#endif
    try {
      expression_.assign("(.*\\.)?(" + key_ + ")$", syntax);
    } catch (const std::regex_error& reason) {
      refuse("'" + key_ + "': " + reason.what());
    }
  }

  std::string key_;
  bool plain_ = false;
  std::regex expression_;
};

/// What adapter_config.json says of scales.
class PeftConfig {
 public:
  PeftConfig(std::span<const std::byte> bytes, const std::string& file)
      : config_(parse_json(bytes, file, order_of_patterns()), file) {
    refuse_unsupported();
    rank_ = config_.get<double>("r");
    alpha_ = config_.get<double>("lora_alpha");
    root_scaled_ = config_.find<bool>("use_rslora").value_or(false);
    bias_ = config_.find<bool>("lora_bias").value_or(false);
    ranks_ = patterns("rank_pattern");
    alphas_ = patterns("alpha_pattern");
  }

  bool bias() const { return bias_; }
  std::string where(const std::string& key) const { return config_.where(key); }
  double rank(const std::string& module) const { return value(ranks_, module, rank_); }
  double scale(const std::string& module) const {
    const double rank = this->rank(module);
    return value(alphas_, module, alpha_) / (root_scaled_ ? std::sqrt(rank) : rank);
  }

 private:
  using Patterns = std::vector<std::pair<PeftPattern, double>>;

  static double value(const Patterns& patterns, const std::string& module, double otherwise) {
    for (const auto& [pattern, value] : patterns)
      if (pattern.matches(module)) return value;
    return otherwise;
  }

  /// Notes the keys of the root's objects in the order of the file, since the first pattern that matches
  /// counts.
  nlohmann::json::parser_callback_t order_of_patterns() {
    return [this, field = std::string()](int depth, nlohmann::json::parse_event_t event,
                                         const nlohmann::json& parsed) mutable {
      if (event != nlohmann::json::parse_event_t::key) return true;
      const auto key = parsed.get<std::string>();
      if (depth == 1) order_[field = key].clear();
      if (depth == 2) order_[field].push_back(key);
      return true;
    };
  }

  Patterns patterns(const std::string& field) const {
    const JsonObject numbers = config_.object(field);
    Patterns result;
    for (const auto& [key, unused] : numbers.fields().items()) static_cast<void>(numbers.get<double>(key));
    if (numbers.fields().empty()) return result;
    for (const std::string& key : order_.at(field))
      result.emplace_back(PeftPattern(key, numbers.where(key)), numbers.get<double>(key));
    return result;
  }

  /// Whatever would change the numbers in another way than scale B A x + C.
  void refuse_unsupported() const {
    const auto kind = config_.get<std::string>("peft_type");
    check(kind == "LORA", [&] {
      return Error("a kind of adapter that is not supported", where("peft_type"), "LORA", "'" + kind + "'");
    });
    static const std::set<std::string> harmless = {"peft_type",
                                                   "task_type",
                                                   "auto_mapping",
                                                   "peft_version",
                                                   "revision",
                                                   "inference_mode",
                                                   "r",
                                                   "base_model_name_or_path",
                                                   "target_modules",
                                                   "exclude_modules",
                                                   "lora_alpha",
                                                   "lora_dropout",
                                                   "bias",
                                                   "use_rslora",
                                                   "init_lora_weights",
                                                   "layers_to_transform",
                                                   "layers_pattern",
                                                   "rank_pattern",
                                                   "alpha_pattern",
                                                   "megatron_core",
                                                   "loftq_config",
                                                   "eva_config",
                                                   "lora_bias",
                                                   "ensure_weight_tying",
                                                   "runtime_config",
                                                   "qalora_group_size",
                                                   "enable_lora",
                                                   "merge_weights",
                                                   "corda_config",
                                                   "lora_ga_config"};
    for (const auto& [key, value] : config_.fields().items()) {
      const bool nothing = value.is_null() || value == false || (value.is_structured() && value.empty());
      check(nothing || harmless.contains(key), [&, &field = key, &found = value] {
        return Error("not supported", where(field), "null, false or empty", shown(found));
      });
    }
    refuse_changed_base();
  }

  /// Some ways to begin training take something off the base's weights, which only PEFT can do again.
  void refuse_changed_base() const {
    if (!config_.contains("init_lora_weights")) return;
    const auto& start = config_.fields().at("init_lora_weights");
    check(start.is_boolean() || start == "gaussian" || start == "eva" || start == "orthogonal", [&] {
      return Error("an adapter of a base with changed weights", where("init_lora_weights"),
                   "true, false, gaussian, eva or orthogonal: save it converted to plain LoRA", shown(start));
    });
  }

  std::map<std::string, std::vector<std::string>> order_;  ///< filled while config_ is read
  JsonObject config_;
  double rank_ = 0, alpha_ = 0;
  bool root_scaled_ = false, bias_ = false;
  Patterns ranks_, alphas_;
};

/// A tensor's name in its parts.
struct PeftName {
  HostAdapter::Place place;
  std::string_view prefix;                ///< what stands before "layers"
  std::string module;                     ///< as patterns see it: model.layers.3.self_attn.q_proj
  std::string StoredFactors::*part = {};  ///< whether it is A, B or C

  PeftName(std::string_view name, const std::string& file) {
    constexpr std::string_view start = "base_model.model.";
    constexpr std::pair<std::string_view, std::string StoredFactors::*> endings[] = {
        {".lora_A.weight", &StoredFactors::a},
        {".lora_B.weight", &StoredFactors::b},
        {".lora_B.bias", &StoredFactors::bias}};
    for (const auto& [ending, member] : endings)
      if (name.starts_with(start) && name.ends_with(ending)) {
        name.remove_prefix(start.size());
        module = name.substr(0, name.size() - std::min(name.size(), ending.size()));
        part = member;
        break;
      }
    check(part != nullptr, [&] {
      return Error("not a factor of LoRA", detail::place(file, std::string(name)),
                   "base_model.model.<module>.lora_A.weight, lora_B.weight or lora_B.bias", "another name");
    });
    check(find_place(), [&] {
      return Error(
          "a linear that is not supported", detail::place(file, std::string(name)),
          "[model.|model.language_model.|language_model.model.]layers.<number>. and self_attn.q_proj "
          "k_proj v_proj o_proj, mlp.gate_proj up_proj or down_proj",
          "'" + module + "'");
    });
  }

 private:
  bool find_place() {
    for (const auto& before : prefixes) {
      const std::string start = std::string(before.model) + "layers.";
      if (!module.starts_with(start)) continue;
      const std::string_view rest = std::string_view(module).substr(start.size());
      const std::size_t dot = rest.find('.');
      if (dot == rest.npos) return false;
      const auto layer = layer_number(rest.substr(0, dot));
      const auto projection = linear_of(rest.substr(dot + 1), &ParameterName::hugging_face);
      if (!layer || !projection) return false;
      place = {*layer, *projection};
      prefix = before.model;
      return true;
    }
    return false;
  }
};

/// The adapter of a config and tensors, wherever they were read from.
inline HostAdapter adapter_from_peft(const PeftConfig& config, const SafetensorsFile& file,
                                     const std::string& where) {
  StoredAdapter stored;
  std::map<HostAdapter::Place, std::string> modules;
  for (const auto& [name, tensor] : file.tensors()) {
    const PeftName parts(name, where);
    check(parts.part != &StoredFactors::bias || config.bias(), [&, &tensor_name = name] {
      return Error("a bias that the config does not know", place(where, tensor_name), "lora_bias true",
                   config.where("lora_bias") + " false");
    });
    add_tensor(stored, parts.place, parts.part, name, where);
    modules[parts.place] = parts.module;
  }
  check(!stored.empty(),
        [&] { return Error("an adapter without linears", where, "factors of LoRA", "no tensors"); });
  HostAdapter adapter;
  for (const auto& [at, names] : stored) {
    const std::string& module = modules.at(at);
    HostFactors factors = read_factors(file, where, names);
    check(static_cast<double>(factors.rank) == config.rank(module), [&, &tensor_name = names.a] {
      return Error("the rank differs from the config's", place(where, tensor_name),
                   nlohmann::json(config.rank(module)).dump() + " by r and rank_pattern",
                   std::to_string(factors.rank));
    });
    factors.scale = config.scale(module);
    factors.bias = times(factors.bias, factors.scale);  // as PEFT does
    adapter.linears.emplace(at, std::move(factors));
  }
  return adapter;
}

}  // namespace detail

inline HostAdapter read_peft(const std::filesystem::path& folder) {
  const auto config = folder / "adapter_config.json", weights = folder / "adapter_model.safetensors";
  for (const auto& file : {config, weights})
    check(std::filesystem::exists(file), [&] {
      const bool pickled = std::filesystem::exists(folder / "adapter_model.bin");
      return Error("a file is missing", file.string(),
                   "a PEFT adapter: adapter_config.json and adapter_model.safetensors",
                   pickled ? "adapter_model.bin: save it anew with safe_serialization=True" : "no such file");
    });
  const MappedFile text(config);
  return detail::adapter_from_peft(detail::PeftConfig(text.bytes(), config.string()),
                                   SafetensorsFile(weights), weights.string());
}

/// What a folder says besides factors.
inline AdapterOptions peft_options(const std::filesystem::path& folder) {
  const auto path = folder / "adapter_config.json", weights = folder / "adapter_model.safetensors";
  const JsonObject config(read_json(path), path.string());
  const SafetensorsFile file(weights);
  const auto text = [&](const char* key) { return config.find<std::string>(key).value_or(""); };
  AdapterOptions options{.base_model = text("base_model_name_or_path"),
                         .task = text("task_type"),
                         .dtype = detail::written_type(file)};
  std::set<std::string> prefixes;
  for (const auto& [name, tensor] : file.tensors())
    prefixes.emplace(detail::PeftName(name, weights.string()).prefix);
  check(prefixes.size() == 1, [&] {
    return Error("not one kind of base", weights.string(), "one prefix before 'layers'",
                 std::to_string(prefixes.size()));
  });
  options.prefix = *prefixes.begin();
  return options;
}

/// The smallest --max-lora-rank with which vLLM loads an adapter of that rank; 0: none.
constexpr Index vllm_rank(Index rank) {
  for (const Index most : {1, 8, 16, 32, 64, 128, 256, 320, 512})
    if (rank <= most) return most;
  return 0;
}

namespace detail {

inline std::string peft_module(const HostAdapter::Place& at, const AdapterOptions& options) {
  return options.prefix + "layers." + std::to_string(at.layer) + "." +
         std::string(names_of(at.projection).hugging_face);
}

/// Which modules PEFT is to change, exactly those of the adapter: by their short names and the layers where
/// all of these layers have them all, else one by one.
inline void add_targets(nlohmann::json& config, const HostAdapter& adapter, const AdapterOptions& options) {
  std::map<Projection, std::set<Index>> of;
  std::set<Index> all;
  for (const auto& [at, factors] : adapter.linears) {
    of[at.projection].insert(at.layer);
    all.insert(at.layer);
  }
  // Without "model." PEFT finds no layers' numbers; behind "language_model" others have layers of these
  // names.
  bool regular = options.prefix == "model.";
  for (const auto& [projection, layers] : of) regular = regular && layers == all;
  std::vector<std::string> targets;
  if (regular) {
    for (const auto& [projection, unused] : of) {
      const std::string_view name = names_of(projection).hugging_face;
      targets.emplace_back(name.substr(name.find('.') + 1));
    }
    if (static_cast<Index>(all.size()) != options.layers)
      config["layers_to_transform"] = std::vector<Index>(all.begin(), all.end());
  } else {
    for (const auto& [at, factors] : adapter.linears) targets.push_back(peft_module(at, options));
  }
  config["target_modules"] = targets;
}

/// Factors as a folder's tensors: of one rank, with what the loader's scale leaves.
struct PeftTensors {
  Index rank = 1;
  bool bias = false;
  double scale = 1;
  std::map<std::string, StoredTensor> stored;

  PeftTensors(const HostAdapter& adapter, const AdapterOptions& options, const std::string& where)
      : scale(written_scale(adapter, options.dtype)) {
    for (const auto& [at, factors] : adapter.linears) {
      rank = std::max(rank, factors.rank);
      bias = bias || !factors.bias.empty();
    }
    for (const auto& [at, factors] : adapter.linears) {
      const std::string module = "base_model.model." + peft_module(at, options);
      const auto& [in, out] = factors.size;
      const auto add = [&](const char* name, std::vector<Index> shape, std::span<const float> numbers) {
        auto& bytes = bytes_[module + name] =
            stored_numbers(numbers, options.dtype, place(where, module + name));
        stored[module + name] = {options.dtype, std::move(shape), bytes};
      };
      const HostFactors wide = padded(factors, rank);
      std::vector<float> c = times(factors.bias, 1 / scale);
      c.resize(static_cast<std::size_t>(out));
      add(".lora_A.weight", {rank, in}, wide.a);
      add(".lora_B.weight", {out, rank}, scaled_b(wide, scale));
      if (bias) add(".lora_B.bias", {out}, c);
    }
  }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
};

inline std::string peft_config(const HostAdapter& adapter, const PeftTensors& tensors,
                               const AdapterOptions& options) {
  nlohmann::json config = nlohmann::json::parse(std::string_view(
      R"({"peft_type": "LORA", "task_type": null, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false,
          "use_rslora": false, "inference_mode": true})"));
  if (!options.task.empty()) config["task_type"] = options.task;
  config["base_model_name_or_path"] = options.base_model;
  config["r"] = tensors.rank;
  config["lora_alpha"] = tensors.rank;
  if (tensors.scale != 1) config["lora_alpha"] = tensors.scale * static_cast<double>(tensors.rank);
  config["lora_bias"] = tensors.bias;
  add_targets(config, adapter, options);
  return config.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace detail

/// Writes a folder and gives the rank of its linears: the largest. No config ever stands beside another's
/// weights: what a crash leaves is the old adapter, the new one or, hardly ever, no config and so an Error.
inline Index write_peft(const std::filesystem::path& folder, const HostAdapter& adapter,
                        const AdapterOptions& options = {}) {
  detail::check_writable(adapter, folder.string());
  const detail::PeftTensors tensors(adapter, options, folder.string());
  const std::string text = detail::peft_config(adapter, tensors, options);
  const FolderToFill made(folder);
  AtomicFile weights(folder / "adapter_model.safetensors"), config(folder / "adapter_config.json");
  write_safetensors(weights, tensors.stored, {{"format", "pt"}});
  config.write(std::as_bytes(std::span(text)));
  AtomicFile::commit_together(weights, config);
  return tensors.rank;
}

}  // namespace hyperblocks
