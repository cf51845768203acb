// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Backward functions in float, bf16 and half against the same function in double on the same numbers; in
// double they are checked by central differences elsewhere.
#include "support/row_check.hpp"

#include <hyperblocks/ops/cpu/activation_ops.hpp>
#include <hyperblocks/ops/cpu/loss_ops.hpp>
#include <hyperblocks/ops/cpu/row_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::ActivationOps;
using cpu::LossOps;
using cpu::RowOps;

namespace {

constexpr Index rows = 37, columns = 301, top = 5;  // no vector divides the columns

template <class To, class From, Index... extents>
Tensor<To, Cpu, extents...> copied(Cpu& cpu, const Tensor<From, Cpu, extents...>& from) {
  Tensor<To, Cpu, extents...> result;
  if constexpr (sizeof...(extents) == 1)
    result = Tensor<To, Cpu, extents...>(cpu, from.extent(0));
  else
    result = Tensor<To, Cpu, extents...>(cpu, from.extent(0), from.extent(1));
  for (Index i = 0; i < from.size(); ++i) result.data()[i] = scalar_cast<To>(from.data()[i]);
  return result;
}

/// What backward functions read; numbers of `Stored` precision, held as S.
template <class S>
struct Inputs {
  template <class Stored>
  Inputs(Cpu& cpu, std::type_identity<Stored>) : ids(cpu, rows), top_ids(cpu, rows, top) {
    Index seed = 0;
    for (auto* const matrix : {&x, &dy, &up, &logs})
      *matrix = copied<S>(cpu, random_tensor<Stored, dyn, dyn>(cpu, static_cast<std::uint64_t>(++seed), rows,
                                                               matrix == &logs ? top : columns));
    weight = copied<S>(cpu, random_tensor<Stored, dyn>(cpu, 5, columns));
    weights = copied<Accumulator<S>>(cpu, random_tensor<float, dyn>(cpu, 6, rows));
    for (Index i = 0; i < rows; ++i) {
      ids(i) = static_cast<std::int32_t>(i * i % 11);  // several times the same
      for (Index j = 0; j < top; ++j) top_ids(i, j) = static_cast<std::int32_t>((i * 31 + j * 17) % columns);
    }
  }

  Tensor<S, Cpu, dyn, dyn> x, dy, up, logs;
  Tensor<S, Cpu, dyn> weight;
  Tensor<Accumulator<S>, Cpu, dyn> weights;
  Tensor<std::int32_t, Cpu, dyn> ids;
  Tensor<std::int32_t, Cpu, dyn, dyn> top_ids;
};

template <class S>
struct Outputs {
  explicit Outputs(Cpu& cpu)
      : dx(cpu, rows, columns),
        dup(cpu, rows, columns),
        dweight(cpu, columns),
        dbias(cpu, columns),
        losses(cpu, rows) {}

  std::vector<double> all() const {
    std::vector<double> result;
    for (const auto* part : {&dx, &dup})
      for (const S value : part->span()) result.push_back(number(value));
    for (const auto* part : {&dweight, &dbias})
      for (const S value : part->span()) result.push_back(number(value));
    for (const auto value : losses.span()) result.push_back(number(value));
    return result;
  }

  Tensor<S, Cpu, dyn, dyn> dx, dup;
  Tensor<S, Cpu, dyn> dweight, dbias;
  Tensor<Accumulator<S>, Cpu, dyn> losses;
};

/// Runs f<T>(cpu, inputs, outputs) in S everywhere and in double once.
template <class S, class F>
void check_against_double(F f, double factor = 1) {
  Cpu cpu;
  const std::type_identity<S> stored;
  Outputs<double> exact(cpu);
  f(cpu, Inputs<double>(cpu, stored), exact);
  const Inputs<S> inputs(cpu, stored);
  check_everywhere(exact.all(), factor * tolerance<S>(), [&](Cpu& device) {
    Outputs<S> outputs(device);
    f(device, inputs, outputs);
    return outputs.all();
  });
}

}  // namespace

TEST_CASE_TEMPLATE("backward of norms, softmax and sums", S, float, bf16, half) {
  check_against_double<S>([]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
    RowOps::rms_norm_backward<T>(cpu, in.x, in.weight, in.dy, out.dx, out.dweight, 1e-6, 1, false);
  });
  check_against_double<S>([]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
    RowOps::layer_norm_backward<T>(cpu, in.x, in.weight, in.dy, out.dx, out.dweight, out.dbias, 1e-5, false);
  });
  check_against_double<S>(
      []<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
        RowOps::softmax_backward<T>(cpu, in.x, in.dy, out.dx);
        RowOps::column_sums<T>(cpu, in.dy, out.dbias, false);
        RowOps::column_sums<T>(cpu, in.x, out.dbias, true);
      },
      4);  // 301 products are summed and subtracted from one
}

TEST_CASE_TEMPLATE("backward of activations and gated units", S, float, bf16, half) {
  for (const Activation activation : {Activation::identity, Activation::relu, Activation::silu,
                                      Activation::gelu_exact, Activation::gelu_tanh, Activation::sigmoid}) {
    check_against_double<S>([=]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
      const auto flat = [](auto&& matrix) { return matrix.view().template reshape<dyn>(matrix.size()); };
      ActivationOps::activate_backward<T>(cpu, activation, flat(in.x), flat(in.dy), flat(out.dx));
    });
    check_against_double<S>([=]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
      ActivationOps::glu_backward<T>(cpu, activation, in.x, in.up, in.dy, out.dx, out.dup);
    });
  }
}

TEST_CASE_TEMPLATE("backward of losses, with weights", S, float, bf16, half) {
  check_against_double<S>([]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
    LossOps::cross_entropy<T>(cpu, in.x, in.ids, 0.1, out.losses, out.dx, in.weights);
  });
  check_against_double<S>([]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
    LossOps::topk_kl<T, T>(cpu, in.x, in.top_ids, in.logs, out.losses, out.dx, in.weights);
  });
}

TEST_CASE_TEMPLATE("backward of embedding and rotary positions", S, float, bf16, half) {
  for (const bool add : {false, true})
    check_against_double<S>([=]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
      std::copy_n(in.up.data(), in.up.size(), out.dx.data());
      RowOps::embedding_backward<T>(cpu, in.ids, in.dy, out.dx, 0.5, add);
    });
  for (const RopeLayout layout : {RopeLayout::half_split, RopeLayout::interleaved})
    check_against_double<S>([=]<class T>(Cpu& cpu, const Inputs<T>& in, Outputs<T>& out) {
      const RopeTables<Accumulator<T>, Cpu> tables(cpu, 10000, 22, rows);
      std::copy_n(in.dy.data(), in.dy.size(), out.dx.data());
      RowOps::rope<T>(cpu, out.dx, tables, rows, 7, layout, true);
    });
}
