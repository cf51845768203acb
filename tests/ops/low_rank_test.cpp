// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Low-rank updates against their formulas in double: every form of the factors, ranks, scalars, instruction
// sets, packed or not; several adapters in one batch as each alone; bits that do not depend on threads.
#include <doctest/doctest.h>

#include <deque>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>
#include <hyperblocks/ops/ops.hpp>

#include "support/worse.hpp"

using namespace hyperblocks;

namespace {

constexpr Index in = 37, out = 45;
template <class S>
using Update = LowRank<const S, Cpu, out, in>;

/// One adapter's numbers in the forms asked for.
template <class S>
struct Adapter {
  Adapter(Cpu& cpu, Random& random, Index rank_, FactorForm a_form, FactorForm b_form, bool biased)
      : rank(rank_), a(cpu, rank * in), b(cpu, rank * out), c(cpu), packed(cpu, packed_size(rank)) {
    fill_normal(cpu, a, random, 0.5);
    fill_normal(cpu, b, random, 0.5);
    fill_normal(cpu, c, random, 1);
    update.a = {a.data(), rank, a_form}, update.b = {b.data(), rank, b_form}, update.scale = 0.7;
    if (biased) update.bias = c.view();
    for (Index o = 0; o < out; ++o)
      for (Index r = 0; r < rank; ++r) b_rows.push_back(b.data()[b_at(r, o)]);
    Ops<Cpu>::pack(cpu, b_rows.data(), out, rank, packed.data());
  }
  static Index packed_size(Index rank) { return Ops<Cpu>::packed_size<S>(out, rank); }
  Index a_at(Index r, Index i) const {
    return update.a.form() == FactorForm::rows ? r * in + i : i * rank + r;
  }
  Index b_at(Index r, Index o) const {
    return update.b.form() == FactorForm::rows ? r * out + o : o * rank + r;
  }
  double a_of(Index r, Index i) const { return scalar_cast<double>(a.data()[a_at(r, i)]); }
  double b_of(Index r, Index o) const { return scalar_cast<double>(b.data()[b_at(r, o)]); }

  /// What it adds to element (row, o) of y.
  double adds(const Tensor<S, Cpu, dyn, in>& x, Index row, Index o) const {
    double sum = update.bias ? scalar_cast<double>(c.data()[o]) : 0;
    for (Index r = 0; r < rank; ++r) {
      double shrunk = 0;
      for (Index i = 0; i < in; ++i) shrunk += scalar_cast<double>(x(row, i)) * a_of(r, i);
      sum += update.scale * shrunk * b_of(r, o);
    }
    return sum;
  }

  Index rank;
  Tensor<S, Cpu, dyn> a, b;
  Tensor<S, Cpu, out> c;
  Tensor<S, Cpu, dyn> packed;
  std::vector<S> b_rows;
  Update<S> update;
};

template <class S>
double tolerance() {
  return std::same_as<S, double>  ? 1e-13
         : std::same_as<S, float> ? 1e-5
         : std::same_as<S, half>  ? 2e-3
                                  : 1e-2;
}

template <class S>
struct Layer {
  Layer(Cpu& cpu, Random& random, Index m)
      : x(cpu, m),
        y(cpu, m),
        weight(cpu),
        bias(cpu),
        frozen(cpu),
        expected(static_cast<std::size_t>(m * out)) {
    fill_normal(cpu, x, random, 1);
    fill_normal(cpu, weight, random, 0.3);
    fill_normal(cpu, bias, random, 1);
    frozen.upload(cpu, weight.span());
    for (Index row = 0; row < m; ++row)
      for (Index o = 0; o < out; ++o) {
        double& sum = expected[static_cast<std::size_t>(row * out + o)];
        sum = scalar_cast<double>(bias.data()[o]);
        for (Index i = 0; i < in; ++i)
          sum += scalar_cast<double>(x(row, i)) * scalar_cast<double>(weight(o, i));
      }
  }
  void expect(const Adapter<S>& adapter, Index first_row, Index rows) {
    for (Index row = first_row; row < first_row + rows; ++row)
      for (Index o = 0; o < out; ++o)
        expected[static_cast<std::size_t>(row * out + o)] += adapter.adds(x, row, o);
  }
  void check() const {
    double worst = 0, largest = 1;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      worst = test::worse(worst, std::abs(scalar_cast<double>(y.span()[i]) - expected[i]));
      largest = std::max(largest, std::abs(expected[i]));
    }
    CHECK(worst / largest < tolerance<S>());
  }
  std::vector<S> numbers() const { return numbers(0, y.extent(0)); }
  std::vector<S> numbers(Index first, Index rows) const {
    const auto of_rows =
        y.span().subspan(static_cast<std::size_t>(first * out), static_cast<std::size_t>(rows * out));
    return {of_rows.begin(), of_rows.end()};
  }
  void run(Cpu& cpu, const Update<S>& update) {
    ops::low_rank_update<S>(cpu, x, frozen, bias.view(), update, y);
  }

  Tensor<S, Cpu, dyn, in> x;
  Tensor<S, Cpu, dyn, out> y;
  Tensor<S, Cpu, out, in> weight;
  Tensor<S, Cpu, out> bias;
  FrozenMatrix<S, Cpu, out, in> frozen;
  std::vector<double> expected;
};

constexpr FactorForm forms[] = {FactorForm::rows, FactorForm::columns};

template <class S>
bool same_bits(const std::vector<S>& a, const std::vector<S>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0);
}

template <class F>
void on_every_isa(F f) {
  for (const Isa isa : all_isas)
    if (runs_here(isa)) {
      CAPTURE(name(isa));
      f(isa);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("an update is its formula", S, float, double, bf16, half) {
  on_every_isa([](Isa isa) {
    Cpu cpu({.threads = 2, .isa = isa});
    cpu.arena().poison(true);
    Random random(1);
    for (const Index m : {0, 1, 5, 33})
      for (const Index rank : {1, 3, 8, 17, 70})
        for (const FactorForm a_form : forms)
          for (const FactorForm b_form : forms) {
            CAPTURE(m);
            CAPTURE(rank);
            Adapter<S> adapter(cpu, random, rank, a_form, b_form, rank % 2 == 1);
            Layer<S> layer(cpu, random, m);
            layer.expect(adapter, 0, m);
            layer.run(cpu, adapter.update);
            layer.check();
            const auto plain_b = layer.numbers();
            adapter.update.packed_b = adapter.packed.data();
            layer.run(cpu, adapter.update);
            CHECK(same_bits(layer.numbers(), plain_b));
            ops::low_rank_update<S>(cpu, layer.x, layer.weight.view(), layer.bias.view(), adapter.update,
                                    layer.y);
            layer.check();
          }
  });
}

TEST_CASE_TEMPLATE("many adapters in a batch, each as if alone", S, float, bf16) {
  on_every_isa([](Isa isa) {
    Random random(2);
    Cpu cpu({.threads = 2, .isa = isa});
    constexpr Index m = 40;
    Layer<S> layer(cpu, random, m), alone(cpu, random, m);
    std::copy_n(layer.x.data(), layer.x.size(), alone.x.data());
    std::copy_n(layer.bias.data(), layer.bias.size(), alone.bias.data());
    alone.frozen.upload(cpu, layer.weight.span());
    std::deque<Adapter<S>> adapters;
    // Ranks of all kinds; rows 3 to 6 and 30 to 39 have none, rows 20 to 29 have two.
    const std::array<std::array<Index, 3>, 5> plan = {
        {{0, 3, 8}, {7, 1, 33}, {8, 12, 1}, {20, 10, 5}, {20, 10, 16}}};
    for (const auto& [first, rows, rank] : plan) {
      auto& adapter =
          adapters.emplace_back(cpu, random, rank, FactorForm::rows, FactorForm::columns, rank > 5);
      adapter.update.first_row = first, adapter.update.rows = rows;
      layer.expect(adapter, first, rows);
    }
    for (std::size_t i = 0; i + 1 < adapters.size(); ++i) adapters[i].update.next = &adapters[i + 1].update;
    layer.run(cpu, adapters[0].update);
    layer.check();
    for (const Index threads : {1, 3}) {
      Cpu other({.threads = threads, .isa = isa});
      const auto before = layer.numbers();
      layer.run(other, adapters[0].update);
      CHECK(same_bits(layer.numbers(), before));
    }
    for (std::size_t i = 0; i < 3; ++i) {
      Update<S> whole = adapters[i].update;
      const auto [first, rows, rank] = plan[i];
      whole.first_row = 0, whole.rows = Update<S>::all, whole.next = nullptr;
      alone.run(cpu, whole);
      CHECK(same_bits(alone.numbers(first, rows), layer.numbers(first, rows)));
    }
    ops::product<S>(cpu, alone.x, alone.frozen, alone.bias.view(), alone.y);
    CHECK(same_bits(alone.numbers(30, 10), layer.numbers(30, 10)));
  });
}

TEST_CASE("gradients of every form, of some rows") {
  Cpu cpu({.threads = 2});
  Random random(3);
  constexpr Index m = 9, first = 2, rows = 5, rank = 4;
  Layer<double> layer(cpu, random, m);
  Tensor<double, Cpu, dyn, out> dy(cpu, m);
  fill_normal(cpu, dy, random, 1);
  for (const FactorForm a_form : forms)
    for (const FactorForm b_form : forms)
      for (const bool add : {false, true}) {
        Adapter<double> adapter(cpu, random, rank, a_form, b_form, true),
            gradient(cpu, random, rank, a_form, b_form, true);
        const std::vector<double> a_before(gradient.a.span().begin(), gradient.a.span().end());
        adapter.update.first_row = first, adapter.update.rows = rows;
        LowRank<double, Cpu, out, in> target;
        target.a = {gradient.a.data(), rank, a_form}, target.b = {gradient.b.data(), rank, b_form};
        target.bias = gradient.c.view();
        Tensor<double, Cpu, dyn, in> dx(cpu, m);
        ops::low_rank_gradient<double>(cpu, layer.x, dy, adapter.update, dx, target,
                                       add ? Write::add : Write::assign);
        const auto shrunk = [&](Index row, Index r) {  // (dy B)
          double sum = 0;
          for (Index o = 0; o < out; ++o) sum += dy(row, o) * adapter.b_of(r, o);
          return 0.7 * sum;
        };
        for (Index r = 0; r < rank; ++r)
          for (Index i = 0; i < in; ++i) {
            double expected = add ? a_before[static_cast<std::size_t>(gradient.a_at(r, i))] : 0;
            for (Index row = first; row < first + rows; ++row) expected += shrunk(row, r) * layer.x(row, i);
            CHECK(gradient.a_of(r, i) == doctest::Approx(expected).epsilon(1e-11));
          }
        if (add) continue;
        for (Index r = 0; r < rank; ++r)
          for (Index o = 0; o < out; ++o) {
            double expected = 0;
            for (Index row = first; row < first + rows; ++row) {
              double inner = 0;
              for (Index i = 0; i < in; ++i) inner += layer.x(row, i) * adapter.a_of(r, i);
              expected += 0.7 * inner * dy(row, o);
            }
            CHECK(gradient.b_of(r, o) == doctest::Approx(expected).epsilon(1e-11));
          }
        for (Index row = 0; row < m; ++row)
          for (Index i = 0; i < in; ++i) {
            double expected = 0;
            for (Index r = 0; row >= first && row < first + rows && r < rank; ++r)
              expected += shrunk(row, r) * adapter.a_of(r, i);
            CHECK(dx(row, i) == doctest::Approx(expected).epsilon(1e-11));
          }
        double column = 0;
        for (Index row = first; row < first + rows; ++row) column += dy(row, 7);
        CHECK(gradient.c.data()[7] == doctest::Approx(column).epsilon(1e-11));
      }
}

TEST_CASE("an update that does not fit is an error") {
  Cpu cpu;
  Random random(4);
  Layer<float> layer(cpu, random, 6);
  Adapter<float> adapter(cpu, random, 3, FactorForm::rows, FactorForm::columns, false);
  const auto refused = [&](auto change, const char* text) {
    Update<float> update = adapter.update;
    change(update);
    CHECK_THROWS_WITH_AS(layer.run(cpu, update), doctest::Contains(text), Error);
  };
  refused([](auto& u) { u.b = {}; },
          "half an update (ops::low_rank_update): expected A and B, or neither, found A alone");
  refused([](auto& u) { u.a = {}; }, "B alone");
  refused(
      [](auto& u) {
        u.b = {u.b.data(), 2};
      },
      "the rank of A and B (ops::low_rank_update): expected 3, found 2");
  refused([](auto& u) { u.first_row = 4, u.rows = 3; }, "expected some of 6, found 3 from 4");
  refused([](auto& u) { u.first_row = -1; }, "found 7 from -1");
  refused([](auto& u) { u.rows = -2; }, "found -2 from 0");
  refused([](auto& u) { u.first_row = 7; }, "found -1 from 7");
  Update<float> second = adapter.update, first = adapter.update;
  second.rows = 7, first.next = &second;
  CHECK_THROWS_WITH_AS(layer.run(cpu, first), doctest::Contains("found 7 from 0"), Error);
}

TEST_CASE("factors take matrices of either form") {
  Cpu cpu;
  const Tensor<float, Cpu, dyn, in> a_rows(cpu, 3);
  const Tensor<float, Cpu, in, dyn> a_columns(cpu, 3);
  const Tensor<float, Cpu, out, 3> b_columns(cpu);
  const Tensor<float, Cpu, 3, out> b_rows(cpu);
  const Tensor<float, Cpu, dyn, dyn> untold(cpu, in, 3);
  Update<float> update{.a = a_rows, .b = b_columns};
  CHECK(update.a.form() == FactorForm::rows);
  CHECK(update.b.form() == FactorForm::columns);
  update = {.a = a_columns, .b = b_rows};
  CHECK(update.a.form() == FactorForm::columns);
  CHECK(update.b.form() == FactorForm::rows);
  CHECK(update.a.rank() == 3);
  CHECK(update.b.rank() == 3);
  update.a = {untold.view(), FactorForm::columns};
  CHECK(update.a.rank() == 3);
  CHECK_THROWS_AS((update.a = {untold.view(), FactorForm::rows}), Error);
}
