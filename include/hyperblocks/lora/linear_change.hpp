// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LinearChange: what merging an update into one linear adds to its weight and its bias, computed on the host
// in double from factors of any origin. The mechanics of merge.hpp.
#pragma once

#include <cmath>
#include <span>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/lora/host_adapter.hpp>
#include <hyperblocks/lora/host_tasks.hpp>
#include <hyperblocks/ops/low_rank.hpp>

namespace hyperblocks::detail {

/// b (out, rank) a (rank, in)
struct HostProduct {
  Index out = 0, in = 0, rank = 0;
  std::vector<double> b, a;
};

/// sign scale B A, and sign C as the product of a column and a 1.
struct LinearChange {
  HostProduct weight, bias;
};

template <class Number>
std::vector<double> widened(std::span<const Number> numbers, double factor, const std::string& where) {
  std::vector<double> wide;
  wide.reserve(numbers.size());
  for (const Number number : numbers) {
    wide.push_back(factor * scalar_cast<double>(number));
    check(std::isfinite(wide.back()),
          [&] { return Error("a number is not finite", where, "finite factors", shown(wide.back())); });
  }
  return wide;
}

template <class Device>
LinearChange change_of(Device&, const HostFactors& factors, double sign, const std::string& where) {
  check_factors(factors, where);
  const auto& [in, out] = factors.size;
  const auto wide = [&](const std::vector<float>& numbers, double factor) {
    return widened<float>(numbers, factor, where);
  };
  return {{out, in, factors.rank, wide(factors.b, sign * factors.scale), wide(factors.a, 1)},
          {out, 1, factors.bias.empty() ? 0 : 1, wide(factors.bias, sign), {1}}};
}

template <class Device, class Scalar, Index out, Index in>
LinearChange change_of(Device& device, const LowRank<const Scalar, Device, out, in>& update, double sign,
                       const std::string& where) {
  const Index rank = update.rank();
  check(update.b.rank() == rank, [&] {
    return Error("the ranks of A and B differ", where, std::to_string(rank), std::to_string(update.b.rank()));
  });
  check(update.next == nullptr && update.first_row == 0 && update.rows == update.all, [&] {
    return Error("an update that is not for all rows alone", where, "one update of all rows",
                 update.next != nullptr ? "several" : "one of some rows");
  });
  const auto wide = [&](const Scalar* from, Index size, double factor) {
    std::vector<Scalar> host(static_cast<std::size_t>(size));
    device.download(host.data(), from, host.size() * sizeof(Scalar));
    return widened<Scalar>(host, factor, where);
  };
  const auto a = wide(update.a.data(), rank * in, 1);
  const auto b = wide(update.b.data(), rank * out, sign * update.scale);
  return {{out, in, rank, converted<double>(b, rank, update.b.form() == FactorForm::rows),
           converted<double>(a, in, update.a.form() == FactorForm::columns)},
          {out, 1, update.bias ? 1 : 0, wide(update.bias.data(), update.bias ? out : 0, sign), {1}}};
}

/// That a linear has the change's size, and a bias where there is a C.
template <class Weight, class Bias>
void check_change(const Weight& weight, const Bias& bias, const LinearChange& change,
                  const std::string& where) {
  const LinearSize expected{weight.shape()[1], weight.shape()[0]};
  const LinearSize found{change.weight.in, change.weight.out};
  check(found == expected, [&] {
    return Error("the update's size is not the linear's", where, to_string(expected), to_string(found));
  });
  if (change.bias.rank == 0) return;
  Index size = 0;
  if constexpr (!std::same_as<Bias, Nothing>) size = bias.size();
  check(size == found.out, [&] {
    return Error("C has no bias that it could be added to", where,
                 "a bias of " + std::to_string(found.out) + " numbers, or an update without C",
                 size == 0 ? "no bias" : std::to_string(size) + " numbers");
  });
}

/// A tensor's numbers plus the product's, rounded once.
template <class Device, class Numbers>
auto sum_of(Device& device, const Numbers& before, const HostProduct& product, const std::string& where) {
  using Scalar = typename Numbers::ScalarType;
  std::vector<Scalar> numbers(static_cast<std::size_t>(before.size()));
  before.download(device, numbers);
  run_on_host(device, product.out, [&](Index row) {
    std::vector<double> added(static_cast<std::size_t>(product.in));
    for (Index i = 0; i < product.rank; ++i) {
      const double factor = product.b[static_cast<std::size_t>(row * product.rank + i)];
      const double* a = product.a.data() + i * product.in;
      for (double& element : added) element += factor * *a++;
    }
    Scalar* number = numbers.data() + row * product.in;
    for (const double element : added) {
      *number = scalar_cast<Scalar>(scalar_cast<double>(*number) + element);
      check(std::isfinite(scalar_cast<double>(*number)),
            [&] { return Error("the sum is not finite", where, "finite weights", "NaN or infinity"); });
      ++number;
    }
  });
  return numbers;
}

/// Weight and bias are changed together, or, if there is an error, not at all.
template <class Device, class Weight, class Bias>
void apply(Device& device, Weight& weight, [[maybe_unused]] Bias& bias, const LinearChange& change,
           const std::string& where) {
  check_change(weight, bias, change, where);
  const auto weights = sum_of(device, weight, change.weight, where);
  if constexpr (!std::same_as<Bias, Nothing>)
    if (change.bias.rank > 0) bias.upload(device, sum_of(device, bias, change.bias, where));
  weight.upload(device, weights);
}

}  // namespace hyperblocks::detail
