// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Shapes, views and tensors: static and run-time extents mixed, conversions, and the sentences of mistakes.
#include <doctest/doctest.h>

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <limits>
#include <numeric>
#include <vector>

using namespace hyperblocks;

namespace {

constexpr Index huge = std::numeric_limits<Index>::max();

template <class S, Index... extents>
using CpuView = View<S, Cpu, extents...>;

/// 0, 1, 2 ... under a shape.
template <Index... extents, class... RunTime>
Tensor<float, Cpu, extents...> counting(Cpu& cpu, RunTime... run_time) {
  Tensor<float, Cpu, extents...> tensor(cpu, run_time...);
  std::iota(tensor.span().begin(), tensor.span().end(), 0.0f);
  return tensor;
}

}  // namespace

TEST_CASE("shapes mix static and run-time extents") {
  constexpr Shape<dyn, 64, dyn> shape(2, 3);
  static_assert(shape.rank == 3 && shape.dynamic_rank == 2);
  static_assert(shape[0] == 2 && shape[1] == 64 && shape[2] == 3 && shape.size() == 384);
  CHECK(shape.all() == std::array<Index, 3>{2, 64, 3});
  CHECK(to_string(shape.all()) == "(2, 64, 3)");
  CHECK(shape.type_name() == "(dyn, 64, dyn)");
  CHECK(shape == Shape<dyn, 64, dyn>::of({2, 64, 3}));
  CHECK(shape != Shape<dyn, 64, dyn>(3, 2));
  static_assert(Shape<4, 5>().size() == 20);
  static_assert(Shape<dyn, 5>().size() == 0);  // run-time extents begin as zero
  static_assert(Shape<>().size() == 1 && Shape<>().rank == 0);
  CHECK(Shape<>::type_name() == "()");
  static_assert(!std::constructible_from<Shape<dyn, 64, dyn>, Index>);
  static_assert(!std::constructible_from<Shape<4, 5>, Index>);
  static_assert(extents_agree(3, dyn) && extents_agree(dyn, 3) && extents_agree(3, 3) &&
                !extents_agree(3, 4));
}

TEST_CASE("impossible shapes are errors") {
  CHECK_THROWS_WITH_AS((Shape<dyn, 64>(-1)),
                       "hyperblocks: negative extent (shape): expected extents of zero or more, found -1",
                       Error);
  CHECK_THROWS_WITH_AS((Shape<dyn, 64>(-5)), doctest::Contains("found -5"), Error);
  CHECK_THROWS_WITH_AS((Shape<dyn, dyn>::of({2, -7})), doctest::Contains("negative extent"), Error);
  CHECK_THROWS_WITH_AS((Shape<dyn, dyn>(huge / 2, 3)),
                       "hyperblocks: too many elements (shape): expected at most 2^63 - 1, found an overflow "
                       "at extent 3",
                       Error);
  CHECK_THROWS_WITH_AS((Shape<dyn, 2>::of({huge / 2 + 1, 2})), doctest::Contains("at extent 2"), Error);
  CHECK((Shape<dyn, dyn>(huge, 1).size() == huge));
  CHECK((Shape<dyn, dyn>(0, huge).size() == 0));
  CHECK_THROWS_WITH_AS(
      (Shape<dyn, 64>::of({2, 63})),
      "hyperblocks: the shape does not fit its type (shape): expected (dyn, 64), found (2, 63)", Error);
}

TEST_CASE("views convert implicitly where nothing can go wrong, and explicitly with a check") {
  Cpu cpu;
  auto tensor = counting<2, 3>(cpu);
  const CpuView<float, dyn, 3> less = tensor;
  const CpuView<const float, dyn, dyn> least = less;
  CHECK(least.data() == tensor.data());
  CHECK(least.shape().all() == std::array<Index, 2>{2, 3});
  static_assert(std::convertible_to<CpuView<float, 2, 3>, CpuView<const float, dyn, 3>>);
  static_assert(!std::convertible_to<CpuView<float, dyn, 3>, CpuView<float, 2, 3>>);
  static_assert(std::constructible_from<CpuView<float, 2, 3>, CpuView<float, dyn, 3>>);
  static_assert(!std::constructible_from<CpuView<float, 2, 3>, CpuView<const float, 2, 3>>);
  static_assert(!std::constructible_from<CpuView<double, 2, 3>, CpuView<float, 2, 3>>);

  const CpuView<const float, 2, 3> fixed(least);
  CHECK(fixed(1, 2) == 5);
  CHECK_THROWS_WITH_AS((CpuView<const float, 2, 4>(least)),
                       "hyperblocks: the shape does not fit its type (shape): expected (2, 4), found (2, 3)",
                       Error);
  CHECK_THROWS_WITH_AS((CpuView<const float, dyn, 4>(least)), doctest::Contains("expected (dyn, 4)"), Error);

  const CpuView<float, dyn, 3> nothing;
  CHECK_FALSE(nothing);
  CHECK(nothing.size() == 0);
  CHECK(less);
}

TEST_CASE("elements lie in row-major order") {
  Cpu cpu;
  const auto tensor = counting<dyn, 3, dyn>(cpu, 2, 4);
  const auto view = tensor.view();
  CHECK(view(1, 2, 3) == 23);
  CHECK(view(1, 0, 2) == 14);
  CHECK(tensor(0, 2, 1) == 9);
  CHECK(view.rows() == 6);
  CHECK(view.columns() == 4);
  CHECK(view.bytes() == 96);
  CHECK(view.span().size() == 24);
  CHECK(tensor.extent(2) == 4);
  CHECK(view.extent(1) == 3);
  auto scalar = counting<>(cpu);
  scalar() = 4;
  CHECK(scalar.view()() == 4);
  CHECK(scalar.size() == 1);
}

TEST_CASE("reshape keeps the elements") {
  Cpu cpu;
  const auto tensor = counting<dyn, 12>(cpu, 2);
  const auto heads = tensor.view().reshape<dyn, 3, 4>(2);
  CHECK(heads(1, 2, 3) == 23);
  CHECK(heads.data() == tensor.data());
  CHECK(tensor.view().reshape<24>()(13) == 13);
  CHECK_THROWS_WITH_AS((tensor.view().reshape<dyn, 5>(5)),
                       "hyperblocks: a reshape keeps the number of elements (View::reshape): expected 24, "
                       "found (5, 5)",
                       Error);
  CHECK_THROWS_WITH_AS((tensor.view().reshape<dyn, 12>(-2)), doctest::Contains("negative extent"), Error);
}

TEST_CASE("slices of the first extent") {
  Cpu cpu;
  auto tensor = counting<5, dyn>(cpu, 3);
  const auto middle = tensor.view().slice(1, 3);
  static_assert(std::same_as<decltype(middle), const CpuView<float, dyn, dyn>>);
  CHECK(middle.shape().all() == std::array<Index, 2>{3, 3});
  CHECK(middle(0, 0) == 3);
  CHECK(middle(2, 2) == 11);
  CHECK(tensor.view().slice(5, 0).size() == 0);
  CHECK(tensor.view().slice(0, 5).size() == 15);
  const auto one = counting<dyn>(cpu, 4);
  CHECK(one.view().slice(2, 2)(1) == 3);
  for (const auto& [begin, count] : {std::pair<Index, Index>{-1, 2}, {2, -1}, {6, 0}, {3, 3}, {1, huge}}) {
    CAPTURE(begin);
    CHECK_THROWS_WITH_AS(tensor.view().slice(begin, count),
                         doctest::Contains("expected 0 <= begin and begin + count <= 5"), Error);
  }
  CHECK_THROWS_WITH_AS(tensor.view().slice(3, 3), doctest::Contains("found begin 3, count 3"), Error);
}

TEST_CASE("all leading extents as rows") {
  Cpu cpu;
  const auto fixed = counting<2, dyn, 4>(cpu, 3);
  const auto rows = fixed.view().as_rows();
  static_assert(std::same_as<decltype(rows), const CpuView<const float, dyn, 4>>);
  CHECK(rows.rows() == 6);
  CHECK(rows(5, 3) == 23);
  const auto open = counting<2, dyn>(cpu, 3);
  const auto same = open.view().as_rows();
  static_assert(std::same_as<decltype(same), const CpuView<const float, dyn, dyn>>);
  CHECK(same(1, 2) == 5);
  const auto vector = counting<7>(cpu);
  CHECK(vector.view().as_rows().shape().all() == std::array<Index, 2>{1, 7});
}

TEST_CASE("tensors go to and from the host whole") {
  Cpu cpu;
  Tensor<float, Cpu, dyn, 2> tensor(cpu, 3);
  for (const float value : tensor.span()) CHECK(value == 0);
  tensor.upload(cpu, std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(tensor(2, 0) == 5);
  std::vector<float> back(6);
  tensor.download(cpu, back);
  CHECK(back == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK_THROWS_WITH_AS(tensor.upload(cpu, std::vector<float>(5)),
                       "hyperblocks: the number of elements differs (Tensor (3, 2)): expected 6, found 5",
                       Error);
  back.resize(7);
  CHECK_THROWS_WITH_AS(tensor.download(cpu, back), doctest::Contains("expected 6, found 7"), Error);

  Tensor<float, Cpu, 2, 3> without;
  CHECK_THROWS_WITH_AS(without.upload(cpu, std::vector<float>(6)),
                       doctest::Contains("found 6 for a tensor without memory"), Error);
  CHECK_THROWS_WITH_AS(without.view(), doctest::Contains("a tensor without memory"), Error);
}

TEST_CASE("tensors move, and impossible ones are errors") {
  Cpu cpu;
  auto source = counting<dyn>(cpu, 4);
  const float* const place = source.data();
  const Tensor<float, Cpu, dyn> target = std::move(source);
  CHECK(target.data() == place);
  CHECK(target(3) == 3);
  static_assert(!std::copy_constructible<Tensor<float, Cpu, dyn>>);
  CHECK_THROWS_WITH_AS((Tensor<float, Cpu, dyn>(cpu, -1)), doctest::Contains("negative extent"), Error);
  // Elements that can be counted, bytes that cannot.
  CHECK_THROWS_WITH_AS(
      (Tensor<double, Cpu, dyn, dyn>(cpu, Index{1} << 31, Index{1} << 30)),
      "hyperblocks: too many bytes (Tensor (2147483648, 1073741824)): expected at most 2^63 - "
      "1, found 2305843009213693952 elements of 8 bytes",
      Error);
}

TEST_CASE("empty tensors") {
  Cpu cpu;
  Tensor<float, Cpu, dyn, 64> tensor(cpu, 0);
  CHECK(tensor.size() == 0);
  CHECK(tensor.view());  // nothing in it, and still there
  tensor.upload(cpu, {});
  tensor.download(cpu, {});
  CHECK(tensor.span().empty());
  CHECK(tensor.view().slice(0, 0).size() == 0);
  CHECK(tensor.view().as_rows().rows() == 0);
  CHECK(tensor.view().reshape<dyn, 8, 8>(0).size() == 0);
  CHECK((Tensor<float, Cpu, 0>(cpu).size() == 0));
}
