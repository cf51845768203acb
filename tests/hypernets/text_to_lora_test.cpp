// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora: bits, several texts, what is generated and what is begun with, errors.
#include "../support/text_to_lora_case.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index, hb::Projection;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 11, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 5, .positions = 16};
constexpr hb::TextToLoraSpec with(auto change) {
  hb::TextToLoraSpec spec{.rank = 2, .embedding = 5, .latent = 8, .head_in = 6, .classes = 4, .codes = 3};
  change(spec);
  return spec;
}
constexpr hb::TextToLoraSpec large = with([](auto& s) { s.z_score = s.offset = true; });
constexpr hb::TextToLoraSpec medium =
    with([](auto& s) { s.shared_head = true, s.code = hb::TaskCode::softmax; });
constexpr hb::TextToLoraSpec small =
    with([](auto& s) { s.shared_head = s.autoregressive = true, s.code = hb::TaskCode::discrete; });
using Model = hb::Decoder<base, float, Cpu>;
template <hb::TextToLoraSpec spec>
using Net = hb::TextToLora<Model, spec>;

/// Of fresh parameters.
template <class Net>
hb::HostAdapter beginning() {
  Cpu cpu;
  hb::Random random(1);
  auto params = hb::make<typename Net::Params>(cpu);
  Net::initialise(cpu, params, random);
  return Net::generate(cpu, params, std::vector<std::vector<float>>{{1, 2, 3, 4, 5}}).to_host(cpu);
}

double largest(const std::vector<float>& numbers) {
  double result = 0;
  for (const float number : numbers) result = std::max(result, std::abs(double(number)));
  return result;
}

std::vector<float> copied(std::span<const float> numbers) { return {numbers.begin(), numbers.end()}; }

}  // namespace

TEST_CASE("the published sizes have as many parameters as published") {
  static constexpr hb::DecoderSpec mistral{.vocabulary = 32000,
                                           .hidden = 4096,
                                           .layers = 32,
                                           .heads = 32,
                                           .kv_heads = 8,
                                           .inner = 14336,
                                           .positions = 32768};
  using Mistral = hb::Decoder<mistral, float, Cpu>;
  const auto count = []<class N>(std::type_identity<N>) { return hb::count(typename N::Params()); };
  CHECK(count(std::type_identity<hb::TextToLora<Mistral, hb::TextToLoraSpec{}>>()) == 55'424'000);
  using Medium = hb::TextToLora<Mistral, hb::TextToLoraSpec{.shared_head = true}>;
  CHECK(count(std::type_identity<Medium>()) == 34'412'288);
  using Small = hb::TextToLora<Mistral, hb::TextToLoraSpec{.shared_head = true, .autoregressive = true}>;
  CHECK(count(std::type_identity<Small>()) == 4'994'816);
}

TEST_CASE_TEMPLATE("bits do not depend on threads or on the tape, and memory stays once warm", N, Net<large>,
                   Net<medium>, Net<small>) {
  std::vector<float> first;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    hb::test::TextToLoraCase<N> subject(cpu, 2);
    subject.infer(cpu);
    auto results = copied(subject.factors.span());
    subject.train(cpu, hb::Write::assign);
    const std::size_t allocations = cpu.arena().allocations();
    subject.train(cpu, hb::Write::assign);
    CHECK(cpu.arena().allocations() == allocations);
    CHECK(copied(subject.factors.span()) == results);
    hb::visit(
        [&](const std::string&, auto& gradient) {
          results.insert(results.end(), gradient.span().begin(), gradient.span().end());
        },
        subject.gradients);
    if (first.empty()) first = results;
    CHECK(first == results);
    CHECK(std::ranges::all_of(results, [](float x) { return std::isfinite(x); }));
  }
}

TEST_CASE_TEMPLATE("generate: texts together as alone, in any length of the embedding", N, Net<large>,
                   Net<medium>, Net<small>) {
  Cpu cpu;
  const hb::test::TextToLoraCase<N> subject(cpu, 1);
  const auto generate = [&](const std::vector<std::vector<float>>& embeddings) {
    return N::generate(cpu, subject.params, embeddings);
  };
  const std::vector<float> one = {1, 2, -3, 4, 5}, other = {-1, -2, 3, -4, 1};
  const auto together = generate({one, other});
  REQUIRE(together.count() == 2);
  const auto same = [&](const hb::HostAdapter& found, const hb::HostAdapter& expected) {
    bool equal = found.linears.size() == 2 * base.layers && found.linears.size() == expected.linears.size();
    for (const auto& [place, factors] : expected.linears)
      equal = equal && found.linears.at(place).a == factors.a && found.linears.at(place).b == factors.b;
    return equal;
  };
  CHECK(same(together.to_host(cpu, 0), generate({one}).to_host(cpu)));
  CHECK(same(together.to_host(cpu, 1), generate({other}).to_host(cpu)));
  CHECK(same(generate({{2, 4, -6, 8, 10}}).to_host(cpu), together.to_host(cpu, 0)));
  CHECK_FALSE(same(together.to_host(cpu, 0), together.to_host(cpu, 1)));
}

TEST_CASE("what a network begins with") {
  const hb::HostAdapter::Place first{0, Projection::value}, second{1, Projection::value};
  const double kaiming = 1 / std::sqrt(8.0);  // 1 / sqrt(in)
  const auto within = [](double found, double most) { return found <= most && found > most / 2; };

  const auto plain = beginning<Net<with([](auto&) {})>>();  // a base LoRA, the same in all layers
  CHECK(within(largest(plain.linears.at(first).a), kaiming));
  CHECK(plain.linears.at(first).a == plain.linears.at(second).a);
  CHECK(largest(plain.linears.at(first).b) == 0);
  const auto shared = beginning<Net<medium>>();
  CHECK(within(largest(shared.linears.at(first).a), kaiming / std::sqrt(2.0)));
  CHECK(within(largest(shared.linears.at(first).b), kaiming / std::sqrt(2.0)));
  const auto by_rank =
      beginning<Net<with([](auto& s) { s.autoregressive = true, s.code = hb::TaskCode::vq; })>>();
  CHECK(within(largest(by_rank.linears.at(first).a), kaiming / std::sqrt(2.0)));  // of rank 2
  CHECK(within(largest(by_rank.linears.at(first).b), kaiming / std::sqrt(2.0)));
  CHECK(within(largest(beginning<Net<small>>().linears.at(first).a), kaiming / 2));

  using Linear = Net<with([](auto& s) { s.head_start = hb::HeadStart::linear, s.z_score = true; })>;
  const auto linear = beginning<Linear>();
  CHECK(linear.linears.at(first).a != linear.linears.at(second).a);
  CHECK(largest(linear.linears.at(first).b) > 0);
}

TEST_CASE("without biases of heads a network begins with its offset") {
  Cpu cpu;
  hb::Random random(1);
  using Own = Net<with([](auto& s) { s.head_bias = false, s.offset = true; })>;
  auto params = hb::make<Own::Params>(cpu);
  Own::initialise(cpu, params, random);
  auto& offset = params.offset.attention.value;
  hb::fill_normal(cpu, offset.a, random, 1);
  const auto host = Own::generate(cpu, params, std::vector<std::vector<float>>{{1, 2, 3, 4, 5}}).to_host(cpu);
  CHECK(host.linears.at({1, Projection::value}).a == copied(offset.a.view().slice(1, 1).span()));
}

TEST_CASE("what does not fit is said") {
  Cpu cpu;
  using Own = Net<small>;
  hb::test::TextToLoraCase<Own> subject(cpu, 2);
  static_assert(Own::numbers == 2 * 2 * (8 + 8 + 8 + 4));
  const auto says = [](const char* message, auto run) {
    CHECK_THROWS_WITH_AS(run(), doctest::Contains(message), hb::Error);
  };
  const auto forward = [&](const typename Own::Input& input, const typename Own::Output& output) {
    return [&, input, output] { Own::forward(cpu, subject.params, input, output); };
  };
  says("the factors do not fit the texts (TextToLora): expected 2 texts of 112 numbers, found 112 numbers",
       forward({.x = subject.embeddings}, {.factors = subject.factors.view().slice(0, 112)}));
  says("found none", forward({.x = subject.embeddings}, {}));
  says("the tape's texts): expected 0 texts", [&] {
    Own::backward(cpu, subject.params, {}, {.factors = subject.direction}, {}, subject.gradients,
                  hb::Write::assign);
  });
  says("no such text (TextToLora::updates): expected one of 2, found 2",
       [&] { Own::updates<const float>(subject.factors.view(), 2); });

  const auto generate = [&](const std::vector<std::vector<float>>& embeddings) {
    return [&, embeddings] { Own::generate(cpu, subject.params, embeddings); };
  };
  says("nothing to read (TextToLora): expected one embedding or more, found none", generate({}));
  says("an embedding of another width (TextToLora): expected 5, found 2", generate({{1, 2}}));
  says("an embedding without a direction (task_embedding)", generate({{0, 0, 0, 0, 0}}));
  says("found a squared length of nan", generate({{0, 0, std::nanf(""), 0, 0}}));

  hb::Tensor<float, Cpu, dyn, 4> noise(cpu, 1);
  says("the shapes differ (TaskEncoder: noise): expected (2, 4), found (1, 4)",
       forward({.x = subject.embeddings, .noise = noise}, {.factors = subject.factors}));
  hb::test::TextToLoraCase<Net<large>> linear(cpu, 1);
  says("noise for a code that is not discrete (TaskEncoder)", [&] {
    Net<large>::forward(cpu, linear.params, {.x = linear.embeddings, .noise = noise},
                        {.factors = linear.factors});
  });
  subject.embeddings(0, 0) = std::nanf("");
  says("nothing can be chosen (ops::largest): expected a number among NaN and infinity, found none in row 0",
       forward({.x = subject.embeddings}, {.factors = subject.factors}));
}
