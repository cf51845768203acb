// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A DecoderSpec from the metadata of a GGUF file, and what follows from its architecture and its tensors.
#pragma once

#include <charconv>
#include <cmath>

#include <hyperblocks/io/gguf.hpp>
#include <hyperblocks/io/spec_checks.hpp>

namespace hyperblocks {
namespace detail {

/// The metadata under the architecture's name: "llama.block_count" is block_count.
class GgufConfig {
 public:
  explicit GgufConfig(const GgufFile& file)
      : file_(&file), architecture_(file.get<std::string_view>("general.architecture")) {}

  const GgufFile& file() const { return *file_; }
  const std::string& architecture() const { return architecture_; }
  std::string full(const std::string& key) const { return architecture_ + "." + key; }
  std::string where(const std::string& key) const { return place(file_->name(), full(key)); }
  std::optional<Index> find(const std::string& key) const { return file_->find<Index>(full(key)); }
  Index size(const std::string& key, Index most = largest_size) const {
    return checked_size(file_->get<Index>(full(key)), where(key), most);
  }
  Index size_or(const std::string& key, Index otherwise) const { return find(key) ? size(key) : otherwise; }
  double number(const std::string& key, bool or_zero = false) const {
    return checked_number(meant(file_->get<float>(full(key))), where(key), or_zero);
  }
  double number_or(const std::string& key, double otherwise, bool or_zero = false) const {
    return file_->find<float>(full(key)) ? number(key, or_zero) : otherwise;
  }

 private:
  /// The decimal number that was meant: 1e-6, not 9.99999997e-07.
  static double meant(float value) {
    char text[32];
    const char* const end = std::to_chars(text, text + sizeof text, value).ptr;
    double number = 0;
    std::from_chars(text, end, number);
    return number;
  }

  const GgufFile* file_;
  std::string architecture_;
};

/// Whether the frequencies that a scaling leaves are those without it, divided by the factors.
inline bool fits(const RopeScaling& scaling, const DecoderSpec& spec, const std::vector<float>& factors) {
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const auto at = static_cast<Index>(i);
    const double expected = rope_frequency({}, spec.rope_base, spec.width(), at) /
                            rope_frequency(scaling, spec.rope_base, spec.width(), at);
    if (!(std::abs(static_cast<double>(factors[i]) - expected) <= 1e-3 * expected)) return false;
  }
  return true;
}

/// llama.cpp's files have a tensor of divisors of the frequencies in place of Llama 3's parameters, which are
/// those of all published models but for the factor: 8 in Llama 3.1, 32 in 3.2, else what divides most.
inline void read_rope_factors(const GgufFile& file, DecoderSpec& spec) {
  const std::string name = "rope_freqs.weight";
  if (!file.contains(name)) return;
  const std::vector<Index> shape = {spec.width() / 2};
  check(file.tensor(name).shape == shape, [&] {
    return Error("the shape differs", place(file.name(), name), shape_text(shape),
                 shape_text(file.tensor(name).shape));
  });
  std::vector<float> factors(static_cast<std::size_t>(shape[0]));
  file.read<float>(name, shape, factors);
  const auto largest = static_cast<double>(*std::max_element(factors.begin(), factors.end()));
  for (const double factor : {1.0, 8.0, 32.0, largest}) {
    const RopeScaling llama3{.kind = RopeScaling::Kind::llama3, .factor = factor};
    if (spec.rope_scaling != RopeScaling{} || !fits(llama3, spec, factors)) continue;
    if (factor != 1) spec.rope_scaling = llama3;
    return;
  }
  throw Error("a rope scaling that is not supported", place(file.name(), name),
              "the divisors of Llama 3 and no other scaling", "divisors of up to " + std::to_string(largest));
}

inline void read_rope(const GgufConfig& config, DecoderSpec& spec) {
  spec.rope_base = config.number_or("rope.freq_base", 10000);
  const auto rotated = config.find("rope.dimension_count").value_or(spec.width());
  check(rotated == spec.width(), [&] {
    return Error("not supported", config.where("rope.dimension_count"), std::to_string(spec.width()),
                 std::to_string(rotated));
  });
  const auto kind = config.file().find<std::string_view>(config.full("rope.scaling.type")).value_or("linear");
  check(kind == "none" || kind == "linear", [&] {
    return Error("a rope scaling that is not supported", config.where("rope.scaling.type"), "none or linear",
                 std::string(kind));
  });
  const auto older = config.number_or("rope.scale_linear", 1, true);
  const auto factor = config.number_or("rope.scaling.factor", older, true);
  if (kind == "linear" && factor != 0 && factor != 1)
    spec.rope_scaling = {.kind = RopeScaling::Kind::linear, .factor = factor};
  read_rope_factors(config.file(), spec);
}

/// Which layers see a window only: the file's own pattern, or llama.cpp's for the architecture.
inline std::vector<bool> read_windows(const GgufConfig& config, Index layers) {
  const std::string key = "attention.sliding_window_pattern";
  const auto stored = config.file().metadata().find(config.full(key));
  if (stored != config.file().metadata().end() && stored->second.is_array) {
    auto windows = config.file().get<std::vector<bool>>(config.full(key));
    check(windows.size() == static_cast<std::size_t>(layers), [&] {
      return Error("as many values as layers", config.where(key), std::to_string(layers),
                   std::to_string(windows.size()));
    });
    return windows;
  }
  const Index usual = config.architecture() == "gemma2" ? 2 : config.architecture() == "gemma3" ? 6 : 0;
  const Index pattern = config.find(key).value_or(usual);
  std::vector<bool> windows(static_cast<std::size_t>(layers), true);
  for (Index i = pattern; pattern > 0 && i <= layers; i += pattern)
    windows[static_cast<std::size_t>(i - 1)] = false;
  return windows;
}

inline void read_gemma(const GgufConfig& config, DecoderSpec& spec) {
  const bool second = config.architecture() == "gemma2";
  make_gemma(spec);
  spec.activation = Activation::gelu_tanh;
  // The models of 27B scale by the width that heads would have if they shared the hidden size.
  if (spec.layers == (second ? 46 : 62))
    set_attention_scale(spec,
                        1 / std::sqrt(static_cast<double>(spec.hidden) / static_cast<double>(spec.heads)));
  spec.attention_soft_cap = config.number_or("attn_logit_softcapping", second ? 50 : 0, true);
  spec.logit_soft_cap = config.number_or("final_logit_softcapping", second ? 30 : 0, true);
  if (!second) spec.window_rope_base = config.number_or("rope.freq_base_swa", 10000);
}

inline void refuse_unsupported(const GgufConfig& config) {
  const GgufFile& file = config.file();
  const std::vector<std::string> known = {"llama", "qwen2", "qwen3", "gemma2", "gemma3"};
  check(std::find(known.begin(), known.end(), config.architecture()) != known.end(), [&] {
    return Error("a kind of model that is not supported", place(file.name(), "general.architecture"),
                 "llama, qwen2, qwen3, gemma2 or gemma3", "'" + config.architecture() + "'");
  });
  const auto experts = config.find("expert_count").value_or(0);
  check(experts == 0, [&] {
    return Error("not supported", config.where("expert_count"), "no experts", std::to_string(experts));
  });
  const auto parts = file.find<Index>("split.count").value_or(1);
  check(parts <= 1, [&] {
    return Error("not supported", place(file.name(), "split.count"), "a model in one file",
                 "a part of " + std::to_string(parts));
  });
  for (const char* const tensor : {"blk.0.ffn_gate.bias", "blk.0.ffn_down.bias"})
    check(!file.contains(tensor),
          [&] { return Error("not supported", place(file.name(), tensor), "no bias there", "one"); });
}

}  // namespace detail

inline DecoderSpec decoder_spec_from_gguf(const GgufFile& file) {
  const detail::GgufConfig config(file);
  detail::refuse_unsupported(config);
  const auto& table = file.tensor("token_embd.weight").shape;
  DecoderSpec spec;
  spec.vocabulary =
      detail::checked_size(table.empty() ? 0 : table[0], detail::place(file.name(), "token_embd.weight"));
  spec.hidden = config.size("embedding_length");
  spec.layers = config.size("block_count", detail::most_layers);
  spec.heads = config.size("attention.head_count");
  spec.kv_heads = config.size_or("attention.head_count_kv", spec.heads);
  spec.head_width = config.size_or("attention.key_length", spec.hidden / spec.heads);
  spec.inner = config.size("feed_forward_length");
  spec.positions = config.size("context_length");
  detail::check_heads(spec, config.where("attention.head_count"));
  const Index values = config.find("attention.value_length").value_or(spec.head_width);
  check(values == spec.head_width, [&] {
    return Error("not supported", config.where("attention.value_length"), std::to_string(spec.head_width),
                 std::to_string(values));
  });
  spec.epsilon = config.number("attention.layer_norm_rms_epsilon");
  spec.head_norm = config.architecture() == "qwen3" || config.architecture() == "gemma3";
  spec.bias = file.contains("blk.0.attn_q.bias");
  spec.output_bias = file.contains("blk.0.attn_output.bias");
  spec.tied = !file.contains("output.weight");
  if (config.architecture().starts_with("gemma")) detail::read_gemma(config, spec);
  detail::read_rope(config, spec);
  if (const double scale = config.number_or("attention.scale", 0, true); scale != 0)
    detail::set_attention_scale(spec, scale);
  const Index usual = config.architecture() == "gemma2" ? 4096 : 0;
  const Index window = config.find("attention.sliding_window").value_or(usual);
  if (window == 0)
    spec.window_rope_base = 0;
  else
    detail::set_windows(spec, detail::read_windows(config, spec.layers), window,
                        config.where("attention.sliding_window_pattern"));
  return spec;
}

}  // namespace hyperblocks
