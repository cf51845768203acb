// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// RecurrentShine: gradients through all chunks against finite differences, what PyTorch gives
// (tests/reference/shine.py), bits, what is generated, errors.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/recurrent_shine.hpp>
#include <hyperblocks/io/load_decoder.hpp>

#include "../support/block_check.hpp"
#include "../support/parity_check.hpp"
#include "../support/tiny_decoders.hpp"
#include "../support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec base{.vocabulary = 23,
                               .hidden = 12,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 1,
                               .inner = 10,
                               .positions = 96,
                               .bias = true};
constexpr hb::ShineSpec spec{.rank = 2,
                             .meta_rank = 2,
                             .scale = 0.09,
                             .m2p = {.blocks = 2, .heads = 3, .inner = 14},
                             .recurrent_rank = 3};
template <class S>
using Model = hb::Decoder<base, S, Cpu>;
template <class S>
using Net = hb::RecurrentShine<Model<S>, spec>;
template <class S>
using Shine = typename Net<S>::Shine;

const std::vector<hb::Tokens> three_chunks = {{3, 1, 4, 1}, {5, 9, 2}, {6, 5}};

/// A network away from its initial zeros, its decoder, and a direction of the factors.
template <class S>
struct Subject {
  explicit Subject(Cpu& cpu)
      : random(3),
        model(hb::initialised<Model<S>>(cpu, random)),
        params(hb::initialised<Net<S>>(cpu, random)),
        gradients(hb::make<typename Net<S>::Gradients>(cpu)),
        positions(cpu),
        factors(cpu, 3),
        direction(cpu, 3) {
    hb::visit(
        [&](const std::string&, auto& tensor) {
          for (S& value : tensor.span()) value += static_cast<S>(0.1 * random.normal());
        },
        params);
    hb::fill_normal(cpu, direction, random, 1);
  }

  typename Net<S>::Input input() const { return {&model, chunks, positions}; }
  void infer(Cpu& cpu) {
    const hb::ArenaScope scope(cpu);
    Net<S>::forward(cpu, params, input(), factors);
  }
  void train(Cpu& cpu, hb::Write write) {
    const hb::ArenaScope scope(cpu);
    typename Net<S>::Tape tape;
    Net<S>::forward(cpu, params, input(), factors, &tape);
    Net<S>::backward(cpu, params, tape, direction, {}, gradients, write);
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
  std::vector<hb::Tokens> chunks = three_chunks;
  hb::Tensor<S, Cpu, dyn, base.layers, Shine<S>::layer_numbers> factors, direction;
};

}  // namespace

TEST_CASE("gradients through three chunks agree with finite differences, and add up") {
  static_assert(hb::Block<Net<double>>);
  Cpu cpu({.threads = 1});
  cpu.arena().poison(true);
  Subject<double> subject(cpu);
  subject.train(cpu, hb::Write::assign);
  std::vector<double> once;
  hb::visit(
      [&](const std::string& name, auto& value, auto& gradient) {
        CAPTURE(name);
        CHECK(hb::test::gradient_error(cpu, subject, value.span(), gradient.span()) < 1e-6);
        once.insert(once.end(), gradient.span().begin(), gradient.span().end());
      },
      subject.params, subject.gradients);
  REQUIRE(once.size() == static_cast<std::size_t>(hb::count(subject.params)));

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

namespace {
using hb::test::tiny_llama;

hb::test::Worst parity(const std::string& name, hb::Isa isa) {
  using Base = hb::Decoder<tiny_llama, float, Cpu>;
  using Recurrent = hb::RecurrentShine<Base, hb::ShineSpec{.rank = 2,
                                                           .meta_rank = 3,
                                                           .scale = 0.01,
                                                           .m2p = {.blocks = 2, .heads = 2, .inner = 20},
                                                           .recurrent_rank = 3}>;
  const std::filesystem::path fixtures = HYPERBLOCKS_FIXTURES;
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  const auto model = hb::loaded_decoder<Base>(cpu, fixtures / "models/llama");
  const Base::Positions positions(cpu);
  hb::test::Fixture fixture(fixtures / "hypernets" / ("shine_" + name + ".safetensors"));
  auto params = hb::make<Recurrent::Params>(cpu);
  auto gradients = hb::make<Recurrent::Gradients>(cpu);
  hb::load(cpu, params, fixture.file(), "params.");
  hb::visit([&](const std::string& parameter, const auto&) { fixture.use("params." + parameter); }, params);

  std::vector<hb::Tokens> chunks = {hb::Tokens(5), hb::Tokens(3), hb::Tokens(4)};
  for (std::size_t i = 0; i < chunks.size(); ++i)
    fixture.read<std::int32_t>("ids." + std::to_string(i), {std::ssize(chunks[i])}, std::span(chunks[i]));
  using Numbers = hb::Tensor<float, Cpu, dyn, tiny_llama.layers, Recurrent::Shine::layer_numbers>;
  Numbers factors(cpu, 3), dfactors(cpu, 3);
  fixture.read<float>("dfactors", {3, tiny_llama.layers, Recurrent::Shine::layer_numbers}, dfactors.span());
  const hb::ArenaScope scope(cpu);
  Recurrent::Tape tape;
  Recurrent::forward(cpu, params, {&model, chunks, positions}, factors, &tape);
  Recurrent::backward(cpu, params, tape, dfactors, {}, gradients, hb::Write::assign);

  hb::Tensor<std::int32_t, Cpu, dyn> question(cpu, 5);
  fixture.read<std::int32_t>("question", {5}, question.span());
  hb::Tensor<float, Cpu, dyn, tiny_llama.vocabulary> logits(cpu, 5);
  const auto adapter = Recurrent::generate(cpu, model, params, positions, chunks);
  Base::forward(cpu, model, {.ids = question, .rotary = positions, .updates = adapter.updates(0)},
                {.logits = logits});

  auto worst = fixture.compare("factors", factors.shape().all(), factors.span());
  worst.take(fixture.compare("logits", std::array<Index, 2>{5, tiny_llama.vocabulary}, logits.span()));
  hb::visit(
      [&](const std::string& parameter, const auto& gradient) {
        worst.take(fixture.compare("gradients." + parameter, gradient.shape().all(), gradient.span()));
      },
      gradients);
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hb::name(isa);
  return worst;
}
}  // namespace

TEST_CASE("three chunks give what PyTorch gives") {
  hb::test::check_parity({{"recurrent", &parity}}, "", 1e-4);
}

TEST_CASE("one chunk: Shine's own gradients, none for the LoRA of the M2P Transformer") {
  Cpu cpu;
  Subject<double> subject(cpu);
  subject.chunks.resize(1);
  subject.factors = decltype(subject.factors)(cpu, 1),
  subject.direction = decltype(subject.direction)(cpu, 1);
  hb::fill_normal(cpu, subject.direction, subject.random, 1);
  for (auto& layer : subject.gradients.m2p.blocks) hb::fill_constant(cpu, layer.query.a, 7);
  subject.train(cpu, hb::Write::assign);
  hb::visit(
      [](const std::string& name, const auto& gradient) {
        CAPTURE(name);
        CHECK(std::ranges::all_of(gradient.span(), [](double number) { return number == 0; }));
      },
      subject.gradients.m2p);
  CHECK(hb::test::gradient_error(cpu, subject, subject.params.shine.memory.span(),
                                 subject.gradients.shine.memory.span()) < 1e-6);
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
  }
}

TEST_CASE("a part for every chunk, and earlier chunks change how later ones are read") {
  Cpu cpu;
  hb::Random random(7);
  const auto model = hb::initialised<Model<float>>(cpu, random);
  const Model<float>::Positions positions(cpu);
  auto params = hb::initialised<Net<float>>(cpu, random);
  const auto own = [&](const hb::Tokens& chunk) {
    return Shine<float>::generate(cpu, model, params.shine, positions, {&chunk, 1}).to_host(cpu);
  };
  const auto whole = Net<float>::generate(cpu, model, params, positions, three_chunks).to_host(cpu);
  const hb::HostAdapter::Place place{1, hb::Projection::query};
  const auto& factors = whole.linears.at(place);
  CHECK(factors.rank == 3 * spec.rank);
  const auto part_of_a = [&](Index part) {
    const auto begin = factors.a.begin() + part * spec.rank * base.hidden;
    return std::vector<float>(begin, begin + spec.rank * base.hidden);
  };
  CHECK(part_of_a(0) == own(three_chunks[0]).linears.at(place).a);
  CHECK(part_of_a(1) != own(three_chunks[1]).linears.at(place).a);
  CHECK(std::ranges::all_of(factors.b, [](float x) { return std::isfinite(x); }));

  // With its own LoRA the M2P Transformer gives another meta LoRA, so the second chunk is read otherwise.
  for (auto& layer : params.m2p.blocks) hb::fill_normal(cpu, layer.expand.b, random, 1);
  const auto changed =
      Net<float>::generate(cpu, model, params, positions, three_chunks).to_host(cpu).linears.at(place);
  CHECK(std::equal(changed.a.begin(), changed.a.begin() + spec.rank * base.hidden, factors.a.begin()));
  CHECK(changed.a != factors.a);
}

TEST_CASE("what does not fit is said") {
  Cpu cpu;
  Subject<float> subject(cpu);
  const auto fails = [&](std::vector<hb::Tokens> chunks, const char* message) {
    subject.chunks = std::move(chunks);
    CHECK_THROWS_WITH_AS(subject.infer(cpu), doctest::Contains(message), hb::Error);
  };
  fails({}, "nothing to read (RecurrentShine): expected chunks of one token or more, found no chunk");
  fails({{1}, {}, {2}}, "found an empty one");
  fails({{1}, {2}}, "the factors do not fit the chunks (RecurrentShine): expected 2, found 3");
  CHECK_THROWS_WITH_AS(Net<float>::backward(cpu, subject.params, {}, subject.direction, {}, subject.gradients,
                                            hb::Write::assign),
                       doctest::Contains("expected 0, as the tape is empty, found 3"), hb::Error);
}
