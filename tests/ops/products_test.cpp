// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products against a plain reference in double, on every instruction set of this machine: sizes, strides,
// types, segments, starts; and their promises: the same bits for any number of threads and rows, nothing
// written out of bounds.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <hyperblocks/ops/cpu/eigen_product.hpp>
#include <hyperblocks/ops/cpu/product.hpp>
#include <hyperblocks/ops/cpu/threads.hpp>

namespace {

namespace hb = hyperblocks;
using namespace hyperblocks::cpu;
using hb::bf16;
using hb::half;
using hb::Index;
using hb::Isa;

std::vector<Isa> isas() {
  std::vector<Isa> found;
  for (const Isa isa : hb::all_isas)
    if (hb::runs_here(isa)) found.push_back(isa);
  return found;
}

Threads& threads(Index count) {
  static Threads one(1), two(2), three(3);
  return count == 1 ? one : count == 2 ? two : three;
}

template <class T>
double number(T value) {
  return static_cast<double>(hb::scalar_cast<hb::Accumulator<T>>(value));
}

// Numbers in [-1, 1), the same at every call.
template <class T>
std::vector<T> numbers(Index size, std::uint32_t seed = 1) {
  std::vector<T> values(static_cast<std::size_t>(size));
  std::uint32_t state = seed * 2654435761u;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = hb::scalar_cast<T>(static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  return values;
}

template <class T>
std::vector<T> packed(const std::vector<T>& weight, Index k, Index n) {  // weight (n, k)
  std::vector<T> panels(static_cast<std::size_t>(hb::cpu::packed_size<T>(k, n)), hb::scalar_cast<T>(7.0f));
  pack(threads(2), Strided<const T>{weight.data(), 1, k}, k, n, panels.data());
  return panels;
}

// One summand with its operands; x is stored transposed on demand.
template <class X, class Panel>
struct Operands {
  Index m, n, k;
  bool transposed;
  std::vector<X> x;
  std::vector<Panel> weight, panels;

  Operands(Index m_, Index n_, Index k_, bool transposed_, std::uint32_t seed)
      : m(m_),
        n(n_),
        k(k_),
        transposed(transposed_),
        x(numbers<X>((m + 3) * (k + 5), seed)),
        weight(numbers<Panel>(n * k, seed + 1)),
        panels(packed(weight, k, n)) {}

  Strided<const X> rows() const {
    return transposed ? Strided<const X>{x.data(), 1, m + 3} : Strided<const X>{x.data(), k + 5};
  }
  Segment<X, Panel> segment() const { return {rows(), panels.data(), k}; }
  double exact(Index i, Index j, bool magnitudes) const {
    double sum = 0;
    for (Index l = 0; l < k; ++l) {
      const double term = number(rows()(i, l)) * number(weight[static_cast<std::size_t>(j * k + l)]);
      sum += magnitudes ? std::fabs(term) : term;
    }
    return sum;
  }
};

template <class Y>
double half_unit() {  // of rounding to Y
  if constexpr (std::same_as<Y, bf16>) return 0x1p-8;
  if constexpr (std::same_as<Y, half>) return 0x1p-11;
  return std::same_as<Y, double> ? 0x1p-53 : 0x1p-24;
}

// A chain of n roundings errs by at most about n half units of the sum of magnitudes; then y is rounded once.
template <class Y>
double tolerance(double exact, double magnitudes, Index chain) {
  return static_cast<double>(chain + 2) * half_unit<hb::Accumulator<Y>>() * magnitudes +
         half_unit<Y>() * std::fabs(exact) + (std::same_as<Y, half> ? 0x1p-25 : 1e-30);  // subnormal numbers
}

// y inside a larger buffer whose other bytes must not change.
template <class Y>
struct Guarded {
  static constexpr Index margin = 77;
  Index m, n, stride;
  bool transposed;
  std::vector<Y> before, now;

  Guarded(Index m_, Index n_, bool transposed_)
      : m(m_),
        n(n_),
        stride((transposed_ ? m : n) + 9),
        transposed(transposed_),
        before(numbers<Y>(stride * (transposed_ ? n : m) + 2 * margin, 99)),
        now(before) {}
  Strided<Y> view(std::vector<Y>& buffer) const {
    return transposed ? Strided<Y>{buffer.data() + margin, 1, stride}
                      : Strided<Y>{buffer.data() + margin, stride};
  }
  Strided<Y> y() { return view(now); }
  bool outside_untouched() const {
    std::vector<Y> first = before, second = now;
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) view(first)(i, j) = view(second)(i, j) = Y{};
    return std::memcmp(first.data(), second.data(), first.size() * sizeof(Y)) == 0;
  }
};

struct Options {
  int start = 0;  // zero, present value, bias
  bool x_transposed = false, y_transposed = false;
};

template <class Y, class... Segments>
void check_product(Isa isa, Index count, Options options, const Segments&... segments) {
  const Index m = std::max({segments.m...}), n = std::max({segments.n...}), chain = (segments.k + ...);
  CAPTURE(hb::name(isa));
  CAPTURE(count);
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(chain);
  CAPTURE(options.start);
  Guarded<Y> y(m, n, options.y_transposed);
  const auto bias = numbers<Y>(n, 5);
  const Execution execution{threads(count), isa};
  if (options.start == 0) packed_product(execution, y.y(), m, n, FromZero{}, segments.segment()...);
  if (options.start == 1) packed_product(execution, y.y(), m, n, Accumulate{}, segments.segment()...);
  if (options.start == 2)
    packed_product(execution, y.y(), m, n, FromBias<Y>{bias.data()}, segments.segment()...);
  CHECK(y.outside_untouched());
  double worst = 0;
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j) {
      double start = 0;
      if (options.start == 1) start = number(y.view(y.before)(i, j));
      if (options.start == 2) start = number(bias[static_cast<std::size_t>(j)]);
      const double exact = start + (segments.exact(i, j, false) + ...);
      const double magnitudes = std::fabs(start) + (segments.exact(i, j, true) + ...);
      worst =
          std::fmax(worst, std::fabs(number(y.y()(i, j)) - exact) / tolerance<Y>(exact, magnitudes, chain));
    }
  CHECK(worst <= 1.0);
}

template <class Y, class X, class Panel>
void check_types() {
  const Index sizes[][3] = {{1, 1, 1}, {3, 33, 7}, {14, 64, 70}, {15, 70, 33}, {29, 31, 2}, {8, 129, 41}};
  int variant = 0;
  for (const Isa isa : isas())
    for (const auto& [m, n, k] : sizes) {
      const Options options{variant % 3, variant % 2 == 1, variant % 5 == 4};
      check_product<Y>(isa, 1 + variant % 3, options, Operands<X, Panel>(m, n, k, options.x_transposed, 3));
      ++variant;
    }
}

template <class Y>
std::vector<Y> product_bits(Isa isa, Index count, const Operands<Y, Y>& o,
                            const Operands<hb::Accumulator<Y>, Y>* rider, Index first, Index m) {
  std::vector<Y> y(static_cast<std::size_t>(m * o.n));
  const Execution execution{threads(count), isa};
  const Segment<Y, Y> main{o.rows().block(first, 0), o.panels.data(), o.k};
  const Strided<Y> view{y.data(), o.n};
  if (rider) {
    const Segment<hb::Accumulator<Y>, Y> other{rider->rows().block(first, 0), rider->panels.data(), rider->k};
    packed_product(execution, view, m, o.n, FromZero{}, main, other);
  } else {
    packed_product(execution, view, m, o.n, FromZero{}, main);
  }
  return y;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_bits(Index m, Index n, Index k) {
  const Operands<T, T> o(m, n, k, false, 11);
  const Operands<hb::Accumulator<T>, T> rider(m, n, 9, false, 12);
  for (const Isa isa : isas()) {
    CAPTURE(hb::name(isa));
    CAPTURE(n);
    CAPTURE(k);
    const auto all = product_bits<T>(isa, 1, o, &rider, 0, m);
    for (const Index count : {1, 2, 3}) CHECK(same_bits(product_bits<T>(isa, count, o, &rider, 0, m), all));
    for (const Index rows : {1, 2, 3, 4, 5, 6, 7, 9, 14, 16}) {  // row i, whatever rows stand beside it
      bool same = true;
      for (Index first = 0; first + rows <= m; first += rows) {
        const auto some = product_bits<T>(isa, 2, o, &rider, first, rows);
        same = same && std::memcmp(some.data(), all.data() + first * n, some.size() * sizeof(T)) == 0;
      }
      CAPTURE(rows);
      CHECK(same);
    }
  }
}

}  // namespace

TEST_CASE("every combination of types") {
  check_types<float, float, float>();
  check_types<float, float, bf16>();
  check_types<float, float, half>();
  check_types<float, bf16, float>();
  check_types<float, bf16, bf16>();
  check_types<float, half, half>();
  check_types<bf16, bf16, bf16>();
  check_types<bf16, bf16, half>();
  check_types<bf16, float, bf16>();
  check_types<bf16, half, float>();
  check_types<half, half, half>();
  check_types<half, half, bf16>();
  check_types<half, float, float>();
  check_types<double, double, double>();
}

TEST_CASE("all sizes from 1 to 70") {
  for (const Isa isa : isas())
    for (Index size = 1; size <= 70; ++size) {
      const Options options{static_cast<int>(size % 3), size % 2 == 0, size % 7 == 0};
      check_product<float>(
          isa, 1 + size % 3, options,
          Operands<float, float>(size, 71 - size, size * 29 % 70 + 1, options.x_transposed, 3));
      check_product<bf16>(isa, 1 + size % 3, options,
                          Operands<bf16, bf16>(71 - size, size, size * 31 % 70 + 1, options.x_transposed, 3));
    }
}

TEST_CASE("sizes beyond the blocks of the caches") {
  for (const Isa isa : isas())
    for (const int start : {0, 1, 2}) {
      check_product<float>(isa, 2, {start}, Operands<float, float>(31, 330, 1301, false, 3));
      check_product<float>(isa, 2, {start, true, true}, Operands<float, half>(5, 70, 1100, true, 3));
      check_product<bf16>(isa, 2, {start}, Operands<bf16, bf16>(17, 300, 2111, false, 3));
      check_product<double>(isa, 2, {start}, Operands<double, double>(17, 300, 700, false, 3));
    }
}

TEST_CASE("two and three segments: the fused low-rank update") {
  for (const Isa isa : isas())
    for (const Index m : {1, 4, 13, 40})
      for (const Index n : {8, 96, 300}) {
        const Operands<float, float> main(m, n, 700, false, 3), update(m, n, 9, false, 4),
            other(m, n, 600, true, 5);
        check_product<float>(isa, 2, {1}, main, update);
        check_product<float>(isa, 3, {2}, main, update, other);
        const Operands<bf16, bf16> half_main(m, n, 150, false, 3);
        check_product<bf16>(isa, 2, {0}, half_main, update);
        check_product<bf16>(isa, 2, {0}, half_main, Operands<float, bf16>(m, n, 16, false, 4));
      }
}

TEST_CASE("nothing to multiply") {
  std::vector<float> y(6, 3.0f), bias{1.0f, 2.0f, 3.0f}, x(1), panels(1);
  const Execution execution{threads(2)};
  const Segment<float, float> empty{{x.data(), 0}, panels.data(), 0};
  packed_product(execution, Strided<float>{y.data(), 3}, 0, 3, FromZero{}, empty);
  packed_product(execution, Strided<float>{y.data(), 3}, 2, 0, FromZero{}, empty);
  packed_product(execution, Strided<float>{y.data(), 3}, 2, 3, Accumulate{}, empty);
  CHECK(y == std::vector<float>(6, 3.0f));
  packed_product(execution, Strided<float>{y.data(), 3}, 2, 3, FromBias<float>{bias.data()}, empty);
  CHECK(y == std::vector<float>{1, 2, 3, 1, 2, 3});
  packed_product(execution, Strided<float>{y.data(), 3}, 2, 3, FromZero{}, empty);
  CHECK(y == std::vector<float>(6, 0.0f));
}

TEST_CASE("same bits for any number of threads and of rows") {
  check_bits<float>(37, 100, 75);
  check_bits<float>(30, 192, 1300);
  check_bits<bf16>(37, 100, 75);
  check_bits<bf16>(30, 64, 2300);
  check_bits<half>(16, 64, 75);
  check_bits<double>(30, 50, 600);
}

TEST_CASE("weights beyond the caches, whose next block is fetched early: the bits of single rows") {
  const Operands<float, float> o(16, 4300, 1000, false, 11);  // more than 16 MiB
  for (const Isa isa : isas()) {
    CAPTURE(hb::name(isa));
    const auto all = product_bits<float>(isa, 2, o, nullptr, 0, o.m);
    bool same = true;
    for (Index row = 0; row < o.m; ++row) {
      const auto one = product_bits<float>(isa, 2, o, nullptr, row, 1);
      same = same && std::memcmp(one.data(), all.data() + row * o.n, one.size() * sizeof(float)) == 0;
    }
    CHECK(same);
  }
}

TEST_CASE_TEMPLATE("packing: elements, sources with strides, the transpose", T, float, double, bf16, half) {
  for (const Index k : {1, 2, 31, 32, 33, 64, 71})
    for (const Index n : {1, 16, 32, 33, 70}) {
      const auto weight = numbers<T>(n * k);
      std::vector<T> transposed_weight(weight.size());  // (k, n)
      for (Index i = 0; i < k; ++i)
        for (Index j = 0; j < n; ++j)
          transposed_weight[static_cast<std::size_t>(i * n + j)] =
              weight[static_cast<std::size_t>(j * k + i)];
      const auto panels = packed(weight, k, n);
      CAPTURE(k);
      CAPTURE(n);
      bool same = true;
      for (Index i = 0; i < k; ++i)
        for (Index j = 0; j < n; ++j)
          same = same && number(packed_element(panels.data(), k, i, j)) ==
                             number(weight[static_cast<std::size_t>(j * k + i)]);
      CHECK(same);
      auto other = panels;
      for (T& value : other) value = hb::scalar_cast<T>(9.0f);
      pack(threads(3), Strided<const T>{transposed_weight.data(), n}, k, n, other.data());
      CHECK(same_bits(other, panels));
      std::vector<T> repacked(static_cast<std::size_t>(packed_size<T>(n, k)), hb::scalar_cast<T>(9.0f));
      repack_transposed(threads(2), panels.data(), k, n, repacked.data());
      CHECK(same_bits(repacked, packed(transposed_weight, n, k)));
    }
}

TEST_CASE("packing rounds to the panels' type") {
  const auto weight = numbers<float>(40 * 33);
  std::vector<bf16> panels(static_cast<std::size_t>(packed_size<bf16>(33, 40)));
  pack(threads(1), Strided<const float>{weight.data(), 1, 33}, 33, 40, panels.data());
  for (Index i = 0; i < 33; ++i)
    for (Index j = 0; j < 40; ++j)
      REQUIRE(packed_element(panels.data(), 33, i, j).bits ==
              bf16(weight[static_cast<std::size_t>(j * 33 + i)]).bits);
}

TEST_CASE_TEMPLATE("NaN and infinity reach their row, and no other", T, float, bf16, half) {
  for (const Isa isa : isas())
    for (const float special :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      const Index m = 16, n = 40, k = 35;
      std::vector<T> x(m * k, hb::scalar_cast<T>(1.0f)), weight(n * k, hb::scalar_cast<T>(0.5f));
      x[5 * k + 34] = hb::scalar_cast<T>(special);
      const auto panels = packed(weight, k, n);
      std::vector<float> y(m * n);
      packed_product(Execution{threads(2), isa}, Strided<float>{y.data(), n}, m, n, FromZero{},
                     Segment<T, T>{{x.data(), k}, panels.data(), k});
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j) {
          const float value = y[static_cast<std::size_t>(i * n + j)];
          REQUIRE((i == 5 ? (std::isnan(special) ? std::isnan(value) : std::isinf(value)) : value == 17.5f));
        }
    }
}

TEST_CASE("half panels hold every number") {
  const Index n = 0x10000;
  std::vector<half> weight(n);
  for (std::size_t bits = 0; bits < weight.size(); ++bits)
    weight[bits] = half::from_bits(static_cast<std::uint16_t>(bits));
  for (const Isa isa : isas()) {
    std::vector<float> y(n);
    const float one = 1.0f;
    const auto panels = packed(weight, 1, n);
    packed_product(Execution{threads(1), isa}, Strided<float>{y.data(), n}, 1, n, FromZero{},
                   Segment<float, half>{{&one, 1}, panels.data(), 1});
    bool same = true;
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const auto exact = static_cast<float>(weight[i]);
      same = same && (std::isnan(exact) ? std::isnan(y[i]) : y[i] == exact);
    }
    CHECK(same);
  }
}

TEST_CASE_TEMPLATE("products of unpacked operands", T, float, double, bf16, half) {
  for (const Isa isa : isas())
    for (const auto& [m, n, k] :
         {std::array<Index, 3>{1, 70, 33}, {40, 70, 33}, {70, 5, 64}, {5, 1100, 1000}}) {
      const auto a = numbers<T>(m * k, 1), weight = numbers<T>(n * k, 2);
      const auto panels = packed(weight, k, n);
      const Execution execution{threads(2), isa};
      std::vector<T> expected(static_cast<std::size_t>(m * n)), y = expected;
      packed_product(execution, Strided<T>{expected.data(), n}, m, n, FromZero{},
                     Segment<T, T>{{a.data(), k}, panels.data(), k});
      std::vector<T> scratch(static_cast<std::size_t>(product_scratch<T>(m, n, k, 2)));
      product(execution, Strided<T>{y.data(), n}, Strided<const T>{a.data(), k},
              Strided<const T>{weight.data(), 1, k}, m, n, k, FromZero{}, scratch.data());
      CHECK(same_bits(y, expected));
    }
}

TEST_CASE("batches of products") {
  const Index batch = 7, m = 9, n = 20, k = 33;
  const auto a = numbers<float>(batch * m * k, 1), b = numbers<float>(batch * k * n, 2);
  for (const Isa isa : isas()) {
    std::vector<float> scratch(static_cast<std::size_t>(batched_product_scratch<float>(m, n, k, 3)));
    std::vector<float> y = numbers<float>(batch * m * n, 3), expected = y;
    batched_product(Execution{threads(3), isa}, batch, {m * n, m * k, k * n}, Strided<float>{y.data(), n},
                    Strided<const float>{a.data(), k}, Strided<const float>{b.data(), n}, m, n, k,
                    Accumulate{}, scratch.data());
    for (Index i = 0; i < batch; ++i)
      product(Execution{threads(1), isa}, Strided<float>{expected.data() + i * m * n, n},
              Strided<const float>{a.data() + i * m * k, k}, Strided<const float>{b.data() + i * k * n, n}, m,
              n, k, Accumulate{}, scratch.data());
    CHECK(same_bits(y, expected));
  }
}

TEST_CASE("Eigen's path agrees") {
  for (const auto& [m, n, k] : {std::array<Index, 3>{1, 70, 33}, {40, 7, 33}, {9, 64, 50}})
    for (const bool transposed : {false, true}) {
      const auto a = numbers<float>(2 * m * k, 1), weight = numbers<float>(n * k, 2);
      const Strided<const float> left =
          transposed ? Strided<const float>{a.data(), 1, m} : Strided<const float>{a.data(), 2 * k, 2};
      const Strided<const float> right{weight.data(), 1, k};
      std::vector<float> y(static_cast<std::size_t>(m * n), 1.0f);
      eigen_product<float>(threads(2), {y.data(), n}, left, right, m, n, k, FromZero{});
      eigen_product<float>(threads(3), {y.data(), n}, left, right, m, n, k, Accumulate{});
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j) {
          double exact = 0;
          for (Index l = 0; l < k; ++l) exact += 2.0 * left(i, l) * right(l, j);
          REQUIRE(std::fabs(y[static_cast<std::size_t>(i * n + j)] - exact) < 1e-4);
        }
    }
}
