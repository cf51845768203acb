// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a Decoder's parameters are called in Hugging Face's files and in llama.cpp's.
//   layers.3.attention.query.weight   model.layers.3.self_attn.q_proj.weight   blk.3.attn_q.weight
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <hyperblocks/models/decoder_spec.hpp>

namespace hyperblocks::detail {

struct ParameterName {
  std::string_view ours, hugging_face, gguf;
};

inline constexpr std::array layer_names = {
    ParameterName{"attention.query", "self_attn.q_proj", "attn_q"},
    ParameterName{"attention.key", "self_attn.k_proj", "attn_k"},
    ParameterName{"attention.value", "self_attn.v_proj", "attn_v"},
    ParameterName{"attention.output", "self_attn.o_proj", "attn_output"},
    ParameterName{"attention.query_norm", "self_attn.q_norm", "attn_q_norm"},
    ParameterName{"attention.key_norm", "self_attn.k_norm", "attn_k_norm"},
    ParameterName{"attention.norm", "input_layernorm", "attn_norm"},
    ParameterName{"attention.output_norm", "post_attention_layernorm", "post_attention_norm"},
    ParameterName{"mlp.gate", "mlp.gate_proj", "ffn_gate"},
    ParameterName{"mlp.up", "mlp.up_proj", "ffn_up"},
    ParameterName{"mlp.down", "mlp.down_proj", "ffn_down"},
    ParameterName{"mlp.norm", "pre_feedforward_layernorm", "ffn_norm"},
    ParameterName{"mlp.output_norm", "post_feedforward_layernorm", "post_ffw_norm"},
};
inline constexpr std::array model_names = {
    ParameterName{"embedding", "embed_tokens", "token_embd"},
    ParameterName{"norm", "norm", "output_norm"},
    ParameterName{"head", "lm_head", "output"},
};

/// A parameter's name in its parts: layer 3's "attention.query" and ".weight"; layer "" for the model's own.
struct NameParts {
  std::string layer, module, ending;

  explicit NameParts(const std::string& ours) {
    const std::string prefix = "layers.";
    const auto dot = ours.rfind('.');
    std::size_t first = 0;
    if (ours.starts_with(prefix)) {
      first = ours.find('.', prefix.size()) + 1;
      layer = ours.substr(prefix.size(), first - 1 - prefix.size());
    }
    module = ours.substr(first, dot - first);
    ending = ours.substr(dot);
  }

  const ParameterName& known() const {
    for (const auto& name : layer_names)
      if (!layer.empty() && name.ours == module) return name;
    for (const auto& name : model_names)
      if (layer.empty() && name.ours == module) return name;
    throw Error("a parameter without a name in files", "decoder_names", "one of a Decoder", module);
  }
};

/// What stands before "layers" and before "lm_head" in a file: it depends on the model that was saved.
struct Prefixes {
  std::string_view model, head;
};
inline constexpr std::array prefixes = {Prefixes{"model.", ""}, Prefixes{"", ""},
                                        Prefixes{"model.language_model.", ""},
                                        Prefixes{"language_model.model.", "language_model."}};

/// Llama's only norm between attention and MLP is called after where it stands, Gemma's after what follows.
inline std::string hugging_face_name(const std::string& ours, const DecoderSpec& spec,
                                     const Prefixes& before) {
  const NameParts parts(ours);
  std::string module(parts.known().hugging_face);
  if (parts.module == "mlp.norm" && !spec.output_norms) module = "post_attention_layernorm";
  if (parts.module == "head") return std::string(before.head) + module + parts.ending;
  const std::string layer = parts.layer.empty() ? "" : "layers." + parts.layer + ".";
  return std::string(before.model) + layer + module + parts.ending;
}

inline std::string gguf_name(const std::string& ours) {
  const NameParts parts(ours);
  const std::string layer = parts.layer.empty() ? "" : "blk." + parts.layer + ".";
  return layer + std::string(parts.known().gguf) + parts.ending;
}

}  // namespace hyperblocks::detail
