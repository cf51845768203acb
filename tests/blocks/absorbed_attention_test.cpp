// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Cross attention of few queries without keys and values gives what it gives with them: masks, shared key
// heads, weights as float and bf16, bits over threads; where it cannot, keys and values are made.
#include <doctest/doctest.h>

#include <hyperblocks/hyperblocks.hpp>

#include <cmath>

#include "support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::AttentionSpec with_keys{.hidden = 48,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .head_width = 32,
                                      .context = 40,
                                      .output_bias = true,
                                      .soft_cap = 3};
constexpr hb::AttentionSpec few = [] {
  hb::AttentionSpec spec = with_keys;
  spec.few_queries = true;
  return spec;
}();
constexpr Index count = 3, latents = 2, tokens = 21;

template <class Stored>
struct Case {
  using Plain = hb::Attention<with_keys, float, Cpu, hb::Frozen<Stored>>;
  using Absorbed = hb::Attention<few, float, Cpu, hb::Frozen<Stored>>;
  static_assert(Absorbed::absorbs && !Plain::absorbs);

  Cpu cpu;
  hb::Random random{1};
  typename Plain::Params params = hb::initialised<Plain>(cpu, random);
  hb::Tensor<float, Cpu, dyn, 48> x{cpu, count*latents}, expected{cpu, count*latents},
      found{cpu, count*latents};
  hb::Tensor<float, Cpu, dyn, 40> context{cpu, count* tokens};
  std::vector<std::uint8_t> allowed = std::vector<std::uint8_t>(count * latents * tokens, 1);

  explicit Case(Index threads) : cpu({.threads = threads}) {
    cpu.arena().poison(true);
    hb::fill_normal(cpu, x, random, 2);
    hb::fill_normal(cpu, context, random, 1);
    for (auto& byte : allowed) byte = random.bits() % 3 != 0;
  }

  template <class A>
  typename A::Input input(const hb::AttentionMask& mask) {
    return {.x = x,
            .setup = {.sequences = {count, latents},
                      .context = context,
                      .context_sequences = {count, tokens},
                      .mask = mask}};
  }
  /// The largest difference, relative to the largest number.
  double error() const {
    double difference = 0, largest = 0;
    for (Index i = 0; i < found.size(); ++i) {
      difference =
          hb::test::worse(difference, std::abs(static_cast<double>(found.data()[i]) - expected.data()[i]));
      largest = std::max(largest, std::abs(static_cast<double>(expected.data()[i])));
    }
    return difference / largest;
  }
  /// The parameters are the same, though their type is another attention's.
  const typename Absorbed::Params& absorbed_params() {
    absorbed = hb::make<typename Absorbed::Params>(cpu);
    hb::visit(
        [&](const std::string&, auto& to, const auto& from) {
          std::vector<typename std::remove_reference_t<decltype(to)>::ScalarType> host(
              static_cast<std::size_t>(from.size()));
          from.download(cpu, host);
          to.upload(cpu, host);
        },
        absorbed, params);
    return absorbed;
  }
  typename Absorbed::Params absorbed;
};

template <class Stored>
void check_same(double tolerance) {
  std::vector<float> first;
  for (const Index threads : {1, 2, 3}) {
    Case<Stored> c(threads);
    using Plain = typename Case<Stored>::Plain;
    using Absorbed = typename Case<Stored>::Absorbed;
    const hb::AttentionMask padding{
        .allowed = c.allowed.data(), .size = std::ssize(c.allowed), .batch_stride = tokens};
    Plain::forward(c.cpu, c.params, c.template input<Plain>(padding), c.expected);
    Absorbed::forward(c.cpu, c.absorbed_params(), c.template input<Absorbed>(padding), c.found);
    CHECK(c.error() < tolerance);
    CHECK(c.error() > 0);  // it was another way
    if (first.empty()) first.assign(c.found.span().begin(), c.found.span().end());
    CHECK(std::equal(first.begin(), first.end(), c.found.span().begin()));
    const std::size_t allocations = c.cpu.arena().allocations();
    Absorbed::forward(c.cpu, c.absorbed, c.template input<Absorbed>(padding), c.found);
    CHECK(c.cpu.arena().allocations() == allocations);
  }
}

}  // namespace

TEST_CASE("what few queries bring does not depend on the way") {
  check_same<float>(1e-5);
  check_same<hb::bf16>(1e-5);
}

TEST_CASE("with a tape, a mask by query or an update of keys, keys and values are made: the same bits") {
  Case<float> c(2);
  using Plain = Case<float>::Plain;
  using Absorbed = Case<float>::Absorbed;
  const auto& params = c.absorbed_params();
  const auto same = [&] {
    return std::equal(c.found.span().begin(), c.found.span().end(), c.expected.span().begin());
  };
  {
    const hb::ArenaScope scope(c.cpu);
    Absorbed::Tape tape;
    Plain::forward(c.cpu, c.params, c.input<Plain>({}), c.expected);
    Absorbed::forward(c.cpu, params, c.input<Absorbed>({}), c.found, &tape);
    CHECK(same());
  }
  const hb::AttentionMask by_query{.allowed = c.allowed.data(),
                                   .size = std::ssize(c.allowed),
                                   .batch_stride = latents * tokens,
                                   .query_stride = tokens};
  Plain::forward(c.cpu, c.params, c.input<Plain>(by_query), c.expected);
  Absorbed::forward(c.cpu, params, c.input<Absorbed>(by_query), c.found);
  CHECK(same());

  hb::Tensor<float, Cpu, dyn, 40> a(c.cpu, 2);
  hb::Tensor<float, Cpu, 64, dyn> b(c.cpu, 2);
  hb::fill_normal(c.cpu, a, c.random, 1);
  hb::fill_normal(c.cpu, b, c.random, 1);
  auto plain = c.input<Plain>({});
  auto absorbed = c.input<Absorbed>({});
  plain.updates.key.a = absorbed.updates.key.a = std::as_const(a).view();
  plain.updates.key.b = absorbed.updates.key.b = std::as_const(b).view();
  Plain::forward(c.cpu, c.params, plain, c.expected);
  Absorbed::forward(c.cpu, params, absorbed, c.found);
  CHECK(same());
}

TEST_CASE("a resampler's latents are few queries where that is less work") {
  constexpr hb::PerceiverLayerSpec layer{
      .hidden = 64, .context = 64, .heads = 4, .kv_heads = 2, .head_width = 32, .inner = 8};
  const auto absorbs = []<hb::ResamplerSpec spec>() {
    return hb::Resampler<spec, float, Cpu, hb::Frozen<float>>::cross_spec.few_queries;
  };
  CHECK(absorbs.operator()<hb::ResamplerSpec{.latents = 31, .layer = layer}>());
  CHECK_FALSE(absorbs.operator()<hb::ResamplerSpec{.latents = 32, .layer = layer}>());
}
