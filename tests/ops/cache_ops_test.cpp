// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Operations of a pass behind a cache, whose sequences have different pasts: each as if it were alone, with
// its own number of keys; what does not fit is an error.
#include <doctest/doctest.h>

#include <cstring>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

using namespace hyperblocks;

namespace {

constexpr Index sequences = 3, tokens = 4, room = 30, heads = 2, width = 8;

struct Cached {
  Cpu cpu{{.threads = 2}};
  Random random{5};
  Tensor<float, Cpu, dyn, dyn, dyn> q{cpu, sequences, tokens, heads*width},
      k{cpu, sequences, room, heads*width}, v{cpu, sequences, room, heads*width},
      out{cpu, sequences, tokens, heads*width};
  Tensor<std::int32_t, Cpu, dyn> past{cpu, sequences};

  explicit Cached(const std::vector<std::int32_t>& lengths) {
    for (auto* numbers : {&q, &k, &v}) fill_normal(cpu, *numbers, random, 1.0);
    past.upload(cpu, lengths);
  }
  template <class T>
  static Heads<const float> of(T& numbers) {
    return heads_of(numbers.view(), heads);
  }
};

/// One sequence's first tokens.
template <class S>
Heads<S> part(Heads<S> all, Index sequence, Index size) {
  all.data = all.row(sequence, 0, 0), all.batch = 1, all.tokens = size;
  return all;
}

}  // namespace

TEST_CASE("queries see their own sequence's keys, whatever lies behind them") {
  for (const Index window : {0, 7}) {
    const std::vector<std::int32_t> lengths = {0, 5, 26};
    Cached c(lengths);
    for (Index i = 0; i < sequences; ++i)  // what is behind a sequence's keys counts for nothing
      for (Index at = lengths[static_cast<std::size_t>(i)] + tokens; at < room; ++at)
        c.k.span()[static_cast<std::size_t>((i * room + at) * heads * width)] = NAN;
    AttentionOptions options{.scale = 0.4, .causal = true, .window = window};
    Tensor<float, Cpu, dyn, dyn, dyn> alone(c.cpu, sequences, tokens, heads * width);
    for (Index i = 0; i < sequences; ++i) {
      const Index keys = lengths[static_cast<std::size_t>(i)] + tokens;
      ops::attention<float>(c.cpu, options, part(Cached::of(c.q), i, tokens), part(Cached::of(c.k), i, keys),
                            part(Cached::of(c.v), i, keys), part(heads_of(alone.view(), heads), i, tokens),
                            {});
    }
    options.past = c.past.data();
    ops::attention<float>(c.cpu, options, Cached::of(c.q), Cached::of(c.k), Cached::of(c.v),
                          heads_of(c.out.view(), heads), {});
    CHECK(std::memcmp(c.out.data(), alone.data(), static_cast<std::size_t>(alone.size()) * sizeof(float)) ==
          0);
    CHECK(!std::isnan(alone.span()[0]));
  }
}

TEST_CASE("heads are appended where each sequence ends, and nowhere else") {
  Cached c({0, 5, 26});
  const std::vector<float> before(c.k.span().begin(), c.k.span().end());
  ops::append_heads<float>(c.cpu, Cached::of(c.q), heads_of(c.k.view(), heads), c.past);
  bool right = true;
  for (Index i = 0; i < c.k.size(); ++i) {
    const Index row = heads * width, sequence = i / (room * row), at = i / row % room,
                token = at - c.past.span()[static_cast<std::size_t>(sequence)];
    const float expected =
        token >= 0 && token < tokens
            ? c.q.span()[static_cast<std::size_t>((sequence * tokens + token) * row + i % row)]
            : before[static_cast<std::size_t>(i)];
    right = right && c.k.span()[static_cast<std::size_t>(i)] == expected;
  }
  CHECK(right);
}

TEST_CASE("rotary positions go on behind the past") {
  Cached c({0, 5, 26});
  const RopeTables<float, Cpu> tables(c.cpu, 10000, width, room + 2);
  const auto rows = c.q.view().reshape<dyn, dyn>(sequences * tokens, heads * width);
  const std::vector<float> before(c.q.span().begin(), c.q.span().end());
  Rotary<float, Cpu> rotary = tables;
  rotary.past = c.past, rotary.first = 2;
  ops::rope<float>(c.cpu, rows, rotary, tokens, heads, RopeLayout::half_split, false);
  const std::vector<float> found(c.q.span().begin(), c.q.span().end());

  std::ranges::copy(before, c.q.span().begin());
  Tensor<std::int32_t, Cpu, dyn> positions(c.cpu, sequences * tokens);
  for (Index i = 0; i < positions.size(); ++i)
    positions.span()[static_cast<std::size_t>(i)] =
        c.past.span()[static_cast<std::size_t>(i / tokens)] + 2 + static_cast<std::int32_t>(i % tokens);
  rotary = tables;
  rotary.positions = positions;
  ops::rope<float>(c.cpu, rows, rotary, tokens, heads, RopeLayout::half_split, false);
  CHECK(std::ranges::equal(c.q.span(), found));
  CHECK(!std::ranges::equal(before, found));
}

TEST_CASE("what does not fit a cache is an error") {
  Cached c({0, 5, 27});  // one more than there is room for
  CHECK_THROWS_WITH_AS(
      ops::append_heads<float>(c.cpu, Cached::of(c.q), heads_of(c.k.view(), heads), c.past),
      "hyperblocks: the cache is full (ops::append_heads): expected at most 30 tokens, found 27 and 4 more",
      Error);
  c.past.span()[2] = -1;
  CHECK_THROWS_WITH_AS(ops::append_heads<float>(c.cpu, Cached::of(c.q), heads_of(c.k.view(), heads), c.past),
                       doctest::Contains("the cache is full"), Error);
  CHECK_THROWS_WITH_AS(ops::append_heads<float>(c.cpu, Cached::of(c.k), heads_of(c.q.view(), heads), c.past),
                       doctest::Contains("the heads' shapes do not fit (ops::append_heads)"), Error);
  CHECK_THROWS_WITH_AS(ops::append_heads<float>(c.cpu, Cached::of(c.q), heads_of(c.k.view(), heads),
                                                c.past.view().slice(0, 2)),
                       doctest::Contains("sequences and elements of past"), Error);
  const RopeTables<float, Cpu> tables(c.cpu, 10000, width, room);
  Rotary<float, Cpu> rotary = tables;
  rotary.past = c.past.view().slice(0, 2);
  CHECK_THROWS_WITH_AS(
      ops::rope<float>(c.cpu, c.q.view().reshape<dyn, dyn>(sequences * tokens, heads * width), rotary, tokens,
                       heads, RopeLayout::half_split, false),
      doctest::Contains("rows of x and sequences of past"), Error);
  const Heads<const float> q = Cached::of(c.q);
  const Heads<float> to = heads_of(c.out.view(), heads);
  CHECK_THROWS_WITH_AS(
      ops::attention_backward<float>(c.cpu, {.past = c.past.data()}, q, q, q, q, {}, q, to, to, to),
      doctest::Contains("keys of a cache have no gradients"), Error);
}
