// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A TextEncoderSpec from Hugging Face's config.json: BERT's kind ("bert": BERT, MiniLM, bge, e5) and that of
// gte v1.5 ("new"). What an encoder cannot do is an Error that names the field.
#pragma once

#include <hyperblocks/io/config_json.hpp>
#include <hyperblocks/models/text_encoder_spec.hpp>

namespace hyperblocks {
namespace detail {

/// A field that has only one value here.
inline void require_field(const JsonObject& config, const char* key, const nlohmann::json& only) {
  check(!config.contains(key) || config.fields().at(key) == only, [&] {
    return Error("not supported", config.where(key), only.dump(), config.fields().at(key).dump());
  });
}

inline void read_gte(const JsonObject& config, TextEncoderSpec& spec) {
  require_field(config, "position_embedding_type", "rope");
  require_field(config, "layer_norm_type", "layer_norm");
  require_field(config, "pack_qkv", true);
  require_field(config, "logn_attention_scale", false);
  spec.gated = true;
  spec.rope_base = config_number(config, "rope_theta");
  const JsonObject scaling = config.object("rope_scaling");
  if (scaling.fields().empty()) return;
  require_field(scaling, "type", "ntk");
  require_field(scaling, "mixed_b", nullptr);
  spec.rope_scaling = {.kind = RopeScaling::Kind::ntk, .factor = config_number(scaling, "factor")};
}

}  // namespace detail

inline TextEncoderSpec text_encoder_spec_from_config(const nlohmann::json& json, const std::string& file) {
  const JsonObject config(json, file);
  const auto family = config.get<std::string>("model_type");
  TextEncoderSpec spec;
  spec.vocabulary = detail::config_size(config, "vocab_size");
  spec.hidden = detail::config_size(config, "hidden_size");
  spec.layers = detail::config_size(config, "num_hidden_layers", detail::most_layers);
  spec.heads = detail::config_size(config, "num_attention_heads");
  spec.inner = detail::config_size(config, "intermediate_size");
  spec.positions = detail::config_size(config, "max_position_embeddings");
  spec.token_types = detail::checked_size(config.find<Index>("type_vocab_size").value_or(2),
                                          config.where("type_vocab_size"), detail::largest_size, 0);
  spec.epsilon = detail::config_number_or(config, "layer_norm_eps", 1e-12);
  if (config.contains("hidden_act")) spec.activation = detail::config_activation(config, "hidden_act");
  check(spec.hidden % spec.heads == 0, [&] {
    return Error("heads that do not fit", config.where("num_attention_heads"),
                 "a divisor of hidden_size, " + std::to_string(spec.hidden), std::to_string(spec.heads));
  });
  if (family == "new") {
    detail::read_gte(config, spec);
  } else {
    check(family == "bert", [&] {
      return Error("a model that is not supported", config.where("model_type"), "bert or new (gte v1.5)",
                   "'" + family + "'");
    });
    detail::require_field(config, "position_embedding_type", "absolute");
  }
  return spec;
}

/// Of a folder with a config.json, or of such a file by any name.
inline TextEncoderSpec text_encoder_spec(const std::filesystem::path& path) {
  const auto config = is_folder(path) ? path / "config.json" : path;
  return text_encoder_spec_from_config(read_json(config), config.string());
}

}  // namespace hyperblocks
