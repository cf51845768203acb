// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// merge and unmerge against dense matrices, on the host and in plain and frozen weights; a merged decoder
// against the decoder with updates; errors.
#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/lora/merge.hpp>

#include <doctest/doctest.h>

#include <hyperblocks/blocks/linear.hpp>
#include <hyperblocks/models/decoder.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "../support/adapter_case.hpp"

namespace hb = hyperblocks;
using hb::bf16, hb::Cpu, hb::dyn, hb::Error, hb::half, hb::HostAdapter, hb::HostFactors, hb::Index,
    hb::Projection, hb::scalar_cast;
using hb::test::random_factors;

namespace {

/// Half of the distance between a stored number and the next, relative to it.
template <class Scalar>
constexpr double half_place = std::same_as<Scalar, double>  ? 0x1p-53
                              : std::same_as<Scalar, float> ? 0x1p-24
                              : std::same_as<Scalar, half>  ? 0x1p-11
                                                            : 0x1p-8;

template <class Scalar>
std::vector<Scalar> random_scalars(hb::Random& random, Index count) {
  std::vector<Scalar> numbers(static_cast<std::size_t>(count));
  for (Scalar& number : numbers) number = scalar_cast<Scalar>(random.normal());
  return numbers;
}

template <class Scalar>
std::vector<double> wide(std::span<const Scalar> numbers) {
  std::vector<double> result;
  for (const Scalar number : numbers) result.push_back(scalar_cast<double>(number));
  return result;
}

/// That `merged` is before + added, rounded once, and `restored` is `before` but for the last place.
template <class Scalar>
void check_merge(std::span<const Scalar> before, const std::vector<double>& added,
                 std::span<const Scalar> merged, std::span<const Scalar> restored) {
  bool sums = true, restores = true;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double old = scalar_cast<double>(before[i]), sum = old + added[i], tiny = 1e-7;
    const double place = half_place<Scalar> * (std::abs(sum) + tiny);
    sums = sums && std::abs(scalar_cast<double>(merged[i]) - sum) <= 1.001 * place + 1e-14;
    restores = restores && std::abs(scalar_cast<double>(restored[i]) - old) <=
                               1.01 * (place + half_place<Scalar> * (std::abs(old) + place)) + 1e-13;
  }
  CHECK(sums);
  CHECK(restores);
}

template <class Numbers>
auto numbers_of(Cpu& cpu, const Numbers& tensor) {
  std::vector<typename Numbers::ScalarType> host(static_cast<std::size_t>(tensor.size()));
  tensor.download(cpu, host);
  return host;
}

}  // namespace

TEST_CASE_TEMPLATE("numbers on the host", Stored, float, double, bf16, half) {
  hb::Random random(21);
  for (const hb::LinearSize size : {hb::LinearSize{6, 9}, {17, 3}, {1, 1}})
    for (const Index rank : {0, 1, 3, 8, 20})
      for (const bool biased : {false, true}) {
        const double scale = random.uniform(-0.5, 0.5);
        const HostFactors factors = random_factors(random, size, rank, scale, biased);
        const auto weight = random_scalars<Stored>(random, size.in * size.out);
        const auto bias = random_scalars<float>(random, size.out);
        auto merged = weight;
        auto merged_bias = bias;
        hb::merge(std::span(merged), factors, std::span(merged_bias));
        auto restored = merged;
        auto restored_bias = merged_bias;
        hb::unmerge(std::span(restored), factors, std::span(restored_bias));
        check_merge<Stored>(weight, hb::test::dense(factors), merged, restored);
        check_merge<float>(bias, hb::test::dense_bias(factors), merged_bias, restored_bias);
        auto alone = weight;
        if (!biased) {
          hb::merge(std::span(alone), factors);
          CHECK(hb::test::distance(wide<Stored>(merged), wide<Stored>(alone)) == 0);
        }
      }
}

TEST_CASE("what is below half a last place of a bf16 is lost, as said") {
  const HostFactors factors{.size = {1, 2}, .rank = 1, .a = {1}, .b = {0x1p-8f, 0x1.8p-8f}};
  std::vector<bf16> weight = {bf16(1.0f), bf16(1.0f)};
  hb::merge(std::span(weight), factors);
  CHECK(static_cast<float>(weight[0]) == 1);
  CHECK(static_cast<float>(weight[1]) == 1 + 0x1p-7f);
}

namespace {
template <class Scalar_, class Weights_>
struct Kind {
  using Scalar = Scalar_;
  using Weights = Weights_;
};
}  // namespace

TEST_CASE_TEMPLATE("linears on a device", K, Kind<float, hb::Trainable>, Kind<double, hb::Trainable>,
                   Kind<bf16, hb::Trainable>, Kind<float, hb::Frozen<float>>, Kind<float, hb::Frozen<bf16>>,
                   Kind<half, hb::Frozen<half>>, Kind<double, hb::Frozen<double>>) {
  using Scalar = typename K::Scalar;
  using Linear = hb::Linear<hb::LinearSpec{13, 40}, Scalar, Cpu, typename K::Weights>;
  using Stored = typename decltype(Linear::Params::weight)::ScalarType;
  Cpu cpu({.threads = 2});
  hb::Random random(22);
  for (const bool from_host : {false, true}) {
    auto params = hb::initialised<Linear>(cpu, random);
    const auto weight = numbers_of(cpu, params.weight);
    const auto bias = numbers_of(cpu, params.bias);
    HostFactors factors = random_factors(random, {13, 40}, 3, 0.3, true);
    hb::Tensor<Scalar, Cpu, dyn, 13> a(cpu, 3);
    hb::Tensor<Scalar, Cpu, 40, dyn> b(cpu, 3);
    hb::Tensor<Scalar, Cpu, 40> c(cpu);
    const auto put = [&](std::vector<float>& from, auto& to) {  // what the device holds, on the host as well
      std::vector<Scalar> rounded;
      for (float& number : from) {
        rounded.push_back(scalar_cast<Scalar>(number));
        number = scalar_cast<float>(rounded.back());
      }
      to.upload(cpu, rounded);
    };
    put(factors.a, a), put(factors.b, b), put(factors.bias, c);
    const typename Linear::template Updates<const Scalar> update{a, b, factors.scale, c};
    const auto change = [&](auto f) { from_host ? f(factors) : f(update); };
    change([&](const auto& from) { hb::merge(cpu, params, from); });
    const auto merged = numbers_of(cpu, params.weight);
    const auto merged_bias = numbers_of(cpu, params.bias);
    change([&](const auto& from) { hb::unmerge(cpu, params, from); });
    check_merge<Stored>(weight, hb::test::dense(factors), merged, numbers_of(cpu, params.weight));
    check_merge<Scalar>(bias, hb::test::dense_bias(factors), merged_bias, numbers_of(cpu, params.bias));
  }
}

TEST_CASE("an update of C alone, and none") {
  using Linear = hb::Linear<hb::LinearSpec{2, 3}, float, Cpu>;
  Cpu cpu;
  hb::Random random(23);
  auto params = hb::initialised<Linear>(cpu, random);
  const auto weight = numbers_of(cpu, params.weight), bias = numbers_of(cpu, params.bias);
  hb::Tensor<float, Cpu, 3> c(cpu);
  fill_constant(cpu, c, 2);
  hb::merge(cpu, params, Linear::Updates<const float>{});
  CHECK(numbers_of(cpu, params.bias) == bias);
  hb::merge(cpu, params, Linear::Updates<const float>{.bias = c});
  CHECK(numbers_of(cpu, params.weight) == weight);
  CHECK(numbers_of(cpu, params.bias)[1] == bias[1] + 2);
}

namespace {

constexpr hb::DecoderSpec tiny{.vocabulary = 19,
                               .hidden = 8,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 1,
                               .head_width = 6,
                               .inner = 10,
                               .positions = 16,
                               .bias = true};
constexpr hb::DecoderSpec without_bias = [] {
  auto spec = tiny;
  spec.bias = false;
  return spec;
}();

HostAdapter adapter_for(hb::Random& random, const hb::DecoderSpec& spec) {
  HostAdapter adapter;
  Index rank = 0;
  for (Index layer = 0; layer < spec.layers; ++layer)
    for (const Projection projection : hb::all_projections) {
      const bool biased = hb::biased(spec).contains(projection);
      adapter.linears[{layer, projection}] =
          random_factors(random, hb::size_of(spec, projection), ++rank % 4, 0.2, biased);
    }
  return adapter;
}

}  // namespace

TEST_CASE_TEMPLATE("a merged decoder gives the logits of the decoder with updates", B,
                   hb::Decoder<tiny, double, Cpu>, hb::Decoder<tiny, float, Cpu>,
                   hb::Decoder<without_bias, float, Cpu, hb::Trainable>) {
  using S = typename B::Scalar;
  Cpu cpu({.threads = 2});
  hb::Random random(24);
  auto params = hb::initialised<B>(cpu, random);
  const HostAdapter adapter = adapter_for(random, B::spec);
  const hb::Adapter<B::spec, hb::AdapterSpec{.bias = hb::Targets{}}, S, Cpu> device(cpu, adapter, "test");
  const typename B::Positions positions(cpu);
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 6);
  for (Index i = 0; i < 6; ++i) ids(i) = static_cast<std::int32_t>((i * i + 3) % B::vocabulary);
  const auto logits = [&](const typename B::template Updates<const S>& updates) {
    hb::Tensor<S, Cpu, dyn, B::vocabulary> result(cpu, 6);
    typename B::Input input;
    input.ids = ids, input.rotary = positions, input.updates = updates;
    B::forward(cpu, params, input, {.logits = result});
    return std::vector<double>(result.span().begin(), result.span().end());
  };
  const auto plain = logits({}), updated = logits(device.template updates<B>());
  hb::merge(cpu, params, adapter);
  const double tolerance = std::same_as<S, double> ? 1e-13 : 1e-5;
  CHECK(hb::test::distance(plain, updated) > 0.01);
  CHECK(hb::test::distance(updated, logits({})) < tolerance);
  hb::unmerge(cpu, params, adapter);
  CHECK(hb::test::distance(plain, logits({})) < tolerance);
}

TEST_CASE("what does not fit is an error, and changes nothing") {
  using Linear = hb::Linear<hb::LinearSpec{3, 2, false}, float, Cpu>;
  hb::Random random(25);
  Cpu cpu;
  const auto refused = [](auto f, const char* text) {
    CHECK_THROWS_WITH_AS(f(), doctest::Contains(text), Error);
  };
  const HostFactors good = random_factors(random, {3, 2}, 2),
                    biased = random_factors(random, {3, 2}, 2, 1, true);
  std::vector<float> weight(6, 1), bias(2, 1);
  const auto host = [&](const HostFactors& factors, std::size_t numbers, std::size_t bias_numbers) {
    return [&, numbers, bias_numbers] {
      hb::merge(std::span(weight).first(numbers), factors, std::span(bias).first(bias_numbers));
    };
  };
  refused(host(good, 5, 2),
          "the update's size is not the weight's (merge): expected 5 numbers, found 3 -> 2");
  refused(host(biased, 6, 1), "expected a bias of 2 numbers, or an update without C, found 1 numbers");
  refused([&] { hb::unmerge(std::span(weight), biased); },
          "C has no bias that it could be added to (unmerge): expected a bias of 2 numbers, or an update "
          "without C, found no bias");
  for (const auto numbers : {&HostFactors::a, &HostFactors::b, &HostFactors::bias}) {
    HostFactors broken = biased;
    (broken.*numbers)[1] = std::nanf("");
    refused(host(broken, 6, 2), "a number is not finite (merge): expected finite factors, found nan");
    (broken.*numbers).pop_back();
    refused(host(broken, 6, 2), "the factors do not fit (merge)");
  }
  HostFactors large = biased;
  large.bias = {0, 3e38f};
  bias[1] = 3e38f;
  refused(host(large, 6, 2), "the sum is not finite (merge)");
  CHECK(weight == std::vector<float>(6, 1));
  std::vector<half> halves(6, half(60000.0f));
  large = {.size = {3, 2}, .rank = 1, .a = {0, 0, 1}, .b = {0, 6000}};
  refused([&] { hb::merge(std::span(halves), large); }, "the sum is not finite (merge)");
  CHECK(static_cast<float>(halves[5]) == 60000);

  auto params = hb::initialised<Linear>(cpu, random);
  refused(
      [&] {
        hb::merge(cpu, params, random_factors(random, {2, 3}, 1));
      },
      "the update's size is not the linear's (merge): expected 3 -> 2, found 2 -> 3");
  refused([&] { hb::merge(cpu, params, biased); }, "C has no bias");
  hb::Tensor<float, Cpu, dyn, 3> a(cpu, 2);
  hb::Tensor<float, Cpu, 2, dyn> b(cpu, 1);
  refused([&] { hb::unmerge(cpu, params, Linear::Updates<const float>{.a = a, .b = b}); },
          "the ranks of A and B differ (unmerge): expected 2, found 1");
  hb::Tensor<float, Cpu, 2, dyn> fitting(cpu, 2);
  Linear::Updates<const float> update{.a = a, .b = fitting};
  update.rows = 1;
  refused([&] { hb::merge(cpu, params, update); }, "expected one update of all rows, found one of some rows");
  Linear::Updates<const float> linked;
  linked.next = &update;
  refused([&] { hb::merge(cpu, params, linked); }, "found several");
}

TEST_CASE("the forms of an update's factors do not matter") {
  using Linear = hb::Linear<hb::LinearSpec{3, 2, false}, float, Cpu>;
  Cpu cpu;
  hb::Tensor<float, Cpu, dyn, 3> a(cpu, 2);
  hb::Tensor<float, Cpu, 3, dyn> a_columns(cpu, 2);
  hb::Tensor<float, Cpu, 2, dyn> b(cpu, 2);
  hb::Tensor<float, Cpu, 2, 2> b_rows(cpu);
  for (Index r = 0; r < 2; ++r) {
    for (Index i = 0; i < 3; ++i) a(r, i) = a_columns(i, r) = static_cast<float>(1 + r * 3 + i);
    for (Index o = 0; o < 2; ++o) b(o, r) = b_rows(r, o) = static_cast<float>(7 + o * 2 + r);
  }
  auto params = hb::make<Linear::Params>(cpu), other = hb::make<Linear::Params>(cpu);
  hb::merge(cpu, params, Linear::Updates<const float>{.a = a, .b = b});
  hb::merge(cpu, other,
            Linear::Updates<const float>{.a = a_columns, .b = {b_rows.view(), hb::FactorForm::rows}});
  CHECK(params.weight(0, 0) == 7 * 1 + 8 * 4);
  CHECK(numbers_of(cpu, params.weight) == numbers_of(cpu, other.weight));
}

TEST_CASE("an adapter that does not fit a decoder is an error, and changes nothing") {
  using B = hb::Decoder<without_bias, float, Cpu>;
  hb::Random random(26);
  Cpu cpu;
  auto params = hb::initialised<B>(cpu, random);
  const auto weight = numbers_of(cpu, params.layers[0].attention.inner.query.weight);
  const HostAdapter good = adapter_for(random, without_bias);
  const auto refused = [&](HostAdapter::Place place, const HostFactors& factors, const char* text) {
    HostAdapter adapter = good;
    adapter.linears[place] = factors;
    CHECK_THROWS_WITH_AS(hb::merge(cpu, params, adapter), doctest::Contains(text), Error);
    CHECK(numbers_of(cpu, params.layers[0].attention.inner.query.weight) == weight);
  };
  const HostFactors down = random_factors(random, {10, 8}, 2);
  refused({2, Projection::down}, down,
          "the model has no such layer (merge: layer 2 down): expected 0 .. 1, found 2");
  refused({-1, Projection::down}, down, "expected 0 .. 1, found -1");
  refused({1, Projection::down}, random_factors(random, {10, 9}, 2),
          "the update's size is not the linear's (merge: layer 1 down): expected 10 -> 8, found 10 -> 9");
  refused({1, Projection::down}, random_factors(random, {10, 8}, 2, 1, true),
          "C has no bias that it could be added to (merge: layer 1 down)");
  HostFactors broken = down;
  broken.b[3] = std::nanf("");
  refused({1, Projection::down}, broken, "a number is not finite (merge: layer 1 down)");
  broken.b.clear();
  refused({1, Projection::down}, broken, "the factors do not fit (merge: layer 1 down)");
}
