// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Batched products of the contract against sums in double: every transposition, one matrix for a whole batch,
// accumulation, a batch of one, all instruction sets and thread counts.
#include "support/row_check.hpp"

#include <hyperblocks/ops/cpu/cpu.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;

namespace {
struct Dimensions {
  Index batch, m, n, k;
};

template <class S>
double element(const Matrices<const S>& x, Index i, Index row, Index column) {
  return number(x.data[i * x.batch_stride + row * x.row_stride + column * x.column_stride]);
}

template <class S>
void check_products(const Dimensions& size, bool transposed_a, bool transposed_b, bool shared_b, bool add) {
  const auto& [batch, m, n, k] = size;
  Cpu cpu;
  const auto a = transposed_a ? random_tensor<S, dyn, dyn, dyn>(cpu, 1, batch, k, m)
                              : random_tensor<S, dyn, dyn, dyn>(cpu, 1, batch, m, k);
  const auto b = transposed_b ? random_tensor<S, dyn, dyn, dyn>(cpu, 2, batch, n, k)
                              : random_tensor<S, dyn, dyn, dyn>(cpu, 2, batch, k, n);
  const auto before = random_tensor<S, dyn, dyn, dyn>(cpu, 3, batch, m, n);
  Matrices<const S> left = matrices_of(a.view()), right = matrices_of(b.view());
  if (transposed_a) left = left.transposed();
  if (transposed_b) right = right.transposed();
  if (shared_b) right.batch_stride = 0;
  std::vector<double> expected;
  for (Index i = 0; i < batch; ++i)
    for (Index row = 0; row < m; ++row)
      for (Index column = 0; column < n; ++column) {
        double sum = add ? number(before(i, row, column)) : 0;
        for (Index j = 0; j < k; ++j) sum += element(left, i, row, j) * element(right, i, j, column);
        expected.push_back(sum);
      }
  check_everywhere(expected, 4 * tolerance<S>(), [&](Cpu& device) {
    Tensor<S, Cpu, dyn, dyn, dyn> y(device, batch, m, n);
    std::copy_n(before.data(), y.size(), y.data());
    ops::batched_product<S>(device, left, right, matrices_of(y.view()), add ? Write::add : Write::assign);
    return numbers(y);
  });
}
}  // namespace

TEST_CASE_TEMPLATE("batched products have the naive values", S, float, double, bf16, half) {
  for (const bool transposed_a : {false, true})
    for (const bool transposed_b : {false, true}) {
      check_products<S>({5, 7, 37, 19}, transposed_a, transposed_b, false, false);
      check_products<S>({3, 18, 5, 33}, transposed_a, transposed_b, false, true);
    }
  check_products<S>({4, 3, 33, 8}, false, true, true, false);
  check_products<S>({1, 40, 70, 64}, false, false, false, true);
}

TEST_CASE("matrices that do not fit are an error with the shapes") {
  Cpu cpu;
  Tensor<float, Cpu, dyn, dyn, dyn> a(cpu, 2, 3, 4), b(cpu, 2, 5, 6), y(cpu, 2, 3, 6);
  CHECK_THROWS_WITH_AS(ops::batched_product<float>(cpu, matrices_of(a.view()), matrices_of(b.view()),
                                                   matrices_of(y.view()), Write::assign),
                       doctest::Contains("found (2, 3, 4), (2, 5, 6), (2, 3, 6)"), Error);
}
