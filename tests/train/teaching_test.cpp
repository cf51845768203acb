// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Teaching: gradients of whole systems, from the loss of lessons through a frozen decoder and the factors to
// every parameter of the hypernetwork, against finite differences in double; and each of them learns.
#include <set>
#include <tuple>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/adam_w.hpp>
#include <hyperblocks/train/doc_to_lora_writer.hpp>
#include <hyperblocks/train/lora_writer.hpp>
#include <hyperblocks/train/shine_writer.hpp>
#include <hyperblocks/train/text_to_lora_writer.hpp>

#include "../support/block_check.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index, hb::Tokens;

namespace {
constexpr hb::DecoderSpec base{
    .vocabulary = 13, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 6, .positions = 64};
using Model = hb::Decoder<base, double, Cpu>;
using Shine =
    hb::Shine<Model,
              hb::ShineSpec{
                  .rank = 1, .meta_rank = 2, .scale = 0.3, .m2p = {.blocks = 2, .heads = 2, .inner = 10}}>;
using DocToLora = hb::DocToLora<Model, hb::DocToLoraSpec{.rank = 2,
                                                         .targets = hb::query_and_value,
                                                         .perceiver = {.latent = 6,
                                                                       .latents = 2,
                                                                       .blocks = 1,
                                                                       .heads = 2,
                                                                       .kv_heads = 1,
                                                                       .head_width = 4,
                                                                       .inner = 8,
                                                                       .projection_inner = 8},
                                                         .mlps = 1,
                                                         .mlp_inner = 6}>;
using Reader = hb::ContextReader<Model, hb::ContextSpec{}>;
using TextToLora =
    hb::TextToLora<Model,
                   hb::TextToLoraSpec{
                       .rank = 2, .targets = hb::query_and_value, .embedding = 5, .latent = 8, .head_in = 6}>;
using Lora = hb::Lora<Model, hb::AdapterSpec{.rank = 2}>;

/// What all systems share: the frozen decoder, and three lessons about two documents.
struct World {
  Cpu cpu{{.threads = 1}};
  hb::Random random{9};
  Model::Params model = hb::initialised<Model>(cpu, random);
  Model::Positions positions{cpu};
  World() {
    cpu.arena().poison(true);
    hb::fill_normal(cpu, model.head.weight, random, 1.5);  // as sure as a trained model can be
  }

  template <class Document>
  static std::vector<hb::Topic<Document>> topics(const Document& first, const Document& second) {
    std::vector<hb::Topic<Document>> result = {
        {first, {hb::lesson_of(Tokens{1, 2}, Tokens{3, 4}), hb::lesson_of(Tokens{5}, Tokens{6})}},
        {second, {hb::lesson_of(Tokens{1, 2}, Tokens{9})}}};
    for (auto& topic : result) hb::weigh(topic.lessons, hb::MeanOver::labels);
    return result;
  }
};

template <class Teaching>
struct Subject {
  using Net = typename Teaching::Net;
  World& world;
  const Teaching& teaching;
  std::vector<hb::Topic<typename Teaching::Document>> topics;
  typename Net::Params params;
  typename Net::Gradients gradients = hb::make<typename Net::Gradients>(world.cpu);

  double train(hb::Write write) { return teaching.learn(world.cpu, params, topics, gradients, write); }
  /// What learn() says: the loss with all that is added to it.
  double loss(Cpu& cpu) {
    auto scrap = hb::make<typename Net::Gradients>(cpu);
    return teaching.learn(cpu, params, topics, scrap, hb::Write::assign);
  }
};

/// Away from the special values of the beginning.
template <class Params>
void disturb(World& world, Params& params) {
  hb::visit(
      [&](const std::string&, auto& tensor) {
        for (double& value : tensor.span()) value += 0.2 * world.random.normal();
      },
      params);
}

template <class Teaching>
void check_system(World& world, const Teaching& teaching, typename Teaching::Net::Params params,
                  std::vector<hb::Topic<typename Teaching::Document>> topics) {
  disturb(world, params);
  Subject<Teaching> subject{world, teaching, std::move(topics), std::move(params)};
  const double loss = subject.train(hb::Write::assign);
  CHECK(loss == doctest::Approx(subject.loss(world.cpu)).epsilon(1e-14));
  std::vector<double> once, twice;
  hb::visit(
      [&](const std::string& name, auto& gradient, auto& value) {
        CAPTURE(name);
        once.insert(once.end(), gradient.span().begin(), gradient.span().end());
        const std::vector<double> analytic(gradient.span().begin(), gradient.span().end());
        CHECK(hb::test::gradient_error(world.cpu, subject, value.span(), analytic) < 1e-6);
      },
      subject.gradients, subject.params);
  (void)subject.train(hb::Write::add);
  hb::visit(
      [&](const std::string&, auto& gradient) {
        twice.insert(twice.end(), gradient.span().begin(), gradient.span().end());
      },
      subject.gradients);
  double worst = 0;
  for (std::size_t i = 0; i < once.size(); ++i)
    worst = hb::test::worse(worst, std::abs(twice[i] - 2 * once[i]) / (1 + std::abs(once[i])));
  CHECK(worst < 1e-12);
  REQUIRE(std::ranges::any_of(once, [](double g) { return g != 0; }));

  hb::AdamW<Cpu, double> optimiser(world.cpu, subject.params, subject.gradients, {.groups = {{.clip = 1}}});
  for (int step = 0; step < 200; ++step) {
    (void)subject.train(hb::Write::assign);
    REQUIRE(optimiser.step(world.cpu, subject.params, subject.gradients, 0.01).done);
  }
  CHECK(teaching.loss(world.cpu, subject.params, subject.topics) < 0.3 * loss);
}
}  // namespace

TEST_CASE("Shine, to meta LoRA, memory tokens and M2P Transformer") {
  World world;
  const hb::ShineWriter<Shine> writer{world.model, world.positions};
  const hb::Teaching<hb::ShineWriter<Shine>> teaching{writer, world.model, world.positions};
  check_system(world, teaching, hb::initialised<Shine>(world.cpu, world.random),
               World::topics<Tokens>({1, 2, 3, 4, 5, 6}, {7, 8, 9}));
}

TEST_CASE("Shine's plain output may be held small") {
  World world;
  const auto params = hb::initialised<Shine>(world.cpu, world.random);
  const auto topics = World::topics<Tokens>({1, 2, 3, 4, 5, 6}, {7, 8, 9});
  auto with = hb::make<Shine::Gradients>(world.cpu), without = hb::make<Shine::Gradients>(world.cpu),
       alone = hb::make<Shine::Gradients>(world.cpu);
  const auto loss = [&](double weight, auto& gradients) {
    const hb::ShineWriter<Shine> writer{world.model, world.positions, weight};
    const hb::Teaching<hb::ShineWriter<Shine>> teaching{writer, world.model, world.positions};
    return teaching.learn(world.cpu, params, topics, gradients, hb::Write::assign);
  };
  const double cost = loss(0.01, with) - loss(0, without);

  // The same by hand: half of 0.01 of the sum for each of two documents.
  const hb::ShineWriter<Shine> writer{world.model, world.positions};
  hb::ShineWriter<Shine>::Tape tape;
  (void)writer.write(world.cpu, params, {topics[0].document, topics[1].document}, tape);
  hb::Tensor<double, Cpu, base.layers, hb::dyn, Shine::layer_numbers> signs(world.cpu, 2),
      zeros(world.cpu, 2);
  double sum = 0;
  for (Index i = 0; i < signs.size(); ++i) {
    sum += std::abs(tape.plain.data()[i]);
    signs.data()[i] = tape.plain.data()[i] > 0 ? 0.005 : -0.005;
  }
  Shine::backward(world.cpu, params, tape.net, {.factors = zeros, .plain = signs}, {}, alone,
                  hb::Write::assign);
  CHECK(cost == doctest::Approx(0.005 * sum).epsilon(1e-10));
  double worst = 0;
  hb::visit(
      [&](const std::string&, const auto& a, const auto& b, const auto& c) {
        for (Index i = 0; i < a.size(); ++i)
          worst = hb::test::worse(
              worst, std::abs(a.data()[i] - b.data()[i] - c.data()[i]) / (1 + std::abs(a.data()[i])));
      },
      with, without, alone);
  CHECK(worst < 1e-12);
}

TEST_CASE(
    "Doc-to-LoRA, to Perceiver, heads, scalers and bias factors, of documents in one piece and in two") {
  World world;
  const Reader reader(world.model, world.positions);
  const hb::DocToLoraWriter<DocToLora, Reader> writer{reader};
  const hb::Teaching<hb::DocToLoraWriter<DocToLora, Reader>> teaching{
      writer, world.model, world.positions, {.l1 = 1e-3}};
  check_system(world, teaching, hb::initialised<DocToLora>(world.cpu, world.random),
               World::topics<std::vector<Tokens>>({{1, 2, 3, 4}, {5, 6}}, {{7, 8, 9}}));
}

TEST_CASE("Text-to-LoRA, to task encoder, MLPs and heads") {
  World world;
  const hb::TextToLoraWriter<TextToLora> writer;
  const hb::Teaching<hb::TextToLoraWriter<TextToLora>> teaching{
      writer, world.model, world.positions, {.l2 = 1e-3}};
  check_system(world, teaching, hb::initialised<TextToLora>(world.cpu, world.random),
               World::topics<std::vector<float>>({1, -2, 3, 0.5, 0.1f}, {-1, 0.2f, 2, 1, -3}));
}

TEST_CASE("Text-to-LoRA with dropout, in it and in what the decoder's factors read") {
  World world;
  const hb::TextToLoraWriter<TextToLora> writer;
  const hb::TeachingOptions options{.lessons = {.update_dropout = 0.2, .seed = 4}, .dropout = 0.1};
  const hb::Teaching<hb::TextToLoraWriter<TextToLora>> teaching{writer, world.model, world.positions,
                                                                options};
  check_system(world, teaching, hb::initialised<TextToLora>(world.cpu, world.random),
               World::topics<std::vector<float>>({1, -2, 3, 0.5, 0.1f}, {-1, 0.2f, 2, 1, -3}));

  // Each of the two decides, and so does the seed.
  auto params = hb::initialised<TextToLora>(world.cpu, world.random);
  disturb(world, params);
  const auto topics = World::topics<std::vector<float>>({1, -2, 3, 0.5, 0.1f}, {-1, 0.2f, 2, 1, -3});
  std::set<double> losses;
  for (const auto& [update, own, seed] : {std::tuple{0.0, 0.0, 1},
                                          {0.0, 0.0, 2},
                                          {0.2, 0.0, 1},
                                          {0.2, 0.0, 2},
                                          {0.0, 0.1, 1},
                                          {0.0, 0.1, 2},
                                          {0.2, 0.1, 1}}) {
    hb::Teaching<hb::TextToLoraWriter<TextToLora>> one{writer, world.model, world.positions};
    one.options.lessons.update_dropout = update, one.options.dropout = own;
    one.options.lessons.seed = static_cast<std::uint64_t>(seed);
    losses.insert(one.loss(world.cpu, params, topics));
  }
  CHECK(losses.size() == 6);
}

TEST_CASE("dropout within a hypernetwork that has none is an error") {
  World world;
  const hb::LoraWriter<Lora> writer;
  const hb::Teaching<hb::LoraWriter<Lora>> teaching{writer, world.model, world.positions, {.dropout = 0.1}};
  CHECK_THROWS_WITH_AS(
      (void)teaching.loss(world.cpu, Lora::Params(world.cpu), World::topics<hb::Nothing>({}, {})),
      doctest::Contains("a hypernetwork without dropout"), hb::Error);
}

TEST_CASE("an adapter fine-tuned, whatever the documents say") {
  World world;
  const hb::LoraWriter<Lora> writer;
  const hb::Teaching<hb::LoraWriter<Lora>> teaching{
      writer, world.model, world.positions, {.lessons = {.recompute = true}, .l2 = 1e-3}};
  auto topics = World::topics<hb::Nothing>({}, {});
  topics[1].lessons[0] = hb::lesson_of(Tokens{7}, Tokens{8});  // the first topic's question has one answer
  check_system(world, teaching, Lora::Params(world.cpu), topics);
}

TEST_CASE("nothing to teach is an error") {
  World world;
  const hb::LoraWriter<Lora> writer;
  const hb::Teaching<hb::LoraWriter<Lora>> teaching{writer, world.model, world.positions};
  const Lora::Params params(world.cpu);
  std::vector<hb::Topic<hb::Nothing>> topics;
  CHECK_THROWS_WITH_AS((void)teaching.loss(world.cpu, params, topics), doctest::Contains("nothing to teach"),
                       hb::Error);
  topics.emplace_back();
  CHECK_THROWS_WITH_AS((void)teaching.loss(world.cpu, params, topics),
                       doctest::Contains("a topic without lessons"), hb::Error);
}
