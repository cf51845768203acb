// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PooledMlp and GenerativeAdapter: gradients against finite differences, bits over threads, what is generated
// for several texts is what each alone gives, and it changes the decoder's logits.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/generative_adapter.hpp>
#include <hyperblocks/hypernets/pooled_mlp.hpp>

#include "../support/block_check.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 23, .hidden = 12, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 32};
template <class S>
using Model = hb::Decoder<base, S, Cpu>;
template <class S>
using Pooled =
    hb::PooledMlp<Model<S>, hb::PooledMlpSpec{.rank = 2, .targets = hb::query_and_value, .inner = 7}>;
template <class S>
using Generative = hb::GenerativeAdapter<Model<S>, hb::GenerativeAdapterSpec{.rank = 3}>;

template <class Params>
void shake(Params& params, hb::Random& random) {
  hb::visit(
      [&](const std::string&, auto& tensor) {
        using S = typename std::remove_reference_t<decltype(tensor)>::ScalarType;
        for (S& value : tensor.span()) value += static_cast<S>(0.2 * random.normal());
      },
      params);
}

/// A network, what it reads, a direction of what it writes.
template <class Net_>
struct Subject {
  using Net = Net_;
  using S = typename Net::Scalar;
  static constexpr bool pooled = requires { typename Net::Layer; };
  static constexpr Index texts = 3, tokens = 5;

  explicit Subject(Cpu& cpu)
      : random(3),
        params(hb::make<typename Net::Params>(cpu)),
        gradients(hb::make<typename Net::Gradients>(cpu)),
        x(cpu, (base.layers + 1) * tokens),
        dx(cpu, texts),
        y(cpu, count()),
        dy(cpu, count()) {
    Net::initialise(cpu, params, random);
    shake(params, random);
    hb::fill_normal(cpu, x, random, 1);
    hb::fill_normal(cpu, dy, random, 1);
  }
  static Index count() {
    if constexpr (pooled)
      return base.layers * texts * Net::Layout::numbers;
    else
      return Net::numbers_of_a();
  }
  template <class V>
  static auto written(const typename Net::Params& params, V numbers) {
    if constexpr (pooled)
      return numbers.template reshape<base.layers, dyn, Net::Layout::numbers>(texts);
    else
      return Net::template updates<std::remove_pointer_t<decltype(numbers.data())>>(params, numbers);
  }
  auto input() const {
    if constexpr (pooled)
      return x.view().slice(0, texts);
    else
      return x.view().template reshape<dyn, dyn, base.hidden>(base.layers + 1, tokens);
  }
  void train(Cpu& cpu, hb::Write write) {
    const hb::ArenaScope scope(cpu);
    typename Net::Tape tape;
    Net::forward(cpu, params, input(), written(params, y.view()), &tape);
    const auto direction = written(params, std::as_const(dy).view());
    if constexpr (pooled)
      Net::backward(cpu, params, tape, direction, wants_dx ? dx.view() : hb::View<S, Cpu, dyn, base.hidden>{},
                    gradients, write);
    else
      Net::backward(cpu, params, tape, direction, {}, gradients, write);
  }
  double loss(Cpu& cpu) {
    Net::forward(cpu, params, input(), written(params, y.view()));
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i) sum += static_cast<double>(y(i)) * static_cast<double>(dy(i));
    return sum;
  }

  hb::Random random;
  bool wants_dx = true;
  typename Net::Params params;
  typename Net::Gradients gradients;
  hb::Tensor<S, Cpu, dyn, base.hidden> x, dx;
  hb::Tensor<S, Cpu, dyn> y, dy;
};

template <class Net>
void check_gradients() {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  Subject<Net> subject(cpu);
  subject.train(cpu, hb::Write::assign);
  hb::visit(
      [&](const std::string& name, auto& value, auto& gradient) {
        CAPTURE(name);
        if (Subject<Net>::pooled || !name.ends_with(".b"))  // B is its own update's
          CHECK(hb::test::gradient_error(cpu, subject, value.span(), gradient.span()) < 1e-7);
      },
      subject.params, subject.gradients);
  if constexpr (Subject<Net>::pooled) {
    const std::span<double> read = subject.x.span().subspan(0, subject.dx.span().size());
    CHECK(hb::test::gradient_error(cpu, subject, read, subject.dx.span()) < 1e-7);
    Subject<Net> alone(cpu);  // what reads the base's states, which do not learn
    alone.wants_dx = false;
    alone.train(cpu, hb::Write::assign);
    hb::visit([](const std::string&, auto& gradient,
                 auto& same) { CHECK(std::ranges::equal(gradient.span(), same.span())); },
              subject.gradients, alone.gradients);
  }
}

template <class Net>
void check_bits() {
  std::vector<float> first;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    Subject<Net> subject(cpu);
    (void)subject.loss(cpu);
    const std::vector<float> inferred(subject.y.span().begin(), subject.y.span().end());
    subject.train(cpu, hb::Write::assign);
    const std::size_t allocations = cpu.arena().allocations();
    subject.train(cpu, hb::Write::add);
    CHECK(cpu.arena().allocations() == allocations);
    CHECK(std::equal(inferred.begin(), inferred.end(), subject.y.span().begin()));
    if (first.empty()) first = inferred;
    CHECK(first == inferred);
  }
}

template <class Net>
void check_generation() {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model<float>>(cpu, random);
  const Model<float>::Positions positions(cpu);
  auto params = hb::make<typename Net::Params>(cpu);
  Net::initialise(cpu, params, random);
  shake(params, random);
  const std::vector<hb::Tokens> texts = {{3, 1, 4, 1, 5}, {9, 2}};
  const auto together = Net::generate(cpu, model, params, positions, texts);
  REQUIRE(together.count() == 2);
  const auto second = together.to_host(cpu, 1);
  const auto alone = Net::generate(cpu, model, params, positions, {&texts[1], 1}).to_host(cpu);
  REQUIRE(second.linears.size() == alone.linears.size());
  for (const auto& [place, factors] : alone.linears) {
    CHECK(second.linears.at(place).a == factors.a);
    CHECK(second.linears.at(place).b == factors.b);
    CHECK(together.to_host(cpu, 0).linears.at(place).a != factors.a);
  }
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 4);
  ids.upload(cpu, std::vector<std::int32_t>{5, 3, 5, 8});
  hb::Tensor<float, Cpu, dyn, base.vocabulary> with(cpu, 4), without(cpu, 4);
  Model<float>::forward(cpu, model, {.ids = ids, .rotary = positions, .updates = together.updates(1)},
                        {.logits = with});
  Model<float>::forward(cpu, model, {.ids = ids, .rotary = positions}, {.logits = without});
  CHECK_FALSE(std::equal(with.span().begin(), with.span().end(), without.span().begin()));
}

}  // namespace

TEST_CASE("PooledMlp") {
  check_gradients<Pooled<double>>();
  check_bits<Pooled<float>>();
  check_generation<Pooled<float>>();
}

TEST_CASE("GenerativeAdapter") {
  check_gradients<Generative<double>>();
  check_bits<Generative<float>>();
  check_generation<Generative<float>>();
}
