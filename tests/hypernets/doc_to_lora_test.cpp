// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DocToLora: gradients against finite differences, bits, pieces and documents together and alone, layer by
// layer, scales, what is generated, errors; ContextReader.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/hypernets/pieces.hpp>

#include "../support/block_check.hpp"
#include "../support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 23, .hidden = 12, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 96};
constexpr hb::Targets query_and_down{
    .key = false, .value = false, .output = false, .gate = false, .up = false};
constexpr hb::DocToLoraSpec spec{.rank = 2,
                                 .targets = query_and_down,
                                 .perceiver = {.latent = 8,
                                               .latents = 3,
                                               .blocks = 2,
                                               .self_layers = 1,
                                               .heads = 2,
                                               .kv_heads = 1,
                                               .head_width = 4,
                                               .inner = 10,
                                               .projection_inner = 14},
                                 .mlps = 2,
                                 .mlp_inner = 6};
constexpr hb::DocToLoraSpec one_state = [] {
  hb::DocToLoraSpec result = spec;
  result.layer_to_layer = false, result.per_rank = false, result.mlps_per_layer = true, result.bias = false;
  result.perceiver.shares_weights = true;
  return result;
}();
template <class S>
using Model = hb::Decoder<base, S, Cpu>;
using Net = hb::DocToLora<Model<float>, spec>;
using OneState = hb::DocToLora<Model<float>, one_state>;
using Reader = hb::ContextReader<Model<float>, hb::ContextSpec{}>;
using Early = hb::ContextReader<Model<float>, hb::ContextSpec{hb::ContextKind::early_exit, 1}>;

template <class Params>
void shake(Params& params, hb::Random& random) {
  hb::visit(
      [&](const std::string&, auto& tensor) {
        using S = typename std::remove_reference_t<decltype(tensor)>::ScalarType;
        for (S& value : tensor.span()) value += static_cast<S>(0.2 * random.normal());
      },
      params);
}

/// A network, features of three pieces of five tokens of which some do not count, a direction of the factors.
template <class Net_>
struct Subject {
  using Net = Net_;
  using S = typename Net::Scalar;
  static constexpr Index pieces = 3, tokens = 5, sequences = Net::states * pieces;
  explicit Subject(Cpu& cpu)
      : random(3),
        params(hb::initialised<Net>(cpu, random)),
        gradients(hb::make<typename Net::Gradients>(cpu)),
        features(cpu, sequences * tokens),
        dfeatures(cpu, sequences * tokens),
        piece_scales(cpu, pieces),
        numbers(cpu, Net::numbers_of(pieces)),
        direction(cpu, Net::numbers_of(pieces)),
        allowed(cpu, sequences * tokens) {
    shake(params, random);
    hb::fill_normal(cpu, features, random, 1);
    hb::fill_normal(cpu, piece_scales, random, 1);
    hb::fill_normal(cpu, direction, random, 1);
    for (Index i = 0; i < allowed.size(); ++i) allowed.data()[i] = i % 7 != 3;
  }

  typename Net::Input input() const {
    return {.features = features,
            .pieces = pieces,
            .mask = {.allowed = allowed.data(), .size = allowed.size(), .batch_stride = tokens},
            .piece_scales = piece_scales,
            .scale = 1.5};
  }
  void infer(Cpu& cpu) {
    const hb::ArenaScope scope(cpu);
    Net::forward(cpu, params, input(), {.factors = Net::updates(numbers.view(), 0, pieces)});
  }
  void train(Cpu& cpu, hb::Write write) {
    const hb::ArenaScope scope(cpu);
    typename Net::Tape tape;
    const auto given = input();
    Net::forward(cpu, params, given, {.factors = Net::updates(numbers.view(), 0, pieces)}, &tape);
    Net::backward(cpu, params, tape, Net::updates(std::as_const(direction).view(), 0, pieces), {dfeatures},
                  gradients, write);
  }
  double loss(Cpu& cpu) {
    infer(cpu);
    double sum = 0;
    for (Index i = 0; i < numbers.size(); ++i)
      sum += static_cast<double>(numbers(i)) * static_cast<double>(direction(i));
    return sum;
  }

  hb::Random random;
  typename Net::Params params;
  typename Net::Gradients gradients;
  hb::Tensor<S, Cpu, dyn, Net::width> features, dfeatures;
  hb::Tensor<S, Cpu, dyn> piece_scales, numbers, direction;
  hb::Tensor<std::uint8_t, Cpu, dyn> allowed;
};

template <class Net>
void check_gradients() {
  Cpu cpu({.threads = 1});
  cpu.arena().poison(true);
  Subject<Net> subject(cpu);
  subject.train(cpu, hb::Write::assign);
  std::vector<double> once, twice;
  const auto check = [&](const std::string& name, std::span<double> values, std::span<double> gradient) {
    CAPTURE(name);
    CHECK(hb::test::gradient_error(cpu, subject, values, gradient) < 1e-7);
    once.insert(once.end(), gradient.begin(), gradient.end());
  };
  const auto trained = [](const std::string& name) { return name.find("bias_") == std::string::npos; };
  hb::visit(
      [&](const std::string& name, auto& value, auto& gradient) {
        if (trained(name)) check(name, value.span(), gradient.span());
      },
      subject.params, subject.gradients);
  check("features", subject.features.span(), subject.dfeatures.span());
  once.resize(once.size() - subject.dfeatures.span().size());

  subject.train(cpu, hb::Write::add);
  hb::visit(
      [&](const std::string& name, auto& gradient) {
        if (trained(name)) twice.insert(twice.end(), gradient.span().begin(), gradient.span().end());
      },
      subject.gradients);
  REQUIRE(once.size() == twice.size());
  double worst = 0;
  for (std::size_t i = 0; i < once.size(); ++i)
    worst = hb::test::worse(worst, std::abs(twice[i] - 2 * once[i]) / (1 + std::abs(once[i])));
  CHECK(worst < 1e-12);
}

/// A decoder and a network that it feeds.
template <class Net_>
struct World {
  using Net = Net_;
  Cpu cpu;
  hb::Random random{1};
  Model<float>::Params model = hb::initialised<Model<float>>(cpu, random);
  Model<float>::Positions positions{cpu};
  typename Net::Params params = hb::initialised<Net>(cpu, random);
  World() { shake(params, random); }

  template <class Reader_>
  hb::Generated<Model<float>> generate(const std::vector<std::vector<hb::Tokens>>& documents,
                                       const hb::DocToLoraOptions& options = {}) {
    return Net::generate(cpu, params, Reader_(model, positions), documents, options);
  }
};

const hb::Tokens first = {3, 1, 4, 1, 5}, second = {9, 2, 6}, third = {5, 3, 5, 8}, fourth = {7, 7};

bool same(const hb::HostAdapter& a, const hb::HostAdapter& b) {
  if (a.linears.size() != b.linears.size()) return false;
  return std::equal(a.linears.begin(), a.linears.end(), b.linears.begin(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.a == y.second.a && x.second.b == y.second.b &&
           x.second.scale == y.second.scale && x.second.rank == y.second.rank;
  });
}

/// Rows [from, from + count) of a linear's A, of `all` ranks.
std::vector<float> rows_of_a(const hb::HostFactors& factors, Index from, Index count) {
  const auto begin = factors.a.begin() + from * factors.size.in;
  return {begin, begin + count * factors.size.in};
}

}  // namespace

namespace usage {
inline constexpr hb::DecoderSpec base{
    .vocabulary = 300, .hidden = 64, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 96, .positions = 128};
// [types]
using Model = hb::Decoder<base, float, Cpu>;
using Net =
    hb::DocToLora<Model, hb::DocToLoraSpec{.perceiver = {.latent = 64, .blocks = 2, .head_width = 16}}>;
using Reader = hb::ContextReader<Model, hb::ContextSpec{}>;  // all layers of the same decoder
// [/types]

TEST_CASE("as the documents show it") {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model>(cpu, random);
  const auto net = hb::initialised<Net>(cpu, random);
  const hb::Tokens ids = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<hb::Tokens> questions = {{7, 8}};
  // [usage]
  const Model::Positions positions(cpu);
  const std::vector<std::vector<hb::Tokens>> documents = {
      hb::pieces(ids, {.most = 4, .prefix = {2}, .suffix = {3}})};
  const auto adapters = Net::generate(cpu, net, Reader(model, positions), documents);
  const auto answers =
      hb::generate<Model>(cpu, model, positions, questions, {.most = 16}, adapters.updates(0));
  const hb::HostAdapter host = adapters.to_host(cpu);  // for hb::write_adapter, compress, merge ...
  // [/usage]
  CHECK(host.linears.size() == 2);
  CHECK(answers.front().size() <= 16);
}
}  // namespace usage

TEST_CASE("DocToLora's gradients agree with finite differences") {
  check_gradients<hb::DocToLora<Model<double>, spec>>();
  check_gradients<hb::DocToLora<Model<double>, one_state>>();
}

TEST_CASE("bits do not depend on threads or on the tape, and memory stays once warm") {
  std::vector<float> expected;
  for (const Index threads : {1, 2, 3}) {
    Cpu cpu({.threads = threads});
    cpu.arena().poison(true);
    Subject<Net> subject(cpu);
    subject.infer(cpu);
    const std::vector<float> inferred(subject.numbers.span().begin(), subject.numbers.span().end());
    subject.train(cpu, hb::Write::assign);
    const std::size_t allocations = cpu.arena().allocations();
    subject.train(cpu, hb::Write::assign);
    CHECK(cpu.arena().allocations() == allocations);
    CHECK(std::equal(inferred.begin(), inferred.end(), subject.numbers.span().begin()));
    if (expected.empty()) expected = inferred;
    CHECK(expected == inferred);
    CHECK(std::ranges::all_of(inferred, [](float x) { return std::isfinite(x); }));
  }
}

TEST_CASE("a document's adapter is its pieces' side by side, then what no document changes") {
  World<Net> world;
  const auto whole = world.generate<Reader>({{first, second, third}}).to_host(world.cpu);
  const hb::HostAdapter::Place place{1, hb::Projection::down};
  const auto& factors = whole.linears.at(place);
  REQUIRE(whole.linears.size() == 2 * base.layers);
  CHECK(factors.rank == (3 + 1) * spec.rank);
  CHECK(factors.scale == doctest::Approx(2 * std::pow(2.0, 1.5)));
  Index at = 0;
  for (const hb::Tokens& piece : {first, second, third}) {
    const auto alone = world.generate<Reader>({{piece}}).to_host(world.cpu).linears.at(place);
    CHECK(alone.rank == 2 * spec.rank);
    CHECK(rows_of_a(factors, at, spec.rank) == rows_of_a(alone, 0, spec.rank));
    CHECK(rows_of_a(factors, 3 * spec.rank, spec.rank) == rows_of_a(alone, spec.rank, spec.rank));
    at += spec.rank;
  }
}

TEST_CASE("layer by layer, a few tokens at once and together with others a document's bits are the same") {
  World<Net> world;
  const std::vector<std::vector<hb::Tokens>> documents = {{first, second}, {third}, {fourth, first, second}};
  const auto together = world.generate<Reader>(documents);
  const auto iterative = world.generate<Reader>(documents, {.iterative = true});
  std::vector<std::pair<Index, Index>> progress;
  const auto singly =
      world.generate<Reader>(documents, {.tokens_at_once = 1, .progress = [&](Index done, Index all) {
                                           progress.push_back({done, all});
                                         }});
  CHECK(progress.size() == 6);
  CHECK(progress.back() == std::pair<Index, Index>(6, 6));
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const auto host = together.to_host(world.cpu, i);
    CHECK(same(host, iterative.to_host(world.cpu, i)));
    CHECK(same(host, singly.to_host(world.cpu, i)));
    CHECK(same(host, world.generate<Reader>({documents[i]}).to_host(world.cpu)));
  }
}

TEST_CASE("one state for all layers") {
  World<OneState> world;
  const auto whole = world.generate<Early>({{first, second}}).to_host(world.cpu);
  const auto alone = world.generate<Early>({{second}}).to_host(world.cpu);
  for (const auto& [place, factors] : whole.linears) {
    CHECK(factors.rank == 2 * spec.rank);
    CHECK(rows_of_a(factors, spec.rank, spec.rank) == alone.linears.at(place).a);
  }
}

TEST_CASE("scales: of pieces, of what is generated, of what no document changes") {
  World<Net> world;
  const std::vector<std::vector<hb::Tokens>> documents = {{first, second}};
  const auto plain = world.generate<Reader>(documents).to_host(world.cpu);
  const auto scaled =
      world.generate<Reader>(documents, {.piece_scales = {1, -3}, .scale = 2, .bias_scale = 0.5})
          .to_host(world.cpu);
  for (const auto& [place, expected] : plain.linears) {
    const auto& found = scaled.linears.at(place);
    const auto check = [&](const std::vector<float>& of, const std::vector<float>& was,
                           std::size_t rank_stride, std::size_t width_stride, Index width, bool pieces) {
      for (Index i = 0; i < expected.rank; ++i) {
        const double piece = pieces && i / spec.rank == 1 ? -3 : 1;
        const double factor = i < 2 * spec.rank ? 2 * piece : 0.5;
        for (Index j = 0; j < width; ++j) {
          const std::size_t at =
              static_cast<std::size_t>(i) * rank_stride + static_cast<std::size_t>(j) * width_stride;
          CHECK(of[at] == doctest::Approx(factor * was[at]).epsilon(1e-6));
        }
      }
    };
    const auto in = static_cast<std::size_t>(expected.size.in),
               rank = static_cast<std::size_t>(expected.rank);
    check(found.a, expected.a, in, 1, expected.size.in, true);
    check(found.b, expected.b, 1, rank, expected.size.out, false);
  }
}

TEST_CASE("questions about several documents in one batch have each its own adapter") {
  World<Net> world;
  Cpu& cpu = world.cpu;
  const auto adapters = world.generate<Reader>({{first, second}, {third}});
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 3 * 4);
  for (auto& id : ids.span()) id = static_cast<std::int32_t>(world.random.bits() % base.vocabulary);
  hb::Tensor<float, Cpu, dyn, base.vocabulary> batch(cpu, 12), alone(cpu, 4);
  const auto linked = adapters.batched({{0, 8}, {8, 4}});  // two questions about the first
  Model<float>::forward(cpu, world.model,
                        {.ids = ids, .sequences = 3, .rotary = world.positions, .updates = linked.front()},
                        {.logits = batch});
  for (Index question = 0; question < 3; ++question) {
    Model<float>::forward(cpu, world.model,
                          {.ids = ids.view().slice(question * 4, 4),
                           .rotary = world.positions,
                           .updates = adapters.updates(question / 2)},
                          {.logits = alone});
    for (Index i = 0; i < alone.size(); ++i)
      CHECK(batch.data()[question * alone.size() + i] == doctest::Approx(alone.data()[i]).epsilon(1e-5));
  }
  CHECK_THROWS_WITH_AS(adapters.batched({{0, 12}}),
                       doctest::Contains("each text has a run of rows (Generated): expected 2, found 1"),
                       hb::Error);
}

TEST_CASE("features from elsewhere, and frozen weights") {
  World<Net> world;
  Cpu& cpu = world.cpu;
  hb::Tensor<float, Cpu, dyn, base.hidden> features(cpu, Net::states * static_cast<Index>(first.size()));
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, static_cast<Index>(first.size()));
  ids.upload(cpu, first);
  const Reader reader(world.model, world.positions);
  reader.read(cpu, ids, 1, [&](Index state, auto rows) {
    std::copy_n(rows.data(), rows.size(), features.data() + state * rows.size());
  });
  const auto expected = world.generate<Reader>({{first}}).to_host(cpu);
  CHECK(same(expected, Net::generate(cpu, world.params, features).to_host(cpu)));

  using Fixed = hb::DocToLora<Model<float>, spec, hb::Frozen<float>>;
  auto params = hb::make<Fixed::Params>(cpu);
  hb::visit(
      [&](const std::string&, auto& to, const auto& from) {
        to.upload(cpu, {from.data(), static_cast<std::size_t>(from.size())});
      },
      params, world.params);
  const auto found = Fixed::generate(cpu, params, features).to_host(cpu);
  for (const auto& [place, factors] : expected.linears)
    for (std::size_t i = 0; i < factors.a.size(); ++i)
      CHECK(found.linears.at(place).a[i] == doctest::Approx(factors.a[i]).epsilon(1e-4));
}

TEST_CASE("as initialised a document's adapter changes nothing") {
  Cpu cpu;
  hb::Random random(1);
  const auto model = hb::initialised<Model<float>>(cpu, random);
  const Model<float>::Positions positions(cpu);
  const auto params = hb::initialised<Net>(cpu, random);
  const std::vector<std::vector<hb::Tokens>> documents = {{first}};
  const auto adapter = Net::generate(cpu, params, Reader(model, positions), documents).to_host(cpu);
  for (const auto& [place, factors] : adapter.linears) {
    CHECK(std::ranges::all_of(factors.b, [](float x) { return x == 0; }));
    CHECK(std::ranges::any_of(factors.a, [](float x) { return x != 0; }));
  }
}

TEST_CASE("a reader's states are the decoder's") {
  World<Net> world;
  Cpu& cpu = world.cpu;
  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 10);
  for (auto& id : ids.span()) id = static_cast<std::int32_t>(world.random.bits() % base.vocabulary);
  const auto check = [&]<class R>(std::type_identity<R>, Index layers, bool norm, Index state) {
    hb::Tensor<float, Cpu, dyn, base.hidden> expected(cpu, 10);
    Model<float>::forward(
        cpu, world.model,
        {.ids = ids, .sequences = 2, .rotary = world.positions, .layers = layers, .final_norm = norm},
        {.state = expected});
    Index seen = 0;
    R(world.model, world.positions).read(cpu, ids, 2, [&](Index given, auto rows) {
      CHECK(given == seen++);
      if (given == state) CHECK(std::equal(expected.span().begin(), expected.span().end(), rows.data()));
    });
    CHECK(seen == R::states);
  };
  check(std::type_identity<Reader>(), 0, false, 0);
  check(std::type_identity<Reader>(), 1, true, 1);
  check(std::type_identity<Early>(), 1, true, 0);
  using Embeddings = hb::ContextReader<Model<float>, hb::ContextSpec{hb::ContextKind::embeddings}>;
  check(std::type_identity<Embeddings>(), 0, false, 0);
  static_assert(Model<float>::spec.layers / 4 ==
                0);  // a quarter of few layers is none: the embeddings, normed
  using Quarter = hb::ContextReader<Model<float>, hb::ContextSpec{hb::ContextKind::early_exit}>;
  check(std::type_identity<Quarter>(), 0, true, 0);
  using One = hb::ContextReader<Model<float>, hb::ContextSpec{.layers = 1}>;
  check(std::type_identity<One>(), 0, true, 0);
}

TEST_CASE("a document is cut into even pieces, each with the template around it") {
  const hb::Tokens ids = {1, 2, 3, 4, 5, 6, 7};
  using Pieces = std::vector<hb::Tokens>;
  CHECK(hb::pieces(ids, {.most = 7, .prefix = {90}, .suffix = {91}}) == Pieces{ids});
  CHECK(hb::pieces(ids, {.most = 0}) == Pieces{ids});
  CHECK(hb::pieces(ids, {.most = 3}) == Pieces{{1, 2, 3}, {4, 5, 6}, {7}});
  CHECK(hb::pieces(ids, {.most = 6, .prefix = {90, 91}, .suffix = {92}}) ==
        Pieces{{1, 2, 3, 4, 92}, {90, 91, 5, 6, 7}});
  CHECK(hb::pieces(ids, {.most = 3, .prefix = {90}, .suffix = {92}}) ==
        Pieces{{1, 2, 3, 92}, {90, 4, 5, 6, 92}, {90, 7}});
  CHECK(hb::pieces(hb::Tokens{1, 2, 3, 4, 5, 6, 7, 8, 9}, {.most = 2}).size() == 5);
  CHECK_THROWS_WITH_AS(hb::pieces(ids, {.most = -1}), doctest::Contains("impossible length of pieces"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(hb::pieces({}, {}), doctest::Contains("an empty document (pieces)"), hb::Error);
}

TEST_CASE("what does not fit is said") {
  World<Net> world;
  CHECK_THROWS_WITH_AS(world.generate<Reader>({}),
                       doctest::Contains("nothing to read (DocToLora): expected one document or more"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(world.generate<Reader>({{first}, {}}),
                       doctest::Contains("an empty document (DocToLora)"), hb::Error);
  CHECK_THROWS_WITH_AS(world.generate<Reader>({{first, {}}}), doctest::Contains("found an empty one"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(world.generate<Reader>({{first}}, {.piece_scales = {1, 2}}),
                       doctest::Contains("not a scale for every piece (DocToLora): expected 1, found 2"),
                       hb::Error);
  hb::Tensor<float, Cpu, dyn, base.hidden> features(world.cpu, 5);
  CHECK_THROWS_WITH_AS(
      Net::forward(world.cpu, world.params, {.features = features}, {}),
      doctest::Contains("the pieces do not divide the features (DocToLora): expected a multiple of 2 "
                        "states times 1 pieces, found 5 rows"),
      hb::Error);
  hb::Tensor<float, Cpu, dyn> numbers(world.cpu, Net::numbers_of(2));
  CHECK_THROWS_WITH_AS(Net::updates(numbers.view(), 1, 2), doctest::Contains("there are not so many pieces"),
                       hb::Error);
  hb::Tensor<float, Cpu, dyn, base.hidden> two(world.cpu, Net::states * 2);
  CHECK_THROWS_WITH_AS(
      Net::forward(world.cpu, world.params, {.features = two, .pieces = 2},
                   {.factors = Net::updates(numbers.view(), 0, 1)}),
      doctest::Contains("a linear's factors do not fit (FactorHeads): expected A and B of rank 4, as rows"),
      hb::Error);
}
