// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// check_scalar: a block of any scalar, trainable or frozen, against a trainable one of a wider scalar with
// the same numbers: outputs, and the gradients of inputs, updates and trainable parameters.
#pragma once

#include "block_check.hpp"
#include "every_block.hpp"
#include "worse.hpp"

namespace hyperblocks::test {

template <class Numbers>
std::vector<double> in_double(const Numbers& numbers) {
  std::vector<double> result;
  for (const auto number : numbers) result.push_back(scalar_cast<double>(number));
  return result;
}

/// The largest difference, relative to the largest number expected if that is above one; NaN is infinitely
/// far.
inline double relative_error(const std::vector<double>& expected, const std::vector<double>& found) {
  REQUIRE(expected.size() == found.size());
  double difference = 0, largest = 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(expected[i] - found[i]);
    difference = worse(difference, error);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return difference / largest;
}

template <class Scalar>
void assign(std::span<Scalar> to, const std::vector<double>& from) {
  std::ranges::transform(from, to.begin(), [](double number) { return scalar_cast<Scalar>(number); });
}

/// Gives a case of a wider scalar the numbers of another one.
template <class B, class Reference>
void copy_numbers(Cpu& cpu, Case<B>& from, Case<Reference>& to) {
  visit(
      [&]<class Parameter>(const std::string&, auto& target, const Parameter& source) {
        std::vector<typename Parameter::ScalarType> numbers(static_cast<std::size_t>(source.size()));
        source.download(cpu, numbers);
        assign(target.span(), in_double(numbers));
      },
      to.params, from.params);
  std::vector<std::vector<double>> inputs;
  from.each_input([&](auto, auto, auto values, auto, bool) { inputs.push_back(in_double(values)); });
  std::size_t next = 0;
  to.each_input([&](auto, auto, auto values, auto, bool) { assign(values, inputs.at(next++)); });
  assign(to.dy.span(), in_double(from.dy.span()));
}

template <class B, class Reference>
void check_scalar(const Feed& feed, double tolerance) {
  static_assert(Block<B> && Block<Reference>);
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  Case<B> subject(cpu, feed, 17);
  Case<Reference> reference(cpu, feed, 17);
  copy_numbers(cpu, subject, reference);
  subject.train(cpu, Write::assign);
  reference.train(cpu, Write::assign);

  CHECK(relative_error(in_double(reference.y.span()), in_double(subject.y.span())) < tolerance);
  std::vector<std::vector<double>> found;
  subject.each_input([&](auto, auto, auto, auto dx, bool) { found.push_back(in_double(dx)); });
  std::size_t next = 0;
  reference.each_input([&](const std::string& name, auto, auto, auto dx, bool) {
    CAPTURE(name);
    CHECK(relative_error(in_double(dx), found.at(next++)) < tolerance);
  });
  visit(
      [&]<class Gradient>(const std::string& name, const auto& expected, const Gradient& gradient) {
        CAPTURE(name);
        if constexpr (!std::same_as<Gradient, Nothing>)
          CHECK(relative_error(in_double(expected.span()), in_double(gradient.span())) < tolerance);
      },
      reference.gradients, subject.gradients);
}

/// Every block of `Table` against the block at the same place of `References`.
template <class Table, class References>
void check_scalars(double tolerance) {
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    const auto one = [&]<class B, class Reference>(std::type_identity<B>, std::type_identity<Reference>,
                                                   std::size_t number) {
      CAPTURE(number);
      const double depth = TakesSequences<B> ? 3 : 1;  // a resampler's layers round one after the other
      check_scalar<B, Reference>({.count = 2, .length = 5, .masked = true, .updated = true},
                                 depth * tolerance);
    };
    (one(std::type_identity<std::tuple_element_t<i, Table>>(),
         std::type_identity<std::tuple_element_t<i, References>>(), i),
     ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Table>>());
}

/// Every block in `Scalar` with weights frozen as `Stored`.
template <class Scalar, class Stored>
void check_frozen(double tolerance) {
  using Table = LargestBlocks<Scalar, Frozen<Stored>>;
  check_scalars<Table, LargestBlocks<float>>(tolerance);
  for_every_block<Table>([]<class B>(std::type_identity<B>) { CHECK(count(typename B::Gradients()) == 0); });
}

}  // namespace hyperblocks::test
