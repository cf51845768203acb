// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The low-rank update y = x W^T + (x A^T) B^T beside the bare product y = x W^T and beside Eigen's three
// steps, and 64 adapters in a batch of 64 rows beside as many calls; docs/performance-low-rank.md has what
// low_rank_update_table.py makes of it.
//   low_rank_update --benchmark_filter=/1536x576/
// fused: A and B as an adapter that was packed holds them; plain: as training has them.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>
#include <hyperblocks/ops/cpu/eigen_product.hpp>

namespace {

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::FactorForm, hb::Index;
using Product = hb::Ops<Cpu>;
using Matrix = hb::Tensor<float, Cpu, dyn, dyn>;
using Update = hb::LowRank<const float, Cpu, dyn, dyn>;

struct Shape {
  Index out, in;
};
// Of ../shared/spec: SmolLM2-135M, its M2P Transformer, Qwen3-0.6B, large, Doc-to-LoRA.
constexpr Shape shapes[] = {{576, 576},   {192, 576},    {1536, 576},   {576, 1536},  {1728, 576},
                            {1152, 576},  {576, 1152},   {2048, 1024},  {3072, 1024}, {1024, 3072},
                            {4096, 4096}, {12288, 4096}, {4096, 12288}, {2304, 576},  {2112, 512}};
constexpr Index many = 64;  // adapters, and rows of their batch

struct Case {
  Shape shape;
  Index m, rank, threads;
};

Matrix filled(Cpu& cpu, Index rows, Index columns) {
  Matrix matrix(cpu, rows, columns);
  hb::Random random(1);
  hb::fill_uniform(cpu, matrix, random, 1);
  return matrix;
}

/// The operands of one case, kept until another comes.
struct Operands {
  explicit Operands(const Case& c)
      : cpu({.threads = c.threads}),
        x(filled(cpu, c.m, c.shape.in)),
        weight(filled(cpu, c.shape.out, c.shape.in)),
        y(cpu, c.m, c.shape.out),
        shrunk(cpu, c.m, c.rank),
        panels(cpu, Product::packed_size<float>(c.shape.out, c.shape.in)) {
    Product::pack(cpu, weight.data(), c.shape.out, c.shape.in, panels.data());
    for (Index i = 0; i < (c.m == many ? many : 1); ++i) add_adapter(c);
  }

  void add_adapter(const Case& c) {
    a.push_back(filled(cpu, c.rank, c.shape.in));
    b.push_back(filled(cpu, c.shape.out, c.rank));
    packed.emplace_back(cpu, Product::packed_size<float>(c.shape.out, c.rank));
    Product::pack(cpu, b.back().data(), c.shape.out, c.rank, packed.back().data());
  }
  Update update(std::size_t i = 0, bool is_packed = true) const {
    Update result;
    result.a = {a[i].data(), a[i].extent(0), FactorForm::rows};
    result.b = {b[i].data(), b[i].extent(1), FactorForm::columns};
    if (is_packed) result.packed_b = packed[i].data();
    return result;
  }

  static Operands& of(const Case& c) {
    static Case current{};
    static std::unique_ptr<Operands> operands;
    const auto key = [](const Case& k) {
      return std::tuple(k.shape.out, k.shape.in, k.m, k.rank, k.threads);
    };
    if (key(current) != key(c)) {
      operands.reset();
      operands = std::make_unique<Operands>(c);
      current = c;
    }
    return *operands;
  }

  Cpu cpu;
  Matrix x, weight, y, shrunk;
  hb::Tensor<float, Cpu, dyn> panels;
  std::vector<Matrix> a, b;
  std::vector<hb::Tensor<float, Cpu, dyn>> packed;
};

void bare(const Case&, Operands& o) {
  Product::product_packed<float, float>(o.cpu, o.x, o.panels.data(), {}, o.y);
}
hb::UpdatedProduct<float, float, Cpu, dyn, dyn> product_of(const Operands& o, const Update& update,
                                                           hb::View<float, Cpu, dyn, dyn> y) {
  return {o.panels.data(), {}, update, y};
}
void run(Operands& o, const Update& update) {
  Product::updated_products<float>(o.cpu, o.x, product_of(o, update, o.y));
}
void fused(const Case&, Operands& o) { run(o, o.update()); }
void plain(const Case&, Operands& o) { run(o, o.update(0, false)); }

void three_step(const Case& c, Operands& o) {
  const auto [out, in] = c.shape;
  const auto product = [&](float* to, Index columns, const float* rows, Index k, const float* matrix,
                           auto start) {
    hb::cpu::eigen_product<float>(o.cpu.threads(), {to, columns}, {rows, k}, {matrix, 1, k}, c.m, columns, k,
                                  start);
  };
  product(o.y.data(), out, o.x.data(), in, o.weight.data(), hb::cpu::FromZero{});
  product(o.shrunk.data(), c.rank, o.x.data(), in, o.a[0].data(), hb::cpu::FromZero{});
  product(o.y.data(), out, o.shrunk.data(), c.rank, o.b[0].data(), hb::cpu::Accumulate{});
}

/// Row i has adapter i.
void batch(const Case&, Operands& o) {
  std::vector<Update> updates(many);
  for (Index i = many - 1; i >= 0; --i) {
    Update& update = updates[static_cast<std::size_t>(i)];
    update = o.update(static_cast<std::size_t>(i));
    update.first_row = i, update.rows = 1;
    if (i + 1 < many) update.next = &updates[static_cast<std::size_t>(i) + 1];
  }
  run(o, updates[0]);
}
void separate(const Case&, Operands& o) {
  for (Index i = 0; i < many; ++i)
    Product::updated_products<float>(
        o.cpu, o.x.view().slice(i, 1),
        product_of(o, o.update(static_cast<std::size_t>(i)), o.y.view().slice(i, 1)));
}

/// Reads what does not fit the caches: the rate at which adapters can come from memory.
void read(benchmark::State& state) {
  Cpu cpu;
  const std::vector<float> numbers(std::size_t{1} << 26, 1.0f);
  std::vector<double> sums(64);
  for (auto _ : state)
    cpu.threads().run(64, [&](Index part) {
      const std::size_t size = numbers.size() / 64;
      const float* from = numbers.data() + static_cast<std::size_t>(part) * size;
      std::array<float, 64> lanes{};
      for (std::size_t i = 0; i < size; i += lanes.size())
        for (std::size_t lane = 0; lane < lanes.size(); ++lane) lanes[lane] += from[i + lane];
      sums[static_cast<std::size_t>(part)] = lanes[0] + lanes[63];
      benchmark::DoNotOptimize(sums.data());
    });
  state.counters["GB/s"] = benchmark::Counter(4e-9 * static_cast<double>(numbers.size()),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void add(const std::string& who, const Case& c, void (*product)(const Case&, Operands&)) {
  const std::string name = who + "/" + std::to_string(c.shape.out) + "x" + std::to_string(c.shape.in) +
                           "/m:" + std::to_string(c.m) + "/r:" + std::to_string(c.rank) +
                           "/threads:" + std::to_string(c.threads);
  const auto body = [=](benchmark::State& state) {
    Operands& operands = Operands::of(c);
    product(c, operands);
    for (auto _ : state) {
      product(c, operands);
      benchmark::ClobberMemory();
    }
    const auto out = static_cast<double>(c.shape.out), in = static_cast<double>(c.shape.in),
               m = static_cast<double>(c.m);
    state.counters["GFLOP/s of W"] =
        benchmark::Counter(2e-9 * m * out * in, benchmark::Counter::kIsIterationInvariantRate);
  };
  benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->MinTime(0.02);
}

}  // namespace

int main(int count, char** arguments) {
  for (const Shape shape : shapes)
    for (const Index m : {1, 4, 16, 64, 256, 1024})
      for (const Index rank : {4, 8, 16, 64, 128, 328, 1032})
        for (const Index threads : {1, 2}) {
          const Case c{shape, m, rank, threads};
          add("bare", c, bare);
          add("fused", c, fused);
          add("plain", c, plain);
          add("three_step", c, three_step);
          if (m != many || rank > 16) continue;
          add("batch", c, batch);
          add("separate", c, separate);
        }
  benchmark::RegisterBenchmark("read", read)->UseRealTime();
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
