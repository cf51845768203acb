// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What is compared: a template of the base's Model that is a writer (hyperblocks/train/teaching.hpp) and, as
// the systems of examples/train are, knows how a training begins and what it reads of a text.
// bench/compare's page, docs/comparing.md, has its members; examples/own_hypernetwork is one.
#pragma once

#include <train/systems.hpp>

namespace hyperblocks::compare {

namespace detail {
template <class A>
constexpr bool has_names = requires {
  typename A::Model;
  typename A::Net::Params;
  typename A::Net::Gradients;
  typename A::Document;
  typename A::Tape;
};
template <class A, class Model>
constexpr bool begins =
    std::constructible_from<A, const example::Setting<Model>&>&& requires(Cpu& cpu, Random& random) {
  { A::initial(cpu, random) } -> std::same_as<typename A::Net::Params>;
  { A::mean } -> std::convertible_to<MeanOver>;
};
template <class A>
constexpr bool reads = requires(const A& a, Cpu& cpu, std::span<const std::string> texts, Random* random) {
  { a.read(cpu, texts, random) } -> std::same_as<typename A::Document>;
};
template <class A, class Model>
constexpr bool writes = requires(const A& a, Cpu& cpu, const typename A::Net::Params& params,
                                 const std::vector<typename A::Document>& documents, typename A::Tape& tape,
                                 const typename A::Tape& written, typename A::Net::Gradients& gradients) {
  { a.write(cpu, params, documents, tape) } -> std::same_as<std::vector<WrittenPart<Model>>>;
  { a.backward(cpu, params, written, gradients, Write::assign) } -> std::same_as<double>;
};
}  // namespace detail

/// Whether it is all there; what is missing first is told in a sentence.
template <class A, class Model>
consteval bool is_architecture() {
  if constexpr (!detail::has_names<A>)
    static_assert(
        detail::has_names<A>,
        "hyperblocks: a compared architecture has types Model, Net with Params and Gradients, Document "
        "and Tape");
  else if constexpr (!detail::begins<A, Model>)
    static_assert(
        detail::begins<A, Model>,
        "hyperblocks: a compared architecture is made of a Setting, has initial(cpu, random), which "
        "gives Net::Params, and says over what its loss is a mean");
  else if constexpr (!detail::reads<A>)
    static_assert(detail::reads<A>,
                  "hyperblocks: a compared architecture's read(cpu, texts, random) gives a Document");
  else
    static_assert(
        detail::writes<A, Model>,
        "hyperblocks: a compared architecture's write(cpu, params, documents, tape) gives WrittenParts, "
        "and backward(cpu, params, tape, gradients, write) what else they cost");
  if constexpr (detail::has_names<A>)
    return detail::begins<A, Model> && detail::reads<A> && detail::writes<A, Model>;
  return false;
}

}  // namespace hyperblocks::compare
