// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention against the definition in double, its gradients against central differences, and that no row's
// bits depend on threads, on the rows beside it or on the batch.
#include <doctest/doctest.h>

#include <cstring>

#include "support/attention_check.hpp"
#include "support/worse.hpp"

using namespace hyperblocks;
using namespace hyperblocks::test;

namespace {

const Example examples[] = {
    {.name = "plain"},
    {.name = "several blocks",
     .queries = 230,
     .keys = 530,
     .heads = 1,
     .kv_heads = 1,
     .width = 64,
     .value_width = 64},
    {.name = "causal", .queries = 70, .keys = 70, .causal = true},
    {.name = "causal, several blocks",
     .batch = 1,
     .queries = 300,
     .keys = 300,
     .width = 32,
     .value_width = 32,
     .causal = true},
    {.name = "causal with a cache", .queries = 3, .keys = 290, .causal = true},
    {.name = "causal, more queries than keys", .queries = 40, .keys = 9, .causal = true},
    {.name = "window", .queries = 300, .keys = 300, .causal = true, .window = 17},
    {.name = "window, not causal", .queries = 40, .keys = 50, .window = 7},
    {.name = "padding mask", .queries = 33, .keys = 65, .mask = MaskKind::padding},
    {.name = "couple mask", .queries = 36, .keys = 36, .mask = MaskKind::couple},
    {.name = "nothing visible", .queries = 12, .keys = 40, .mask = MaskKind::nothing_for_some},
    {.name = "strided mask", .queries = 12, .keys = 40, .causal = true, .mask = MaskKind::everything_strided},
    {.name = "soft cap",
     .queries = 30,
     .keys = 45,
     .soft_cap = 1.5,
     .causal = true,
     .mask = MaskKind::padding},
    {.name = "groups",
     .queries = 31,
     .keys = 47,
     .heads = 6,
     .kv_heads = 2,
     .width = 33,
     .value_width = 20,
     .causal = true},
    {.name = "decode",
     .batch = 3,
     .queries = 1,
     .keys = 700,
     .heads = 9,
     .kv_heads = 3,
     .width = 64,
     .value_width = 64,
     .causal = true},
    {.name = "one head for all",
     .queries = 11,
     .keys = 23,
     .heads = 4,
     .kv_heads = 1,
     .width = 13,
     .value_width = 9},
    {.name = "wide", .queries = 20, .keys = 50, .heads = 1, .kv_heads = 1, .width = 128, .value_width = 128},
    {.name = "odd widths",
     .queries = 20,
     .keys = 37,
     .heads = 1,
     .kv_heads = 1,
     .width = 65,
     .value_width = 31},
    {.name = "across", .batch = 6, .queries = 7, .keys = 7, .heads = 2, .kv_heads = 2, .across = true},
    {.name = "many short",
     .batch = 40,
     .queries = 16,
     .keys = 16,
     .heads = 2,
     .kv_heads = 1,
     .width = 16,
     .value_width = 16},
    {.name = "no keys", .queries = 3, .keys = 0},
    {.name = "Gemma",
     .batch = 1,
     .queries = 40,
     .keys = 60,
     .heads = 2,
     .kv_heads = 1,
     .width = 256,
     .value_width = 256,
     .soft_cap = 50,
     .causal = true,
     .window = 32},
    {.name = "many keys", .batch = 1, .queries = 30, .keys = 700, .heads = 2, .kv_heads = 1, .width = 5},
    {.name = "narrow", .queries = 9, .keys = 9, .width = 20, .value_width = 5},
};

template <class S>
double number(S x) {
  return scalar_cast<double>(x);
}

/// Scores of some units and averages of numbers of size 3: the error is a few roundings of the accumulator,
/// and half a unit in the last place of what is stored.
template <class S>
constexpr double tolerance = std::same_as<S, double>  ? 1e-13
                             : std::same_as<S, float> ? 4e-6
                             : std::same_as<S, half>  ? 0x1p-11 * 4
                                                      : 0x1p-8 * 4;

template <class S>
std::vector<S> bits(Cpu& cpu, const Example& example) {
  cpu.arena().poison(true);
  Subject<S> subject(example);
  subject.backward(cpu);
  std::vector<S> all;
  for (const Storage<S>* storage : {&subject.out, &subject.dq, &subject.dk, &subject.dv})
    storage->each([&](S& x) { all.push_back(x); });
  return all;
}

template <class S>
bool same(const std::vector<S>& a, const std::vector<S>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0);
}

template <class S>
void check_values(Cpu& cpu, const Example& example) {
  Subject<S> subject(example);
  subject.forward(cpu);
  double worst = 0, worst_sum = 0;
  for (Index b = 0; b < example.batch; ++b)
    for (Index h = 0; h < example.heads; ++h)
      for (Index i = 0; i < example.queries; ++i) {
        const auto expected = naive_row(subject, b, i, h);
        for (Index c = 0; c < example.value_width; ++c) {
          const double error =
              number(subject.out.view.row(b, i, h)[c]) - expected[static_cast<std::size_t>(c)];
          worst = test::worse(worst, std::abs(error));
        }
        const double found = number(subject.log_sum_exp((b * example.heads + h) * example.queries + i));
        if (found != expected.back()) worst_sum = test::worse(worst_sum, std::abs(found - expected.back()));
      }
  CHECK(worst <= tolerance<S>);
  CHECK(worst_sum <= (std::same_as<S, double> ? 1e-13 : 4e-6));
}

}  // namespace

TEST_CASE_TEMPLATE("attention is the definition on every instruction set", S, float, double, bf16, half) {
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    CAPTURE(name(isa));
    Cpu cpu({.threads = 2, .isa = isa});
    cpu.arena().poison(true);
    for (const Example& example : examples) {
      CAPTURE(example.name);
      check_values<S>(cpu, example);
    }
  }
}

TEST_CASE("gradients are central differences") {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  constexpr double step = 1e-5;
  for (const Example& example : examples) {
    CAPTURE(example.name);
    Subject<double> subject(example);
    subject.backward(cpu);
    const auto check = [&](const Storage<double>& at, const Storage<double>& gradient) {
      std::vector<double*> places;
      at.each([&](double& x) { places.push_back(&x); });
      const auto found = gradient.values();
      double difference = 0, largest = 1e-3;
      for (std::size_t i = 0; i < places.size(); i += 1 + places.size() / 40) {
        const double value = *places[i];
        *places[i] = value + step;
        const double above = subject.loss(cpu);
        *places[i] = value - step;
        const double below = subject.loss(cpu);
        *places[i] = value;
        const double error = std::abs((above - below) / (2 * step) - found[i]);
        difference = test::worse(difference, error);
      }
      for (const double x : found) largest = std::max(largest, std::abs(x));
      CHECK(difference / largest < 1e-7);
    };
    check(subject.q, subject.dq);
    check(subject.k, subject.dk);
    check(subject.v, subject.dv);
  }
}

TEST_CASE_TEMPLATE("gradients of every scalar are near those of double", S, float, bf16, half) {
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    Cpu cpu({.threads = 1, .isa = isa});
    cpu.arena().poison(true);
    for (const Example& example : examples) {
      CAPTURE(example.name);
      Subject<S> subject(example);
      Subject<double> exact(example);
      const auto copy = [](const Storage<S>& from, const Storage<double>& to) {
        const auto values = from.values();
        std::size_t next = 0;
        to.each([&](double& x) { x = values[next++]; });
      };
      copy(subject.q, exact.q), copy(subject.k, exact.k), copy(subject.v, exact.v),
          copy(subject.dout, exact.dout);
      subject.backward(cpu);
      exact.backward(cpu);
      const auto check = [&](const Storage<S>& found, const Storage<double>& expected) {
        const auto a = found.values(), b = expected.values();
        double worst = 0, largest = 1;
        for (std::size_t i = 0; i < a.size(); ++i) {
          largest = std::max(largest, std::abs(b[i]));
          worst = test::worse(worst, std::abs(a[i] - b[i]));
        }
        CHECK(worst / largest <= tolerance<S>);  // a stored `out` is rounded once, and so is the gradient
      };
      check(subject.dq, exact.dq);
      check(subject.dk, exact.dk);
      check(subject.dv, exact.dv);
    }
  }
}

TEST_CASE_TEMPLATE("bits do not depend on the number of threads", S, float, double, bf16) {
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    CAPTURE(name(isa));
    for (const Example& example : examples) {
      CAPTURE(example.name);
      Cpu one({.threads = 1, .isa = isa});
      const auto expected = bits<S>(one, example);
      for (const Index threads : {2, 3}) {
        Cpu cpu({.threads = threads, .isa = isa});
        CHECK(same(bits<S>(cpu, example), expected));
      }
    }
  }
}

TEST_CASE_TEMPLATE("a query's bits depend neither on other queries nor on other sequences", S, float, double,
                   half) {
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    CAPTURE(name(isa));
    Cpu cpu({.threads = 2, .isa = isa});
    for (const Index window : {Index{0}, Index{40}})
      for (const Index group : {1, 3}) {
        const Index tokens = 600;
        Subject<S> all({.batch = 2,
                        .queries = tokens,
                        .keys = tokens,
                        .heads = 2 * group,
                        .width = 24,
                        .value_width = 24,
                        .causal = true,
                        .window = window});
        all.forward(cpu);
        // One sequence alone, its queries in chunks with the keys so far, as a cache would have it.
        for (const Index chunk : {1, 7, 100}) {
          Subject<S> part({.batch = 2,
                           .queries = tokens,
                           .keys = tokens,
                           .heads = 2 * group,
                           .width = 24,
                           .value_width = 24});
          bool equal = true;
          for (Index first = 0; first < tokens; first += chunk * (chunk == 1 ? 37 : 1)) {
            const Index count = std::min(chunk, tokens - first);
            const auto some = [](Heads<S> heads, Index begin, Index size) {
              heads.data = heads.row(1, begin, 0);
              heads.batch = 1, heads.tokens = size;
              return heads;
            };
            ops::attention<S>(cpu, all.options, some(all.q.view, first, count),
                              some(all.k.view, 0, first + count), some(all.v.view, 0, first + count),
                              some(part.out.view, first, count), {});
            for (Index i = first; i < first + count; ++i)
              for (Index h = 0; h < all.q.view.heads; ++h)
                equal = equal && std::memcmp(part.out.view.row(1, i, h), all.out.view.row(1, i, h),
                                             24 * sizeof(S)) == 0;
          }
          CAPTURE(chunk);
          CHECK(equal);
        }
      }
  }
}

namespace {

/// Which rows (batch, heads, tokens) hold a number that is not finite.
template <class S>
std::vector<bool> spoiled(const Storage<S>& heads) {
  std::vector<bool> rows;
  for (Index b = 0; b < heads.view.batch; ++b)
    for (Index h = 0; h < heads.view.heads; ++h)
      for (Index t = 0; t < heads.view.tokens; ++t) {
        bool finite = true;
        for (Index i = 0; i < heads.view.width; ++i)
          finite = finite && std::isfinite(number(heads.view.row(b, t, h)[i]));
        rows.push_back(!finite);
      }
  return rows;
}

constexpr Index spoiled_batch = 1, spoiled_head = 1, spoiled_token = 137, group = 2;

/// What must be spoiled: queries (one head's, or all that see the spoiled key), and the keys they see.
template <class S>
struct Expected {
  Expected(const Subject<S>& s, bool of_key) {
    const Heads<S> q = s.q.view, k = s.k.view;
    keys.resize(static_cast<std::size_t>(k.batch * k.heads * k.tokens));
    for (Index b = 0; b < q.batch; ++b)
      for (Index h = 0; h < q.heads; ++h)
        for (Index i = 0; i < q.tokens; ++i) {
          const bool is =
              b == spoiled_batch && (of_key ? h / group == spoiled_head && s.sees(b, h, i, spoiled_token)
                                            : h == spoiled_head && i == spoiled_token);
          queries.push_back(is);
          for (Index j = 0; j < k.tokens; ++j)
            if (is && s.sees(b, h, i, j))
              keys[static_cast<std::size_t>((b * k.heads + h / group) * k.tokens + j)] = true;
        }
  }
  std::vector<bool> queries, keys;
};

}  // namespace

TEST_CASE_TEMPLATE("NaN and infinity come out where they were seen, and only there", S, float, double, bf16) {
  const Example example{.queries = 300,
                        .keys = 300,
                        .heads = 2 * group,
                        .width = 20,
                        .causal = true,
                        .window = 33,
                        .mask = MaskKind::everything_strided};
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const Isa isa : all_isas) {
    if (!runs_here(isa)) continue;
    Cpu cpu({.threads = 2, .isa = isa});
    cpu.arena().poison(true);
    const auto check = [&](Storage<S> Subject<S>::*which, float value) {
      Subject<S> subject(example);
      (subject.*which).view.row(spoiled_batch, spoiled_token, spoiled_head)[3] = scalar_cast<S>(value);
      subject.backward(cpu);
      const bool is_value = which == &Subject<S>::v, is_gradient = which == &Subject<S>::dout;
      const Expected<S> expected(subject, is_value || which == &Subject<S>::k);
      const std::vector<bool> no_queries(expected.queries.size()), no_keys(expected.keys.size());
      CHECK(spoiled(subject.out) == (is_gradient ? no_queries : expected.queries));
      CHECK(spoiled(subject.dq) == expected.queries);
      CHECK(spoiled(subject.dk) == expected.keys);
      CHECK(spoiled(subject.dv) == (is_value ? no_keys : expected.keys));  // dv does not depend on v
    };
    check(&Subject<S>::q, nan);
    check(&Subject<S>::k, nan);
    check(&Subject<S>::v, nan);
    check(&Subject<S>::v, infinity);
    check(&Subject<S>::dout, nan);
  }
}

TEST_CASE("once warm nothing is taken from the device") {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  Subject<float> subject(examples[1]);
  subject.backward(cpu);
  const std::size_t allocations = cpu.arena().allocations();
  subject.backward(cpu);
  CHECK(cpu.arena().allocations() == allocations);
}

TEST_CASE("heads of rows and across them") {
  Cpu cpu;
  Tensor<float, Cpu, dyn, dyn, 12> x(cpu, 2, 3);
  const Heads<float> heads = heads_of(x.view(), 4), across = heads_across(x.view(), 4);
  CHECK(heads.shape() == std::array<Index, 4>{2, 3, 4, 3});
  CHECK(heads.row(1, 2, 3) == &x(1, 2, 9));
  CHECK(across.shape() == std::array<Index, 4>{3, 2, 4, 3});
  CHECK(across.row(2, 1, 3) == &x(1, 2, 9));
  CHECK_THROWS_WITH_AS(heads_of(x.view(), 5), doctest::Contains("a divisor of 12, found 5"), Error);
}

TEST_CASE("what does not fit is said") {
  Cpu cpu;
  const auto message = [&](const Example& example, auto change) {
    Subject<float> s(example);
    change(s);
    try {
      ops::attention_backward<float>(cpu, s.options, s.q.view, s.k.view, s.v.view, s.out.view, s.log_sum_exp,
                                     s.dout.view, s.dq.view, s.dk.view, s.dv.view);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto contains = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(message({}, [](auto&) {}).empty());
  CHECK(
      contains(message({}, [](auto& s) { s.v.view.tokens = 4; }),
               "v (b, n, g, e), out (b, m, h, e), found (2, 5, 2, 8), (2, 5, 2, 8), (2, 4, 2, 8), (2, 5, 2"));
  CHECK(contains(message({.heads = 3}, [](auto&) {}), "a divisor of 3, found 2"));
  CHECK(contains(message({}, [](auto& s) { s.dout.view.width = 7; }), "shapes do not fit"));
  CHECK(contains(message({}, [](auto& s) { s.dk.view.batch = 1; }), "expected (2, 5, 2, 8), found (1, 5, 2"));
  CHECK(contains(message({}, [](auto& s) { s.log_sum_exp = {}; }), "log_sum_exp (ops::attention_backward"));
  CHECK(contains(message({}, [](auto& s) { s.options.window = -1; }), "found 0.000000 and -1"));
  const auto masked = [&](AttentionMask mask, Index missing) {
    const std::vector<std::uint8_t> bytes(2 * 3 * 5 * 7, 1);
    mask.allowed = bytes.data();
    return message({.queries = 5, .keys = 7, .heads = 4}, [&](auto& s) {
      mask.size = 1 + mask.batch_stride + 3 * mask.head_stride + 4 * mask.query_stride + 6 * mask.key_stride -
                  missing;
      s.options.mask = mask;
    });
  };
  for (const AttentionMask& mask : {AttentionMask{.batch_stride = 7}, AttentionMask{.query_stride = 7}}) {
    CHECK(masked(mask, 0).empty());
    CHECK(contains(masked(mask, 1),
                   "the mask does not fit the heads (ops::attention_backward): expected strides of"));
  }
  CHECK(contains(masked({.batch_stride = -1}, -9), "found strides (-1, 0, 0, 1)"));
  CHECK(contains(message({.width = 529}, [](auto&) {}), "at most 528 numbers of this scalar, found 529"));
  CHECK(message({.width = 528, .value_width = 528}, [](auto&) {}).empty());
}
