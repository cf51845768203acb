// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What is compared: a template of the base's Model that is a writer (hyperblocks/train/teaching.hpp) and, as
// the systems of examples/train are, knows how a training begins and what it reads of a text.
//   template <class Model> struct Mine {
//     using Model = ...;  using Net = ...;  using Document = ...;  struct Tape {...};  static constexpr
//     MeanOver mean = ...; explicit Mine(const example::Setting<Model>& setting); static Net::Params
//     initial(Cpu&, Random&); Document read(Cpu&, std::span<const std::string> texts, Random* in_training)
//     const; write(...), backward(...);
//   };
#pragma once

#include <train/systems.hpp>

namespace hyperblocks::compare {

/// Whether it is all there; what is missing is told in a sentence.
template <class A, class Model>
consteval bool is_architecture() {
  constexpr bool names = requires {
    typename A::Model;
    typename A::Net::Params;
    typename A::Net::Gradients;
    typename A::Document;
    typename A::Tape;
  };
  static_assert(names,
                "hyperblocks: a compared architecture has types Model, Net with Params and Gradients, "
                "Document and Tape");
  if constexpr (names) {
    constexpr bool begins =
        std::constructible_from<A, const example::Setting<Model>&> && requires(Cpu & cpu) {
      { A::initial(cpu, std::declval<Random&>()) } -> std::same_as<typename A::Net::Params>;
      { A::mean } -> std::convertible_to<MeanOver>;
    };
    static_assert(
        begins,
        "hyperblocks: a compared architecture is made of a Setting, has initial(cpu, random), which "
        "gives Net::Params, and says over what its loss is a mean");
    constexpr bool reads =
        requires(const A& a, Cpu& cpu, std::span<const std::string> texts, Random* random) {
      { a.read(cpu, texts, random) } -> std::same_as<typename A::Document>;
    };
    static_assert(reads, "hyperblocks: a compared architecture's read(cpu, texts, random) gives a Document");
    constexpr bool writes =
        requires(const A& a, Cpu& cpu, const typename A::Net::Params& params,
                 const std::vector<typename A::Document>& documents, typename A::Tape& tape,
                 const typename A::Tape& written, typename A::Net::Gradients& gradients) {
      { a.write(cpu, params, documents, tape) } -> std::same_as<std::vector<WrittenPart<Model>>>;
      { a.backward(cpu, params, written, gradients, Write::assign) } -> std::same_as<double>;
    };
    static_assert(writes,
                  "hyperblocks: a compared architecture's write(cpu, params, documents, tape) gives "
                  "WrittenParts, and backward(cpu, params, tape, gradients, write) what else they cost");
    return begins && reads && writes;
  }
  return false;
}

}  // namespace hyperblocks::compare
