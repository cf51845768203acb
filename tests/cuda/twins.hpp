// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The same numbers on two devices: rounded to a scalar on Cuda, and those very numbers in double on the Cpu.
// What both make of them is compared relative to the largest number.
#pragma once

#if defined(__CUDACC__)
#pragma nv_diag_suppress 20011  // nvcc takes the destructor of Eigen's waiting threads for a device's
#endif

#include <doctest/doctest.h>

#include <cmath>

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/cuda/cuda.cuh>
#include <hyperblocks/ops/cpu/cpu.hpp>

#include "support/worse.hpp"

namespace hyperblocks::test {

/// How far a scalar may be from double.
template <class Scalar>
inline constexpr double tolerance = std::is_same_v<Scalar, double>  ? 1e-12
                                    : std::is_same_v<Scalar, float> ? 2e-5
                                    : std::is_same_v<Scalar, half>  ? 4e-3
                                                                    : 2e-2;

struct Devices {
  Cpu cpu{{.threads = 1}};
  Cuda cuda;
  Random random{11};
  Devices() { cuda.arena().poison(true), cpu.arena().poison(true); }
};

template <class Scalar, Index... extents>
class Twins {
 public:
  template <std::convertible_to<Index>... RunTime>
  explicit Twins(Devices& devices, RunTime... run_time)
      : devices_(&devices), cpu_(devices.cpu, run_time...), cuda_(devices.cuda, run_time...) {}

  auto cpu() { return cpu_.view(); }
  auto cuda() { return cuda_.view(); }
  Index size() const { return cpu_.size(); }

  Twins& fill(double deviation = 1) {
    return set([&](Index) { return deviation * devices_->random.normal(); });
  }
  /// NaN: what is not written shows.
  Twins& poison() {
    return set([](Index) { return NAN; });
  }
  template <class F>
  Twins& set(F f) {
    std::vector<Scalar> host(static_cast<std::size_t>(size()));
    for (Index i = 0; i < size(); ++i) {
      host[static_cast<std::size_t>(i)] = scalar_cast<Scalar>(static_cast<double>(f(i)));
      cpu_.span()[static_cast<std::size_t>(i)] = scalar_cast<double>(host[static_cast<std::size_t>(i)]);
    }
    cuda_.upload(devices_->cuda, host);
    return *this;
  }

  std::vector<Scalar> found() {
    std::vector<Scalar> host(static_cast<std::size_t>(size()));
    cuda_.download(devices_->cuda, host);
    return host;
  }
  /// NaN only where the Cpu has it too, and nothing else than infinity where it has that.
  double error() {
    const auto host = found();
    double difference = 0, largest = 1e-30;
    for (std::size_t i = 0; i < host.size(); ++i) {
      const double found = scalar_cast<double>(host[i]), expected = cpu_.span()[i];
      if (std::isfinite(expected)) {
        largest = std::max(largest, std::abs(expected));
        const double error = std::abs(found - expected);
        difference = worse(difference, error);
      } else if (std::isnan(expected) != std::isnan(found) || (std::isinf(expected) && found != expected)) {
        return INFINITY;
      }
    }
    return difference / largest;
  }

 private:
  Devices* devices_;
  Tensor<double, Cpu, extents...> cpu_;
  Tensor<Scalar, Cuda, extents...> cuda_;
};

template <class Scalar>
using TwinRows = Twins<Scalar, dyn, dyn>;
template <class Scalar>
using TwinRow = Twins<Scalar, dyn>;

/// Ids, the same on both.
class TwinIds {
 public:
  TwinIds(Devices& devices, const std::vector<std::int32_t>& ids)
      : cpu_(devices.cpu, static_cast<Index>(ids.size())),
        cuda_(devices.cuda, static_cast<Index>(ids.size())) {
    cpu_.upload(devices.cpu, ids), cuda_.upload(devices.cuda, ids);
  }
  View<const std::int32_t, Cpu, dyn> cpu() { return cpu_.view(); }
  View<const std::int32_t, Cuda, dyn> cuda() { return cuda_.view(); }

 private:
  Tensor<std::int32_t, Cpu, dyn> cpu_;
  Tensor<std::int32_t, Cuda, dyn> cuda_;
};

}  // namespace hyperblocks::test
