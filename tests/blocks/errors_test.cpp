// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Mistakes that only run time can see: one Error that says what, where, expected and found; afterwards the
// device works as before.
#include "../support/block_check.hpp"
#include "../support/every_block.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::Error, hb::Index, hb::dyn;
using hb::test::Case, hb::test::Feed;

namespace {

using Decoder =
    hb::DecoderBlock<hb::DecoderBlockSpec{.hidden = 8, .heads = 2, .inner = 12, .head_norm = true}, float,
                     Cpu>;
using Cross = hb::PerceiverLayer<hb::test::perceiver_layer, float, Cpu>;
using Linear = hb::Linear<hb::LinearSpec{.in = 4, .out = 3}, float, Cpu>;

/// A call that must throw an Error whose sentence holds each of `texts`.
template <class F>
void check_error(F call, std::initializer_list<const char*> texts) {
  std::string found = "no error";
  try {
    call();
  } catch (const Error& error) {
    found = error.what();
  }
  for (const char* text : texts) {
    CAPTURE(text);
    CAPTURE(found);
    CHECK(found.find(text) != std::string::npos);
  }
}

/// Forward with a changed input is refused; with the right one it then gives what it gave before.
template <class B, class Change>
void check_refused(const Feed& feed, std::initializer_list<const char*> texts, Change change) {
  Cpu cpu({.threads = 2});
  Case<B> subject(cpu, feed, 3);
  subject.infer(cpu);
  const std::vector<float> before(subject.y.span().begin(), subject.y.span().end());
  const auto mark = cpu.arena().mark();
  auto input = subject.input();
  change(cpu, input);
  check_error([&] { B::forward(cpu, subject.params, input, subject.y); }, texts);
  CHECK(cpu.arena().mark().offset == mark.offset);
  subject.infer(cpu);
  CHECK(std::ranges::equal(subject.y.span(), before));
}

}  // namespace

TEST_CASE("sequences that do not cover the rows") {
  const Feed feed{.count = 2, .length = 5};
  constexpr const char* covers = "the sequences do not cover the rows (Attention): expected 10 rows";
  const auto refused = [&](hb::Sequences wrong, const char* found) {
    check_refused<Decoder>(feed, {covers, found}, [&](Cpu&, auto& input) { input.setup.sequences = wrong; });
  };
  refused({2, 4}, "found {2, 4, 4, 1}");
  refused({3, 5}, "found {3, 5, 5, 1}");
  refused({-2, -5}, "found {-2, -5, -5, 1}");
  refused({2, 5, 5, 2}, "found {2, 5, 5, 2}");
  refused({2, 5, 6, 1}, "found {2, 5, 6, 1}");
  refused({0, 5}, "found {0, 5, 5, 1}");
  // A product that wraps round to the number of rows.
  check_refused<Decoder>({.count = 2, .length = 4}, {"found {2305843009213693953, 8, 8, 1}"},
                         [](Cpu&, auto& input) {
                           input.setup.sequences = {(Index{1} << 61) + 1, 8};
                         });
}

TEST_CASE("a context that does not fit") {
  const Feed feed{.count = 2, .length = 4};
  check_refused<Cross>(feed,
                       {"the context does not fit the rows", "expected a context of 2 sequences, found none"},
                       [](Cpu&, auto& input) { input.setup.context = {}; });
  check_refused<Cross>(feed, {"the sequences do not cover the rows", "14 rows", "{2, 6, 6, 1}"},
                       [](Cpu&, auto& input) {
                         input.setup.context_sequences = {2, 6};
                       });
  check_refused<Cross>(feed, {"Attention", "a context of 2 sequences, found 7"}, [](Cpu&, auto& input) {
    input.setup.context_sequences = {7, 2};
  });
  // Not given, all rows of the context are one sequence.
  check_refused<Cross>(feed, {"Attention", "a context of 2 sequences, found 1"},
                       [](Cpu&, auto& input) { input.setup.context_sequences = {}; });
}

TEST_CASE("rotary tables that do not fit") {
  const Feed feed{.count = 2, .length = 5};
  const auto refused = [&](std::initializer_list<const char*> texts, auto change) {
    check_refused<Decoder>(feed, texts, [&](Cpu& cpu, auto& input) { change(cpu, input.setup.rotary); });
  };
  refused(
      {"the rotary tables do not fit the heads", "Attention: setup.rotary", "(positions, 2)", "found none"},
      [](Cpu&, auto& rotary) { rotary = {}; });
  hb::Tensor<float, Cpu, dyn, dyn> wide, narrow, one;
  refused({"the rotary tables do not fit the heads", "found (6, 3)"}, [&](Cpu& cpu, auto& rotary) {
    wide = hb::Tensor<float, Cpu, dyn, dyn>(cpu, 6, 3);
    rotary.cosines = wide, rotary.sines = wide;
  });
  refused({"the shapes differ", "ops::rope: cosines and sines", "(6, 2)", "(6, 1)"},
          [&](Cpu& cpu, auto& rotary) {
            narrow = hb::Tensor<float, Cpu, dyn, dyn>(cpu, 6, 1);
            rotary.sines = narrow;
          });
  refused({"a position is outside of the tables", "0 .. 3", "4 of token 4"}, [&](Cpu& cpu, auto& rotary) {
    one = hb::Tensor<float, Cpu, dyn, dyn>(cpu, 4, 2);
    rotary = {one, one, {}, 0};
  });
  refused({"a position is outside of the tables", "-1 of token 0"},
          [](Cpu&, auto& rotary) { rotary.first = -1; });
  hb::Tensor<std::int32_t, Cpu, dyn> positions;
  refused({"rows of x and positions", "expected 10, found 9"}, [&](Cpu& cpu, auto& rotary) {
    positions = hb::Tensor<std::int32_t, Cpu, dyn>(cpu, 9);
    rotary.positions = positions;
  });
  check_refused<Decoder>({.count = 2, .length = 5, .interleaved = true},
                         {"interleaved sequences do not say their positions", "found none"},
                         [](Cpu&, auto& input) { input.setup.rotary.positions = {}; });
}

TEST_CASE("outputs and gradients with a wrong number of rows") {
  hb::test::for_every_block<hb::test::EveryBlock<float>>([]<class B>(std::type_identity<B>) {
    Cpu cpu({.threads = 2});
    Case<B> subject(cpu, {.count = 2, .length = 4, .updated = true}, 3);
    const hb::ArenaScope scope(cpu);
    typename B::Tape tape;
    subject.forward(cpu, &tape);
    for (const Index rows : {0, 4, 12}) {
      CAPTURE(rows);
      hb::Tensor<float, Cpu, dyn, B::out> wrong(cpu, rows);
      check_error([&] { B::forward(cpu, subject.params, subject.input(), wrong); },
                  {"hyperblocks: ", "expected", std::to_string(rows).c_str()});
      check_error(
          [&] {
            B::backward(cpu, subject.params, tape, wrong, subject.input_gradient(), subject.gradients,
                        hb::Write::assign);
          },
          {"hyperblocks: ", "expected", std::to_string(rows).c_str()});
      if constexpr (!hb::test::TakesIds<B>) {
        hb::Tensor<float, Cpu, dyn, B::in> wrong_dx(cpu, rows + 1);
        auto dinput = subject.input_gradient();
        if constexpr (requires { dinput.x; })
          dinput.x = wrong_dx;
        else
          dinput = wrong_dx;
        check_error(
            [&] {
              B::backward(cpu, subject.params, tape, subject.dy, dinput, subject.gradients,
                          hb::Write::assign);
            },
            {"hyperblocks: ", "expected", std::to_string(rows + 1).c_str()});
      }
    }
  });
}

TEST_CASE("a tape that forward was not given") {
  hb::test::for_every_block<hb::test::EveryBlock<float>>([]<class B>(std::type_identity<B>) {
    Cpu cpu;
    Case<B> subject(cpu, {.count = 2, .length = 4}, 3);
    const hb::ArenaScope scope(cpu);
    const typename B::Tape tape;
    check_error(
        [&] {
          B::backward(cpu, subject.params, tape, subject.dy, subject.input_gradient(), subject.gradients,
                      hb::Write::assign);
        },
        {"the rows are not those of forward's tape", "expected 0, as the tape is empty, found"});
  });
}

TEST_CASE("low-rank updates that do not fit") {
  Cpu cpu;
  Case<Linear> subject(cpu, {.length = 5}, 3);
  hb::Tensor<float, Cpu, dyn, 4> a(cpu, 2), da(cpu, 2);
  hb::Tensor<float, Cpu, 3, dyn> b(cpu, 2), wrong(cpu, 5);
  const auto forward = [&](const Linear::Updates<const float>& update) {
    return [&, update] { Linear::forward(cpu, subject.params, {subject.x, update}, subject.y); };
  };
  check_error(forward({.a = a, .b = wrong}), {"the rank of A and B", "expected 2, found 5"});
  check_error(forward({.a = a}), {"half an update", "expected A and B, or neither, found A alone"});
  check_error(forward({.b = b}), {"half an update", "found B alone"});
  CHECK_NOTHROW(forward({.a = a, .b = b})());

  const hb::ArenaScope scope(cpu);
  Linear::Tape with, without;
  Linear::forward(cpu, subject.params, {subject.x, {.a = a, .b = b}}, subject.y, &with);
  Linear::forward(cpu, subject.params, subject.x, subject.y, &without);
  const auto backward = [&](const Linear::Tape& tape, const Linear::Updates<float>& gradient) {
    return [&, gradient] {
      Linear::backward(cpu, subject.params, tape, subject.dy, {subject.dx, gradient}, subject.gradients,
                       hb::Write::assign);
    };
  };
  check_error(backward(with, {.b = wrong}), {"ops::weight_gradient", "expected 5, found 2"});
  check_error(backward(without, {.a = da}), {"gradients of an update that forward did not have", "Linear"});
  CHECK_NOTHROW(backward(with, {.a = da})());
}

TEST_CASE("parameters without memory") {
  hb::test::for_every_block<hb::test::EveryBlock<float>>([]<class B>(std::type_identity<B>) {
    Cpu cpu;
    Case<B> subject(cpu, {.count = 2, .length = 4}, 3);
    const typename B::Params none;
    check_error([&] { B::forward(cpu, none, subject.input(), subject.y); }, {"without memory", "make<"});
    const hb::ArenaScope scope(cpu);
    typename B::Tape tape;
    typename B::Gradients nowhere;
    subject.forward(cpu, &tape);
    check_error(
        [&] {
          B::backward(cpu, subject.params, tape, subject.dy, subject.input_gradient(), nowhere,
                      hb::Write::assign);
        },
        {"without memory", "make<"});
  });
}

TEST_CASE("parts by layer with a wrong number of rows") {
  Cpu cpu;
  using B = hb::PerLayer<2, Linear>;
  Case<B> subject(cpu, {.length = 8}, 3);
  hb::Tensor<float, Cpu, dyn, 3> y(cpu, 12);
  check_error([&] { B::forward(cpu, subject.params, subject.x, y); },
              {"rows of x and of y", "expected 4, found 6"});
}
