// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Attention on Cuda against the Cpu in double, forward and backward: grouped heads, causality, windows,
// masks, soft caps, another axis, widths and lengths that tiles fit and that they do not, hidden NaN, queries
// that see nothing.
#include "twins.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index;
using namespace hb::test;

namespace {

struct Shape {
  Index batch = 2, queries = 5, keys = 5, key_heads = 2, group = 1, width = 8, value_width = 8;
};

/// q, k, v, what comes of them and their gradients, on both devices.
template <class S>
struct Case {
  using Sum = hb::Accumulator<S>;
  using Numbers = Twins<S, dyn, dyn, dyn>;
  Devices& d;
  Shape shape;
  Numbers q, k, v, out, dout, dq, dk, dv;
  TwinRow<Sum> log_sum_exp;

  Case(Devices& devices, const Shape& s)
      : d(devices),
        shape(s),
        q(d, s.batch, s.queries, s.key_heads * s.group * s.width),
        k(d, s.batch, s.keys, s.key_heads * s.width),
        v(d, s.batch, s.keys, s.key_heads * s.value_width),
        out(d, s.batch, s.queries, s.key_heads * s.group * s.value_width),
        dout(d, s.batch, s.queries, s.key_heads * s.group * s.value_width),
        dq(d, s.batch, s.queries, s.key_heads * s.group * s.width),
        dk(d, s.batch, s.keys, s.key_heads * s.width),
        dv(d, s.batch, s.keys, s.key_heads * s.value_width),
        log_sum_exp(d, s.batch * s.key_heads * s.group * s.queries) {
    q.fill(), k.fill(), v.fill(), dout.fill();
    out.poison(), log_sum_exp.poison(), dq.poison(), dk.poison(), dv.poison();
  }

  /// Options for both devices; a mask's bytes lie on each.
  void run(const hb::AttentionOptions& on_cpu, const hb::AttentionOptions& on_cuda) {
    run_on(d.cpu, double{}, on_cpu, [](auto& numbers) { return numbers.cpu(); });
    run_on_cuda(on_cuda);
  }
  void run_on_cuda(const hb::AttentionOptions& options) {
    run_on(d.cuda, S{}, options, [](auto& numbers) { return numbers.cuda(); });
  }
  template <class Device, class T, class Of>
  void run_on(Device& device, T, const hb::AttentionOptions& options, Of of) {
    const Index heads = shape.key_heads * shape.group;
    const auto in = [&](auto& numbers, Index count) {
      return hb::Heads<const T>(hb::heads_of(of(numbers), count));
    };
    const auto to = [&](auto& numbers, Index count) { return hb::heads_of(of(numbers), count); };
    hb::ops::attention<T>(device, options, in(q, heads), in(k, shape.key_heads), in(v, shape.key_heads),
                          to(out, heads), of(log_sum_exp));
    hb::ops::attention_backward<T>(device, options, in(q, heads), in(k, shape.key_heads),
                                   in(v, shape.key_heads), in(out, heads), of(log_sum_exp), in(dout, heads),
                                   to(dq, heads), to(dk, shape.key_heads), to(dv, shape.key_heads));
  }
  void check() {
    CHECK(out.error() < tolerance<S>);
    CHECK(log_sum_exp.error() < tolerance<S>);
    CHECK(dq.error() < tolerance<S>);
    CHECK(dk.error() < tolerance<S>);
    CHECK(dv.error() < tolerance<S>);
  }
};

template <class S>
void compare(Devices& d, const Shape& shape, const hb::AttentionOptions& options) {
  CAPTURE(shape.queries);
  CAPTURE(shape.keys);
  CAPTURE(shape.width);
  Case<S> subject(d, shape);
  subject.run(options, options);
  subject.check();
}

}  // namespace

TEST_CASE_TEMPLATE("shapes", S, double, float, hb::bf16, hb::half) {
  Devices d;
  compare<S>(d, {}, {.scale = 0.5});
  compare<S>(d, {.batch = 1, .queries = 1, .keys = 70, .group = 3, .width = 16, .value_width = 12},
             {.scale = 0.25});
  compare<S>(d, {.batch = 3, .queries = 37, .keys = 37, .key_heads = 1, .width = 20, .value_width = 20},
             {.scale = 0.2});
  compare<S>(d, {.batch = 1, .queries = 40, .keys = 70, .group = 2, .width = 64, .value_width = 64},
             {.scale = 0.125, .causal = true});
}

TEST_CASE_TEMPLATE("queries that see no key, and none at all", S, float, hb::bf16) {
  Devices d;
  // Of 2 queries a window of 300 leaves the first 398 of 700 keys to nobody.
  compare<S>(d, {.batch = 1, .queries = 2, .keys = 700, .width = 64, .value_width = 64},
             {.scale = 0.125, .causal = true, .window = 300});
  compare<S>(d, {.batch = 1, .queries = 3, .keys = 0, .width = 16, .value_width = 16}, {.scale = 0.25});
  compare<S>(d, {.batch = 1, .queries = 0, .keys = 3, .width = 16, .value_width = 16}, {.scale = 0.25});
}

TEST_CASE_TEMPLATE("widths up to those of the largest heads", S, double, float) {
  Devices d;
  const auto shape = [](Index width) {
    return Shape{.batch = 1,
                 .queries = 18,
                 .keys = 18,
                 .key_heads = 1,
                 .group = 2,
                 .width = width,
                 .value_width = width};
  };
  for (const Index width : {128, 256, 264}) compare<S>(d, shape(width), {.scale = 0.05, .causal = true});
  // The Cpu goes no further in double. Beyond its first numbers a head of zeros adds nothing.
  const Index most = std::is_same_v<S, double> ? 264 : 528, known = 100;
  Case<S> wide(d, shape(most)), narrow(d, shape(known));
  for (auto numbers : {&Case<S>::q, &Case<S>::k, &Case<S>::v, &Case<S>::dout}) {
    const auto source = (narrow.*numbers).found();
    (wide.*numbers).set([&](Index i) {
      const Index row = i / most, column = i % most;
      return column < known ? hb::scalar_cast<double>(source[static_cast<std::size_t>(row * known + column)])
                            : 0.0;
    });
  }
  narrow.run({.scale = 0.05}, {.scale = 0.05}), wide.run_on_cuda({.scale = 0.05});
  for (auto numbers : {&Case<S>::out, &Case<S>::dq, &Case<S>::dk, &Case<S>::dv}) {
    CHECK((narrow.*numbers).error() < tolerance<S>);
    const auto expected = (narrow.*numbers).found(), found = (wide.*numbers).found();
    for (std::size_t i = 0; i < found.size(); ++i) {
      const auto row = i / static_cast<std::size_t>(most), column = i % static_cast<std::size_t>(most);
      const double value = column < known ? expected[row * static_cast<std::size_t>(known) + column] : 0;
      CHECK(std::abs(found[i] - value) < 1e-4);
    }
  }
  Case<S> wider(d, shape(std::is_same_v<S, double> ? 424 : 852));
  CHECK_THROWS_WITH_AS(wider.run_on_cuda({}), doctest::Contains("the heads are too wide for the Cuda device"),
                       hb::Error);
}

TEST_CASE_TEMPLATE("causality, windows, soft caps", S, float, hb::bf16) {
  Devices d;
  const Shape shape{.batch = 1, .queries = 45, .keys = 45, .group = 2, .width = 16, .value_width = 16};
  Shape later = shape;
  later.keys = 75;
  for (const Shape& s : {shape, later}) {
    compare<S>(d, s, {.scale = 0.3, .causal = true});
    compare<S>(d, s, {.scale = 0.3, .causal = true, .window = 9});
    compare<S>(d, s, {.scale = 0.3, .window = 40});
    compare<S>(d, s, {.scale = 0.3, .soft_cap = 1.5, .causal = true});
  }
}

TEST_CASE_TEMPLATE("few queries and many keys, in shares", S, double, float, hb::bf16) {
  Devices d;
  const auto shape = [](Index queries, Index keys) {
    return Shape{.batch = 1,
                 .queries = queries,
                 .keys = keys,
                 .key_heads = 1,
                 .group = 2,
                 .width = 16,
                 .value_width = 16};
  };
  for (const Index keys : {127, 128, 256, 257, 700}) compare<S>(d, shape(1, keys), {.scale = 0.3});
  compare<S>(d, shape(3, 700), {.scale = 0.3, .soft_cap = 2, .causal = true});
  compare<S>(d, shape(2, 700), {.scale = 0.3, .causal = true, .window = 300});
  Shape several = shape(1, 600);
  several.batch = 2, several.group = 1;
  compare<S>(d, several, {.scale = 0.3});

  // A query that sees nothing, one that sees one share's keys only; NaN among the hidden.
  Case<S> subject(d, shape(2, 700));
  std::vector<std::uint8_t> allowed(2 * 700, 0);
  for (std::size_t key = 300; key < 340; ++key) allowed[700 + key] = 1;
  auto random = d.random;
  const auto hidden_nan = [&](Index i) { return i / 16 < 300 ? NAN : random.normal(); };
  subject.k.set(hidden_nan), subject.v.set(hidden_nan);
  hb::Tensor<std::uint8_t, hb::Cuda, dyn> on_cuda(d.cuda, static_cast<Index>(allowed.size()));
  on_cuda.upload(d.cuda, allowed);
  hb::AttentionOptions options{.scale = 0.4};
  options.mask = {.allowed = allowed.data(), .size = 1400, .query_stride = 700};
  auto cuda_options = options;
  cuda_options.mask.allowed = on_cuda.view().data();
  subject.run(options, cuda_options);
  subject.check();
}

TEST_CASE_TEMPLATE("sequences with different pasts in a cache", S, double, float, hb::bf16) {
  Devices d;
  TwinIds past(d, {0, 130, 640});
  for (const Index window : {0, 100})
    for (const Index queries : {1, 3, 40}) {
      CAPTURE(window);
      CAPTURE(queries);
      const Shape shape{.batch = 3,
                        .queries = queries,
                        .keys = 700,
                        .key_heads = 1,
                        .group = 2,
                        .width = 16,
                        .value_width = 16};
      Case<S> subject(d, shape);
      const auto behind = [&](Index i) {  // NaN where no key is yet
        const Index key = i / 16 % 700,
                    known = std::array{0, 130, 640}[static_cast<std::size_t>(i / 16 / 700)];
        return key < known + queries ? d.random.normal() : NAN;
      };
      subject.k.set(behind), subject.v.set(behind);
      const auto forward = [&](auto& device, auto scalar, const std::int32_t* lengths, auto of) {
        using T = decltype(scalar);
        const auto in = [&](auto& numbers, Index heads) {
          return hb::Heads<const T>(hb::heads_of(of(numbers), heads));
        };
        hb::ops::attention<T>(device, {.scale = 0.3, .causal = true, .window = window, .past = lengths},
                              in(subject.q, 2), in(subject.k, 1), in(subject.v, 1),
                              hb::heads_of(of(subject.out), 2), {});
      };
      forward(d.cpu, double{}, past.cpu().data(), [](auto& numbers) { return numbers.cpu(); });
      forward(d.cuda, S{}, past.cuda().data(), [](auto& numbers) { return numbers.cuda(); });
      CHECK(subject.out.error() < tolerance<S>);
    }
}

TEST_CASE_TEMPLATE("wide heads of 16-bit numbers", S, hb::bf16, hb::half) {
  Devices d;
  for (const Index width : {64, 72, 128, 200, 256})
    compare<S>(d,
               {.batch = 1,
                .queries = 50,
                .keys = 150,
                .key_heads = 1,
                .group = 2,
                .width = width,
                .value_width = width},
               {.scale = 0.05, .causal = true});
  compare<S>(d, {.batch = 1, .queries = 20, .keys = 90, .width = 80, .value_width = 48}, {.scale = 0.1});
}

TEST_CASE_TEMPLATE("masks, and hidden keys that hold NaN", S, float, hb::bf16, hb::half) {
  Devices d;
  const Shape shape{
      .batch = 2, .queries = 35, .keys = 40, .key_heads = 1, .group = 2, .width = 8, .value_width = 8};
  Case<S> subject(d, shape);
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(shape.batch * shape.queries * shape.keys));
  for (auto& byte : allowed) byte = d.random.uniform() < 0.7 ? 1 : 0;
  const auto hide = [&](Index sequence, Index query, Index key) {
    allowed[static_cast<std::size_t>((sequence * shape.queries + query) * shape.keys + key)] = 0;
  };
  for (Index i = 0; i < shape.queries; ++i) hide(0, i, 3), hide(1, i, 39);  // keys that nobody sees
  for (Index j = 0; j < shape.keys; ++j) hide(1, 7, j);                     // a query that sees nothing
  for (Index i = 1; i < shape.queries; ++i) hide(0, i, 20);                 // a key that one query sees
  const Index row = shape.width;
  auto random = d.random;
  const auto poisoned = [&](Index i) {
    const Index key = i / row % shape.keys, sequence = i / row / shape.keys;
    const bool hidden = (sequence == 0 && (key == 3 || key == 20)) || (sequence == 1 && key == 39);
    return hidden && i % row < 2 ? (i % 2 == 0 ? NAN : INFINITY) : random.normal();
  };
  subject.k.set(poisoned), subject.v.set(poisoned);

  hb::Tensor<std::uint8_t, hb::Cuda, dyn> on_cuda(d.cuda, static_cast<Index>(allowed.size()));
  on_cuda.upload(d.cuda, allowed);
  hb::AttentionOptions options{.scale = 0.4};
  options.mask = {.allowed = allowed.data(),
                  .size = on_cuda.size(),
                  .batch_stride = shape.queries * shape.keys,
                  .query_stride = shape.keys};
  auto cuda_options = options;
  cuda_options.mask.allowed = on_cuda.view().data();
  subject.run(options, cuda_options);
  subject.check();
}

TEST_CASE("along another axis, of parts of a fused matrix") {
  Devices d;
  const Index layers = 6, tokens = 9, heads = 2, width = 8;
  Twins<float, dyn, dyn, dyn> fused(d, layers, tokens, 3 * heads * width),
      out(d, layers, tokens, heads * width);
  fused.fill(), out.poison();
  const auto part = [&](auto view, Index number) {
    auto across = hb::heads_across(view, 3 * heads);
    across.data += number * heads * width, across.heads = heads;
    return across;
  };
  const hb::AttentionOptions options{.scale = 0.3};
  const auto run = [&](auto& device, auto scalar, auto from, auto to) {
    using T = decltype(scalar);
    hb::ops::attention<T>(device, options, hb::Heads<const T>(part(from, 0)),
                          hb::Heads<const T>(part(from, 1)), hb::Heads<const T>(part(from, 2)),
                          hb::heads_across(to, heads), {});
  };
  run(d.cpu, double{}, fused.cpu(), out.cpu());
  run(d.cuda, float{}, fused.cuda(), out.cuda());
  CHECK(out.error() < 1e-5);
}
