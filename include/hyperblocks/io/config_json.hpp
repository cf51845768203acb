// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A DecoderSpec from Hugging Face's config.json. What a file leaves out has its family's default; what a
// Decoder cannot do is an Error that names the field.
#pragma once

#include <cmath>

#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/io/spec_checks.hpp>

namespace hyperblocks {
namespace detail {

/// The values of fields that a family's files may leave out. Sizes of matrices are always written, except by
/// Gemma 3. (As text, since each initialiser list of JSON costs every include of this header.)
inline nlohmann::json config_defaults(const std::string& family) {
  const auto values = [](std::string_view text) { return nlohmann::json::parse(text); };
  nlohmann::json defaults = values(R"({"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e4,
                                       "tie_word_embeddings": false, "max_position_embeddings": 8192})");
  if (family == "llama") defaults.update(values(R"({"max_position_embeddings": 2048})"));
  if (family == "mistral")
    defaults.update(values(R"({"max_position_embeddings": 131072, "sliding_window": 4096,
                               "num_key_value_heads": 8})"));
  if (family.starts_with("qwen"))
    defaults.update(values(R"({"max_position_embeddings": 32768, "sliding_window": 4096,
                               "max_window_layers": 28, "num_key_value_heads": 32})"));
  if (family == "qwen3") defaults.update(values(R"({"head_dim": 128})"));
  if (family.starts_with("gemma"))
    defaults.update(values(R"({"hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true,
                               "head_dim": 256, "num_key_value_heads": 4, "query_pre_attn_scalar": 256,
                               "sliding_window": 4096})"));
  if (family == "gemma2")
    defaults.update(values(R"({"attn_logit_softcapping": 50, "final_logit_softcapping": 30})"));
  if (family.starts_with("gemma3"))
    defaults.update(values(R"({"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
                               "num_hidden_layers": 26, "num_attention_heads": 8,
                               "max_position_embeddings": 131072, "sliding_window_pattern": 6,
                               "rope_theta": 1e6, "rope_local_base_freq": 1e4})"));
  return defaults;
}

inline Index config_size(const JsonObject& config, const std::string& key, Index most = largest_size) {
  return checked_size(config.get<Index>(key), config.where(key), most);
}
inline Index config_size_or(const JsonObject& config, const std::string& key, Index otherwise) {
  return config.contains(key) ? config_size(config, key) : otherwise;
}
inline double config_number(const JsonObject& config, const std::string& key, bool or_zero = false) {
  return checked_number(config.get<double>(key), config.where(key), or_zero);
}
/// Where the default is zero, the file may say so too.
inline double config_number_or(const JsonObject& config, const std::string& key, double otherwise) {
  return config.contains(key) ? config_number(config, key, otherwise == 0) : otherwise;
}

inline Activation config_activation(const JsonObject& config, const std::string& key) {
  const auto found = config.get<std::string>(key);
  if (found == "silu" || found == "swish") return Activation::silu;
  if (found == "gelu") return Activation::gelu_exact;
  if (found == "gelu_pytorch_tanh" || found == "gelu_new") return Activation::gelu_tanh;
  if (found == "relu") return Activation::relu;
  throw Error("an activation that is not supported", config.where(key),
              "silu, gelu, gelu_pytorch_tanh or relu", "'" + found + "'");
}

/// Whether q, k, v and o have a bias: what attention_bias means to these families, and nothing to the others.
inline bool config_attention_bias(const JsonObject& config, const std::string& family) {
  const bool knows = family == "llama" || family == "qwen3" || family.starts_with("gemma");
  return knows && config.find<bool>("attention_bias").value_or(false);
}

/// What a Decoder cannot do, as far as a config may ask for it.
inline void refuse_unsupported(const JsonObject& config) {
  for (const char* const key : {"mlp_bias", "use_bidirectional_attention"}) {
    const bool wanted = config.contains(key) && config.fields().at(key) != false;
    check(!wanted,
          [&] { return Error("not supported", config.where(key), "false", config.fields().at(key).dump()); });
  }
  check(!config.contains("quantization_config"), [&] {
    return Error("not supported", config.where("quantization_config"), "weights in F32, F16 or BF16",
                 "weights quantised by another library");
  });
}

struct Rope {
  double base;
  RopeScaling scaling;
  bool operator==(const Rope&) const = default;
};

/// Base and scaling from an object with rope_type (or type), and perhaps rope_theta.
inline Rope config_rope(const JsonObject& fields, double base, Index positions) {
  Rope rope{config_number_or(fields, "rope_theta", base), {}};
  const auto partial = fields.find<double>("partial_rotary_factor").value_or(1);
  check(partial == 1, [&] {
    return Error("not supported", fields.where("partial_rotary_factor"), "1", std::to_string(partial));
  });
  const std::string key = fields.contains("rope_type") ? "rope_type" : "type";
  const auto kind = fields.find<std::string>(key).value_or("default");
  if (kind == "linear") {
    rope.scaling = {.kind = RopeScaling::Kind::linear, .factor = config_number(fields, "factor")};
  } else if (kind == "llama3") {
    rope.scaling = {.kind = RopeScaling::Kind::llama3,
                    .factor = config_number(fields, "factor"),
                    .low_frequency_factor = config_number(fields, "low_freq_factor", true),
                    .high_frequency_factor = config_number(fields, "high_freq_factor"),
                    .original_positions = config_number_or(fields, "original_max_position_embeddings",
                                                           static_cast<double>(positions))};
    const RopeScaling& found = rope.scaling;
    check(found.low_frequency_factor < found.high_frequency_factor, [&] {
      return Error("an impossible rope scaling", fields.where("low_freq_factor"),
                   "less than the high_freq_factor, " + spec_text(found.high_frequency_factor),
                   spec_text(found.low_frequency_factor));
    });
  } else {
    check(kind == "default", [&] {
      return Error("a rope scaling that is not supported", fields.where(key), "default, linear or llama3",
                   "'" + kind + "'");
    });
  }
  return rope;
}

/// Older files have rope_theta beside rope_scaling, newer ones both in rope_parameters, which Gemma 3 has
/// once for layers with a window and once for those without. Where both stand they say the same.
inline void read_rope(const JsonObject& config, const std::string& family, DecoderSpec& spec) {
  const auto base = config_number(config, "rope_theta");
  const JsonObject parameters = config.object("rope_parameters");
  const bool nested = parameters.contains("full_attention") || parameters.contains("sliding_attention");
  const JsonObject older = config.object("rope_scaling");
  const JsonObject full = nested                               ? parameters.object("full_attention")
                          : config.contains("rope_parameters") ? parameters
                                                               : older;
  const Rope rope = config_rope(full, base, spec.positions);
  check(older.fields().empty() || config_rope(older, rope.base, spec.positions) == rope, [&] {
    return Error("two rope scalings", config.where("rope_parameters") + " and 'rope_scaling'",
                 "one of them, or the same in both", "two that differ");
  });
  spec.rope_base = rope.base;
  spec.rope_scaling = rope.scaling;
  if (family != "gemma3_text") return;
  const auto local = config_number(config, "rope_local_base_freq");
  const JsonObject window = parameters.object("sliding_attention");
  const Rope of_windows = config_rope(window, local, spec.positions);
  check(of_windows.scaling == RopeScaling{}, [&] {
    return Error("not supported", window.where("rope_type"), "no scaling in layers with a window", "one");
  });
  spec.window_rope_base = of_windows.base;
}

/// Which layers see a window only.
inline std::vector<bool> config_windows(const JsonObject& config, const std::string& family, Index layers) {
  const auto count = static_cast<std::size_t>(layers);
  if (family == "llama" || !config.contains("sliding_window")) return std::vector<bool>(count, false);
  if (family == "mistral") return std::vector<bool>(count, true);
  const bool qwen = family.starts_with("qwen");
  if (qwen && !config.find<bool>("use_sliding_window").value_or(false))
    return std::vector<bool>(count, false);
  std::vector<bool> windows;
  if (const auto types = config.find<std::vector<std::string>>("layer_types")) {
    for (const std::string& type : *types) {
      check(type == "sliding_attention" || type == "full_attention", [&] {
        return Error("a kind of attention that is not supported", config.where("layer_types"),
                     "sliding_attention or full_attention", "'" + type + "'");
      });
      windows.push_back(type == "sliding_attention");
    }
    check(windows.size() == count, [&] {
      return Error("as many types as layers", config.where("layer_types"), std::to_string(count),
                   std::to_string(windows.size()));
    });
    return windows;
  }
  const Index first = qwen ? config.get<Index>("max_window_layers") : 0;
  const Index pattern = family == "gemma2" ? 2 : config.find<Index>("sliding_window_pattern").value_or(0);
  for (Index i = 0; i < layers; ++i)
    windows.push_back(i >= first && (pattern <= 0 || (i + 1) % pattern != 0));
  return windows;
}

inline DecoderSpec spec_of_family(const JsonObject& config, const std::string& family) {
  const bool gemma = family.starts_with("gemma");
  refuse_unsupported(config);
  DecoderSpec spec;
  spec.vocabulary = config_size(config, "vocab_size");
  spec.hidden = config_size(config, "hidden_size");
  spec.layers = config_size(config, "num_hidden_layers", most_layers);
  spec.heads = config_size(config, "num_attention_heads");
  spec.kv_heads = config_size_or(config, "num_key_value_heads", spec.heads);
  spec.head_width = config_size_or(config, "head_dim", spec.hidden / spec.heads);
  spec.inner = config_size(config, "intermediate_size");
  spec.positions = config_size(config, "max_position_embeddings");
  check_heads(spec, config.where("num_attention_heads"));
  spec.activation = config_activation(config, gemma ? "hidden_activation" : "hidden_act");
  spec.epsilon = config_number(config, "rms_norm_eps");
  spec.head_norm = family == "qwen3" || family == "gemma3_text";
  spec.output_bias = config_attention_bias(config, family);
  spec.bias = family == "qwen2" || spec.output_bias;
  spec.tied = config.get<bool>("tie_word_embeddings");
  if (gemma) {
    make_gemma(spec);
    set_attention_scale(spec, 1 / std::sqrt(config_number(config, "query_pre_attn_scalar")));
    spec.attention_soft_cap = config_number_or(config, "attn_logit_softcapping", 0);
    spec.logit_soft_cap = config_number_or(config, "final_logit_softcapping", 0);
  }
  read_rope(config, family, spec);
  set_windows(spec, config_windows(config, family, spec.layers),
              config.find<Index>("sliding_window").value_or(0), config.where("layer_types"));
  return spec;
}

}  // namespace detail

/// The spec of a config.json; `file` stands in errors.
inline DecoderSpec decoder_spec_from_config(const nlohmann::json& json, const std::string& file) {
  const JsonObject config(json, file);
  auto family = config.get<std::string>("model_type");
  if (family == "gemma3") {  // the text model within one that also sees
    nlohmann::json text = detail::config_defaults("gemma3_text");
    text.update(config.object("text_config").fields());
    return detail::spec_of_family({text, config.where("text_config")}, "gemma3_text");
  }
  const std::vector<std::string> families = {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"};
  check(std::find(families.begin(), families.end(), family) != families.end(), [&] {
    return Error("a kind of model that is not supported", config.where("model_type"),
                 "llama, mistral, qwen2, qwen3, gemma2, gemma3_text or gemma3", "'" + family + "'");
  });
  nlohmann::json fields = detail::config_defaults(family);
  fields.update(json);
  return detail::spec_of_family({fields, file}, family);
}

}  // namespace hyperblocks
