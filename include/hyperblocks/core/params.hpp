// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Named parameters: a group is a struct that lists its members once, in fields(); visit() walks one group, or
// several of the same structure side by side (values, gradients, moments), and serves load, save, count,
// initialisation and optimisers alike. Names are joined by dots: "attention.query.weight", "layers.3.bias";
// the members of one with an empty name count as the group's own.
#pragma once

#include <array>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <hyperblocks/core/tensor.hpp>

namespace hyperblocks {

/// In place of a tensor that is not there: the bias of a layer without one, the gradient of a frozen weight.
struct Nothing {};

/// Whether a block's parts are its values or their gradients.
enum class Role { value, gradient };

/// How backward() writes the gradients of parameters.
enum class Write { assign, add };

template <class Group, class Member>
struct Field {
  using Pointer = Member Group::*;
  const char* name;
  Pointer member;
};
template <class Group, class Member>
Field(const char*, Member Group::*) -> Field<Group, Member>;

template <class T>
concept ParameterGroup = requires {
  std::remove_const_t<T>::fields();
};

namespace detail {
template <class T>
inline constexpr bool is_sequence = false;
template <class T, std::size_t n>
inline constexpr bool is_sequence<std::array<T, n>> = true;
template <class T>
inline constexpr bool is_sequence<std::vector<T>> = true;
template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;

/// What a part is called in its group; those of tuples and sequences have numbers.
struct PartName {
  const char* text = nullptr;
  std::size_t number = 0;
};

inline std::string joined(const std::string& prefix, const std::string& name) {
  if (prefix.empty() || name.empty()) return prefix + name;
  return prefix + "." + name;
}

inline std::string joined(const std::string& group, const PartName& part) {
  return joined(group, part.text == nullptr ? std::to_string(part.number) : std::string(part.text));
}

inline void check_parts(const std::string& name, std::size_t expected, std::size_t found) {
  check(expected == found, [&] {
    return Error("groups of different structure", "visit: '" + name + "'",
                 std::to_string(expected) + " parts", std::to_string(found));
  });
}

template <std::size_t i, class Part>
[[gnu::always_inline]] inline auto& part_of(Part& whole) {
  if constexpr (is_tuple<std::remove_const_t<Part>>)
    return std::get<i>(whole);
  else
    return whole.*(std::get<i>(std::remove_const_t<Part>::fields()).member);
}

template <std::size_t i, class Whole>
constexpr PartName part_name() {
  if constexpr (is_tuple<Whole>)
    return {.number = i};
  else
    return {.text = std::get<i>(Whole::fields()).name};
}

template <class Whole>
constexpr std::size_t part_count() {
  if constexpr (is_tuple<Whole>)
    return std::tuple_size_v<Whole>;
  else
    return std::tuple_size_v<decltype(Whole::fields())>;
}

template <class Visitor, class First, class... Rest>
void visit_part(const std::string& group, const PartName& part, Visitor& visitor, First& first,
                Rest&... rest);

template <std::size_t i, class Visitor, class First, class... Rest>
[[gnu::always_inline]] inline void visit_at(const std::string& group, Visitor& visitor, First& first,
                                            Rest&... rest) {
  visit_part(group, part_name<i, std::remove_const_t<First>>(), visitor, part_of<i>(first),
             part_of<i>(rest)...);
}

template <std::size_t... i, class Visitor, class... Groups>
[[gnu::always_inline]] inline void visit_all(std::index_sequence<i...>, const std::string& name,
                                             Visitor& visitor, Groups&... groups) {
  (visit_at<i>(name, visitor, groups...), ...);
}

/// One function for each type of a part, and names put together in it rather than by its callers: programs
/// visit many.
template <class Visitor, class First, class... Rest>
void visit_part(const std::string& group, const PartName& part, Visitor& visitor, First& first,
                Rest&... rest) {
  using Part = std::remove_const_t<First>;
  if constexpr (!std::same_as<Part, Nothing>) {
    const std::string name = joined(group, part);
    if constexpr (ParameterGroup<Part> || is_tuple<Part>) {
      visit_all(std::make_index_sequence<part_count<Part>()>(), name, visitor, first, rest...);
    } else if constexpr (is_sequence<Part>) {
      (check_parts(name, first.size(), rest.size()), ...);
      for (std::size_t i = 0; i < first.size(); ++i)
        visit_part(name, {.number = i}, visitor, first[i], rest[i]...);
    } else {
      visitor(name, first, rest...);
    }
  }
}
}  // namespace detail

/// Calls visitor(name, tensor) for every tensor of a group, or visitor(name, tensor, others...) for groups of
/// the same structure; the first group decides which tensors exist, and another's may be Nothing.
template <class Visitor, class First, class... Rest>
void visit(Visitor&& visitor, First& first, Rest&... rest) {
  detail::visit_part({}, {.text = ""}, visitor, first, rest...);
}

/// How many numbers a group holds.
template <class Group>
Index count(const Group& group) {
  Index total = 0;
  visit([&](const std::string&, const auto& tensor) { total += tensor.size(); }, group);
  return total;
}

/// A group whose tensors have their memory on the device: zeros.
template <class Group, class Device>
Group make(Device& device) {
  Group group;
  visit([&](const std::string&, auto& tensor) { tensor = std::remove_reference_t<decltype(tensor)>(device); },
        group);
  return group;
}

}  // namespace hyperblocks
