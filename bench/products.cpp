// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products y (m, out) = x (m, in) W^T: our packed kernels, Eigen and OpenBLAS, one after the other for each
// shape.
//   products --benchmark_filter=/1536x576/
// docs/performance-products.md has what products_table.py makes of it. GB/s counts what has to be read and
// written once. Small weights stay in the caches between two runs.
#include <benchmark/benchmark.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <hyperblocks/ops/cpu/eigen_product.hpp>
#include <hyperblocks/ops/cpu/product.hpp>
#include <hyperblocks/ops/cpu/threads.hpp>

#ifdef HYPERBLOCKS_BENCH_OPENBLAS
#include <cblas.h>
#endif

namespace {

namespace hb = hyperblocks;
using hb::Index;

struct Shape {
  Index out, in;
};

// Of ../shared/spec: SmolLM2-135M, its M2P Transformer, Qwen3-0.6B, large, Doc-to-LoRA.
constexpr Shape shapes[] = {{576, 576},   {192, 576},    {1536, 576},   {576, 1536},  {1728, 576},
                            {1152, 576},  {576, 1152},   {2048, 1024},  {3072, 1024}, {1024, 3072},
                            {4096, 4096}, {12288, 4096}, {4096, 12288}, {2304, 576},  {2112, 512}};
constexpr Index largest_m = 512;

hb::cpu::Parallel& threads(Index count) {
  static std::map<Index, std::unique_ptr<hb::cpu::Threads>> all;
  auto& found = all[count];
  if (!found) found = std::make_unique<hb::cpu::Threads>(count);
  return *found;
}

// The operands of one shape, kept until the next shape comes.
struct Operands {
  explicit Operands(Shape shape)
      : x(fill(largest_m * shape.in)), weight(fill(shape.out * shape.in)), y(largest_m * shape.out) {
    const hb::cpu::Strided<const float> matrix{weight.data(), 1, shape.in};
    panels.resize(hb::cpu::packed_size<float>(shape.in, shape.out));
    hb::cpu::pack(threads(2), matrix, shape.in, shape.out, panels.data());
    bf16_panels.resize(hb::cpu::packed_size<hb::bf16>(shape.in, shape.out));
    hb::cpu::pack(threads(2), matrix, shape.in, shape.out, bf16_panels.data());
    for (const float value : x) bf16_x.emplace_back(value);
    bf16_y.resize(y.size());
  }

  static std::vector<float> fill(Index size) {
    std::vector<float> values(size);
    std::uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    }
    return values;
  }

  static Operands& of(Shape shape) {
    static Shape current{};
    static std::unique_ptr<Operands> operands;
    if (current.out != shape.out || current.in != shape.in) {
      operands.reset();
      operands = std::make_unique<Operands>(shape);
      current = shape;
    }
    return *operands;
  }

  std::vector<float> x, weight, y, panels, scratch;
  std::vector<hb::bf16> bf16_x, bf16_y, bf16_panels;
};

struct Case {
  Shape shape;
  Index m, threads;
};

template <class Scalar>
void ours(const Case& c, Operands& o) {
  const auto run = [&](const auto& x, const auto& panels, auto& y) {
    hb::cpu::packed_product(
        hb::cpu::Execution{threads(c.threads)}, hb::cpu::Strided<Scalar>{y.data(), c.shape.out}, c.m,
        c.shape.out, hb::cpu::FromZero{},
        hb::cpu::Segment<Scalar, Scalar>{{x.data(), c.shape.in}, panels.data(), c.shape.in});
  };
  if constexpr (std::same_as<Scalar, float>) {
    run(o.x, o.panels, o.y);
  } else {
    run(o.bf16_x, o.bf16_panels, o.bf16_y);
  }
}

// The weight as it is, as a trainable one is: packed on the way, at every call.
void ours_plain(const Case& c, Operands& o) {
  const Index in = c.shape.in, out = c.shape.out;
  o.scratch.resize(hb::cpu::product_scratch<float>(c.m, out, in, c.threads));
  hb::cpu::product(hb::cpu::Execution{threads(c.threads)}, hb::cpu::Strided<float>{o.y.data(), out},
                   hb::cpu::Strided<const float>{o.x.data(), in},
                   hb::cpu::Strided<const float>{o.weight.data(), 1, in}, c.m, out, in, hb::cpu::FromZero{},
                   o.scratch.data());
}

void eigen(const Case& c, Operands& o) {
  hb::cpu::eigen_product<float>(threads(c.threads), {o.y.data(), c.shape.out}, {o.x.data(), c.shape.in},
                                {o.weight.data(), 1, c.shape.in}, c.m, c.shape.out, c.shape.in,
                                hb::cpu::FromZero{});
}

#ifdef HYPERBLOCKS_BENCH_OPENBLAS
void openblas(const Case& c, Operands& o) {
  const auto m = static_cast<int>(c.m), n = static_cast<int>(c.shape.out), k = static_cast<int>(c.shape.in);
  openblas_set_num_threads(static_cast<int>(c.threads));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f, o.x.data(), k, o.weight.data(), k, 0.0f,
              o.y.data(), n);
}
#endif

template <class F>
void add(const std::string& who, Index element_bytes, const Case& c, F product) {
  const std::string name = who + "/" + std::to_string(c.shape.out) + "x" + std::to_string(c.shape.in) +
                           "/m:" + std::to_string(c.m) + "/threads:" + std::to_string(c.threads);
  const auto body = [=](benchmark::State& state) {
    Operands& operands = Operands::of(c.shape);
    std::this_thread::sleep_for(
        std::chrono::milliseconds(50));  // OpenBLAS's threads keep a core busy for a while
    product(c, operands);
    for (auto _ : state) {
      product(c, operands);
      benchmark::ClobberMemory();
    }
    const auto out = static_cast<double>(c.shape.out), in = static_cast<double>(c.shape.in),
               m = static_cast<double>(c.m);
    using benchmark::Counter;
    state.counters["GFLOP/s"] = Counter(2e-9 * m * out * in, Counter::kIsIterationInvariantRate);
    state.counters["GB/s"] =
        Counter(1e-9 * static_cast<double>(element_bytes) * (m * out + m * in + out * in),
                Counter::kIsIterationInvariantRate);
  };
  benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->MinTime(0.05);
}

}  // namespace

int main(int count, char** arguments) {
  for (const Shape shape : shapes)
    for (const Index m : {1, 2, 4, 8, 16, 32, 128, 512})
      for (const Index threads : {1, 2}) {
        const Case c{shape, m, threads};
        add("ours", 4, c, ours<float>);
        add("ours_plain", 4, c, ours_plain);
        add("eigen", 4, c, eigen);
#ifdef HYPERBLOCKS_BENCH_OPENBLAS
        add("openblas", 4, c, openblas);
#endif
        add("ours_bf16", 2, c, ours<hb::bf16>);
      }
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
