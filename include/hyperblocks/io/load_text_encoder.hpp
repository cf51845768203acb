// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text encoders from Hugging Face's folders.
//   const auto params = loaded_text_encoder<Encoder>(cpu, "all-MiniLM-L6-v2");
#pragma once

#include <hyperblocks/io/model_directory.hpp>
#include <hyperblocks/io/progress.hpp>
#include <hyperblocks/io/spec_text.hpp>
#include <hyperblocks/io/text_encoder_config.hpp>

namespace hyperblocks {
namespace detail {

/// Where a parameter's numbers are: the part-th of `parts` equal runs of a tensor's rows.
struct StoredPart {
  std::string name;
  Index part = 0, parts = 1;
};

struct EncoderName {
  std::string_view ours, theirs;
  Index part = 0, parts = 1;
};
inline constexpr std::array bert_names = {EncoderName{"attention.query", "attention.self.query"},
                                          EncoderName{"attention.key", "attention.self.key"},
                                          EncoderName{"attention.value", "attention.self.value"},
                                          EncoderName{"attention.output", "attention.output.dense"},
                                          EncoderName{"attention.norm", "attention.output.LayerNorm"},
                                          EncoderName{"mlp.expand", "intermediate.dense"},
                                          EncoderName{"mlp.project", "output.dense"},
                                          EncoderName{"mlp.norm", "output.LayerNorm"}};
inline constexpr std::array gte_names = {EncoderName{"attention.query", "attention.qkv_proj", 0, 3},
                                         EncoderName{"attention.key", "attention.qkv_proj", 1, 3},
                                         EncoderName{"attention.value", "attention.qkv_proj", 2, 3},
                                         EncoderName{"attention.output", "attention.o_proj"},
                                         EncoderName{"attention.norm", "attn_ln"},
                                         EncoderName{"mlp.up", "mlp.up_gate_proj", 0, 2},
                                         EncoderName{"mlp.gate", "mlp.up_gate_proj", 1, 2},
                                         EncoderName{"mlp.down", "mlp.down_proj"},
                                         EncoderName{"mlp.norm", "mlp_ln"}};
inline constexpr std::array embedding_names = {
    EncoderName{"words", "word_embeddings"}, EncoderName{"positions", "position_embeddings"},
    EncoderName{"types", "token_type_embeddings"}, EncoderName{"norm", "LayerNorm"}};

/// layers.3.attention.query.weight -> encoder.layer.3.attention.self.query.weight
inline StoredPart stored_part(const std::string& ours, const TextEncoderSpec& spec) {
  const auto dot = ours.rfind('.');
  const std::string ending = ours.substr(dot);
  std::string place = "embeddings.", module = ours.substr(0, dot);
  std::span<const EncoderName> names = embedding_names;
  if (module.starts_with("layers.")) {
    const auto end = module.find('.', 7);
    place = "encoder.layer." + module.substr(7, end - 7) + ".";
    module = module.substr(end + 1);
    names = spec.gated ? std::span<const EncoderName>(gte_names) : std::span<const EncoderName>(bert_names);
  }
  for (const EncoderName& name : names)
    if (name.ours == module) return {place.append(name.theirs).append(ending), name.part, name.parts};
  throw Error("a parameter without a name in files", "load_text_encoder", "one of a TextEncoder", ours);
}

}  // namespace detail

/// Fills the parameters from a folder with config.json and safetensors; what the folder has besides (poolers,
/// heads) is left.
template <class Encoder, class Device>
void load_text_encoder(Device& device, typename Encoder::Params& params, const std::filesystem::path& folder,
                       const Progress& progress = {}) {
  check_spec(Encoder::spec, text_encoder_spec(folder), folder.string());
  const ModelDirectory files(folder);
  std::string prefix;
  for (const char* before : {"bert.", "new."})
    if (files.contains(before + std::string("embeddings.word_embeddings.weight"))) prefix = before;
  const auto total = static_cast<std::uint64_t>(count(params));
  std::uint64_t done = 0;
  visit(
      [&](const std::string& ours, auto& tensor) {
        using Scalar = typename std::remove_cvref_t<decltype(tensor)>::ScalarType;
        const auto [name, part, parts] = detail::stored_part(ours, Encoder::spec);
        const auto extents = tensor.shape().all();
        std::vector<Index> shape(extents.begin(), extents.end());
        shape[0] *= parts;
        const auto size = static_cast<std::size_t>(tensor.size());
        std::vector<Scalar> host(size * static_cast<std::size_t>(parts));
        files.read<Scalar>(prefix + name, shape, std::span(host));
        tensor.upload(device, std::span(host).subspan(size * static_cast<std::size_t>(part), size));
        done += size;
        if (progress) progress(done, total, ours);
      },
      params);
}

/// The same into memory of its own.
template <class Encoder, class Device>
typename Encoder::Params loaded_text_encoder(Device& device, const std::filesystem::path& folder,
                                             const Progress& progress = {}) {
  auto params = make<typename Encoder::Params>(device);
  load_text_encoder<Encoder>(device, params, folder, progress);
  return params;
}

}  // namespace hyperblocks
