// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Parameters: one visitor over nested groups, arrays, vectors, tuples and what is not there; several groups
// side by side.
#include <doctest/doctest.h>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <string>
#include <vector>

using namespace hyperblocks;

namespace {

template <Index... extents>
using Floats = Tensor<float, Cpu, extents...>;

template <class Bias>
struct Affine {
  Floats<2, 3> weight;
  Bias bias;
  static constexpr auto fields() {
    return std::tuple{Field{"weight", &Affine::weight}, Field{"bias", &Affine::bias}};
  }
};

struct Model {
  Affine<Floats<2>> first;
  std::array<Affine<Nothing>, 2> layers;
  std::tuple<Floats<5>, Affine<Nothing>> pair;
  std::vector<Affine<Floats<2>>> more;
  Nothing missing;
  static constexpr auto fields() {
    return std::tuple{Field{"first", &Model::first}, Field{"layers", &Model::layers},
                      Field{"pair", &Model::pair}, Field{"more", &Model::more},
                      Field{"missing", &Model::missing}};
  }
};

/// The gradients of an Affine whose weight is frozen.
struct BiasOnly {
  Nothing weight;
  Floats<2> bias;
  static constexpr auto fields() {
    return std::tuple{Field{"weight", &BiasOnly::weight}, Field{"bias", &BiasOnly::bias}};
  }
};

template <class Group>
std::vector<std::string> names(Group& group) {
  std::vector<std::string> result;
  visit([&](const std::string& name, auto&) { result.push_back(name); }, group);
  return result;
}

}  // namespace

TEST_CASE("names follow the structure, in the order of the fields") {
  Model model;
  model.more.resize(2);
  const std::vector<std::string> expected = {
      "first.weight",  "first.bias",    "layers.0.weight", "layers.1.weight", "pair.0",
      "pair.1.weight", "more.0.weight", "more.0.bias",     "more.1.weight",   "more.1.bias"};
  CHECK(names(model) == expected);
  CHECK(names(std::as_const(model)) == expected);
  Floats<4> alone;
  CHECK(names(alone) == std::vector<std::string>{""});
}

TEST_CASE("make gives memory to every tensor, count adds them up") {
  Cpu cpu;
  auto model = make<Model>(cpu);
  CHECK(count(model) == (6 + 2) + 2 * 6 + 5 + 6);
  visit([](const std::string&, auto& tensor) { CHECK(tensor.data() != nullptr); }, model);
  for (const float value : model.first.weight.span()) CHECK(value == 0);
  model.more.push_back(make<Affine<Floats<2>>>(cpu));
  CHECK(count(model) == 31 + 8);
  CHECK(count(Nothing()) == 0);
}

TEST_CASE("a visitor writes, and reads a constant group") {
  Cpu cpu;
  auto model = make<Model>(cpu);
  float next = 0;
  visit(
      [&](const std::string&, auto& tensor) {
        for (float& value : tensor.span()) value = next++;
      },
      model);
  CHECK(model.first.bias(0) == 6);
  CHECK(std::get<0>(model.pair)(0) == 20);
  double sum = 0;
  visit(
      [&](const std::string&, auto& tensor) {
        static_assert(std::is_const_v<std::remove_reference_t<decltype(tensor)>>);
        for (const float value : tensor.span()) sum += static_cast<double>(value);
      },
      std::as_const(model));
  CHECK(sum == 30 * 31 / 2);
}

TEST_CASE("several groups side by side; another's tensor may be Nothing") {
  Cpu cpu;
  auto value = make<Affine<Floats<2>>>(cpu), moment = make<Affine<Floats<2>>>(cpu);
  auto gradient = make<BiasOnly>(cpu);
  std::vector<std::string> trained, frozen;
  visit(
      [&]<class G>(const std::string& name, auto& own, G& other, const auto& third) {
        CHECK(own.size() == third.size());
        if constexpr (std::same_as<G, Nothing>) {
          frozen.push_back(name);
        } else {
          CHECK(own.size() == other.size());
          trained.push_back(name);
        }
      },
      value, gradient, std::as_const(moment));
  CHECK(trained == std::vector<std::string>{"bias"});
  CHECK(frozen == std::vector<std::string>{"weight"});
  std::vector<std::string> seen;  // the first group decides what exists
  visit([&](const std::string& name, auto&, auto&) { seen.push_back(name); }, gradient, value);
  CHECK(seen == std::vector<std::string>{"bias"});
}

TEST_CASE("groups whose vectors have different lengths are an error") {
  Model one, two;
  one.more.resize(2);
  two.more.resize(1);
  const auto visitor = [](const std::string&, auto&, auto&) {};
  CHECK_THROWS_WITH_AS(
      visit(visitor, one, two),
      "hyperblocks: groups of different structure (visit: 'more'): expected 2 parts, found 1", Error);
  CHECK_THROWS_AS(visit(visitor, two, one), Error);
  two.more.resize(2);
  visit(visitor, one, two);
}
