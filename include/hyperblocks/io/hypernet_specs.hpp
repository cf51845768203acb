// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Specs of hypernetworks as files spell them: their fields by name, what follows from others filled in, and
// whether they can be.
#pragma once

#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/hypernets/hypernet_base.hpp>
#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/hypernets/text_to_lora_spec.hpp>
#include <hyperblocks/io/spec_checks.hpp>

namespace hyperblocks {

template <>
struct EnumNames<FactorForm> {
  static constexpr const char* type = "FactorForm";
  static constexpr std::array names = {"rows", "columns"};
};
template <>
struct EnumNames<M2pKind> {
  static constexpr const char* type = "M2pKind";
  static constexpr std::array names = {"transformer", "linear", "linear_gate"};
};
template <>
struct EnumNames<M2pAxes> {
  static constexpr const char* type = "M2pAxes";
  static constexpr std::array names = {"layers_first", "tokens_first", "layers_only", "tokens_only"};
};
template <>
struct EnumNames<NormPlacement> {
  static constexpr const char* type = "NormPlacement";
  static constexpr std::array names = {"pre", "post", "sandwich"};
};
template <>
struct EnumNames<ContextKind> {
  static constexpr const char* type = "ContextKind";
  static constexpr std::array names = {"all_layers", "early_exit", "embeddings"};
};
template <>
struct EnumNames<TaskCode> {
  static constexpr const char* type = "TaskCode";
  static constexpr std::array names = {"linear", "discrete", "softmax", "vq"};
};
template <>
struct EnumNames<RankPositions> {
  static constexpr const char* type = "RankPositions";
  static constexpr std::array names = {"rotary", "learned"};
};
template <>
struct EnumNames<HeadStart> {
  static constexpr const char* type = "HeadStart";
  static constexpr std::array names = {"base", "linear"};
};

namespace detail {
template <class F, class... All>
constexpr void each_target(F f, All&... targets) {
  f("targets.query", targets.query...);
  f("targets.key", targets.key...);
  f("targets.value", targets.value...);
  f("targets.output", targets.output...);
  f("targets.gate", targets.gate...);
  f("targets.up", targets.up...);
  f("targets.down", targets.down...);
}
}  // namespace detail

/// f(name, value) for every field, in order, of one spec or (name, first, second) of two.
template <class F, class... Specs>
requires(std::same_as<std::remove_cvref_t<Specs>, HypernetBase>&&...) constexpr void each_field(
    F f, Specs&&... specs) {
  f("hidden", specs.hidden...);
  f("layers", specs.layers...);
  f("heads", specs.heads...);
  f("kv_heads", specs.kv_heads...);
  f("head_width", specs.head_width...);
  f("inner", specs.inner...);
  f("bias", specs.bias...);
  f("output_bias", specs.output_bias...);
}
template <class F, class... Specs>
requires(std::same_as<std::remove_cvref_t<Specs>, ShineSpec>&&...) constexpr void each_field(
    F f, Specs&&... specs) {
  f("rank", specs.rank...);
  f("meta_rank", specs.meta_rank...);
  f("a", specs.a...);
  f("b", specs.b...);
  f("scale", specs.scale...);
  f("m2p.kind", specs.m2p.kind...);
  f("m2p.blocks", specs.m2p.blocks...);
  f("m2p.axes", specs.m2p.axes...);
  f("m2p.heads", specs.m2p.heads...);
  f("m2p.inner", specs.m2p.inner...);
  f("m2p.placement", specs.m2p.placement...);
  f("m2p.linear_bias", specs.m2p.linear_bias...);
  f("m2p.couple_blocks", specs.m2p.couple_blocks...);
  f("m2p.couple_width", specs.m2p.couple_width...);
  f("m2p.couple_heads", specs.m2p.couple_heads...);
  f("m2p.couple_inner", specs.m2p.couple_inner...);
  f("recurrent_rank", specs.recurrent_rank...);
}
template <class F, class... Specs>
requires(std::same_as<std::remove_cvref_t<Specs>, DocToLoraSpec>&&...) constexpr void each_field(
    F f, Specs&&... specs) {
  f("rank", specs.rank...);
  detail::each_target(f, specs.targets...);
  f("features", specs.features...);
  f("layer_to_layer", specs.layer_to_layer...);
  f("perceiver.latent", specs.perceiver.latent...);
  f("perceiver.latents", specs.perceiver.latents...);
  f("perceiver.blocks", specs.perceiver.blocks...);
  f("perceiver.self_layers", specs.perceiver.self_layers...);
  f("perceiver.shares_weights", specs.perceiver.shares_weights...);
  f("perceiver.heads", specs.perceiver.heads...);
  f("perceiver.kv_heads", specs.perceiver.kv_heads...);
  f("perceiver.head_width", specs.perceiver.head_width...);
  f("perceiver.inner", specs.perceiver.inner...);
  f("perceiver.projection_inner", specs.perceiver.projection_inner...);
  f("per_rank", specs.per_rank...);
  f("mlps", specs.mlps...);
  f("mlp_inner", specs.mlp_inner...);
  f("mlps_per_layer", specs.mlps_per_layer...);
  f("bias", specs.bias...);
  f("alpha", specs.alpha...);
}
template <class F, class... Specs>
requires(std::same_as<std::remove_cvref_t<Specs>, TextToLoraSpec>&&...) constexpr void each_field(
    F f, Specs&&... specs) {
  f("rank", specs.rank...);
  detail::each_target(f, specs.targets...);
  f("alpha", specs.alpha...);
  f("rslora", specs.rslora...);
  f("embedding", specs.embedding...);
  f("latent", specs.latent...);
  f("head_in", specs.head_in...);
  f("code", specs.code...);
  f("classes", specs.classes...);
  f("codes", specs.codes...);
  f("shared_head", specs.shared_head...);
  f("autoregressive", specs.autoregressive...);
  f("positions", specs.positions...);
  f("head_bias", specs.head_bias...);
  f("head_start", specs.head_start...);
  f("z_score", specs.z_score...);
  f("product_scale", specs.product_scale...);
  f("offset", specs.offset...);
}
template <class F, class... Specs>
requires(std::same_as<std::remove_cvref_t<Specs>, ContextSpec>&&...) constexpr void each_field(
    F f, Specs&&... specs) {
  f("kind", specs.kind...);
  f("layers", specs.layers...);
}

namespace detail {

template <>
struct SpecCode<ShineSpec> {
  static constexpr const char *type = "ShineSpec", *header = "hypernets/shine.hpp",
                              *function = "hyperblocks_add_hypernet", *system = "shine";
};
template <>
struct SpecCode<DocToLoraSpec> {
  static constexpr const char *type = "DocToLoraSpec", *header = "hypernets/doc_to_lora.hpp",
                              *function = "hyperblocks_add_hypernet", *system = "doc-to-lora";
};
template <>
struct SpecCode<TextToLoraSpec> {
  static constexpr const char *type = "TextToLoraSpec", *header = "hypernets/text_to_lora_spec.hpp",
                              *function = "hyperblocks_add_hypernet", *system = "text-to-lora";
};
template <>
struct SpecCode<HypernetBase> {
  static constexpr const char *type = "HypernetBase", *header = "hypernets/hypernet_base.hpp";
};
template <>
struct SpecCode<ContextSpec> {
  static constexpr const char *type = "ContextSpec", *header = "hypernets/context_reader.hpp";
};

/// What stands where a spec leaves it to be derived; and one spelling for what computes the same.
inline ShineSpec resolved(ShineSpec spec, const HypernetBase& base) {
  M2pSpec& m2p = spec.m2p;
  const auto size = [](Index& value, bool matters, Index usual) {
    value = !matters ? 0 : value != 0 ? value : usual;
  };
  const bool attends = m2p.kind == M2pKind::transformer, couples = m2p.couple_blocks > 0;
  size(m2p.heads, attends && m2p.blocks > 0, M2pSpec::usual_heads(base.hidden));
  size(m2p.inner, attends ? m2p.blocks > 0 : m2p.blocks > 1, attends ? 2 * base.hidden : 8192);
  size(m2p.couple_width, couples, base.hidden);
  size(m2p.couple_heads, couples, M2pSpec::usual_heads(m2p.couple_width));
  size(m2p.couple_inner, couples, 2 * m2p.couple_width);
  if (!attends || m2p.blocks == 0) m2p.axes = M2pAxes::layers_first;
  if (!couples && (!attends || m2p.blocks == 0)) m2p.placement = NormPlacement::post;
  if (attends) m2p.linear_bias = false;
  return spec;
}

inline DocToLoraSpec resolved(DocToLoraSpec spec, const HypernetBase& base) {
  const auto size = [](Index& value, Index usual) {
    if (value == 0) value = usual;
  };
  size(spec.features, base.hidden);
  size(spec.perceiver.inner, 4 * spec.perceiver.latent);
  size(spec.perceiver.projection_inner, 4 * spec.features);
  size(spec.mlp_inner, 4 * spec.perceiver.latent);
  if (spec.mlps == 0) spec.mlp_inner = 0, spec.mlps_per_layer = false;
  spec.alpha = spec.scale();
  return spec;
}

inline TextToLoraSpec resolved(TextToLoraSpec spec, const HypernetBase&) {
  const TextToLoraSpec usual;
  if (spec.code == TaskCode::discrete)
    spec.latent = usual.latent;
  else
    spec.classes = usual.classes;
  if (spec.code != TaskCode::softmax && spec.code != TaskCode::vq) spec.codes = usual.codes;
  if (!spec.autoregressive) spec.positions = usual.positions;
  return spec;
}

/// Says that a spec's field cannot be.
class SpecChecker {
 public:
  SpecChecker(std::string where, const HypernetBase& base) : where_(std::move(where)), base_(base) {}

  const HypernetBase& base() const { return base_; }
  void operator()(bool holds, const std::string& field, const std::string& expected, auto found) const {
    check(holds, [&] {
      return Error("an impossible value", where_ + ": '" + field + "'", expected, spec_text(found));
    });
  }
  void least(Index value, const std::string& field, Index least = 1) const {
    (*this)(value >= least && value <= largest_size, field,
            std::to_string(least) + " to " + std::to_string(largest_size), value);
  }
  void divides(Index part, Index whole, const std::string& field, const std::string& what) const {
    (*this)(part > 0 && whole % part == 0, field, "a divisor of " + std::to_string(whole) + ", " + what,
            part);
  }
  void targets(const Targets& targets) const {
    (*this)(std::ranges::any_of(all_projections, [&](auto each) { return targets.contains(each); }),
            "spec.targets", "one linear or more", Index{0});
  }
  void number(double value, const std::string& field) const {
    (*this)(std::isfinite(value) && value > 0, field, "more than 0", value);
  }

 private:
  std::string where_;
  HypernetBase base_;
};

inline void check_base(const SpecChecker& possible) {
  const HypernetBase& base = possible.base();
  possible.least(base.hidden, "base.hidden");
  possible(base.layers > 0 && base.layers <= most_layers, "base.layers",
           "1 to " + std::to_string(most_layers), base.layers);
  possible.least(base.heads, "base.heads");
  possible.least(base.inner, "base.inner");
  possible.least(base.head_width, "base.head_width");
  possible.divides(base.kv_heads, base.heads, "base.kv_heads", "heads");
}

/// Resolved ones.
inline void check_possible(const ShineSpec& spec, const SpecChecker& possible) {
  const HypernetBase& base = possible.base();
  const M2pSpec& m2p = spec.m2p;
  possible.least(spec.rank, "spec.rank");
  possible.least(spec.meta_rank, "spec.meta_rank");
  possible.number(spec.scale, "spec.scale");
  const bool attends = m2p.kind == M2pKind::transformer;
  possible.least(m2p.blocks, "spec.m2p.blocks", attends ? 0 : 1);
  possible.least(m2p.inner, "spec.m2p.inner", 0);
  possible(m2p.placement != NormPlacement::sandwich, "spec.m2p.placement", "pre or post", m2p.placement);
  if (attends && m2p.blocks > 0) possible.divides(m2p.heads, base.hidden, "spec.m2p.heads", "base.hidden");
  possible.least(m2p.couple_blocks, "spec.m2p.couple_blocks", 0);
  possible.least(spec.recurrent_rank, "spec.recurrent_rank", 0);
  possible(spec.recurrent_rank == 0 || (attends && m2p.blocks > 0), "spec.recurrent_rank",
           "0 without blocks of a transformer", spec.recurrent_rank);
  if (m2p.couple_blocks == 0) return;
  for (const Projection projection : all_projections) {
    const LinearSize size = size_of(base, projection);
    if (base.has_bias(projection))
      possible.divides(m2p.couple_width, size.out, "spec.m2p.couple_width",
                       std::string("the numbers of ") + name(projection) + "'s C");
    for (const Index numbers : {spec.rank * size.in, spec.rank * size.out})
      possible.divides(m2p.couple_width, numbers, "spec.m2p.couple_width",
                       std::string("the numbers of ") + name(projection) + "'s A and B");
  }
  possible.divides(m2p.couple_heads, m2p.couple_width, "spec.m2p.couple_heads", "couple_width");
  possible.least(m2p.couple_inner, "spec.m2p.couple_inner");
}

inline void check_possible(const DocToLoraSpec& spec, const SpecChecker& possible) {
  const ContextPerceiverSpec& perceiver = spec.perceiver;
  possible.least(spec.rank, "spec.rank");
  possible.targets(spec.targets);
  possible.least(spec.features, "spec.features");
  for (const auto& [field, value] : {std::pair("latent", perceiver.latent),
                                     {"latents", perceiver.latents},
                                     {"blocks", perceiver.blocks},
                                     {"heads", perceiver.heads},
                                     {"head_width", perceiver.head_width},
                                     {"inner", perceiver.inner},
                                     {"projection_inner", perceiver.projection_inner}})
    possible.least(value, std::string("spec.perceiver.") + field);
  possible.least(perceiver.self_layers, "spec.perceiver.self_layers", 0);
  possible.divides(perceiver.kv_heads, perceiver.heads, "spec.perceiver.kv_heads", "heads");
  possible.least(spec.mlps, "spec.mlps", 0);
  possible.least(spec.mlp_inner, "spec.mlp_inner", 0);
  possible(std::isfinite(spec.alpha), "spec.alpha", "a number", spec.alpha);
}

inline void check_possible(const TextToLoraSpec& spec, const SpecChecker& possible) {
  possible.targets(spec.targets);
  for (const auto& [field, value] : {std::pair("rank", spec.rank),
                                     {"embedding", spec.embedding},
                                     {"head_in", spec.head_in},
                                     {"classes", spec.classes},
                                     {"codes", spec.codes}})
    possible.least(value, std::string("spec.") + field);
  possible.least(spec.latent, "spec.latent", 4);
  possible(std::isfinite(spec.alpha) && spec.alpha != 0, "spec.alpha", "a number other than 0", spec.alpha);
  possible.number(spec.product_scale, "spec.product_scale");
}

inline void check_possible(const ContextSpec& context, const SpecChecker& possible) {
  possible.least(context.layers, "context.layers", 0);
}

}  // namespace detail
}  // namespace hyperblocks
