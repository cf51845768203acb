// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A decoder that was trained here, as a Hugging Face folder: config.json and model.safetensors, of which
// every reader of Llama's or Qwen 3's files makes the same model.
//   save_decoder<Model>(cpu, params, "path/to/model");
#pragma once

#include <hyperblocks/io/config_json.hpp>
#include <hyperblocks/io/decoder_names.hpp>
#include <hyperblocks/io/safetensors.hpp>
#include <hyperblocks/io/spec_text.hpp>
#include <hyperblocks/models/decoder.hpp>

namespace hyperblocks {

/// The config.json of a spec; an Error if Llama's and Qwen 3's families have no such model.
inline nlohmann::ordered_json decoder_config(const DecoderSpec& spec) {
  const bool qwen = spec.head_norm;
  nlohmann::ordered_json config = {{"architectures", {qwen ? "Qwen3ForCausalLM" : "LlamaForCausalLM"}},
                                   {"model_type", qwen ? "qwen3" : "llama"},
                                   {"vocab_size", spec.vocabulary},
                                   {"hidden_size", spec.hidden},
                                   {"num_hidden_layers", spec.layers},
                                   {"num_attention_heads", spec.heads},
                                   {"num_key_value_heads", spec.key_heads()},
                                   {"head_dim", spec.width()},
                                   {"intermediate_size", spec.inner},
                                   {"max_position_embeddings", spec.positions},
                                   {"hidden_act", "silu"},
                                   {"rms_norm_eps", spec.epsilon},
                                   {"rope_theta", spec.rope_base},
                                   {"attention_bias", spec.bias},
                                   {"tie_word_embeddings", spec.tied}};
  DecoderSpec told = spec;
  told.kv_heads = spec.key_heads(), told.head_width = spec.width();
  check_spec(told, decoder_spec_from_config(config, "config.json"), "decoder_config",
             "a decoder that neither Llama's nor Qwen 3's files can tell");
  return config;
}

/// Both files appear together; what else the folder holds stays.
template <class Model>
void save_decoder(typename Model::Device& device, const typename Model::Params& params,
                  const std::filesystem::path& folder) {
  static_assert(!std::same_as<decltype(Model::Gradients::norm.weight), Nothing>,
                "hyperblocks: save_decoder writes decoders that train");
  const std::string text = decoder_config(Model::spec).dump(2) + "\n";
  Downloads downloads;
  visit(
      [&](const std::string& name, const auto& tensor) {
        downloads.add(device, detail::hugging_face_name(name, Model::spec, detail::prefixes[0]), tensor);
      },
      params);
  const FolderToFill made(folder);
  AtomicFile config(folder / "config.json"), weights(folder / "model.safetensors");
  config.write(std::as_bytes(std::span(text)));
  write_safetensors(weights, downloads.tensors(), {{"format", "pt"}});
  AtomicFile::commit_together(weights, config);
}

}  // namespace hyperblocks
