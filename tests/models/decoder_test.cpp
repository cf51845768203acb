// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Decoder: gradients in double against finite differences from logits and every hidden state; passes with a
// cache, early exits and last rows against whole passes; errors.
#include <hyperblocks/models/decoder.hpp>

#include "../support/block_check.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Error, hb::Index;

namespace {

constexpr hb::DecoderSpec llama{
    .vocabulary = 19, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 16};
constexpr hb::DecoderSpec gemma{.vocabulary = 17,
                                .hidden = 8,
                                .layers = 4,
                                .heads = 2,
                                .kv_heads = 1,
                                .head_width = 6,
                                .inner = 9,
                                .positions = 16,
                                .activation = hb::Activation::gelu_tanh,
                                .norm_shift = 1,
                                .output_norms = true,
                                .head_norm = true,
                                .tied = true,
                                .embedding_scale = 2,
                                .attention_scale = 0.5,
                                .attention_soft_cap = 3,
                                .logit_soft_cap = 4,
                                .window = 3,
                                .full_every = 3,
                                .window_rope_base = 100};

/// A pass over two sequences with embeddings as inputs, appended rows and updates, and its loss <out, dout>.
template <class B>
struct Pass {
  using S = typename B::Scalar;
  static constexpr Index count = 2, tokens = 4, appended_rows = 2, rows = count * (tokens + appended_rows);

  Pass(Cpu& cpu, Index last_logits, Index last_states, Index layers, bool final_norm, Index first = 0)
      : params(hb::make<typename B::Params>(cpu)),
        gradients(hb::make<typename B::Gradients>(cpu)),
        positions(cpu),
        x(cpu, count * tokens),
        dx(cpu, count * tokens),
        appended(cpu, appended_rows),
        dappended(cpu, appended_rows),
        logits(cpu, count * last_logits),
        dlogits(cpu, count * last_logits),
        states(cpu, layers - first + 1, count * last_states),
        dstates(cpu, layers - first + 1, count * last_states),
        state(cpu, count * last_states),
        dstate(cpu, count * last_states),
        first_(first),
        layers_(layers),
        final_norm_(final_norm) {
    hb::Random random(5);
    B::initialise(cpu, params, random);
    updates.prepare(cpu, random);
    fill_normal(cpu, x, random, 1);
    fill_normal(cpu, appended, random, 1);
    fill_normal(cpu, dlogits, random, 1);
    fill_normal(cpu, dstates, random, 1);
    fill_normal(cpu, dstate, random, 1);
  }

  typename B::Input input() const {
    typename B::Input result;
    result.x = x, result.appended = appended, result.sequences = count, result.rotary = positions;
    result.first_layer = first_, result.layers = layers_, result.final_norm = final_norm_,
    result.updates = updates.values;
    return result;
  }

  void train(Cpu& cpu, hb::Write write) {
    const hb::ArenaScope scope(cpu);
    typename B::Tape tape;
    B::forward(cpu, params, input(), {logits, states, state}, &tape);
    B::backward(cpu, params, tape, {dlogits, dstates, dstate}, {dx, dappended, updates.gradients}, gradients,
                write);
  }

  double loss(Cpu& cpu) {
    B::forward(cpu, params, input(), {logits, states, state});
    double sum = 0;
    for (Index i = 0; i < logits.size(); ++i) sum += logits.data()[i] * dlogits.data()[i];
    for (Index i = 0; i < states.size(); ++i) sum += states.data()[i] * dstates.data()[i];
    for (Index i = 0; i < state.size(); ++i) sum += state.data()[i] * dstate.data()[i];
    return sum;
  }

  typename B::Params params;
  typename B::Gradients gradients;
  typename B::Positions positions;
  hb::test::UpdateCase<B> updates;
  hb::Tensor<S, Cpu, dyn, B::hidden> x, dx, appended, dappended;
  hb::Tensor<S, Cpu, dyn, B::vocabulary> logits, dlogits;
  hb::Tensor<S, Cpu, dyn, dyn, B::hidden> states, dstates;
  hb::Tensor<S, Cpu, dyn, B::hidden> state, dstate;

 private:
  Index first_, layers_;
  bool final_norm_;
};

template <class B>
void check_gradients(Index last_logits, Index last_states, Index layers, bool final_norm, Index first = 0) {
  static_assert(hb::Block<B>);
  Cpu cpu({.threads = 1});
  cpu.arena().poison(true);
  Pass<B> pass(cpu, last_logits, last_states, layers, final_norm, first);
  pass.train(cpu, hb::Write::assign);
  const auto check = [&](const std::string& name, auto& values, auto& gradient) {
    CAPTURE(name);
    const std::vector<double> analytic(gradient.span().begin(), gradient.span().end());
    CHECK(hb::test::gradient_error(cpu, pass, values.span(), analytic) < 1e-6);
  };
  check("x", pass.x, pass.dx);
  check("appended", pass.appended, pass.dappended);
  for (auto& factor : pass.updates.factors)
    if (factor.name >= "updates.layers." + std::to_string(first) &&
        factor.name < "updates.layers." + std::to_string(layers))
      check(factor.name, factor.values, factor.gradient);
  hb::visit(
      [&]<class Gradient>(const std::string& name, auto& value, Gradient& gradient) {
        if constexpr (!std::same_as<Gradient, hb::Nothing>)
          if (name != "embedding.weight") check(name, value, gradient);
      },
      pass.params, pass.gradients);
}

std::vector<std::int32_t> some_ids(Index count, Index vocabulary) {
  std::vector<std::int32_t> ids;
  ids.reserve(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int32_t>((i * i + 3 * i + 1) % vocabulary));
  return ids;
}

hb::Tensor<std::int32_t, Cpu, dyn> on_device(Cpu& cpu, std::span<const std::int32_t> ids) {
  hb::Tensor<std::int32_t, Cpu, dyn> result(cpu, static_cast<Index>(ids.size()));
  result.upload(cpu, ids);
  return result;
}

}  // namespace

TEST_CASE("gradients of a trainable decoder") {
  using B = hb::Decoder<llama, double, Cpu, hb::Trainable>;
  check_gradients<B>(6, 6, 2, true);
  check_gradients<B>(1, 2, 2, false);
}

TEST_CASE("gradients through a frozen decoder with every option") {
  using B = hb::Decoder<gemma, double, Cpu>;
  check_gradients<B>(6, 6, 4, true);
  check_gradients<B>(2, 1, 4, false);
  check_gradients<B>(1, 3, 2, true);     // early exit
  check_gradients<B>(2, 2, 4, true, 1);  // from the second layer on
}

TEST_CASE("layers one at a time give what all of them give") {
  using B = hb::Decoder<gemma, float, Cpu>;
  Cpu cpu;
  cpu.arena().poison(true);
  hb::Random random(5);
  const auto params = hb::initialised<B>(cpu, random);
  const B::Positions positions(cpu);
  const auto ids = on_device(cpu, some_ids(8, B::vocabulary));
  hb::Tensor<float, Cpu, dyn, dyn, B::hidden> states(cpu, 5, 8);
  hb::Tensor<float, Cpu, dyn, B::hidden> state(cpu, 8);
  B::Input input{.ids = ids, .sequences = 2, .rotary = positions, .final_norm = true};
  B::forward(cpu, params, input, {.states = states});
  for (Index layer = 0; layer <= 4; ++layer) {
    input.layers = layer, input.first_layer = std::max<Index>(layer - 1, 0), input.final_norm = layer == 4;
    B::forward(cpu, params, input, {.state = state});
    input.ids = {}, input.x = state;
    CHECK(std::equal(state.span().begin(), state.span().end(), states.data() + layer * state.size()));
  }
}

TEST_CASE("ids: the gradient of a trainable embedding is that of its rows") {
  using B = hb::Decoder<llama, double, Cpu, hb::Trainable>;
  Cpu cpu;
  Pass<B> pass(cpu, 6, 6, 2, true);
  const auto ids = on_device(cpu, some_ids(8, B::vocabulary));
  auto input = pass.input();
  input.x = {}, input.ids = ids;
  const hb::ArenaScope scope(cpu);
  B::Tape tape;
  B::forward(cpu, pass.params, input, {pass.logits, pass.states, pass.state}, &tape);
  B::backward(cpu, pass.params, tape, {pass.dlogits, pass.dstates, pass.dstate}, {pass.dx, {}, {}},
              pass.gradients, hb::Write::assign);
  std::vector<double> expected(static_cast<std::size_t>(B::vocabulary * B::hidden));
  for (Index i = 0; i < 8; ++i)
    for (Index j = 0; j < B::hidden; ++j)
      expected[static_cast<std::size_t>(ids(i) * B::hidden + j)] += pass.dx(i, j);
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(pass.gradients.embedding.weight.data()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE_TEMPLATE("a cached pass gives what a whole pass gives", B, hb::Decoder<llama, float, Cpu>,
                   hb::Decoder<gemma, float, Cpu>) {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  hb::Random random(5);
  const auto params = hb::initialised<B>(cpu, random);
  const typename B::Positions positions(cpu);
  // Three sequences; the last is two tokens ahead of the others.
  constexpr Index count = 3, length = 9;
  const Index ahead[count] = {0, 0, 2};
  const auto numbers = some_ids(count * (length + 2), B::vocabulary);
  hb::Tensor<float, Cpu, dyn, B::vocabulary> logits(cpu, count);
  std::vector<hb::Tensor<float, Cpu, dyn, B::vocabulary>> whole;
  typename B::Cache cache(cpu, count, length + 2);
  for (Index i = 0; i < count; ++i) {
    const Index tokens = length + ahead[i];
    const std::span<const std::int32_t> own(numbers.data() + i * (length + 2),
                                            static_cast<std::size_t>(tokens));
    whole.emplace_back(cpu, tokens);
    B::forward(cpu, params, {.ids = on_device(cpu, own), .rotary = positions}, {.logits = whole.back()});
    if (ahead[i] == 0) continue;
    B::forward(cpu, params,
               {.ids = on_device(cpu, own.first(static_cast<std::size_t>(ahead[i]))),
                .rotary = positions,
                .cache = &cache,
                .first_cached = i},
               {});
  }
  const auto step = [&](Index first, Index tokens) {
    std::vector<std::int32_t> ids;
    for (Index i = 0; i < count; ++i)
      for (Index t = 0; t < tokens; ++t)
        ids.push_back(numbers[static_cast<std::size_t>(i * (length + 2) + ahead[i] + first + t)]);
    B::forward(cpu, params,
               {.ids = on_device(cpu, ids), .sequences = count, .rotary = positions, .cache = &cache},
               {.logits = logits});
    for (Index i = 0; i < count; ++i)
      for (Index v = 0; v < B::vocabulary; ++v)
        CHECK(logits(i, v) ==
              doctest::Approx(whole[static_cast<std::size_t>(i)](ahead[i] + first + tokens - 1, v))
                  .epsilon(1e-5));
  };
  step(0, 4);  // prefill
  for (Index t = 4; t < length; ++t) step(t, 1);
  CHECK(cache.lengths == std::vector<Index>{length, length, length + 2});
  CHECK_THROWS_WITH_AS(step(0, 1), doctest::Contains("the cache is full"), Error);
}

TEST_CASE("what does not fit is an error") {
  using B = hb::Decoder<llama, float, Cpu>;
  Cpu cpu;
  hb::Random random(5);
  const auto params = hb::initialised<B>(cpu, random);
  const B::Positions positions(cpu);
  const auto ids = on_device(cpu, some_ids(6, B::vocabulary));
  hb::Tensor<float, Cpu, dyn, B::vocabulary> logits(cpu, 6), many(cpu, 7);
  hb::Tensor<float, Cpu, dyn, dyn, B::hidden> states(cpu, 3, 6);
  const auto refused = [&](const B::Input& input, const B::Output& output, const char* text) {
    CHECK_THROWS_WITH_AS(B::forward(cpu, params, input, output), doctest::Contains(text), Error);
  };
  refused({.rotary = positions}, {logits, {}},
          "what to read is not clear (Decoder): expected either ids or x");
  refused({.ids = ids, .sequences = 4, .rotary = positions}, {logits, {}},
          "a number that divides 6, found 4");
  refused({.ids = ids, .rotary = positions}, {many, {}}, "at most 6, a multiple of 1, found 7");
  refused({.ids = ids, .rotary = positions, .layers = 3}, {logits, {}},
          "impossible layers (Decoder): expected in order, of 0 .. 2, found 0 .. 3");
  refused({.ids = ids, .rotary = positions, .first_layer = 2, .layers = 1}, {logits, {}}, "found 2 .. 1");
  refused({.ids = ids, .rotary = positions, .layers = 1}, {logits, states}, "expected (2, at most 6");
  refused({.ids = ids}, {logits, {}}, "the rotary tables do not fit the heads");
  const hb::ArenaScope scope(cpu);
  B::Tape tape;
  B::Gradients none;
  B::forward(cpu, params, {.ids = ids, .sequences = 2, .rotary = positions}, {logits, states}, &tape);
  hb::Tensor<float, Cpu, dyn, dyn, B::hidden> odd(cpu, 3, 5), few(cpu, 2, 6);
  for (const auto* dstates : {&odd, &few})
    CHECK_THROWS_WITH_AS(B::backward(cpu, params, tape, {{}, *dstates}, {}, none, hb::Write::assign),
                         doctest::Contains("expected (3, at most 6, a multiple of 2, hidden), found"), Error);
  hb::Tensor<float, Cpu, dyn, B::hidden> last(cpu, 7);
  refused({.ids = ids, .rotary = positions}, {.state = last}, "the last state's rows do not fit");
  CHECK_THROWS_WITH_AS(B::backward(cpu, params, tape, {.state = last}, {}, none, hb::Write::assign),
                       doctest::Contains("at most 6, a multiple of 2, found 7"), Error);
  B::Cache cache(cpu, 2, 5);
  refused({.ids = ids, .rotary = positions, .cache = &cache}, {logits, {}}, "the cache is full");
  refused({.ids = ids, .rotary = positions, .cache = &cache, .first_cached = 2}, {logits, {}},
          "1 from 2, found 2 in all");
  CHECK(cache.lengths == std::vector<Index>{0, 0});
}
