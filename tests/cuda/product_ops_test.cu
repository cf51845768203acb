// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products on Cuda against the Cpu in double: plain and frozen weights, of the block's scalar and of others,
// gradients, batches with any strides, low-rank updates of every form.
#include "twins.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index, hb::Write;
using namespace hb::test;

TEST_CASE_TEMPLATE("products with plain weights, and their gradients", S, double, float, hb::bf16, hb::half) {
  Devices d;
  for (const auto& [rows, in, out] : {std::array<Index, 3>{1, 5, 9}, {33, 64, 40}, {7, 96, 17}}) {
    CAPTURE(rows);
    TwinRows<S> x(d, rows, in), w(d, out, in), y(d, rows, out), dx(d, rows, in), dw(d, out, in);
    TwinRow<S> bias(d, out);
    x.fill(), w.fill(), bias.fill(), y.poison();
    for (const bool biased : {true, false}) {
      hb::ops::product<double>(d.cpu, x.cpu(), w.cpu(), biased ? bias.cpu() : decltype(bias.cpu())(),
                               y.cpu());
      hb::ops::product<S>(d.cuda, x.cuda(), w.cuda(), biased ? bias.cuda() : decltype(bias.cuda())(),
                          y.cuda());
      CHECK(y.error() < tolerance<S>);
    }
    y.fill();
    for (const auto write : {Write::assign, Write::add}) {
      write == Write::assign ? (dx.poison(), dw.poison()) : (dx.fill(), dw.fill());
      hb::ops::input_gradient<double>(d.cpu, y.cpu(), w.cpu(), dx.cpu(), write);
      hb::ops::input_gradient<S>(d.cuda, y.cuda(), w.cuda(), dx.cuda(), write);
      hb::ops::weight_gradient<double>(d.cpu, y.cpu(), x.cpu(), dw.cpu(), write);
      hb::ops::weight_gradient<S>(d.cuda, y.cuda(), x.cuda(), dw.cuda(), write);
      CHECK(dx.error() < tolerance<S>);
      CHECK(dw.error() < tolerance<S>);
    }
  }
}

TEST_CASE("products with frozen weights of another scalar") {
  Devices d;
  constexpr Index in = 48, out = 24, rows = 9;
  TwinRows<float> x(d, rows, in), y(d, rows, out), dx(d, rows, in);
  TwinRows<hb::bf16> w(d, out, in);
  x.fill(), w.fill(), y.poison(), dx.poison();
  hb::FrozenMatrix<hb::bf16, hb::Cuda, out, in> frozen(d.cuda);
  frozen.upload(d.cuda, w.found());
  hb::ops::product<double>(d.cpu, x.cpu(), w.cpu(), {}, y.cpu());
  hb::ops::product<float>(d.cuda, hb::View<const float, hb::Cuda, dyn, dyn>(x.cuda()), frozen.rows(0, out),
                          {}, y.cuda());
  CHECK(y.error() < tolerance<hb::bf16>);
  hb::ops::input_gradient<double>(d.cpu, y.cpu(), w.cpu(), dx.cpu(), Write::assign);
  hb::ops::input_gradient<float>(d.cuda, hb::View<const float, hb::Cuda, dyn, dyn>(y.cuda()),
                                 frozen.rows(0, out), dx.cuda(), Write::assign);
  CHECK(dx.error() < tolerance<hb::bf16>);
  std::vector<hb::bf16> back(static_cast<std::size_t>(out * in));
  frozen.download(d.cuda, back);
  CHECK(std::memcmp(back.data(), w.found().data(), back.size() * 2) == 0);
}

/// Rows of one scalar with weights of another: where cuBLASLt has no product of the two, by way of float.
template <class Stored, class S>
void check_frozen() {
  Devices d;
  constexpr Index in = 48, out = 24, rows = 9;
  const double most = std::max(tolerance<Stored>, tolerance<S>);
  TwinRows<S> x(d, rows, in), y(d, rows, out), dx(d, rows, in);
  TwinRow<S> bias(d, out);
  TwinRows<Stored> w(d, out, in);
  x.fill(), w.fill(), bias.fill(), y.poison();
  hb::FrozenMatrix<Stored, hb::Cuda, out, in> frozen(d.cuda);
  frozen.upload(d.cuda, w.found());
  hb::ops::product<double>(d.cpu, x.cpu(), w.cpu(), bias.cpu(), y.cpu());
  hb::ops::product<S>(d.cuda, hb::View<const S, hb::Cuda, dyn, dyn>(x.cuda()), frozen.rows(0, out),
                      bias.cuda(), y.cuda());
  CHECK(y.error() < most);
  for (const auto write : {Write::assign, Write::add}) {
    write == Write::assign ? dx.poison() : dx.fill();
    hb::ops::input_gradient<double>(d.cpu, y.cpu(), w.cpu(), dx.cpu(), write);
    hb::ops::input_gradient<S>(d.cuda, hb::View<const S, hb::Cuda, dyn, dyn>(y.cuda()), frozen.rows(0, out),
                               dx.cuda(), write);
    CHECK(dx.error() < most);
  }
}

TEST_CASE("frozen weights of any scalar under rows of any") {
  check_frozen<hb::half, hb::bf16>();
  check_frozen<hb::bf16, hb::half>();
  check_frozen<float, hb::bf16>();
  check_frozen<hb::half, float>();
}

TEST_CASE_TEMPLATE("a bias that begins anywhere, and the weights' gradient of no rows", S, float, hb::bf16) {
  Devices d;
  constexpr Index in = 16, out = 24, rows = 5;
  TwinRows<S> x(d, rows, in), w(d, out, in), y(d, rows, out), dw(d, out, in), none(d, 0, in),
      of_none(d, 0, out);
  TwinRow<S> biases(d, out + 1);
  x.fill(), w.fill(), biases.fill(), y.poison();
  hb::ops::product<double>(d.cpu, x.cpu(), w.cpu(), biases.cpu().slice(1, out), y.cpu());
  hb::ops::product<S>(d.cuda, x.cuda(), w.cuda(), biases.cuda().slice(1, out), y.cuda());
  CHECK(y.error() < tolerance<S>);
  for (const auto write : {Write::add, Write::assign}) {
    dw.fill();
    hb::ops::weight_gradient<double>(d.cpu, of_none.cpu(), none.cpu(), dw.cpu(), write);
    hb::ops::weight_gradient<S>(d.cuda, of_none.cuda(), none.cuda(), dw.cuda(), write);
    CHECK(dw.error() == 0);
  }
}

TEST_CASE_TEMPLATE("batches of matrices with any strides", S, double, float, hb::bf16) {
  Devices d;
  const Index batch = 3, m = 5, k = 7, n = 6;
  TwinRow<S> numbers(d, 4000), results(d, 4000);
  const auto compare = [&](auto a, auto b, auto y) {
    for (const auto write : {Write::assign, Write::add}) {
      numbers.fill(), results.fill();
      const auto at = [](const auto& of, auto* data) {
        return hb::Matrices<std::remove_pointer_t<decltype(data)>>{
            data + of.data, of.batch, of.rows, of.columns, of.batch_stride, of.row_stride, of.column_stride};
      };
      const auto in = [&](const auto& of, auto* data) {
        return hb::Matrices<const std::remove_pointer_t<decltype(data)>>(at(of, data));
      };
      hb::ops::batched_product<double>(d.cpu, in(a, numbers.cpu().data()), in(b, numbers.cpu().data()),
                                       at(y, results.cpu().data()), write);
      hb::ops::batched_product<S>(d.cuda, in(a, numbers.cuda().data()), in(b, numbers.cuda().data()),
                                  at(y, results.cuda().data()), write);
      CHECK(results.error() < tolerance<S>);
    }
  };
  struct Strided {
    Index data, batch, rows, columns, batch_stride, row_stride, column_stride;
  };
  const Strided a{0, batch, m, k, m * k, k, 1}, a_turned{0, batch, m, k, m * k, 1, m},
      a_shared{0, batch, m, k, 0, k + 2, 1};
  const Strided b{500, batch, k, n, k * n, n, 1}, b_turned{500, batch, k, n, k * n, 1, k},
      b_spread{500, batch, k, n, 200, 2 * n, 2};
  const Strided y{0, batch, m, n, m * n, n, 1}, y_turned{0, batch, m, n, m * n, 1, m},
      y_interleaved{0, batch, m, n, n, batch * n, 1}, y_spread{0, batch, m, n, 200, 3 * n, 3};
  for (const Strided& left : {a, a_turned, a_shared})
    for (const Strided& right : {b, b_turned, b_spread})
      for (const Strided& to : {y, y_turned, y_interleaved, y_spread}) compare(left, right, to);
}

TEST_CASE_TEMPLATE("low-rank updates in every form", S, double, float, hb::bf16) {
  using hb::FactorForm;
  Devices d;
  constexpr Index in = 40, out = 24, rank = 6;
  const Index rows = 11;
  TwinRows<S> x(d, rows, in), w(d, out, in), y(d, rows, out);
  TwinRow<S> bias(d, out);
  Twins<S, out> c(d);
  x.fill(), w.fill(), bias.fill(), c.fill();
  const auto update_on = [&](auto cpu_side, FactorForm a_form, FactorForm b_form, auto& a, auto& b) {
    if constexpr (cpu_side)
      return hb::LowRank<const double, hb::Cpu, out, in>{
          .a = {a.cpu().data(), rank, a_form}, .b = {b.cpu().data(), rank, b_form}, .scale = 1.5};
    else
      return hb::LowRank<const S, hb::Cuda, out, in>{
          .a = {a.cuda().data(), rank, a_form}, .b = {b.cuda().data(), rank, b_form}, .scale = 1.5};
  };
  for (const auto a_form : {FactorForm::rows, FactorForm::columns})
    for (const auto b_form : {FactorForm::rows, FactorForm::columns}) {
      TwinRow<S> a(d, rank * in), b(d, rank * out);
      a.fill(0.2), b.fill(0.2), y.poison();
      auto cpu_update = update_on(std::true_type(), a_form, b_form, a, b), cpu_next = cpu_update;
      auto cuda_update = update_on(std::false_type(), a_form, b_form, a, b), cuda_next = cuda_update;
      cpu_next.bias = c.cpu(), cuda_next.bias = c.cuda();
      cpu_next.first_row = cuda_next.first_row = 3, cpu_next.rows = cuda_next.rows = 5;
      cpu_update.next = &cpu_next, cuda_update.next = &cuda_next;
      hb::ops::low_rank_update<double>(d.cpu, x.cpu(), w.cpu(), bias.cpu(), cpu_update, y.cpu());
      hb::ops::low_rank_update<S>(d.cuda, x.cuda(), w.cuda(), bias.cuda(), cuda_update, y.cuda());
      CHECK(y.error() < tolerance<S>);
    }
}

/// So many rows with no update, one, some and too many for one kernel.
template <class S, Index out>
void compare_updates(std::initializer_list<Index> rows) {
  Devices d;
  constexpr Index in = 296;
  const Index ranks[] = {3, 1, 8, 16}, firsts[] = {0, 2, 0, 1};
  TwinRows<S> w(d, out, in);
  TwinRow<S> bias(d, out);
  Twins<S, out> c(d);
  w.fill(), bias.fill(), c.fill();
  for (const Index tokens : rows)
    for (const Index updates : {0, 1, 4, 17}) {
      CAPTURE(tokens);
      CAPTURE(updates);
      TwinRows<S> x(d, tokens, in), y(d, tokens, out);
      x.fill(), y.poison();
      std::vector<TwinRow<S>> factors;
      factors.reserve(34);
      std::vector<hb::LowRank<const double, hb::Cpu, out, in>> on_cpu(
          static_cast<std::size_t>(std::max<Index>(updates, 1)));
      std::vector<hb::LowRank<const S, hb::Cuda, out, in>> on_cuda(on_cpu.size());
      for (std::size_t i = 0; i < static_cast<std::size_t>(updates); ++i) {
        const Index rank = ranks[i % 4];
        auto& a = factors.emplace_back(d, rank * in).fill(0.1);
        auto& b = factors.emplace_back(d, rank * out);
        b.set([&](Index j) {  // one adapter's infinity stays in its rows
          return updates == 4 && i == 1 && j == 0 ? INFINITY : 0.1 * d.random.normal();
        });
        const auto describe = [&](auto& update, auto* a_numbers, auto* b_numbers, auto added) {
          update.a = {a_numbers, rank, i % 2 == 0 ? hb::FactorForm::rows : hb::FactorForm::columns};
          update.b = {b_numbers, rank, i % 3 == 0 ? hb::FactorForm::columns : hb::FactorForm::rows};
          update.scale = 0.5 + static_cast<double>(i);
          update.first_row = std::min(firsts[i % 4] * (1 + tokens / 16), tokens),
          update.rows = std::min<Index>(tokens - update.first_row, 4 + tokens / 2 * (i % 2));
          if (i % 2 == 1) update.bias = added;
        };
        describe(on_cpu[i], a.cpu().data(), b.cpu().data(), c.cpu());
        describe(on_cuda[i], a.cuda().data(), b.cuda().data(), c.cuda());
        if (i > 0) on_cpu[i - 1].next = &on_cpu[i], on_cuda[i - 1].next = &on_cuda[i];
      }
      for (int again = 0; again < 2; ++again) {  // a launch leaves what it found
        hb::ops::low_rank_update<double>(d.cpu, x.cpu(), w.cpu(), bias.cpu(), on_cpu.front(), y.cpu());
        hb::ops::low_rank_update<S>(d.cuda, x.cuda(), w.cuda(), bias.cuda(), on_cuda.front(), y.cuda());
        CHECK(y.error() < tolerance<S>);
      }
    }
}

TEST_CASE_TEMPLATE("rows with many updates in one kernel", S, float, hb::bf16, hb::half) {
  compare_updates<S, 70>({1, 5, 8, 9, 16, 17, 64, 70, 130});
  compare_updates<S, 200>({33, 128});
}
