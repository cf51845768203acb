// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The edges of what every block takes: no rows, no sequences, one token, keys that are all hidden, gradients
// that nobody wants, outputs in the place of inputs, numbers that are not finite.
#include <limits>

#include "../support/block_check.hpp"
#include "../support/every_block.hpp"

namespace hb = hyperblocks;
using hb::Cpu;
using hb::test::Case, hb::test::Feed, hb::test::for_every_block;
using Everything = hb::test::EveryBlock<float>;

namespace {

template <class Span>
bool all_finite(const Span& numbers) {
  return std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); });
}

template <class B>
std::vector<float> parameter_gradients(Case<B>& subject) {
  std::vector<float> all;
  hb::visit(
      [&](const std::string&, const auto& gradient) {
        all.insert(all.end(), gradient.span().begin(), gradient.span().end());
      },
      subject.gradients);
  return all;
}

/// Those of inputs and updates as well.
template <class B>
std::vector<float> every_gradient(Case<B>& subject) {
  std::vector<float> all;
  subject.each([&](const std::string&, auto, auto gradient, bool) {
    all.insert(all.end(), gradient.begin(), gradient.end());
  });
  return all;
}

template <class B>
void fill_gradients(Case<B>& subject, float value) {
  subject.each([&](const std::string&, auto, auto gradient, bool) {
    std::fill_n(const_cast<float*>(gradient.data()), gradient.size(), value);
  });
}

}  // namespace

TEST_CASE("without rows there is no output, and gradients are assigned zeros") {
  for_every_block<Everything>([]<class B>(std::type_identity<B>) {
    for (const Feed feed :
         {Feed{.count = 0, .length = 4, .updated = true}, Feed{.count = 3, .length = 0, .updated = true}}) {
      CAPTURE(feed.count);
      Cpu cpu({.threads = 2});
      cpu.arena().poison(true);
      Case<B> subject(cpu, feed, 3);
      fill_gradients(subject, 1);
      subject.infer(cpu);
      subject.train(cpu, hb::Write::assign);
      const auto gradients = every_gradient(subject);
      CHECK(all_finite(gradients));
      CHECK(all_finite(subject.y.span()));
      if (subject.y.size() == 0)
        CHECK(std::ranges::count(gradients, 0.0f) == static_cast<std::ptrdiff_t>(gradients.size()));
    }
  });
}

TEST_CASE("a sequence alone comes out as among others") {
  const auto check = []<class B>(std::type_identity<B>) {
    Cpu cpu({.threads = 2});
    for (const hb::Index length : {1, 6}) {
      Case<B> several(cpu, {.count = 3, .length = length}, 3), alone(cpu, {.length = length}, 3);
      std::copy_n(several.x.data(), alone.x.size(), alone.x.data());  // parameters are the same already
      std::copy_n(several.context.data(), alone.context.size(), alone.context.data());
      several.infer(cpu);
      alone.infer(cpu);
      CHECK(std::ranges::equal(alone.y.span(), several.y.span().first(alone.y.span().size())));
    }
  };
  for_every_block<hb::test::SelfBlocks<float>>(check);
  for_every_block<hb::test::ContextBlocks<float>>(check);
  for_every_block<hb::test::Resamplers<float>>(check);
}

TEST_CASE("queries that see no key leave everything finite") {
  const auto check = []<class B>(std::type_identity<B>) {
    Cpu cpu({.threads = 2});
    cpu.arena().poison(true);
    Case<B> subject(cpu, {.count = 2, .length = 5, .masked = true}, 3);
    std::ranges::fill(subject.allowed, std::uint8_t{0});
    subject.train(cpu, hb::Write::assign);
    CHECK(all_finite(subject.y.span()));
    CHECK(all_finite(every_gradient(subject)));
    CHECK(std::ranges::count(subject.dcontext.span(), 0.0f) == subject.dcontext.size());
  };
  for_every_block<hb::test::SelfBlocks<float>>(check);
  for_every_block<hb::test::ContextBlocks<float>>(check);
  for_every_block<hb::test::Resamplers<float>>(check);
}

TEST_CASE("gradients that nobody wants change none of the others") {
  for_every_block<Everything>([]<class B>(std::type_identity<B>) {
    Cpu cpu({.threads = 2});
    cpu.arena().poison(true);
    Case<B> subject(cpu, {.count = 2, .length = 5, .masked = true, .updated = true}, 3);
    subject.train(cpu, hb::Write::assign);
    const auto parameters = parameter_gradients(subject), all = every_gradient(subject);
    fill_gradients(subject, 1);
    subject.train(cpu, hb::Write::assign, {});
    CHECK(parameter_gradients(subject) == parameters);
    if constexpr (!hb::test::TakesIds<B>)
      CHECK(std::ranges::count(subject.dx.span(), 1.0f) == subject.dx.size());

    const auto wanted = subject.input_gradient();
    const auto check_without = [&](auto forget) {
      auto fewer = wanted;
      forget(fewer);
      fill_gradients(subject, 1);
      subject.train(cpu, hb::Write::assign, fewer);
      const auto found = every_gradient(subject);
      for (std::size_t i = 0; i < all.size(); ++i) CHECK((found[i] == all[i] || found[i] == 1));
      CHECK(parameter_gradients(subject) == parameters);
    };
    if constexpr (requires { wanted.x; }) check_without([](auto& fewer) { fewer.x = {}; });
    if constexpr (requires { wanted.context; }) check_without([](auto& fewer) { fewer.context = {}; });
    if constexpr (hb::test::TakesUpdates<B>) check_without([](auto& fewer) { fewer.updates = {}; });
  });
}

TEST_CASE("at inference a transformer block may write where it reads") {
  const auto check = []<class B>(std::type_identity<B>) {
    if constexpr (requires { typename B::AttentionBranch; }) {
      Cpu cpu({.threads = 2});
      Case<B> subject(cpu, {.count = 2, .length = 5, .masked = true, .updated = true}, 3);
      subject.infer(cpu);
      B::forward(cpu, subject.params, subject.input(), subject.x);
      CHECK(std::ranges::equal(subject.x.span(), subject.y.span()));
    }
  };
  for_every_block<hb::test::SelfBlocks<float>>(check);
  for_every_block<hb::test::ContextBlocks<float>>(check);
}

TEST_CASE("what is not finite stays in its sequence") {
  for_every_block<Everything>([]<class B>(std::type_identity<B>) {
    if constexpr (!hb::test::TakesIds<B>) {
      Cpu cpu({.threads = 2});
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF}) {
        const Feed feed{.count = 3, .length = 6, .updated = true};
        Case<B> clean(cpu, feed, 3), subject(cpu, feed, 3);
        const hb::Index first = subject.x.extent(0) / 3;
        subject.x(first, 2) = bad;  // of the second sequence
        clean.train(cpu, hb::Write::assign);
        subject.train(cpu, hb::Write::assign);
        const auto third = subject.y.span().size() / 3, dthird = subject.dx.span().size() / 3;
        for (const std::size_t sequence : {0, 2}) {
          CHECK(std::ranges::equal(clean.y.span().subspan(sequence * third, third),
                                   subject.y.span().subspan(sequence * third, third)));
          CHECK(std::ranges::equal(clean.dx.span().subspan(sequence * dthird, dthird),
                                   subject.dx.span().subspan(sequence * dthird, dthird)));
        }
        CHECK_FALSE(all_finite(subject.y.span()));
      }
    }
  });
}

TEST_CASE("a context without rows is one that is hidden") {
  for_every_block<hb::test::ContextBlocks<float>>([]<class B>(std::type_identity<B>) {
    Cpu cpu({.threads = 2});
    cpu.arena().poison(true);
    Case<B> subject(cpu, {.count = 2, .length = 5, .masked = true}, 3);
    std::ranges::fill(subject.allowed, std::uint8_t{0});
    subject.train(cpu, hb::Write::assign);
    const auto gradients = parameter_gradients(subject);
    const std::vector<float> hidden(subject.y.span().begin(), subject.y.span().end());

    const hb::Tensor<float, Cpu, hb::dyn, B::context_width> nothing(cpu, 0);
    auto input = subject.input();
    input.setup.context = nothing, input.setup.context_sequences = {2, 0}, input.setup.mask = {};
    const hb::ArenaScope scope(cpu);
    typename B::Tape tape;
    B::forward(cpu, subject.params, input, subject.y, &tape);
    CHECK(std::ranges::equal(subject.y.span(), hidden));
    B::backward(cpu, subject.params, tape, subject.dy, {}, subject.gradients, hb::Write::assign);
    CHECK(parameter_gradients(subject) == gradients);
  });
}

TEST_CASE("an update of rank zero changes nothing") {
  Cpu cpu;
  using B = hb::Linear<hb::LinearSpec{.in = 40, .out = 33}, float, Cpu>;
  Case<B> subject(cpu, {.length = 5}, 3);
  subject.train(cpu, hb::Write::assign);
  const auto gradients = every_gradient(subject);
  const std::vector<float> before(subject.y.span().begin(), subject.y.span().end());

  hb::Tensor<float, Cpu, hb::dyn, 40> a(cpu, 0), da(cpu, 0);
  hb::Tensor<float, Cpu, 33, hb::dyn> b(cpu, 0), db(cpu, 0);
  const hb::ArenaScope scope(cpu);
  B::Tape tape;
  B::forward(cpu, subject.params, {subject.x, {.a = a, .b = b}}, subject.y, &tape);
  CHECK(std::ranges::equal(subject.y.span(), before));
  B::backward(cpu, subject.params, tape, subject.dy, {subject.dx, {.a = da, .b = db}}, subject.gradients,
              hb::Write::assign);
  CHECK(every_gradient(subject) == gradients);
}

TEST_CASE("an update may be a bias alone") {
  Cpu cpu;
  using B = hb::Linear<hb::LinearSpec{.in = 40, .out = 33}, float, Cpu>;
  Case<B> subject(cpu, {.length = 5}, 3);
  hb::Tensor<float, Cpu, 33> c(cpu), dc(cpu);
  hb::Random random(5);
  hb::fill_normal(cpu, c, random, 1);

  const hb::ArenaScope scope(cpu);
  B::Tape tape;
  B::forward(cpu, subject.params, {subject.x, {.bias = c}}, subject.y, &tape);
  B::backward(cpu, subject.params, tape, subject.dy, {subject.dx, {.bias = dc}}, subject.gradients,
              hb::Write::assign);
  CHECK(std::ranges::equal(dc.span(), subject.gradients.bias.span()));
  const auto gradients = every_gradient(subject);
  const std::vector<float> found(subject.y.span().begin(), subject.y.span().end());

  for (hb::Index i = 0; i < 33; ++i) subject.params.bias(i) += c(i);
  subject.train(cpu, hb::Write::assign);
  for (std::size_t i = 0; i < found.size(); ++i)  // an update is added last, a bias is begun with
    CHECK(subject.y.span()[i] == doctest::Approx(found[i]).epsilon(1e-5));
  CHECK(every_gradient(subject) == gradients);
}

TEST_CASE("an update with dropout reads rows of its own, the weights whole ones") {
  Cpu cpu;
  using B = hb::Linear<hb::LinearSpec{.in = 40, .out = 33}, double, Cpu>;
  Case<B> subject(cpu, {.length = 5}, 3);
  hb::Random random(5);
  hb::Tensor<double, Cpu, 2, 40> a(cpu), da(cpu), expected_da(cpu);
  hb::Tensor<double, Cpu, 33, 2> b(cpu), db(cpu), expected_db(cpu);
  hb::fill_normal(cpu, a, random, 1), hb::fill_normal(cpu, b, random, 1);
  const hb::Dropout half{0.5, 8};
  const hb::ArenaScope scope(cpu);
  B::Tape tape;
  B::forward(cpu, subject.params, {subject.x, {.a = a, .b = b, .scale = 2, .dropout = half}}, subject.y,
             &tape);
  B::backward(cpu, subject.params, tape, subject.dy, {subject.dx, {.a = da, .b = db}}, subject.gradients,
              hb::Write::assign);
  const std::vector<double> y(subject.y.span().begin(), subject.y.span().end()),
      dx(subject.dx.span().begin(), subject.dx.span().end());

  // The same as two linears: the weights of x, the update alone of what is kept of x.
  subject.train(cpu, hb::Write::assign);
  const auto zero_weight = hb::make<B::Params>(cpu);
  auto no_gradients = hb::make<B::Gradients>(cpu);
  const auto kept = hb::take<double, hb::dyn, 40>(cpu, 5), dkept = hb::take<double, hb::dyn, 40>(cpu, 5);
  const auto added = hb::take<double, hb::dyn, 33>(cpu, 5);
  hb::ops::dropout<double>(cpu, subject.x, half, kept);
  B::forward(cpu, zero_weight, {kept, {.a = a, .b = b, .scale = 2}}, added, &tape);
  B::backward(cpu, zero_weight, tape, subject.dy, {dkept, {.a = expected_da, .b = expected_db}}, no_gradients,
              hb::Write::assign);
  hb::ops::dropout<double>(cpu, dkept, half, dkept);
  for (std::size_t i = 0; i < y.size(); ++i)
    CHECK(y[i] == doctest::Approx(subject.y.span()[i] + added.data()[i]).epsilon(1e-12));
  for (std::size_t i = 0; i < dx.size(); ++i)
    CHECK(dx[i] == doctest::Approx(subject.dx.span()[i] + dkept.data()[i]).epsilon(1e-12));
  CHECK(std::ranges::equal(da.span(), expected_da.span()));
  CHECK(std::ranges::equal(db.span(), expected_db.span()));
}
