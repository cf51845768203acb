// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A spec as text: the comparison of the spec that a program was compiled for with a model's, and the
// headers that hyperblocks_add_base, _add_encoder and _add_hypernet write.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

#include <hyperblocks/models/decoder_spec.hpp>
#include <hyperblocks/models/text_encoder_spec.hpp>

namespace hyperblocks {

/// An enumeration as C++ and files spell it.
template <class E>
struct EnumNames;
template <>
struct EnumNames<Activation> {
  static constexpr const char* type = "Activation";
  static constexpr std::array names = {"identity", "relu", "silu", "gelu_exact", "gelu_tanh", "sigmoid"};
};
template <>
struct EnumNames<RopeScaling::Kind> {
  static constexpr const char* type = "RopeScaling::Kind";
  static constexpr std::array names = {"none", "linear", "llama3", "ntk"};
};
template <class E>
concept NamedEnum = requires {
  EnumNames<E>::names;
};

template <NamedEnum E>
constexpr std::string_view name(E value) {
  return EnumNames<E>::names[static_cast<std::size_t>(value)];
}

namespace detail {

inline std::string spec_text(Index value) { return std::to_string(value); }
inline std::string spec_text(bool value) { return value ? "true" : "false"; }
template <NamedEnum E>
std::string spec_text(E value) {
  return std::string(name(value));
}
/// The shortest text that gives the same number again.
inline std::string spec_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// A value of a field as C++.
template <class T>
std::string spec_code(T value) {
  return spec_text(value);
}
template <NamedEnum E>
std::string spec_code(E value) {
  return std::string("hyperblocks::") + EnumNames<E>::type + "::" + spec_text(value);
}

/// Files round their numbers: 1e-6 as float is not 1e-6 as double.
template <class T>
bool same_field(T first, T second) {
  if constexpr (std::floating_point<T>)
    return std::abs(first - second) <= 1e-6 * std::max(std::abs(first), std::abs(second));
  else
    return first == second;
}

/// The spec with one spelling for what computes the same, and without `positions`, which bounds no
/// computation.
inline DecoderSpec canonical(DecoderSpec spec) {
  spec.kv_heads = spec.key_heads();
  spec.head_width = spec.width();
  spec.positions = 0;
  if (spec.attention_scale == 0 && spec.head_width > 0)
    spec.attention_scale = 1 / std::sqrt(static_cast<double>(spec.head_width));
  if (spec.window == 0 || spec.full_every > spec.layers) spec.full_every = 0;
  if (spec.full_every == 1) spec.window = spec.full_every = 0;
  RopeScaling& scaling = spec.rope_scaling;
  if (scaling.factor == 1) scaling = {};
  if (scaling.kind == RopeScaling::Kind::linear) scaling = {.kind = scaling.kind, .factor = scaling.factor};
  const bool windows_differ = spec.window_rope_base != spec.rope_base || scaling != RopeScaling{};
  if (spec.window == 0 || !windows_differ) spec.window_rope_base = 0;
  return spec;
}

template <class Spec>
Spec canonical(const Spec& spec) {
  return spec;
}

/// A spec's type as C++, and its header.
template <class Spec>
struct SpecCode;
template <>
struct SpecCode<DecoderSpec> {
  static constexpr const char *type = "DecoderSpec", *header = "models/decoder_spec.hpp",
                              *function = "hyperblocks_add_base";
};
template <>
struct SpecCode<TextEncoderSpec> {
  static constexpr const char *type = "TextEncoderSpec", *header = "models/text_encoder_spec.hpp",
                              *function = "hyperblocks_add_encoder";
};

}  // namespace detail

/// Throws one Error that names every field in which a model differs from the spec of the program. Not
/// compared: a Decoder's `positions`, a promise of the model's makers that changes no result.
template <class Spec>
void check_spec(const Spec& expected, const Spec& found, const std::string& file,
                const std::string& problem = "the model is not the one that the program was compiled for") {
  std::string compiled, read;
  each_field(
      [&](const char* field, auto first, auto second) {
        if (detail::same_field(first, second)) return;
        const std::string separator = compiled.empty() ? "" : ", ";
        compiled += separator + field + " " + detail::spec_text(first);
        read += separator + field + " " + detail::spec_text(second);
      },
      detail::canonical(expected), detail::canonical(found));
  check(compiled.empty(), [&] { return Error(problem, file, compiled, read); });
}

/// C++ that defines the spec as `constant`.
template <class Spec>
std::string spec_constant(const Spec& spec, const std::string& constant) {
  std::string text =
      std::string("inline constexpr hyperblocks::") + detail::SpecCode<Spec>::type + " " + constant + "{";
  std::string open;  // the member whose members are being written
  const auto close = [&] { text += open.empty() ? "" : "\n    },"; };
  each_field(
      [&](std::string_view field, auto value) {
        const auto dot = field.find('.');
        const std::string outer(dot == field.npos ? "" : field.substr(0, dot));
        if (outer != open) close();
        if (!outer.empty() && outer != open) text += "\n    ." + outer + " = {";
        open = outer;
        text += outer.empty() ? "\n    ." : "\n        .";
        text += std::string(dot == field.npos ? field : field.substr(dot + 1)) + " = " +
                detail::spec_code(value) + ",";
      },
      spec);
  close();
  return text + "\n};\n";
}

/// A header that defines the spec as `constant`; `origin` says in a comment what it was read from.
template <class Spec>
std::string spec_header(const Spec& spec, const std::string& constant, const std::string& origin) {
  using Code = detail::SpecCode<Spec>;
  return std::string("// Written by ") + Code::function + " from " + origin +
         ".\n#pragma once\n\n#include <hyperblocks/" + Code::header + ">\n\n" + spec_constant(spec, constant);
}

}  // namespace hyperblocks
