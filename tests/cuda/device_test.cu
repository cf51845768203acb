// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The Cuda device itself: transfers through pinned memory of any size and in any order, several devices in
// one process, work that is recorded and run again, what it may not do.
#include <numeric>

#include "twins.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index;
using namespace hb::test;

namespace {

std::vector<float> counted(Index size, float from) {
  std::vector<float> numbers(static_cast<std::size_t>(size));
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}
using Numbers = hb::Tensor<float, hb::Cuda, dyn, 1>;

std::vector<float> downloaded(hb::Cuda& cuda, const Numbers& numbers) {
  std::vector<float> host(static_cast<std::size_t>(numbers.size()));
  numbers.download(cuda, host);
  return host;
}

}  // namespace

TEST_CASE("transfers of any size, and many that nobody waits for") {
  hb::Cuda cuda;
  for (const Index size : {1, 1000, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 5 << 18, (9 << 18) + 77}) {
    CAPTURE(size);
    Numbers numbers(cuda, size);
    numbers.upload(cuda, counted(size, 3));
    CHECK(downloaded(cuda, numbers) == counted(size, 3));
  }
  std::vector<Numbers> many;
  for (int i = 0; i < 60; ++i) {  // more than there is pinned memory for, the host's copy gone
    many.emplace_back(cuda, 30000 + i);
    many.back().upload(cuda, counted(30000 + i, static_cast<float>(i)));
  }
  bool same = true;
  for (int i = 59; i >= 0; --i)
    same = same &&
           downloaded(cuda, many[static_cast<std::size_t>(i)]) == counted(30000 + i, static_cast<float>(i));
  CHECK(same);
  Numbers none(cuda, 0);
  none.upload(cuda, std::vector<float>());
  CHECK(downloaded(cuda, none).empty());
}

TEST_CASE("several devices of one process do not wait for one another") {
  hb::Cuda one, two;
  CHECK(one.stream() != two.stream());
  Numbers a(one, 500), b(two, 500), sum_a(one, 500), sum_b(two, 500);
  a.upload(one, counted(500, 0)), b.upload(two, counted(500, 7));
  hb::ops::add<float>(one, a.view(), a.view(), sum_a.view());
  hb::ops::add<float>(two, b.view(), b.view(), sum_b.view());
  CHECK(downloaded(two, sum_b)[10] == 34);
  CHECK(downloaded(one, sum_a)[10] == 20);
}

TEST_CASE("work that is recorded once and run again") {
  Devices d;
  constexpr Index rows = 5, in = 24, out = 16;
  TwinRows<float> x(d, rows, in), w(d, out, in), y(d, rows, out);
  TwinRow<float> norm(d, out);
  w.fill(), norm.fill(), x.fill(), y.poison();
  const auto work = [&](auto& device, auto scalar, auto of) {
    using S = decltype(scalar);
    const hb::ArenaScope scope(device);
    const auto product = hb::take<S, dyn, dyn>(device, rows, out);
    hb::ops::product<S>(device, of(x), of(w), {}, product);
    hb::ops::rms_norm<S>(device, product, of(norm), of(y), 1e-6, 0);
  };
  const auto on_cuda = [](auto& numbers) { return numbers.cuda(); };
  hb::cuda::Graph graph(d.cuda, [&] { work(d.cuda, float{}, on_cuda); });
  for (int again = 0; again < 3; ++again) {
    work(d.cpu, double{}, [](auto& numbers) { return numbers.cpu(); });
    CHECK(y.error() < tolerance<float>);  // the first time of the recording itself
    x.fill(1 + again), y.poison();
    graph.run();
  }
  const hb::ArenaScope scope(d.cuda);
  (void)hb::take<float, dyn>(d.cuda, 10);
  CHECK_THROWS_WITH_AS(graph.run(), doctest::Contains("the recorded work's scratch is in use"), hb::Error);
}

TEST_CASE("recorded work neither uploads nor waits, and the device is good afterwards") {
  hb::Cuda cuda;
  Numbers x(cuda, 8), y(cuda, 8);
  x.upload(cuda, counted(8, 1));
  using hb::cuda::Graph;
  CHECK_THROWS_WITH_AS(Graph(cuda, [&] { x.upload(cuda, counted(8, 1)); }),
                       doctest::Contains("what is recorded uploads"), hb::Error);
  CHECK_THROWS_WITH_AS(Graph(cuda, [&] { (void)downloaded(cuda, x); }),
                       doctest::Contains("what is recorded waits for the device"), hb::Error);
  CHECK_THROWS_WITH_AS(Graph(cuda, [&] { cuda.synchronise(); }),
                       doctest::Contains("what is recorded waits for the device"), hb::Error);
  CHECK_THROWS_WITH_AS(Graph(cuda, [&] { Numbers own(cuda, 8); }),
                       doctest::Contains("what is recorded allocates"), hb::Error);
  hb::ops::add<float>(cuda, x.view(), x.view(), y.view());
  CHECK(downloaded(cuda, y)[3] == 8);
}
