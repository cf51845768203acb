// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the benchmarks of a GPU share: times by the GPU's own clock, a table with a line of JSON for each
// measurement, numbers to compute with.
#pragma once

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/core/random.hpp>
#include <hyperblocks/cuda/cuda.cuh>

namespace hyperblocks::bench {

/// Microseconds of the device's own clock.
struct Times {
  std::vector<double> all;
  double best() const { return *std::min_element(all.begin(), all.end()); }
  double median() const {
    std::vector<double> sorted = all;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

class Clock {
 public:
  explicit Clock(Cuda& cuda) : cuda_(cuda) {
    cuda::check(cudaEventCreate(&begin_)), cuda::check(cudaEventCreate(&end_));
  }
  ~Clock() { cudaEventDestroy(begin_), cudaEventDestroy(end_); }
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  /// Several functions in turns, each call timed over `repeats` launches.
  std::vector<Times> measure(const std::vector<std::function<void()>>& functions, int rounds = 20,
                             int repeats = 10) {
    std::vector<Times> times(functions.size());
    for (int round = -2; round < rounds; ++round)  // the first two warm up
      for (std::size_t i = 0; i < functions.size(); ++i) {
        cuda::check(cudaEventRecord(begin_, cuda_.stream()));
        for (int repeat = 0; repeat < repeats; ++repeat) functions[i]();
        cuda::check(cudaEventRecord(end_, cuda_.stream()));
        cuda::check(cudaEventSynchronize(end_));
        float milliseconds = 0;
        cuda::check(cudaEventElapsedTime(&milliseconds, begin_, end_));
        if (round >= 0) times[i].all.push_back(1000.0 * milliseconds / repeats);
      }
    return times;
  }

 private:
  Cuda& cuda_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

class Report {
 public:
  explicit Report(const char* file) : file_(file) {}
  /// `reached` in its unit, of what the ceiling is; a ratio to the bare product where there is one.
  void add(const std::string& name, const Times& times, double reached, const char* unit, double ceiling,
           const Times* bare = nullptr) {
    const double ratio = bare != nullptr ? times.median() / bare->median() : 0;
    std::printf("%-44s %9.1f %9.1f us %8.1f %s", name.c_str(), times.best(), times.median(), reached, unit);
    if (ceiling > 0) std::printf(" %5.1f %%", 100 * reached / ceiling);
    if (bare != nullptr) std::printf("   %.3f of the bare product", ratio);
    std::printf("\n");
    file_ << "{\"name\": \"" << name << "\", \"best_us\": " << times.best()
          << ", \"median_us\": " << times.median() << ", \"reached\": " << reached << ", \"unit\": \"" << unit
          << "\", \"ceiling\": " << ceiling << ", \"of_bare\": " << ratio << "}" << std::endl;
  }

 private:
  std::ofstream file_;
};

/// Numbers for all tensors of a group, small ones that repeat: a model of billions is filled in seconds.
template <class Group>
void fill_cheaply(Cuda& cuda, Group& group) {
  constexpr std::size_t period = 1 << 16;
  std::vector<float> pattern(period);
  Random random(1);
  for (float& number : pattern) number = static_cast<float>(0.1 * random.uniform() - 0.05);
  visit(
      [&](const std::string&, auto& tensor) {
        using Stored = typename std::remove_cvref_t<decltype(tensor)>::ScalarType;
        std::vector<Stored> host(static_cast<std::size_t>(tensor.size()));
        for (std::size_t i = 0; i < host.size(); ++i) host[i] = scalar_cast<Stored>(pattern[i % period]);
        tensor.upload(cuda, host);
      },
      group);
}

/// A benchmark's main: run(cuda, clock, report), results also to the file that the command line names.
template <class Run>
int measure(int count, char** arguments, Run run) {
  try {
    Cuda cuda;
    Clock clock(cuda);
    Report report(count > 1 ? arguments[1] : "/dev/null");
    run(cuda, clock, report);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace hyperblocks::bench
