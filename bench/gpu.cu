// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a GPU gives and how near the library comes: the ceilings of its memory and of its tensor cores, then
// products with a low-rank update beside the bare product, in turns; attention and RMSNorm beside the bytes
// and operations that they cannot do without. One line of JSON for each measurement, to a file, and a table.
//   build/release/bench/gpu [results.jsonl]
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "gpu_report.hpp"

namespace hb = hyperblocks;
using hb::bf16, hb::Cuda, hb::dyn, hb::Index;
using namespace hb::bench;

namespace {

struct Ceilings {
  double bytes = 0, operations = 0;  ///< GB/s and TFLOP/s
};

template <Index... extents>
hb::Tensor<bf16, Cuda, extents...> random_tensor(Cuda& cuda, auto... run_time) {
  hb::Tensor<bf16, Cuda, extents...> tensor(cuda, run_time...);
  hb::Random random(1);
  hb::fill_uniform(cuda, tensor, random, 0.1);
  return tensor;
}

Ceilings measure_ceilings(Cuda& cuda, Clock& clock, Report& report) {
  Ceilings result;
  const Index bytes = Index{1} << 30;
  hb::Tensor<float, Cuda, dyn> from(cuda, bytes / 4), to(cuda, bytes / 4);
  const auto copy = clock.measure({[&] {
    hb::cuda::check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(bytes),
                                    cudaMemcpyDeviceToDevice, cuda.stream()));
  }});
  result.bytes = 2e-3 * static_cast<double>(bytes) / copy[0].best();
  report.add("copy of 1 GiB", copy[0], result.bytes, "GB/s", 0);
  const Index size = 8192;
  // Of random numbers: of zeros it is faster.
  const auto x = random_tensor<dyn, dyn>(cuda, size, size), w = random_tensor<dyn, dyn>(cuda, size, size);
  hb::Tensor<bf16, Cuda, dyn, dyn> y(cuda, size, size);
  const auto product =
      clock.measure({[&] { hb::ops::product<bf16>(cuda, x.view(), w.view(), {}, y.view()); }});
  result.operations = 2e-6 * static_cast<double>(size) * size * size / product[0].best();
  report.add("product of 8192 x 8192 x 8192, bf16", product[0], result.operations, "TFLOP/s", 0);
  return result;
}

/// The bare product by cuBLASLt, and with updates of some ranks.
template <Index in, Index out>
void measure_updates(Cuda& cuda, Clock& clock, Report& report, const Ceilings& ceilings) {
  const auto w = random_tensor<dyn, dyn>(cuda, out, in);
  for (const Index tokens : {1, 4, 16, 32, 64, 128, 512, 2048}) {
    const auto x = random_tensor<dyn, dyn>(cuda, tokens, in);
    hb::Tensor<bf16, Cuda, dyn, dyn> y(cuda, tokens, out);
    std::vector<std::function<void()>> functions = {
        [&] { hb::ops::product<bf16>(cuda, x.view(), w.view(), {}, y.view()); }};
    const Index ranks[] = {8, 16, 128};
    std::vector<hb::Tensor<bf16, Cuda, dyn, dyn>> factors;
    for (const Index rank : ranks)
      factors.push_back(random_tensor<dyn, dyn>(cuda, rank, in)),
          factors.push_back(random_tensor<dyn, dyn>(cuda, out, rank));
    for (std::size_t i = 0; i < std::size(ranks); ++i)
      functions.push_back([&, i] {
        const hb::LowRank<const bf16, Cuda, out, in> update{
            .a = {factors[2 * i].data(), ranks[i], hb::FactorForm::rows},
            .b = {factors[2 * i + 1].data(), ranks[i], hb::FactorForm::columns},
            .scale = 2};
        hb::ops::low_rank_update<bf16>(cuda, x.view(), w.view(), {}, update, y.view());
      });
    const auto times = clock.measure(functions);
    const double bytes = 2.0 * static_cast<double>(in * out + tokens * (in + out));
    const double operations = 2.0 * static_cast<double>(tokens) * in * out;
    const bool thin = bytes / ceilings.bytes > operations / (1000 * ceilings.operations);
    for (std::size_t i = 0; i < times.size(); ++i) {
      const std::string name = std::to_string(in) + " -> " + std::to_string(out) + ", " +
                               std::to_string(tokens) + " rows" +
                               (i == 0 ? ", bare" : ", rank " + std::to_string(ranks[i - 1]));
      if (thin)
        report.add(name, times[i], 1e-3 * bytes / times[i].best(), "GB/s", ceilings.bytes,
                   i == 0 ? nullptr : &times[0]);
      else
        report.add(name, times[i], 1e-6 * operations / times[i].best(), "TFLOP/s", ceilings.operations,
                   i == 0 ? nullptr : &times[0]);
    }
  }
}

void measure_attention(Cuda& cuda, Clock& clock, Report& report, const Ceilings& ceilings) {
  struct Case {
    const char* name;
    Index batch, tokens, heads, key_heads, width;
    bool causal;
  };
  for (const Case& c : {Case{"attention of a decoder, 1298 tokens", 1, 1298, 32, 8, 128, true},
                        Case{"attention along 36 layers", 148, 36, 32, 32, 128, false},
                        Case{"attention along 148 memory tokens", 36, 148, 32, 32, 128, false}}) {
    const auto q = random_tensor<dyn, dyn, dyn>(cuda, c.batch, c.tokens, c.heads * c.width);
    const auto k = random_tensor<dyn, dyn, dyn>(cuda, c.batch, c.tokens, c.key_heads * c.width);
    const auto v = random_tensor<dyn, dyn, dyn>(cuda, c.batch, c.tokens, c.key_heads * c.width);
    hb::Tensor<bf16, Cuda, dyn, dyn, dyn> out(cuda, c.batch, c.tokens, c.heads * c.width);
    const auto times = clock.measure({[&] {
      hb::ops::attention<bf16>(cuda, {.scale = 0.09, .causal = c.causal}, hb::heads_of(q.view(), c.heads),
                               hb::heads_of(k.view(), c.key_heads), hb::heads_of(v.view(), c.key_heads),
                               hb::heads_of(out.view(), c.heads), {});
    }});
    const double pairs = static_cast<double>(c.tokens * c.tokens) * (c.causal ? 0.5 : 1.0);
    const double operations = 4.0 * static_cast<double>(c.batch * c.heads * c.width) * pairs;
    report.add(c.name, times[0], 1e-6 * operations / times[0].best(), "TFLOP/s", ceilings.operations);
  }
}

/// One query against many keys, as it is when a token follows a long context: the keys and values are read
/// once.
void measure_decoding(Cuda& cuda, Clock& clock, Report& report, const Ceilings& ceilings) {
  constexpr Index heads = 32, key_heads = 8, width = 128;
  for (const Index keys : {1024, 8192, 131072}) {
    const auto q = random_tensor<dyn, dyn, dyn>(cuda, 1, 1, heads * width);
    const auto k = random_tensor<dyn, dyn, dyn>(cuda, 1, keys, key_heads * width);
    const auto v = random_tensor<dyn, dyn, dyn>(cuda, 1, keys, key_heads * width);
    hb::Tensor<bf16, Cuda, dyn, dyn, dyn> out(cuda, 1, 1, heads * width);
    const auto times = clock.measure({[&] {
      hb::ops::attention<bf16>(cuda, {.scale = 0.09, .causal = true}, hb::heads_of(q.view(), heads),
                               hb::heads_of(k.view(), key_heads), hb::heads_of(v.view(), key_heads),
                               hb::heads_of(out.view(), heads), {});
    }});
    report.add("one query against " + std::to_string(keys) + " keys", times[0],
               1e-3 * 4.0 * static_cast<double>(keys * key_heads * width) / times[0].best(), "GB/s",
               ceilings.bytes);
  }
}

void measure_norm(Cuda& cuda, Clock& clock, Report& report, const Ceilings& ceilings) {
  for (const Index rows : {1, 1298, 16384}) {
    const auto x = random_tensor<dyn, dyn>(cuda, rows, 4096);
    const auto weight = random_tensor<dyn>(cuda, 4096);
    hb::Tensor<bf16, Cuda, dyn, dyn> y(cuda, rows, 4096);
    const auto times =
        clock.measure({[&] { hb::ops::rms_norm<bf16>(cuda, x.view(), weight.view(), y.view(), 1e-6, 0); }});
    report.add("RMSNorm of " + std::to_string(rows) + " rows of 4096", times[0],
               1e-3 * 4.0 * static_cast<double>(rows) * 4096 / times[0].best(), "GB/s", ceilings.bytes);
  }
}

}  // namespace

int main(int count, char** arguments) {
  return measure(count, arguments, [](Cuda& cuda, Clock& clock, Report& report) {
    const Ceilings ceilings = measure_ceilings(cuda, clock, report);
    measure_updates<4096, 4096>(cuda, clock, report, ceilings);
    measure_updates<4096, 12288>(cuda, clock, report, ceilings);
    measure_updates<12288, 4096>(cuda, clock, report, ceilings);
    measure_updates<1024, 3072>(cuda, clock, report, ceilings);
    measure_updates<576, 1536>(cuda, clock, report, ceilings);
    measure_attention(cuda, clock, report, ceilings);
    measure_decoding(cuda, clock, report, ceilings);
    measure_norm(cuda, clock, report, ceilings);
  });
}
