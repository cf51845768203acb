// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// UpdateCase: low-rank updates of every linear of a block, with numbers, memory for their gradients, and
// names.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hyperblocks::test {

/// A part of an update: "updates.attention.query.a" and so on.
template <class Scalar>
struct UpdateFactor {
  std::string name;
  std::vector<Index> shape;
  Tensor<Scalar, Cpu, dyn> values, gradient;
};

/// Of blocks that take none.
template <class Scalar>
struct NoUpdates {
  std::array<UpdateFactor<Scalar>, 0> factors;
};

template <class B>
class UpdateCase {
 public:
  using Scalar = typename B::Scalar;
  static constexpr Index rank = 3;

  using Factor = UpdateFactor<Scalar>;

  void prepare(Cpu& cpu, Random& random, bool biased = true) {
    visit(
        [&]<class Value, class Gradient>(const std::string& linear, Value& value, Gradient& gradient) {
          const std::string place = hyperblocks::detail::joined("updates", linear);
          const Index inner = decltype(value.a)::width, outer = decltype(value.b)::width;
          value.scale = 0.7;
          part(cpu, random, place + ".a", value.a, gradient.a, {rank, inner});
          part(cpu, random, place + ".b", value.b, gradient.b, {outer, rank});
          if (biased) part(cpu, random, place + ".bias", value.bias, gradient.bias, {outer});
        },
        values, gradients);
  }

  typename B::template Updates<const Scalar> values;
  typename B::template Updates<Scalar> gradients;
  std::vector<Factor> factors;

 private:
  template <class Value, class Gradient>
  void part(Cpu& cpu, Random& random, const std::string& name, Value& value, Gradient& gradient,
            const std::vector<Index>& shape) {
    Index size = 1;
    for (const Index extent : shape) size *= extent;
    factors.push_back(
        {name, shape, Tensor<Scalar, Cpu, dyn>(cpu, size), Tensor<Scalar, Cpu, dyn>(cpu, size)});
    Factor& factor = factors.back();
    fill_normal(cpu, factor.values, random, 0.3);
    if constexpr (requires { value.form(); })
      value = {factor.values.data(), rank}, gradient = {factor.gradient.data(), rank};
    else
      value = {factor.values.data(), {}}, gradient = {factor.gradient.data(), {}};
  }
};

}  // namespace hyperblocks::test
