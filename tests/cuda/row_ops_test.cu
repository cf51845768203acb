// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Element-wise and row-wise operations and losses on Cuda against the Cpu in double: every scalar, widths
// that packs fit and that they do not, special numbers, what is reported for ids beyond a table.
#include "twins.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index, hb::Write;
using namespace hb::test;

namespace {
constexpr Index row_counts[] = {1, 7, 130}, widths[] = {1, 37, 64, 576};

/// f(rows, columns) for some shapes.
template <class F>
void for_shapes(F f) {
  for (const Index rows : row_counts)
    for (const Index columns : widths) {
      if (rows * columns > 20000) continue;
      CAPTURE(rows);
      CAPTURE(columns);
      f(rows, columns);
    }
}
}  // namespace

TEST_CASE_TEMPLATE("element by element", S, double, float, hb::bf16, hb::half) {
  Devices d;
  for_shapes([&](Index rows, Index columns) {
    TwinRows<S> x(d, rows, columns), other(d, rows, columns), y(d, rows, columns), z(d, rows, columns);
    TwinRow<S> row(d, columns), factors(d, rows);
    x.fill(), other.fill(), row.fill(), factors.fill();
    const auto check = [&](const char* what, auto run) {
      CAPTURE(what);
      y.poison();
      run();
      CHECK(y.error() < tolerance<S>);
    };
    check("add", [&] {
      hb::ops::add<double>(d.cpu, x.cpu(), other.cpu(), y.cpu());
      hb::ops::add<S>(d.cuda, x.cuda(), other.cuda(), y.cuda());
    });
    check("scale", [&] {
      hb::ops::scale<double>(d.cpu, -1.5, x.cpu(), y.cpu());
      hb::ops::scale<S>(d.cuda, -1.5, x.cuda(), y.cuda());
    });
    check("scale_add", [&] {
      y.fill();
      hb::ops::scale_add<double>(d.cpu, 0.7, x.cpu(), y.cpu());
      hb::ops::scale_add<S>(d.cuda, 0.7, x.cuda(), y.cuda());
    });
    check("add_rows", [&] {
      hb::ops::add_rows<double>(d.cpu, x.cpu(), row.cpu(), y.cpu());
      hb::ops::add_rows<S>(d.cuda, x.cuda(), row.cuda(), y.cuda());
    });
    check("scale_rows", [&] {
      hb::ops::scale_rows<double>(d.cpu, x.cpu(), factors.cpu(), y.cpu());
      hb::ops::scale_rows<S>(d.cuda, x.cuda(), factors.cuda(), y.cuda());
    });
    check("broadcast", [&] {
      hb::ops::broadcast<double, double>(d.cpu, row.cpu(), y.cpu());
      hb::ops::broadcast<S, S>(d.cuda, row.cuda(), y.cuda());
    });
    for (const auto activation :
         {hb::Activation::identity, hb::Activation::relu, hb::Activation::silu, hb::Activation::sigmoid,
          hb::Activation::gelu_exact, hb::Activation::gelu_tanh}) {
      CAPTURE(static_cast<int>(activation));
      check("activate", [&] {
        hb::ops::activate<double>(d.cpu, activation, x.cpu(), y.cpu());
        hb::ops::activate<S>(d.cuda, activation, x.cuda(), y.cuda());
      });
      check("activate_backward", [&] {
        hb::ops::activate_backward<double>(d.cpu, activation, x.cpu(), other.cpu(), y.cpu());
        hb::ops::activate_backward<S>(d.cuda, activation, x.cuda(), other.cuda(), y.cuda());
      });
      check("glu", [&] {
        hb::ops::glu<double>(d.cpu, activation, x.cpu(), other.cpu(), y.cpu());
        hb::ops::glu<S>(d.cuda, activation, x.cuda(), other.cuda(), y.cuda());
      });
    }
    check("glu_backward", [&] {
      z.poison();
      hb::ops::glu_backward<double>(d.cpu, hb::Activation::silu, x.cpu(), other.cpu(), other.cpu(), y.cpu(),
                                    z.cpu());
      hb::ops::glu_backward<S>(d.cuda, hb::Activation::silu, x.cuda(), other.cuda(), other.cuda(), y.cuda(),
                               z.cuda());
      CHECK(z.error() < tolerance<S>);
    });
    check("soft_cap", [&] {
      hb::ops::soft_cap<double>(d.cpu, 2, x.cpu(), y.cpu());
      hb::ops::soft_cap<S>(d.cuda, 2, x.cuda(), y.cuda());
    });
    check("soft_cap_backward", [&] {
      hb::ops::soft_cap_backward<double>(d.cpu, 2, x.cpu(), other.cpu(), y.cpu());
      hb::ops::soft_cap_backward<S>(d.cuda, 2, x.cuda(), other.cuda(), y.cuda());
    });
    const hb::Dropout dropout{0.3, 5};
    check("dropout", [&] {
      hb::ops::dropout<double>(d.cpu, x.cpu(), dropout, y.cpu());
      hb::ops::dropout<S>(d.cuda, x.cuda(), dropout, y.cuda());
    });
    const auto flat = [](auto view) { return view.template reshape<dyn>(view.size()); };
    const double size = static_cast<double>(rows * columns);
    CHECK(std::abs(hb::ops::sum<S>(d.cuda, flat(x.cuda())) - hb::ops::sum<double>(d.cpu, flat(x.cpu()))) <
          1e-12 * size);
    CHECK(std::abs(hb::ops::squared_norm<S>(d.cuda, flat(x.cuda())) -
                   hb::ops::squared_norm<double>(d.cpu, flat(x.cpu()))) < 1e-12 * size);
    CHECK(hb::ops::max_abs<S>(d.cuda, flat(x.cuda())) == hb::ops::max_abs<double>(d.cpu, flat(x.cpu())));
  });
}

TEST_CASE("casts round once to nearest even, as the Cpu does") {
  Devices d;
  TwinRows<double> x(d, 40, 50);
  x.fill();
  x.set([&](Index i) {
    return i == 3 ? INFINITY : i == 4 ? NAN : std::ldexp(d.random.normal(), static_cast<int>(i % 60) - 30);
  });
  const auto compare = [&]<class To>(To) {
    hb::Tensor<To, hb::Cpu, dyn, dyn> expected(d.cpu, 40, 50);
    hb::Tensor<To, hb::Cuda, dyn, dyn> found(d.cuda, 40, 50);
    hb::ops::cast<To, double>(d.cpu, x.cpu(), expected);
    hb::ops::cast<To, double>(d.cuda, x.cuda(), found);
    std::vector<To> host(2000);
    found.download(d.cuda, host);
    for (std::size_t i = 0; i < host.size(); ++i)
      if (i != 4) CHECK(std::memcmp(&host[i], &expected.span()[i], sizeof(To)) == 0);
  };
  compare(float{}), compare(hb::bf16(0.f)), compare(hb::half(0.f)), compare(double{});
}

TEST_CASE_TEMPLATE("norms and softmax, forward and backward", S, double, float, hb::bf16, hb::half) {
  Devices d;
  for_shapes([&](Index rows, Index columns) {
    TwinRows<S> x(d, rows, columns), dy(d, rows, columns), y(d, rows, columns);
    TwinRow<S> weight(d, columns), bias(d, columns), dweight(d, columns), dbias(d, columns);
    x.fill(), dy.fill(), weight.fill(), bias.fill();
    const auto check = [&](const char* what, auto run) {
      CAPTURE(what);
      y.poison();
      run();
      CHECK(y.error() < tolerance<S>);
    };
    check("rms_norm", [&] {
      hb::ops::rms_norm<double>(d.cpu, x.cpu(), weight.cpu(), y.cpu(), 1e-3, 1);
      hb::ops::rms_norm<S>(d.cuda, x.cuda(), weight.cuda(), y.cuda(), 1e-3, 1);
    });
    check("layer_norm", [&] {
      hb::ops::layer_norm<double>(d.cpu, x.cpu(), weight.cpu(), bias.cpu(), y.cpu(), 1e-3);
      hb::ops::layer_norm<S>(d.cuda, x.cuda(), weight.cuda(), bias.cuda(), y.cuda(), 1e-3);
    });
    check("layer_norm without a bias", [&] {
      hb::ops::layer_norm<double>(d.cpu, x.cpu(), weight.cpu(), {}, y.cpu(), 1e-3);
      hb::ops::layer_norm<S>(d.cuda, x.cuda(), weight.cuda(), {}, y.cuda(), 1e-3);
    });
    for (const auto write : {Write::assign, Write::add}) {
      const auto prepare = [&] {
        write == Write::assign ? (dweight.poison(), dbias.poison()) : (dweight.fill(), dbias.fill());
      };
      check("rms_norm_backward", [&] {
        prepare();
        hb::ops::rms_norm_backward<double>(d.cpu, x.cpu(), weight.cpu(), dy.cpu(), y.cpu(), dweight.cpu(),
                                           1e-3, 1, write);
        hb::ops::rms_norm_backward<S>(d.cuda, x.cuda(), weight.cuda(), dy.cuda(), y.cuda(), dweight.cuda(),
                                      1e-3, 1, write);
        CHECK(dweight.error() < tolerance<S>);
      });
      if (columns == 1) continue;  // a LayerNorm of one number has no gradient to compare with
      check("layer_norm_backward", [&] {
        prepare();
        hb::ops::layer_norm_backward<double>(d.cpu, x.cpu(), weight.cpu(), dy.cpu(), y.cpu(), dweight.cpu(),
                                             dbias.cpu(), 1e-3, write);
        hb::ops::layer_norm_backward<S>(d.cuda, x.cuda(), weight.cuda(), dy.cuda(), y.cuda(), dweight.cuda(),
                                        dbias.cuda(), 1e-3, write);
        CHECK(dweight.error() < tolerance<S>);
        CHECK(dbias.error() < tolerance<S>);
      });
    }
    check("softmax", [&] {
      hb::ops::softmax<double>(d.cpu, x.cpu(), y.cpu());
      hb::ops::softmax<S>(d.cuda, x.cuda(), y.cuda());
    });
    check("softmax_backward", [&] {
      hb::ops::softmax_backward<double>(d.cpu, x.cpu(), dy.cpu(), y.cpu());
      hb::ops::softmax_backward<S>(d.cuda, x.cuda(), dy.cuda(), y.cuda());
    });
    dbias.poison();
    hb::ops::column_sums<double>(d.cpu, x.cpu(), dbias.cpu(), Write::assign);
    hb::ops::column_sums<S>(d.cuda, x.cuda(), dbias.cuda(), Write::assign);
    CHECK(dbias.error() < tolerance<S>);
  });
}

TEST_CASE("softmax of infinities and NaN") {
  Devices d;
  TwinRows<float> x(d, 5, 70), y(d, 5, 70);
  x.set([](Index i) {
    const Index row = i / 70, column = i % 70;
    if (row == 0) return -INFINITY;
    if (row == 1 && column == 69) return INFINITY;
    if (row == 2 && column == 3) return NAN;
    if (row == 3 && column != 5) return -INFINITY;
    return 0.1f * static_cast<float>(column);
  });
  hb::ops::softmax<double>(d.cpu, x.cpu(), y.cpu());
  hb::ops::softmax<float>(d.cuda, x.cuda(), y.cuda());
  CHECK(y.error() < 1e-6);
}

TEST_CASE_TEMPLATE("rotary positions, embedding and copies of heads", S, double, float, hb::bf16, hb::half) {
  using Sum = hb::Accumulator<S>;
  Devices d;
  const Index tokens = 12, heads = 3, width = 10;
  const hb::RopeTables<double, hb::Cpu> cpu_tables(d.cpu, 10000, 8, 40);
  const hb::RopeTables<Sum, hb::Cuda> cuda_tables(d.cuda, 10000, 8, 40);
  TwinIds positions(d, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 39, 0});
  TwinRows<S> x(d, tokens, heads * width);
  TwinIds past(d, {0, 11, 29});
  enum class By { itself, positions_given, past_given };
  for (const auto layout : {hb::RopeLayout::half_split, hb::RopeLayout::interleaved})
    for (const bool inverse : {false, true})
      for (const auto by : {By::itself, By::positions_given, By::past_given}) {
        hb::Rotary<double, hb::Cpu> on_cpu = cpu_tables;
        hb::Rotary<Sum, hb::Cuda> on_cuda = cuda_tables;
        on_cpu.first = on_cuda.first = 7;
        if (by == By::positions_given)
          on_cpu.positions = positions.cpu(), on_cuda.positions = positions.cuda();
        if (by == By::past_given) on_cpu.past = past.cpu(), on_cuda.past = past.cuda();
        x.fill();
        hb::ops::rope<double>(d.cpu, x.cpu(), on_cpu, 4, heads, layout, inverse);
        hb::ops::rope<S>(d.cuda, x.cuda(), on_cuda, 4, heads, layout, inverse);
        CHECK(x.error() < tolerance<S>);
      }

  TwinIds ids(d, {5, 0, 5, 7, 2, 5, 0});
  for (const Index columns : {6, 64}) {
    TwinRows<S> table(d, 8, columns), y(d, 7, columns), dtable(d, 8, columns);
    table.fill(), y.poison();
    hb::ops::embedding<double, double>(d.cpu, ids.cpu(), table.cpu(), y.cpu(), 3);
    hb::ops::embedding<S, S>(d.cuda, ids.cuda(), table.cuda(), y.cuda(), 3);
    CHECK(y.error() < tolerance<S>);
    for (const auto write : {Write::assign, Write::add}) {
      write == Write::assign ? dtable.poison() : dtable.fill();
      hb::ops::embedding_backward<double>(d.cpu, ids.cpu(), y.cpu(), dtable.cpu(), 0.5, write);
      hb::ops::embedding_backward<S>(d.cuda, ids.cuda(), y.cuda(), dtable.cuda(), 0.5, write);
      CHECK(dtable.error() < tolerance<S>);
    }
  }

  Twins<S, dyn, dyn, dyn> from(d, 3, 4, heads * width), to(d, 4, 3, heads * width);
  from.fill(), to.poison();
  hb::ops::copy_heads<double>(d.cpu, hb::Heads<const double>(hb::heads_across(from.cpu(), heads)),
                              hb::heads_of(to.cpu(), heads));
  hb::ops::copy_heads<S>(d.cuda, hb::Heads<const S>(hb::heads_across(from.cuda(), heads)),
                         hb::heads_of(to.cuda(), heads));
  CHECK(to.error() == 0);

  Twins<S, dyn, dyn, dyn> room(d, 3, 40, heads * width);
  room.fill();
  hb::ops::append_heads<double>(d.cpu, hb::Heads<const double>(hb::heads_of(from.cpu(), heads)),
                                hb::heads_of(room.cpu(), heads), past.cpu());
  hb::ops::append_heads<S>(d.cuda, hb::Heads<const S>(hb::heads_of(from.cuda(), heads)),
                           hb::heads_of(room.cuda(), heads), past.cuda());
  CHECK(room.error() == 0);
}

TEST_CASE_TEMPLATE("choices", S, double, float, hb::bf16, hb::half) {
  Devices d;
  const Index rows = 7;
  hb::Tensor<std::int32_t, hb::Cpu, dyn> on_cpu(d.cpu, rows);
  hb::Tensor<std::int32_t, hb::Cuda, dyn> on_cuda(d.cuda, rows);
  const auto same = [&] {
    std::vector<std::int32_t> found(static_cast<std::size_t>(rows));
    on_cuda.download(d.cuda, found);
    return std::ranges::equal(found, on_cpu.span());
  };
  for (const Index columns : {1, 40, 3000}) {
    TwinRows<S> x(d, rows, columns), y(d, rows, columns);
    x.set([&](Index i) -> double {  // equal ones, NaN and infinity among them
      if (i / columns == 3 && columns > 1) return i % 3 == 0 ? NAN : -INFINITY * (i % 2 == 0 ? 1 : -1);
      return std::round(20 * d.random.normal());
    });
    hb::ops::largest<double>(d.cpu, x.cpu(), on_cpu.view());
    hb::ops::largest<S>(d.cuda, x.cuda(), on_cuda.view());
    CHECK(same());
    hb::ops::one_hot<double>(d.cpu, on_cpu.view(), y.cpu());
    hb::ops::one_hot<S>(d.cuda, on_cuda.view(), y.cuda());
    CHECK(y.error() == 0);
  }
  TwinRows<S> x(d, rows, 6), codes(d, 50, 6);
  x.fill(), codes.set([&](Index i) { return i % 60 == 7 ? NAN : d.random.normal(); });
  hb::ops::nearest<double>(d.cpu, x.cpu(), codes.cpu(), on_cpu.view());
  hb::ops::nearest<S>(d.cuda, x.cuda(), codes.cuda(), on_cuda.view());
  CHECK(same());
}

TEST_CASE_TEMPLATE("losses with their gradients", S, double, float, hb::bf16) {
  using Sum = hb::Accumulator<S>;
  Devices d;
  const std::vector<std::int32_t> chosen = {3, -1, 0, 8, 2},
                                  taught = {1, 2, 3, 0, 1, 2, 8, 8, 4, 5, 5, 5, 6, 7, 8};
  for (const Index columns : {9, 320}) {
    TwinRows<S> logits(d, 5, columns), dlogits(d, 5, columns), teacher(d, 5, 3);
    TwinRow<Sum> losses(d, 5), weights(d, 5);
    TwinIds labels(d, chosen);
    TwinIds ids(d, taught);
    teacher.set([&](Index i) { return i == 4 ? -INFINITY : -0.5 - std::abs(d.random.normal()); });
    weights.fill();
    for (const double smoothing : {0.0, 0.1})
      for (const bool in_place : {false, true}) {
        logits.fill(3), dlogits.poison(), losses.poison();
        hb::ops::cross_entropy<double>(d.cpu, logits.cpu(), labels.cpu(), smoothing, losses.cpu(),
                                       dlogits.cpu(), weights.cpu());
        hb::ops::cross_entropy<S>(d.cuda, logits.cuda(), labels.cuda(), smoothing, losses.cuda(),
                                  in_place ? logits.cuda() : dlogits.cuda(), weights.cuda());
        CHECK(losses.error() < tolerance<S>);
        if (!in_place) CHECK(dlogits.error() < tolerance<S>);
        if (in_place) {
          hb::ops::cross_entropy<double>(d.cpu, logits.cpu(), labels.cpu(), smoothing, losses.cpu(),
                                         logits.cpu(), weights.cpu());
          CHECK(logits.error() < tolerance<S>);
        }
      }
    logits.fill(3), dlogits.poison(), losses.poison();
    const auto three = [](auto view) { return view.template reshape<dyn, dyn>(5, 3); };
    hb::ops::topk_kl<double, double>(d.cpu, logits.cpu(), three(ids.cpu()), teacher.cpu(), losses.cpu(),
                                     dlogits.cpu(), weights.cpu());
    hb::ops::topk_kl<S, S>(d.cuda, logits.cuda(), three(ids.cuda()), teacher.cuda(), losses.cuda(),
                           dlogits.cuda(), weights.cuda());
    CHECK(losses.error() < tolerance<S>);
    CHECK(dlogits.error() < tolerance<S>);
  }
}

TEST_CASE("ids and positions beyond their tables are an Error when the host waits, once") {
  Devices d;
  TwinIds ids(d, {1, 9, 0});
  TwinRows<float> table(d, 4, 8), y(d, 3, 8), logits(d, 3, 8);
  TwinRow<float> losses(d, 3);
  table.fill(), logits.fill(), y.fill();
  hb::ops::embedding<float, float>(d.cuda, ids.cuda(), table.cuda(), y.cuda(), 1);
  CHECK_THROWS_WITH_AS(
      d.cuda.synchronise(),
      doctest::Contains("an id is out of range (ops::embedding): expected less than the vocabulary, found 9"),
      hb::Error);
  d.cuda.synchronise();
  hb::ops::embedding_backward<float>(d.cuda, ids.cuda(), y.cuda(), table.cuda(), 1, Write::assign);
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("(ops::embedding_backward)"), hb::Error);
  hb::ops::cross_entropy<float>(d.cuda, logits.cuda(), ids.cuda(), 0, losses.cuda());
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("(ops::cross_entropy)"), hb::Error);
  const hb::RopeTables<float, hb::Cuda> tables(d.cuda, 10000, 8, 5);
  hb::Rotary<float, hb::Cuda> rotary = tables;
  rotary.first = 3;
  hb::ops::rope<float>(d.cuda, y.cuda(), rotary, 3, 1, hb::RopeLayout::half_split, false);
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(),
                       doctest::Contains("a position is outside of the tables (ops::rope)"), hb::Error);
  TwinRows<float> nothing(d, 2, 3);
  nothing.poison();
  hb::Tensor<std::int32_t, hb::Cuda, dyn> chosen(d.cuda, 2);
  hb::ops::largest<float>(d.cuda, nothing.cuda(), chosen.view());
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("nothing can be chosen (ops::largest)"),
                       hb::Error);
  hb::ops::nearest<float>(d.cuda, nothing.cuda(), nothing.cuda(), chosen.view());
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("nothing can be chosen (ops::nearest)"),
                       hb::Error);
  chosen.upload(d.cuda, std::vector<std::int32_t>{1, 3});
  hb::ops::one_hot<float>(d.cuda, chosen.view(), nothing.cuda());
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("(ops::one_hot)"), hb::Error);
  TwinIds past(d, {6});
  hb::ops::append_heads<float>(d.cuda, hb::Heads<const float>{y.cuda().data(), 1, 3, 1, 8, 24, 8, 8},
                               {logits.cuda().data(), 1, 3, 1, 8, 24, 8, 8}, past.cuda());
  CHECK_THROWS_WITH_AS(d.cuda.synchronise(), doctest::Contains("the cache is full (ops::append_heads)"),
                       hb::Error);
}

TEST_CASE_TEMPLATE("AdamW's step, and the L1 distance", S, double, float, hb::bf16, hb::half) {
  using Wide = hb::Accumulator<S>;
  Devices d;
  for (const Index size : {1, 37, 5000}) {
    CAPTURE(size);
    TwinRow<S> gradient(d, size), rounded(d, size), target(d, size), dx(d, size);
    TwinRow<Wide> weights(d, size), means(d, size), squares(d, size);
    gradient.fill(), target.fill(), weights.fill(), means.set([](Index) { return 0; }),
        squares.set([](Index) { return 0; });
    rounded.poison();
    hb::AdamStep step{.rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .decay = 0.3, .factor = 0.5};
    for (step.step = 1; step.step <= 3; ++step.step) {
      hb::ops::adam_step<double>(d.cpu, step, gradient.cpu(), weights.cpu(), means.cpu(), squares.cpu(),
                                 rounded.cpu());
      hb::ops::adam_step<S>(d.cuda, step, gradient.cuda(), weights.cuda(), means.cuda(), squares.cuda(),
                            rounded.cuda());
    }
    CHECK(weights.error() < tolerance<Wide>);
    CHECK(means.error() < tolerance<Wide>);
    CHECK(squares.error() < tolerance<Wide>);
    CHECK(rounded.error() < tolerance<S>);

    for (const auto write : {Write::assign, Write::add}) {
      if (write == Write::add)
        dx.fill();
      else
        dx.poison();
      const double on_cpu =
          hb::ops::l1_distance<double>(d.cpu, gradient.cpu(), target.cpu(), 0.25, dx.cpu(), write);
      const double on_cuda =
          hb::ops::l1_distance<S>(d.cuda, gradient.cuda(), target.cuda(), 0.25, dx.cuda(), write);
      CHECK(std::abs(on_cuda - on_cpu) <= tolerance<S> * (1 + on_cpu));
      CHECK(dx.error() < tolerance<S>);
    }
    dx.poison();
    const double alone = hb::ops::l1_distance<double>(d.cpu, gradient.cpu(), {}, 2, dx.cpu());
    CHECK(std::abs(hb::ops::l1_distance<S>(d.cuda, gradient.cuda(), {}, 2, dx.cuda()) - alone) <=
          1e-12 * (1 + alone));
    CHECK(dx.error() < tolerance<S>);
  }
}
