// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Lessons: their loss is what it says, its gradient that of finite differences, whether the factors of
// several documents learn or the decoder itself; recomputed layers give the same bits; losses of factors.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/train/adam_w.hpp>
#include <hyperblocks/train/factor_losses.hpp>
#include <hyperblocks/train/lesson.hpp>
#include <hyperblocks/train/teacher.hpp>

#include "../support/row_check.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Index, hb::Lesson, hb::Tokens;

namespace {
constexpr hb::DecoderSpec base{
    .vocabulary = 17, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 32};
using Frozen = hb::Decoder<base, double, Cpu>;
using Trained = hb::Decoder<base, double, Cpu, hb::Trainable>;
using Lora = hb::Adapter<base, hb::AdapterSpec{.rank = 2}, double, Cpu>;

std::vector<Lesson> some_lessons(bool taught) {
  std::vector<Lesson> lessons = {hb::lesson_of(Tokens{1, 2, 3}, Tokens{4, 5}),
                                 hb::lesson_of(Tokens{7}, Tokens{9}),
                                 hb::lesson_of(Tokens{3, 1, 4, 1, 5, 9}, Tokens{2, 6, 5})};
  hb::Random random(4);
  if (taught)
    for (Lesson& lesson : lessons)
      for (Index i = 0; i < 3 * lesson.label_count(); ++i) {
        lesson.teacher_ids.push_back(static_cast<std::int32_t>(random.below(17)));
        lesson.teacher_logs.push_back(hb::scalar_cast<hb::half>(-3 * random.uniform()));
      }
  hb::weigh(lessons, hb::MeanOver::lessons);
  return lessons;
}

/// A frozen decoder whose lessons are of two documents, each with an adapter.
struct Documents {
  Cpu cpu{{.threads = 2}};
  Frozen::Params params = made();
  Frozen::Positions positions{cpu};
  std::vector<Lora> adapters, gradients;
  hb::LessonBatch<Cpu> batch;

  explicit Documents(bool taught) : batch(cpu, some_lessons(taught)) {
    cpu.arena().poison(true);
    hb::Random random(8);
    for (int i = 0; i < 2; ++i) {
      adapters.emplace_back(cpu), gradients.emplace_back(cpu);
      hb::visit([&](const std::string&, auto& tensor) { fill_normal(cpu, tensor, random, 0.5); },
                adapters.back());
    }
  }
  Frozen::Params made() {
    hb::Random random(2);
    return hb::initialised<Frozen>(cpu, random);
  }

  template <class F>
  double with(const hb::LessonOptions& options, F f) {
    const std::vector<hb::RowRange> rows = {batch.rows_of(0, 2), batch.rows_of(2, 1)};
    const auto updates = hb::batched<hb::Lessons<Frozen>::Updates>(
        {adapters[0].updates<Frozen>(), adapters[1].updates<Frozen>()}, rows);
    const auto dupdates = hb::batched<Frozen::Updates<double>>(
        {gradients[0].gradients<Frozen>(), gradients[1].gradients<Frozen>()}, rows);
    return f(hb::Lessons<Frozen>{params, positions, batch, options, updates.front()}, dupdates.front());
  }
  double loss(const hb::LessonOptions& options) {
    return with(options, [&](const auto& lessons, const auto&) { return lessons.loss(cpu); });
  }
  double learn(const hb::LessonOptions& options) {
    return with(options, [&](const auto& lessons, const auto& dupdates) {
      Frozen::Gradients none;
      return lessons.learn(cpu, dupdates, none, hb::Write::assign);
    });
  }
  std::vector<double> factors() const {
    std::vector<double> all;
    for (const Lora& adapter : gradients)
      hb::visit(
          [&](const std::string&, const auto& t) { all.insert(all.end(), t.span().begin(), t.span().end()); },
          adapter);
    return all;
  }
};
}  // namespace

TEST_CASE("a lesson's labels are the answer's tokens, where they are to come") {
  const Lesson lesson = hb::lesson_of(Tokens{1, 2, 3}, Tokens{4, 5});
  CHECK(lesson.ids == Tokens{1, 2, 3, 4});
  CHECK(lesson.labels == Tokens{-1, -1, 4, 5});
  CHECK(hb::lesson_of(Tokens{1, 2, 3}).labels == Tokens{2, 3});
  CHECK_THROWS_AS((void)hb::lesson_of(Tokens{}, Tokens{4}), hb::Error);
  CHECK_THROWS_AS((void)hb::lesson_of(Tokens{4}), hb::Error);
  std::vector<Lesson> lessons = {lesson, hb::lesson_of(Tokens{1}, Tokens{2})};
  hb::weigh(lessons, hb::MeanOver::labels);
  CHECK(lessons[0].weight == doctest::Approx(1.0 / 3));
  hb::weigh(lessons, hb::MeanOver::lessons);
  CHECK(lessons[0].weight == doctest::Approx(1.0 / 4));
  CHECK(lessons[1].weight == doctest::Approx(1.0 / 2));
}

TEST_CASE("the loss of a batch is the mean of each lesson's alone") {
  for (const bool taught : {false, true}) {
    CAPTURE(taught);
    Documents documents(taught);
    auto lessons = some_lessons(taught);
    double expected = 0;
    for (std::size_t i = 0; i < lessons.size(); ++i) {
      hb::weigh(std::span(&lessons[i], 1), hb::MeanOver::labels);
      const hb::LessonBatch<Cpu> alone(documents.cpu, std::span(&lessons[i], 1));
      const Lora& adapter = documents.adapters[i < 2 ? 0 : 1];
      expected += hb::Lessons<Frozen>{documents.params,
                                      documents.positions,
                                      alone,
                                      {.label_smoothing = 0.1},
                                      adapter.updates<Frozen>()}
                      .loss(documents.cpu) /
                  3;
    }
    CHECK(documents.loss({.label_smoothing = 0.1}) == doctest::Approx(expected).epsilon(1e-12));
    CHECK(documents.learn({.label_smoothing = 0.1}) == doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("the gradient of two documents' factors") {
  for (const bool taught : {false, true})
    for (const double noise : {0.0, 5.0}) {
      const hb::LessonOptions options{.label_smoothing = taught ? 0.0 : 0.2, .noise = noise, .seed = 3};
      Documents documents(taught);
      (void)documents.learn(options);
      for (std::size_t i = 0; i < 2; ++i)
        hb::visit(
            [&](const std::string& name, auto& values, auto& gradient) {
              CAPTURE(name);
              hb::test::check_gradient(values.span(), gradient.span(),
                                       [&] { return documents.loss(options); });
            },
            documents.adapters[i], documents.gradients[i]);
    }
}

TEST_CASE("recomputed layers give the same bits, in less memory") {
  Documents kept(false), again(false);
  CHECK(kept.learn({}) == again.learn({.recompute = true}));
  CHECK(kept.factors() == again.factors());
  constexpr hb::DecoderSpec deep{.vocabulary = 17, .hidden = 64, .layers = 12, .heads = 4, .inner = 256};
  const auto memory = [&](bool recompute) {
    using Model = hb::Decoder<deep, float, Cpu, hb::Trainable>;
    Cpu cpu;
    hb::Random random(1);
    const auto params = hb::initialised<Model>(cpu, random);
    auto gradients = hb::make<Model::Gradients>(cpu);
    const Model::Positions positions(cpu, 300);
    const std::vector<Lesson> lessons = {hb::lesson_of(Tokens(300, 5))};
    const hb::LessonBatch<Cpu> batch(cpu, lessons);
    (void)hb::Lessons<Model>{params, positions, batch, {.recompute = recompute}}.learn(cpu, {}, gradients,
                                                                                       hb::Write::assign);
    return cpu.arena().capacity();
  };
  CHECK(memory(true) < memory(false) / 3);
}

TEST_CASE("noise is the seed's, and only for decoders that are frozen") {
  Documents documents(false);
  const double without = documents.loss({}), with = documents.loss({.noise = 5, .seed = 1});
  CHECK(with != without);
  CHECK(with == documents.loss({.noise = 5, .seed = 1}));
  CHECK(with != documents.loss({.noise = 5, .seed = 2}));
  hb::Random random(1);
  const auto params = hb::initialised<Trained>(documents.cpu, random);
  const Trained::Positions positions(documents.cpu);
  CHECK_THROWS_WITH_AS(
      ((void)hb::Lessons<Trained>{params, positions, documents.batch, {.noise = 1}}.loss(documents.cpu)),
      doctest::Contains("a frozen decoder"), hb::Error);
}

TEST_CASE("a decoder trained from nothing says the text that it was trained on") {
  using Model = hb::Decoder<base, float, Cpu, hb::Trainable>;
  Cpu cpu;
  hb::Random random(1);
  auto params = hb::initialised<Model>(cpu, random);
  auto gradients = hb::make<Model::Gradients>(cpu);
  const Model::Positions positions(cpu);
  std::vector<Lesson> lessons = {hb::lesson_of(Tokens{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}),
                                 hb::lesson_of(Tokens{2, 7, 1, 8, 2, 8, 1, 8})};
  hb::weigh(lessons, hb::MeanOver::labels);
  const hb::LessonBatch<Cpu> batch(cpu, lessons);
  const hb::Lessons<Model> pass{params, positions, batch};
  hb::AdamW<Cpu, float> optimiser(cpu, params, gradients, {.groups = {{.clip = 1}}});
  double loss = 0;
  for (int step = 0; step < 300; ++step) {
    loss = pass.learn(cpu, {}, gradients, hb::Write::assign);
    REQUIRE(optimiser.step(cpu, params, gradients, 0.01).done);
  }
  CHECK(loss < 0.05);
  const Tokens prompt{2, 7, 1};
  CHECK(hb::generate<Model>(cpu, params, positions, std::span(&prompt, 1), {.most = 5})[0] ==
        Tokens{8, 2, 8, 1, 8});
}

TEST_CASE("a teacher with the document before it gives its likeliest tokens at every label") {
  Documents documents(false);
  auto lessons = some_lessons(false), in_context = lessons;
  for (std::size_t i = 0; i < lessons.size(); ++i) {  // documents of different lengths before the prompts
    in_context[i].ids.insert(in_context[i].ids.begin(), 2 + 3 * i, 11);
    in_context[i].labels.insert(in_context[i].labels.begin(), 2 + 3 * i, -1);
  }
  hb::add_teacher<Frozen>(documents.cpu, documents.params, documents.positions, in_context, lessons, 17);
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    REQUIRE(std::ssize(lessons[i].teacher_ids) == 17 * lessons[i].label_count());
    for (Index place = 0; place < lessons[i].label_count(); ++place) {  // all tokens: probabilities of one
      double sum = 0, before = 1;
      for (std::size_t j = 0; j < 17; ++j) {
        const double p = std::exp(
            hb::scalar_cast<double>(lessons[i].teacher_logs[static_cast<std::size_t>(place) * 17 + j]));
        sum += p;
        CHECK(p <= before);
        before = p;
      }
      CHECK(sum == doctest::Approx(1).epsilon(2e-3));
    }
  }
  // Against itself the loss is the teacher's entropy, which nothing else can reach.
  const auto loss = [&](const std::vector<Lesson>& of) {
    const hb::LessonBatch<Cpu> batch(documents.cpu, of);
    return hb::Lessons<Frozen>{documents.params, documents.positions, batch}.loss(documents.cpu);
  };
  for (std::size_t i = 0; i < lessons.size(); ++i)
    in_context[i].teacher_ids = lessons[i].teacher_ids, in_context[i].teacher_logs = lessons[i].teacher_logs;
  double entropy = 0;
  for (const Lesson& lesson : in_context)
    for (const hb::half log : lesson.teacher_logs) {
      const auto wide = hb::scalar_cast<double>(log);
      entropy -= lesson.weight * wide * std::exp(wide);
    }
  CHECK(loss(in_context) == doctest::Approx(entropy).epsilon(2e-3));
  CHECK(loss(lessons) > entropy);
  lessons[0].labels.back() = 1;
  CHECK_THROWS_WITH_AS(
      hb::add_teacher<Frozen>(documents.cpu, documents.params, documents.positions, in_context, lessons),
      doctest::Contains("a teacher that says something else"), hb::Error);
}

TEST_CASE("losses of factors and their gradients") {
  Cpu cpu;
  hb::Random random(3);
  Lora adapter(cpu), aim(cpu), gradient(cpu);
  for (Lora* each : {&adapter, &aim})
    hb::visit([&](const std::string&, auto& tensor) { fill_normal(cpu, tensor, random, 1); }, *each);
  const auto means = [&](auto of) {  // the sum over linears of the means over A and over B
    double sum = 0;
    hb::visit(
        [&](const std::string&, const auto& x, const auto& y) {
          double own = 0;
          for (Index i = 0; i < x.size(); ++i) own += of(x.data()[i], y.data()[i]);
          sum += own / static_cast<double>(x.size());
        },
        adapter, aim);
    return sum;
  };
  const auto check = [&](double expected, auto loss) {
    hb::visit([&](const std::string&, auto& tensor) { fill_constant(cpu, tensor, 0); }, gradient);
    CHECK(loss() == doctest::Approx(expected).epsilon(1e-12));
    std::vector<std::vector<double>> analytic;  // calling loss() adds to the gradient
    hb::visit(
        [&](const std::string&, auto& own) { analytic.emplace_back(own.span().begin(), own.span().end()); },
        gradient);
    std::size_t i = 0;
    hb::visit(
        [&](const std::string& name, auto& values) {
          CAPTURE(name);
          hb::test::check_gradient(values.span(), analytic[i++], loss);
        },
        adapter);
  };
  const auto updates = [&] { return adapter.updates<Frozen>(); };
  const auto dupdates = [&] { return gradient.gradients<Frozen>(); };
  constexpr double linears = 7 * 2;
  check(0.3 * means([](double x, double) { return std::abs(x); }) / linears,
        [&] { return hb::factor_l1<Frozen>(cpu, 0.3, updates(), dupdates()); });
  check(0.3 * means([](double x, double) { return x * x; }) / 2,
        [&] { return hb::factor_l2<Frozen>(cpu, 0.3, updates(), dupdates()); });
  check(means([](double x, double y) { return std::abs(x - y); }) / linears / 2,
        [&] { return hb::factor_distance<Frozen>(cpu, 1, updates(), aim.updates<Frozen>(), dupdates()); });
  using Other = hb::Adapter<base, hb::AdapterSpec{.rank = 3}, double, Cpu>;
  const Other other(cpu);
  CHECK_THROWS_WITH_AS(
      (void)hb::factor_distance<Frozen>(cpu, 1, updates(), other.updates<Frozen>(), dupdates()),
      doctest::Contains("different structure"), hb::Error);
}

TEST_CASE("lessons that do not fit are refused") {
  Cpu cpu;
  const auto refused = [&](std::vector<Lesson> lessons, const char* why) {
    CHECK_THROWS_WITH_AS((hb::LessonBatch<Cpu>(cpu, lessons)), doctest::Contains(why), hb::Error);
  };
  refused({}, "no lessons");
  refused({Lesson{}}, "an empty lesson");
  refused({Lesson{.ids = {1, 2}, .labels = {1}}}, "expected 2, found 1");
  refused({Lesson{.ids = {1, 2}, .labels = {-1, 3}, .teacher_ids = {1, 2}}},
          "a teacher's numbers do not fit");
  auto lessons = some_lessons(true);
  lessons[1].teacher_ids.pop_back(), lessons[1].teacher_logs.pop_back();
  refused(lessons, "teachers give different numbers of tokens");
  lessons = some_lessons(false);
  lessons[0].labels.back() = 17;
  const hb::LessonBatch<Cpu> batch(cpu, lessons);
  hb::Random random(1);
  const auto params = hb::initialised<Frozen>(cpu, random);
  const Frozen::Positions positions(cpu);
  CHECK_THROWS_AS(((void)hb::Lessons<Frozen>{params, positions, batch}.loss(cpu)), hb::Error);
}
