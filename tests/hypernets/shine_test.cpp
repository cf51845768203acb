// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Shine: gradients against finite differences, bits, batches, what is generated, errors.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/shine.hpp>

#include "../support/block_check.hpp"
#include "../support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec base{.vocabulary = 23,
                               .hidden = 12,
                               .layers = 2,
                               .heads = 3,
                               .kv_heads = 1,
                               .inner = 10,
                               .positions = 96,
                               .bias = true};
constexpr hb::ShineSpec spec{.rank = 2,
                             .meta_rank = 2,
                             .scale = 0.09,
                             .m2p = {.blocks = 2,
                                     .heads = 3,
                                     .inner = 14,
                                     .couple_blocks = 1,
                                     .couple_width = 4,
                                     .couple_heads = 2,
                                     .couple_inner = 6}};
template <class S>
using Model = hb::Decoder<base, S, Cpu>;
template <class S>
using Net = hb::Shine<Model<S>, spec>;

/// A network, its decoder, two texts of five tokens and a direction of the factors.
template <class S>
struct Subject {
  explicit Subject(Cpu& cpu)
      : random(3),
        model(hb::initialised<Model<S>>(cpu, random)),
        params(hb::make<typename Net<S>::Params>(cpu)),
        gradients(hb::make<typename Net<S>::Gradients>(cpu)),
        positions(cpu),
        ids(cpu, 2 * 5),
        factors(cpu, 2),
        direction(cpu, 2) {
    Net<S>::initialise(cpu, params, random);
    hb::visit(
        [&](const std::string&, auto& tensor) {
          for (S& value : tensor.span()) value += static_cast<S>(0.1 * random.normal());
        },
        params);
    hb::fill_normal(cpu, direction, random, 1);
    for (auto& id : ids.span()) id = static_cast<std::int32_t>(random.bits() % base.vocabulary);
    more_meta.prepare(cpu, random);
    if constexpr (Net<S>::Network::attends) more_m2p.prepare(cpu, random);
  }

  typename Net<S>::Input input() const {
    return {.model = &model,
            .ids = ids,
            .documents = 2,
            .rotary = positions,
            .meta = more_meta.values,
            .m2p = more_m2p.values};
  }
  void infer(Cpu& cpu) {
    const hb::ArenaScope scope(cpu);
    const auto given = input();
    Net<S>::forward(cpu, params, given, {.factors = factors});
  }
  void train(Cpu& cpu, hb::Write write) {
    const hb::ArenaScope scope(cpu);
    typename Net<S>::Tape tape;
    const auto given = input();
    Net<S>::forward(cpu, params, given, {.factors = factors}, &tape);
    Net<S>::backward(cpu, params, tape, {.factors = direction}, {more_meta.gradients, more_m2p.gradients},
                     gradients, write);
  }
  double loss(Cpu& cpu) {
    infer(cpu);
    double sum = 0;
    for (Index i = 0; i < factors.size(); ++i)
      sum += static_cast<double>(factors.data()[i]) * static_cast<double>(direction.data()[i]);
    return sum;
  }

  hb::Random random;
  typename Model<S>::Params model;
  typename Net<S>::Params params;
  typename Net<S>::Gradients gradients;
  typename Model<S>::Positions positions;
  hb::Tensor<std::int32_t, Cpu, dyn> ids;
  hb::Tensor<S, Cpu, base.layers, dyn, Net<S>::layer_numbers> factors, direction;
  hb::test::UpdateCase<Model<S>> more_meta;
  hb::test::UpdateCase<typename Net<S>::Network> more_m2p;
};

bool finite(std::span<const float> numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

TEST_CASE("a document's factors have their places, the last memory token is filled up") {
  using Layout = hb::FactorLayout<base, 2>;
  // q 12 -> 12 with C, k and v 12 -> 4 with C, o 12 -> 12, gate and up 12 -> 10, down 10 -> 12
  static_assert(Layout::place(hb::Projection::query).end == 2 * 24 + 12);
  static_assert(Layout::place(hb::Projection::output).a == 60 + 2 * (2 * 16 + 4));
  static_assert(Layout::numbers == 60 + 72 + 48 + 3 * 44);
  static_assert(Net<float>::memory_tokens == 26);
}

TEST_CASE("Shine's gradients agree with finite differences") {
  Cpu cpu({.threads = 1});  // of many tiny passes each: two would mostly wait for each other
  cpu.arena().poison(true);
  Subject<double> subject(cpu);
  subject.train(cpu, hb::Write::assign);
  const auto check = [&](const std::string& name, std::span<double> values,
                         std::span<const double> gradient) {
    CAPTURE(name);
    CHECK(hb::test::gradient_error(cpu, subject, values, gradient) < 1e-6);
  };
  hb::visit([&](const std::string& name, auto& value,
                auto& gradient) { check(name, value.span(), gradient.span()); },
            subject.params, subject.gradients);
  for (auto* factors : {&subject.more_meta.factors, &subject.more_m2p.factors})
    for (auto& factor : *factors) check(factor.name, factor.values.span(), factor.gradient.span());

  std::vector<double> once;
  hb::visit([&](const std::string&,
                auto& gradient) { once.insert(once.end(), gradient.span().begin(), gradient.span().end()); },
            subject.gradients);
  subject.train(cpu, hb::Write::add);
  std::size_t i = 0;
  double worst = 0;
  hb::visit(
      [&](const std::string&, auto& gradient) {
        for (const double twice : gradient.span()) {
          worst = hb::test::worse(worst, std::abs(twice - 2 * once[i]) / (1 + std::abs(once[i])));
          ++i;
        }
      },
      subject.gradients);
  CHECK(worst < 1e-12);
}

TEST_CASE("bits do not depend on threads or on the tape, and memory stays once warm") {
  std::vector<float> first;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    Subject<float> subject(cpu);
    subject.infer(cpu);
    const std::vector<float> inferred(subject.factors.span().begin(), subject.factors.span().end());
    subject.train(cpu, hb::Write::assign);
    const std::size_t allocations = cpu.arena().allocations();
    subject.train(cpu, hb::Write::assign);
    CHECK(cpu.arena().allocations() == allocations);
    CHECK(std::equal(inferred.begin(), inferred.end(), subject.factors.span().begin()));
    if (first.empty()) first = inferred;
    CHECK(first == inferred);
    CHECK(finite(inferred));
  }
}

TEST_CASE("generate: texts together as alone, and the same adapter on the host") {
  Cpu cpu;
  Subject<float> subject(cpu);
  const auto generate = [&](const std::vector<hb::Tokens>& texts) {
    return Net<float>::generate(cpu, subject.model, subject.params, subject.positions, texts);
  };
  const hb::Tokens short_text = {3, 1, 4}, long_text = {1, 5, 9, 2, 6, 5}, other = {2, 7, 1, 8, 2, 8};
  const auto together = generate({long_text, short_text, other});
  REQUIRE(together.count() == 3);
  const auto compare = [&](const hb::HostAdapter& found, const hb::HostAdapter& expected, double most) {
    REQUIRE(found.linears.size() == 7 * base.layers);
    double worst = 0;
    for (const auto& [place, factors] : expected.linears) {
      const auto& own = found.linears.at(place);
      REQUIRE(own.a.size() == factors.a.size());
      for (std::size_t i = 0; i < own.a.size(); ++i)
        worst = hb::test::worse(worst, std::abs(double(own.a[i]) - factors.a[i]));
      for (std::size_t i = 0; i < own.b.size(); ++i)
        worst = hb::test::worse(worst, std::abs(double(own.b[i]) - factors.b[i]));
      CHECK(own.bias.size() == factors.bias.size());
    }
    CHECK(worst <= most);
  };
  compare(together.to_host(cpu, 0), generate({long_text}).to_host(cpu), 0);
  compare(together.to_host(cpu, 2), generate({other}).to_host(cpu), 0);
  compare(together.to_host(cpu, 1), generate({short_text}).to_host(cpu),
          1e-5);  // its positions count the padding

  // The factors that a decoder is given are those of the host's adapter.
  const hb::Adapter<base, hb::AdapterSpec{.bias = hb::query_key_value}, float, Cpu> copy(
      cpu, together.to_host(cpu, 1), "test");
  hb::Tensor<float, Cpu, dyn, base.vocabulary> direct(cpu, 5), copied(cpu, 5), plain(cpu, 5);
  const auto ask = [&](const auto& updates, auto& logits) {
    typename Model<float>::Input input{.ids = subject.ids.view().slice(0, 5), .rotary = subject.positions};
    input.updates = updates;
    Model<float>::forward(cpu, subject.model, input, {.logits = logits});
  };
  ask(together.updates(1), direct);
  ask(copy.template updates<Model<float>>(), copied);
  ask(typename Model<float>::template Updates<const float>(), plain);
  double change = 0;
  for (Index i = 0; i < direct.size(); ++i) {
    CHECK(direct.data()[i] == doctest::Approx(copied.data()[i]).epsilon(1e-5));
    change = std::max(change, std::abs(double(direct.data()[i]) - plain.data()[i]));
  }
  CHECK(change > 1e-3);
}

TEST_CASE("frozen weights give the same factors, and gradients of the meta LoRA and the memory alone") {
  Cpu cpu;
  using Fixed = hb::Shine<Model<float>, spec, hb::Frozen<float>>;
  Subject<float> subject(cpu);
  subject.more_meta.values = {}, subject.more_meta.gradients = {};
  subject.more_m2p.values = {}, subject.more_m2p.gradients = {};
  subject.train(cpu, hb::Write::assign);
  auto params = hb::make<Fixed::Params>(cpu);
  auto gradients = hb::make<Fixed::Gradients>(cpu);
  hb::visit(
      [&](const std::string&, auto& to, const auto& from) {
        to.upload(cpu, {from.data(), static_cast<std::size_t>(from.size())});
      },
      params, subject.params);
  hb::Tensor<float, Cpu, base.layers, dyn, Fixed::layer_numbers> factors(cpu, 2);
  const hb::ArenaScope scope(cpu);
  Fixed::Tape tape;
  Fixed::forward(cpu, params,
                 {.model = &subject.model, .ids = subject.ids, .documents = 2, .rotary = subject.positions},
                 {.factors = factors}, &tape);
  Fixed::backward(cpu, params, tape, {.factors = subject.direction}, {}, gradients, hb::Write::assign);
  for (Index i = 0; i < factors.size(); ++i)
    CHECK(factors.data()[i] == doctest::Approx(subject.factors.data()[i]).epsilon(1e-4));
  const auto& memory = subject.gradients.memory;
  for (Index i = 0; i < memory.size(); ++i)
    CHECK(gradients.memory.data()[i] == doctest::Approx(memory.data()[i]).epsilon(1e-3));
  CHECK(hb::count(gradients) == hb::count(gradients.meta) + memory.size());
}

namespace usage {
inline constexpr hb::DecoderSpec base{
    .vocabulary = 300, .hidden = 64, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 96, .positions = 128};
// [types]
using Model = hb::Decoder<base, float, Cpu>;
using Net = hb::Shine<Model, hb::ShineSpec{.rank = 2, .meta_rank = 4, .m2p = {.blocks = 2}}>;
// [/types]

TEST_CASE("as the documents show it") {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model>(cpu, random);
  auto net = hb::make<Net::Params>(cpu);
  Net::initialise(cpu, net, random);
  const std::vector<hb::Tokens> texts = {{1, 2, 3, 4}}, questions = {{7, 8}};
  // [usage]
  const Model::Positions positions(cpu);
  const auto adapters = Net::generate(cpu, model, net, positions, texts);
  const auto answers =
      hb::generate<Model>(cpu, model, positions, questions, {.most = 16}, adapters.updates(0));
  const hb::HostAdapter host = adapters.to_host(cpu);  // for hb::write_adapter, compress, merge ...
  // [/usage]
  CHECK(host.linears.size() == 14);
  CHECK(answers.front().size() <= 16);
}
}  // namespace usage

TEST_CASE("as initialised, with memory tokens of zero, factors are finite and not zero") {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model<float>>(cpu, random);
  auto params = hb::make<Net<float>::Params>(cpu);
  Net<float>::initialise(cpu, params, random);
  const auto adapter =
      Net<float>::generate(cpu, model, params, Model<float>::Positions(cpu), std::vector<hb::Tokens>{{1, 2}})
          .to_host(cpu);
  for (const auto& [place, factors] : adapter.linears) {
    CHECK(finite(factors.b));
    CHECK(*std::max_element(factors.a.begin(), factors.a.end()) > 1e-4f);
  }
}

TEST_CASE("what does not fit is said") {
  Cpu cpu;
  Subject<float> subject(cpu);
  auto input = subject.input();
  const auto run = [&] { Net<float>::forward(cpu, subject.params, input, {.factors = subject.factors}); };
  input.documents = 1;
  CHECK_THROWS_WITH_AS(
      run(), doctest::Contains("the factors do not fit the documents (Shine): expected 1 documents, found 2"),
      hb::Error);
  input.model = nullptr;
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("no decoder (Shine)"), hb::Error);
  const auto generate = [&](const std::vector<hb::Tokens>& texts) {
    Net<float>::generate(cpu, subject.model, subject.params, subject.positions, texts);
  };
  CHECK_THROWS_WITH_AS(
      generate({}),
      doctest::Contains("nothing to read (PaddedTexts): expected texts of one token or more, found no text"),
      hb::Error);
  CHECK_THROWS_WITH_AS(generate({{1}, {}}), doctest::Contains("found an empty one"), hb::Error);
}
