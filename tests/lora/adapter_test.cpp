// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapters of a decoder's type: their parameters, forms, host form and packing; gradients into them; several
// in one batch.
#include <doctest/doctest.h>

#include <numeric>

#include <hyperblocks/hyperblocks.hpp>

#include "support/worse.hpp"

namespace hb = hyperblocks;
using hb::Adapter, hb::AdapterSpec, hb::Cpu, hb::dyn, hb::Error, hb::FactorForm, hb::Index, hb::Projection;

namespace {

constexpr hb::DecoderSpec spec{.vocabulary = 19,
                               .hidden = 8,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 1,
                               .head_width = 6,
                               .inner = 10,
                               .positions = 32};
using Model = hb::Decoder<spec, float, Cpu>;

struct World {
  Cpu cpu{{.threads = 2}};
  hb::Random random{3};
  Model::Params params = hb::initialised<Model>(cpu, random);
  Model::Positions positions{cpu};
  hb::Tensor<std::int32_t, Cpu, dyn> ids{cpu, 12};

  World() {
    for (Index i = 0; i < 12; ++i) ids.data()[i] = static_cast<std::int32_t>(i * 7 % spec.vocabulary);
  }
  template <class A>
  A random_adapter(Index rank) {
    A adapter(cpu, rank);
    randomise(adapter);
    return adapter;
  }
  template <class A>
  void randomise(A& adapter) {
    hb::visit([&](const std::string&, auto& tensor) { fill_normal(cpu, tensor, random, 0.5); }, adapter);
    adapter.each([](const auto&, auto& factors) { factors.scale = 0.75; });
  }
  std::vector<float> logits(const Model::Updates<const float>& updates, Index first = 0, Index count = 12,
                            Index sequences = 3) {
    hb::Tensor<float, Cpu, dyn, spec.vocabulary> result(cpu, count);
    Model::forward(cpu, params,
                   {.ids = ids.view().slice(first, count),
                    .sequences = sequences,
                    .rotary = positions,
                    .updates = updates},
                   {.logits = result});
    return {result.span().begin(), result.span().end()};
  }
};

using Dynamic = Adapter<spec, AdapterSpec{}, float, Cpu>;

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = hb::test::worse(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("an adapter's parameters have names, are counted, and start as nothing") {
  World w;
  using Lora =
      Adapter<spec, AdapterSpec{.rank = 3, .targets = hb::query_and_value, .bias = hb::query_and_value},
              float, Cpu>;
  Lora lora(w.cpu);
  std::vector<std::string> names;
  hb::visit([&](const std::string& name, const auto&) { names.push_back(name); }, lora);
  CHECK(names.size() == 12);
  CHECK(names[0] == "layers.0.attention.query.a");
  CHECK(names[11] == "layers.1.attention.value.bias");
  CHECK(hb::count(lora) == 2 * (3 * (8 + 12) + 12 + 3 * (8 + 6) + 6));
  Lora::initialise(w.cpu, lora, w.random, 0.1);
  CHECK(lora.layers[0].attention.query.a(0, 0) != 0);
  CHECK(same(w.logits(lora.updates<Model>()), w.logits({})));
  CHECK(same(w.logits(Dynamic().updates<Model>()), w.logits({})));
}

TEST_CASE("every form of the factors is the same adapter; packed ones give the same bits") {
  World w;
  const auto lora = w.random_adapter<Dynamic>(3);
  const hb::HostAdapter host = lora.to_host(w.cpu);
  CHECK(host.linears.size() == 14);
  CHECK(host.count() == hb::count(lora));
  const auto expected = w.logits(lora.updates<Model>());
  CHECK(difference(expected, w.logits({})) > 0.01);
  const auto check = [&](auto adapter) {
    CHECK(difference(w.logits(adapter.template updates<Model>()), expected) < 1e-6);
    const auto before = w.logits(adapter.template updates<Model>());
    adapter.pack(w.cpu);
    CHECK(same(w.logits(adapter.template updates<Model>()), before));
    const hb::HostAdapter back = adapter.to_host(w.cpu);
    for (const auto& [place, factors] : host.linears) {
      CHECK(back.linears.at(place).a == factors.a);
      CHECK(back.linears.at(place).b == factors.b);
      CHECK(back.linears.at(place).scale == factors.scale);
    }
  };
  constexpr FactorForm rows = FactorForm::rows, columns = FactorForm::columns;
  check(Adapter<spec, AdapterSpec{.a = rows, .b = columns}, float, Cpu>(w.cpu, host, "host"));
  check(Adapter<spec, AdapterSpec{.a = columns, .b = columns}, float, Cpu>(w.cpu, host, "host"));
  check(Adapter<spec, AdapterSpec{.a = rows, .b = rows}, float, Cpu>(w.cpu, host, "host"));
  check(Adapter<spec, AdapterSpec{.rank = 3, .a = columns, .b = rows}, float, Cpu>(w.cpu, host, "host"));
}

TEST_CASE("gradients arrive in an adapter of the same type") {
  using Wide = hb::Decoder<spec, double, Cpu>;
  using Lora =
      Adapter<spec,
              AdapterSpec{.rank = 2, .a = FactorForm::columns, .b = FactorForm::rows, .bias = hb::Targets{}},
              double, Cpu>;
  World w;
  const auto params = hb::initialised<Wide>(w.cpu, w.random);
  const Wide::Positions positions(w.cpu);
  Lora lora(w.cpu), gradient(w.cpu);
  w.randomise(lora);
  hb::Tensor<double, Cpu, dyn, spec.vocabulary> logits(w.cpu, 12), dlogits(w.cpu, 12);
  fill_normal(w.cpu, dlogits, w.random, 1);
  const auto input = [&] {
    return Wide::Input{.ids = w.ids, .sequences = 3, .rotary = positions, .updates = lora.updates<Wide>()};
  };
  const auto loss = [&] {
    Wide::forward(w.cpu, params, input(), {.logits = logits});
    double sum = 0;
    for (Index i = 0; i < logits.size(); ++i) sum += logits.data()[i] * dlogits.data()[i];
    return sum;
  };
  {
    const hb::ArenaScope scope(w.cpu);
    Wide::Tape tape;
    Wide::Gradients none;
    Wide::forward(w.cpu, params, input(), {.logits = logits}, &tape);
    Wide::backward(w.cpu, params, tape, {.logits = dlogits}, {.updates = gradient.gradients<Wide>()}, none,
                   hb::Write::assign);
  }
  hb::visit(
      [&](const std::string& name, auto& value, auto& analytic) {
        CAPTURE(name);
        for (const Index i : {Index{0}, value.size() - 1}) {
          const double kept = value.data()[i], step = 1e-5;
          value.data()[i] = kept + step;
          const double above = loss();
          value.data()[i] = kept - step;
          const double below = loss();
          value.data()[i] = kept;
          CHECK(analytic.data()[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
        }
      },
      lora, gradient);
}

TEST_CASE("an adapter learns") {
  World w;
  auto& [cpu, random, params, positions, ids] = w;
  hb::Tensor<std::int32_t, Cpu, dyn> labels(cpu, 12);
  for (Index i = 0; i < 12; ++i) labels.data()[i] = static_cast<std::int32_t>(i * 3 % spec.vocabulary);
  // [train]
  using Lora =
      hb::Adapter<Model::spec, hb::AdapterSpec{.rank = 4, .targets = hb::query_and_value}, float, Cpu>;
  Lora lora(cpu), gradient(cpu);
  Lora::initialise(cpu, lora, random, 0.5);
  hb::Tensor<float, Cpu, dyn, Model::vocabulary> logits(cpu, ids.size()), dlogits(cpu, ids.size());
  hb::Tensor<float, Cpu, dyn> losses(cpu, ids.size());
  Model::Gradients none;  // what belongs to the base learns nothing
  for (int step = 0; step < 20; ++step) {
    const hb::ArenaScope scope(cpu);  // the tape's memory goes with the step
    Model::Tape tape;
    Model::forward(cpu, params,
                   {.ids = ids, .sequences = 3, .rotary = positions, .updates = lora.updates<Model>()},
                   {.logits = logits}, &tape);
    hb::ops::cross_entropy<float>(cpu, logits, labels, 0, losses, dlogits);
    Model::backward(cpu, params, tape, {.logits = dlogits}, {.updates = gradient.gradients<Model>()}, none,
                    hb::Write::assign);
    hb::visit([&](const std::string&, auto& value,
                  const auto& slope) { hb::ops::scale_add<float>(cpu, -0.02, slope, value); },
              lora, gradient);
  }
  // [/train]
  const auto sum = [&] { return std::accumulate(losses.data(), losses.data() + losses.size(), 0.0); };
  const double last = sum();
  Model::forward(cpu, params, {.ids = ids, .sequences = 3, .rotary = positions}, {.logits = logits});
  hb::ops::cross_entropy<float>(cpu, logits, labels, 0, losses);
  CHECK(last < 0.98 * sum());
  CHECK(lora.layers[1].attention.value.b(0, 0) != 0);
}

TEST_CASE("several adapters in one batch are each as if alone") {
  World w;
  const auto first = w.random_adapter<Dynamic>(2), second = w.random_adapter<Dynamic>(7);
  // Sequences of four tokens: the first two have adapters, the third has none.
  const auto linked =
      hb::batched(std::vector{first.updates<Model>(), second.updates<Model>()}, {{0, 4}, {4, 4}});
  const auto together = w.logits(linked.front());
  const auto expect = [&](const std::vector<float>& alone, std::size_t sequence) {
    const std::size_t size = 4 * spec.vocabulary;
    CHECK(same(alone, std::vector(together.begin() + static_cast<Index>(sequence * size),
                                  together.begin() + static_cast<Index>((sequence + 1) * size))));
  };
  expect(w.logits(first.updates<Model>(), 0, 4, 1), 0);
  expect(w.logits(second.updates<Model>(), 4, 4, 1), 1);
  expect(w.logits({}, 8, 4, 1), 2);
  CHECK(difference(together, w.logits({})) > 0.01);
  CHECK_THROWS_WITH_AS(hb::batched(std::vector{first.updates<Model>()}, {}),
                       doctest::Contains("a run of rows"), Error);
  const auto outside = hb::batched(std::vector{first.updates<Model>()}, {{8, 5}});
  CHECK_THROWS_WITH_AS(w.logits(outside.front()), doctest::Contains("expected some of 12, found 5 from 8"),
                       Error);
}

TEST_CASE("a host adapter that does not fit is an error") {
  World w;
  const hb::HostAdapter good = w.random_adapter<Dynamic>(3).to_host(w.cpu);
  const auto refused = [&]<AdapterSpec lora>(auto change, const char* text) {
    hb::HostAdapter bad = good;
    change(bad);
    using A = Adapter<spec, lora, float, Cpu>;
    CHECK_THROWS_WITH_AS(A(w.cpu, bad, "file"), doctest::Contains(text), Error);
  };
  const hb::HostAdapter::Place query{0, Projection::query};
  const auto same = [](auto&) {};
  refused.operator()<AdapterSpec{.rank = 4}>(same,
                                             "the rank differs (file: layer 0 query): expected 4, found 3");
  refused.operator()<AdapterSpec{.targets = hb::query_and_value}>(
      same,
      "factors of a linear that the adapter's type does not have (file): expected its targets in layers 0 to "
      "1, "
      "found layer 0 key");
  refused.operator()<AdapterSpec{.rank = 3}>([&](auto& bad) { bad.linears.erase(query); },
                                             "a linear without factors (file): expected layer 0 query");
  refused.operator()<AdapterSpec{}>([&](auto& bad) { bad.linears[query].a.pop_back(); },
                                    "expected 24 numbers of A, found 23");
  refused.operator()<AdapterSpec{}>(
      [&](auto& bad) {
        bad.linears[{7, Projection::up}] = bad.linears[query];
      },
      "found layer 7 up");
  refused.operator()<AdapterSpec{}>(
      [&](auto& bad) { bad.linears[query].bias.resize(12); },
      "the adapter's type has no C (file: layer 0 query): expected AdapterSpec with bias, "
      "found 12 numbers of C");
  refused.operator()<AdapterSpec{}>(
      [&](auto& bad) {
        bad.linears[query] = bad.linears[{0, Projection::down}];
      },
      "in differs");
}
