// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Examples of attention for tests: shapes and options, random heads with NaN between them, the definition in
// double.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hyperblocks::test {

enum class MaskKind { none, padding, couple, nothing_for_some, everything_strided };

struct Example {
  const char* name = "";
  Index batch = 2, queries = 5, keys = 5, heads = 2, kv_heads = 2, width = 8, value_width = 8;
  double soft_cap = 0;
  bool causal = false;
  Index window = 0;
  MaskKind mask = MaskKind::none;
  bool across = false;  ///< the attended axis is the first: (tokens, batch, heads * width)
};

/// Random heads; the gaps between them hold NaN, so that a read beside them shows.
template <class S>
struct Storage {
  Storage(Index batch, Index tokens, Index heads, Index width, bool across, std::uint64_t seed) {
    constexpr Index gap = 3;
    const Index hidden = heads * width + gap;
    numbers.assign(static_cast<std::size_t>(batch * tokens * hidden),
                   scalar_cast<S>(std::numeric_limits<float>::quiet_NaN()));
    view = {numbers.data(), batch, tokens, heads, width, tokens * hidden, hidden, width};
    if (across) view.batch_stride = hidden, view.token_stride = batch * hidden;
    Random random(seed);
    each([&](S& x) { x = scalar_cast<S>(random.normal()); });
  }
  Storage(const Storage&) = delete;

  template <class F>
  void each(F f) const {
    for (Index b = 0; b < view.batch; ++b)
      for (Index t = 0; t < view.tokens; ++t)
        for (Index h = 0; h < view.heads; ++h)
          for (Index i = 0; i < view.width; ++i) f(view.row(b, t, h)[i]);
  }
  std::vector<double> values() const {
    std::vector<double> all;
    each([&](S& x) { all.push_back(scalar_cast<double>(x)); });
    return all;
  }

  std::vector<S> numbers;
  Heads<S> view;
};

template <class S>
struct Subject {
  explicit Subject(const Example& e)
      : q(e.batch, e.queries, e.heads, e.width, e.across, 1),
        k(e.batch, e.keys, e.kv_heads, e.width, e.across, 2),
        v(e.batch, e.keys, e.kv_heads, e.value_width, e.across, 3),
        out(e.batch, e.queries, e.heads, e.value_width, e.across, 4),
        dout(e.batch, e.queries, e.heads, e.value_width, e.across, 5),
        dq(e.batch, e.queries, e.heads, e.width, e.across, 6),
        dk(e.batch, e.keys, e.kv_heads, e.width, e.across, 7),
        dv(e.batch, e.keys, e.kv_heads, e.value_width, e.across, 8),
        numbers(static_cast<std::size_t>(e.batch * e.heads * e.queries)),
        log_sum_exp(numbers.data(), Shape<dyn>(e.batch * e.heads * e.queries)) {
    options = {.scale = 1 / std::sqrt(static_cast<double>(e.width)),
               .soft_cap = e.soft_cap,
               .causal = e.causal,
               .window = e.window,
               .mask = {}};
    make_mask(e);
  }

  void make_mask(const Example& e) {
    const Index b = e.batch, h = e.heads, m = e.queries, n = e.keys;
    const auto fill = [&](Index size, auto allowed) {
      for (Index i = 0; i < size; ++i) mask.push_back(allowed(i) ? 1 : 0);
    };
    if (e.mask == MaskKind::padding) {
      fill(b * n, [=](Index i) { return i % n < n - 3 - 5 * (i / n); });
      options.mask = {mask.data(), std::ssize(mask), n, 0, 0, 1};
    } else if (e.mask == MaskKind::couple) {
      fill(m * n, [=](Index i) { return i / n / 2 == i % n / 2 || i % n < 3; });
      options.mask = {mask.data(), std::ssize(mask), 0, 0, n, 1};
    } else if (e.mask == MaskKind::nothing_for_some) {
      fill(b * h * m * n, [=](Index i) { return i / n % 3 != 1; });
      options.mask = {mask.data(), std::ssize(mask), h * m * n, m * n, n, 1};
    } else if (e.mask == MaskKind::everything_strided) {
      fill(n * m, [=](Index i) { return i % 5 != 0; });
      options.mask = {mask.data(), std::ssize(mask), 0, 0, 1, m};
    }
  }

  void forward(Cpu& cpu) { ops::attention<S>(cpu, options, q.view, k.view, v.view, out.view, log_sum_exp); }
  void backward(Cpu& cpu) {
    forward(cpu);
    ops::attention_backward<S>(cpu, options, q.view, k.view, v.view, out.view, log_sum_exp, dout.view,
                               dq.view, dk.view, dv.view);
  }
  double loss(Cpu& cpu) {
    forward(cpu);
    const auto a = out.values(), b = dout.values();
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
  bool sees(Index b, Index h, Index i, Index j) const {
    const Index position = k.view.tokens - q.view.tokens + i;
    const AttentionMask& m = options.mask;
    return (!options.causal || j <= position) && (options.window == 0 || position - j < options.window) &&
           (m.allowed == nullptr ||
            m.allowed[b * m.batch_stride + h * m.head_stride + i * m.query_stride + j * m.key_stride] != 0);
  }

  Storage<S> q, k, v, out, dout, dq, dk, dv;
  std::vector<Accumulator<S>> numbers;
  View<Accumulator<S>, Cpu, dyn> log_sum_exp;
  std::vector<std::uint8_t> mask;
  AttentionOptions options;
};

/// The definition, for one query: the output's row, and the log of the sum of exponentials at the end.
template <class S>
std::vector<double> naive_row(const Subject<S>& s, Index b, Index i, Index h) {
  const auto number = [](S x) { return scalar_cast<double>(x); };
  const Index kv = h / (s.q.view.heads / s.k.view.heads);
  std::vector<double> out(static_cast<std::size_t>(s.v.view.width) + 1);
  double sum = 0;
  for (Index j = 0; j < s.k.view.tokens; ++j) {
    if (!s.sees(b, h, i, j)) continue;
    double score = 0;
    for (Index c = 0; c < s.q.view.width; ++c)
      score += number(s.q.view.row(b, i, h)[c]) * number(s.k.view.row(b, j, kv)[c]) * s.options.scale;
    if (s.options.soft_cap > 0) score = s.options.soft_cap * std::tanh(score / s.options.soft_cap);
    sum += std::exp(score);
    for (Index c = 0; c < s.v.view.width; ++c)
      out[static_cast<std::size_t>(c)] += std::exp(score) * number(s.v.view.row(b, j, kv)[c]);
  }
  for (double& x : out) x = sum == 0 ? 0 : x / sum;
  out.back() = std::log(sum);
  return out;
}

}  // namespace hyperblocks::test
