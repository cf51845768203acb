// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The ladder of each kernel, from the plain way up to ours on every instruction set, with the floor that this
// machine sets: what the multiply-adds take at its highest rate, or the weights at the rate of reading.
// tools/report draws it; one thread.
//   kernels --benchmark_out=kernels.json
//   tools/report results.jsonl --kernels kernels.json
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <Eigen/Core>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>
#include <hyperblocks/ops/cpu/eigen_product.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace {

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;
using Product = hb::Ops<Cpu>;
using Matrix = hb::Tensor<float, Cpu, dyn, dyn>;

// ---- the machine

using Lanes [[gnu::vector_size(64)]] = float;
constexpr int chains = 16;  // as many sums as hide the latency of a multiply-add

/// Multiply-adds of registers alone: 2 chains 16 `rounds` operations.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] float multiply_add(Index rounds,
                                                                                         const Lanes& x,
                                                                                         const Lanes& y) {
  Lanes sums[chains];
  for (int chain = 0; chain < chains; ++chain) sums[chain] = x * static_cast<float>(chain);
  for (Index round = 0; round < rounds; ++round)
    for (Lanes& sum : sums) sum = sum * x + y;
  Lanes all = {};
  for (const Lanes& sum : sums) all += sum;
  return all[0];
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] float read_through(
    const std::vector<Lanes>& numbers) {
  Lanes sums[chains] = {};
  for (std::size_t i = 0; i + chains <= numbers.size(); i += chains)
    for (std::size_t chain = 0; chain < chains; ++chain) sums[chain] += numbers[i + chain];
  Lanes all = {};
  for (const Lanes& sum : sums) all += sum;
  return all[0];
}

/// The best of some runs, in microseconds.
template <class F>
double best_time(F f) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int run = 0; run < 9; ++run) {
    const auto begin = Clock::now();
    auto result = f();
    benchmark::DoNotOptimize(result);
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  return best;
}

double time_of_operations(double operations) {
  static const double each = [] {
    constexpr Index rounds = 1 << 18;
    const Lanes x = Lanes{} + 0.5f, y = Lanes{} + 1.0f;
    return best_time([&] { return multiply_add(rounds, x, y); }) / (2.0 * chains * 16 * rounds);
  }();
  return operations * each;
}

/// Again and again, as a product meets its weights: from a cache if they fit one.
double time_of_reading(double bytes) {
  static std::map<double, double> known;
  const auto [at, fresh] = known.try_emplace(bytes);
  if (fresh) {
    const std::vector<Lanes> numbers(static_cast<std::size_t>(bytes) / sizeof(Lanes));
    at->second = best_time([&] { return read_through(numbers); });
  }
  return at->second;
}

// ---- what the ladders share

Cpu& device(hb::Isa isa) {
  static std::map<hb::Isa, Cpu> all;
  return all.try_emplace(isa, Cpu::Options{.threads = 1, .isa = isa}).first->second;
}

Matrix filled(Cpu& cpu, Index rows, Index columns) {
  Matrix matrix(cpu, rows, columns);
  hb::Random random(1);
  hb::fill_uniform(cpu, matrix, random, 1);
  return matrix;
}

/// A rung of a ladder: its operands are made when it is its turn.
void add(const std::string& name, const std::function<std::function<void()>()>& prepared,
         const std::function<double()>& floor) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 const auto run = prepared();
                                 run();
                                 for (auto _ : state) {
                                   run();
                                   benchmark::ClobberMemory();
                                 }
                                 state.counters["floor"] = floor();
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.05);
}

void add_for_each_isa(const std::string& what, auto prepare, const std::function<double()>& floor) {
  for (const hb::Isa isa : hb::all_isas)
    if (hb::runs_here(isa) && isa != hb::Isa::avx512_bf16)
      add(
          std::string(hb::name(isa)) + "/" + what, [=] { return prepare(device(isa)); }, floor);
}

template <class Made>
auto kept(Made made) {
  return std::make_shared<Made>(std::move(made));
}

// ---- y (m, out) = x W^T, few rows

struct Shape {
  Index out, in;
};
std::string text(Shape shape) { return std::to_string(shape.out) + "x" + std::to_string(shape.in); }

struct Operands {
  Operands(Cpu& cpu, Shape shape, Index m)
      : x(filled(cpu, m, shape.in)), weight(filled(cpu, shape.out, shape.in)), y(cpu, m, shape.out) {}
  Matrix x, weight, y;

  void by_eigen(Cpu& cpu) { eigen(cpu, y, x, weight, hb::cpu::FromZero{}); }
  static void eigen(Cpu& cpu, Matrix& y, const Matrix& x, const Matrix& weight, auto start) {
    const Index in = x.extent(1);
    hb::cpu::eigen_product<float>(cpu.threads(), {y.data(), y.extent(1)}, {x.data(), in},
                                  {weight.data(), 1, in}, x.extent(0), y.extent(1), in, start);
  }
};

template <class Stored>
struct Packed : Operands {
  Packed(Cpu& cpu, Shape shape, Index m)
      : Operands(cpu, shape, m), panels(cpu, Product::packed_size<Stored>(shape.out, shape.in)) {
    hb::cpu::pack(cpu.threads(), hb::cpu::Strided<const float>{weight.data(), 1, shape.in}, shape.in,
                  shape.out, panels.data());
  }
  hb::Tensor<Stored, Cpu, dyn> panels;
};

template <class Stored>
std::function<void()> packed_product(Cpu& cpu, Shape shape, Index m) {
  const auto o = kept(Packed<Stored>(cpu, shape, m));
  return [&cpu, o] { Product::product_packed<float, Stored>(cpu, o->x, o->panels.data(), {}, o->y); };
}

void add_products(Shape shape, Index m) {
  const std::string what = "product " + text(shape) + "/m:" + std::to_string(m);
  const double numbers = static_cast<double>(shape.out * shape.in);
  const auto floor = [=] {
    return std::max(time_of_operations(2 * static_cast<double>(m) * numbers), time_of_reading(4 * numbers));
  };
  add(
      "Eigen/" + what,
      [=] {
        Cpu& cpu = device(hb::best_isa());
        const auto o = kept(Operands(cpu, shape, m));
        return [&cpu, o] { o->by_eigen(cpu); };
      },
      floor);
  add_for_each_isa(
      what, [=](Cpu& cpu) { return packed_product<float>(cpu, shape, m); }, floor);
  add(
      "weights of bf16/" + what, [=] { return packed_product<hb::bf16>(device(hb::best_isa()), shape, m); },
      floor);
}

// ---- y = x W^T + (x A^T) B^T

struct Updated : Packed<float> {
  Updated(Cpu& cpu, Shape shape, Index m, Index rank)
      : Packed(cpu, shape, m),
        a(filled(cpu, rank, shape.in)),
        b(filled(cpu, shape.out, rank)),
        shrunk(cpu, m, rank),
        packed_b(cpu, Product::packed_size<float>(shape.out, rank)) {
    Product::pack(cpu, b.data(), shape.out, rank, packed_b.data());
  }
  Matrix a, b, shrunk;
  hb::Tensor<float, Cpu, dyn> packed_b;

  void in_three_steps(Cpu& cpu) {
    by_eigen(cpu);
    eigen(cpu, shrunk, x, a, hb::cpu::FromZero{});
    eigen(cpu, y, shrunk, b, hb::cpu::Accumulate{});
  }
  void fused(Cpu& cpu, bool with_packed_b) {
    hb::LowRank<const float, Cpu, dyn, dyn> update;
    update.a = {a.data(), a.extent(0), hb::FactorForm::rows};
    update.b = {b.data(), b.extent(1), hb::FactorForm::columns};
    if (with_packed_b) update.packed_b = packed_b.data();
    Product::updated_products<float>(
        cpu, x, hb::UpdatedProduct<float, float, Cpu, dyn, dyn>{panels.data(), {}, update, y});
  }
};

void add_updates(Shape shape, Index rank, Index m) {
  const std::string what =
      "update " + text(shape) + " of rank " + std::to_string(rank) + "/m:" + std::to_string(m);
  const double numbers = static_cast<double>(shape.out * shape.in + rank * (shape.out + shape.in));
  const auto floor = [=] {
    return std::max(time_of_operations(2 * static_cast<double>(m) * numbers), time_of_reading(4 * numbers));
  };
  const auto rung = [=](auto run) {
    return [=](Cpu& cpu) {
      const auto o = kept(Updated(cpu, shape, m, rank));
      return std::function<void()>([&cpu, o, run] { run(*o, cpu); });
    };
  };
  const auto here = [](auto prepare) { return [=] { return prepare(device(hb::best_isa())); }; };
  add("three products of Eigen/" + what, here(rung([](Updated& o, Cpu& cpu) { o.in_three_steps(cpu); })),
      floor);
  add("fused, factors in training/" + what, here(rung([](Updated& o, Cpu& cpu) { o.fused(cpu, false); })),
      floor);
  add_for_each_isa(what, rung([](Updated& o, Cpu& cpu) { o.fused(cpu, true); }), floor);
}

// ---- causal attention, every third query head with a key head of its own

constexpr Index heads = 9, key_heads = 3, width = 64;

struct Attending {
  Attending(Cpu& cpu, Index tokens)
      : q(filled(cpu, tokens, heads * width)),
        k(filled(cpu, tokens, key_heads * width)),
        v(filled(cpu, tokens, key_heads * width)),
        out(cpu, tokens, heads * width) {}
  Matrix q, k, v, out;
  const double scale = 0.125;

  template <class M>
  static auto of(M& matrix, Index count) {
    using Scalar = std::remove_reference_t<decltype(*matrix.data())>;
    const Index tokens = matrix.extent(0);
    return hb::Heads<Scalar>{matrix.data(), 1, tokens, count, width, 0, count * width, width};
  }
  void ours(Cpu& cpu) {
    const auto read = [](const Matrix& matrix, Index count) { return of(matrix, count); };
    hb::ops::attention<float>(cpu, {.scale = scale, .causal = true}, read(q, heads), read(k, key_heads),
                              read(v, key_heads), of(out, heads), {});
  }
  /// All scores of a head as a matrix, in Eigen's words.
  void by_eigen() {
    using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto head = [](auto& matrix, Index count, Index i) {
      using Map = Eigen::Map<Rows, 0, Eigen::OuterStride<>>;
      return Map(matrix.data() + i * width, matrix.extent(0), width, Eigen::OuterStride<>(count * width));
    };
    for (Index i = 0; i < heads; ++i) {
      const Index shared = i / (heads / key_heads);
      Rows scores = static_cast<float>(scale) * head(q, heads, i) * head(k, key_heads, shared).transpose();
      for (Index row = 0; row < scores.rows(); ++row) {
        auto seen = scores.row(row).head(row + 1);
        seen = (seen.array() - seen.maxCoeff()).exp();
        seen /= seen.sum();
        scores.row(row).tail(scores.cols() - row - 1).setZero();
      }
      head(out, heads, i).noalias() = scores * head(v, key_heads, shared);
    }
  }
};

void add_attention(Index tokens) {
  const std::string what = "attention of " + std::to_string(heads) + " heads of " + std::to_string(width) +
                           "/m:" + std::to_string(tokens);
  const auto seen = 0.5 * static_cast<double>(tokens * (tokens + 1));
  const auto floor = [=] { return time_of_operations(seen * heads * width * 4); };
  add(
      "matrices of Eigen/" + what,
      [=] {
        const auto o = kept(Attending(device(hb::best_isa()), tokens));
        return [o] { o->by_eigen(); };
      },
      floor);
  add_for_each_isa(
      what,
      [=](Cpu& cpu) {
        const auto o = kept(Attending(cpu, tokens));
        return std::function<void()>([&cpu, o] { o->ours(cpu); });
      },
      floor);
}

}  // namespace

int main(int count, char** arguments) {
  for (const Shape shape : {Shape{1536, 576}, Shape{4096, 4096}})
    for (const Index m : {1, 2, 4, 8, 16, 32, 128, 512}) add_products(shape, m);
  for (const Shape shape : {Shape{1536, 576}, Shape{4096, 4096}})
    for (const Index m : {1, 4, 16, 64, 256}) add_updates(shape, 16, m);
  for (const Index tokens : {16, 64, 256, 1024}) add_attention(tokens);
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
