// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Maps: y = f(x...) number by number, computed in the wide scalar and rounded once; and the functions.
#pragma once

#include <hyperblocks/cuda/kernels/packs.cuh>
#include <hyperblocks/ops/activation_functions.hpp>

namespace hyperblocks::cuda::kernels {

struct Identity {
  template <class T>
  __device__ T operator()(T x) const {
    return x;
  }
};
struct Square {
  __device__ double operator()(double x) const { return x * x; }
};
struct Magnitude {
  __device__ double operator()(double x) const { return x < 0 ? -x : x; }
};
/// f of a number in double.
template <class Scalar, class F>
struct TermOf {
  const Scalar* x;
  F f;
  __device__ double operator()(Index i) const { return f(scalar_cast<double>(x[i])); }
};
template <class T>
struct ScaleBy {
  T alpha;
  __device__ T operator()(T x) const { return alpha * x; }
  __device__ T operator()(T x, T y) const { return alpha * x + y; }
};
template <Activation f>
struct Activated {
  template <class T>
  __device__ T operator()(T x) const {
    return evaluate<f>(x).value;
  }
};
template <Activation f>
struct ActivationSlope {
  template <class T>
  __device__ T operator()(T x, T dy) const {
    return dy * evaluate<f>(x).slope;
  }
};
template <Activation f>
struct GatedUnit {
  template <class T>
  __device__ T operator()(T gate, T up) const {
    return evaluate<f>(gate).value * up;
  }
};
template <Activation f>
struct GateSlope {
  template <class T>
  __device__ T operator()(T gate, T up, T dy) const {
    return dy * up * evaluate<f>(gate).slope;
  }
};
template <class T>
struct SoftCap {
  T cap;
  __device__ T operator()(T x) const { return cap * std::tanh(x / cap); }
  __device__ T operator()(T x, T dy) const {
    const T tangent = std::tanh(x / cap);
    return dy * (1 - tangent * tangent);
  }
};

template <int width, class F, class To, class... From>
__global__ void map(Index packs, F f, To* to, const From*... from) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride) {
    Pack<To, width> result;
    const auto compute = [&](const Pack<From, width>&... x) {
      each<width>([&](int k) { result.values[k] = scalar_cast<To>(f(wide(x.values[k])...)); });
    };
    compute(load<width>(from, i)...);
    store(to, i, result);
  }
}

/// y(i) = factor(i) x(i)
template <int width, class Scalar, class Factor>
__global__ void scale_each(Index packs, Factor factor, const Scalar* x, Scalar* y) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride) {
    auto pack = load<width>(x, i);
    each<width>(
        [&](int k) { pack.values[k] = scalar_cast<Scalar>(factor(i * width + k) * wide(pack.values[k])); });
    store(y, i, pack);
  }
}

/// Both gradients of a gated unit in one pass; dgate and dup may be any of the inputs.
template <int width, Activation f, class Scalar>
__global__ void glu_backward(Index packs, const Scalar* gate, const Scalar* up, const Scalar* dy,
                             Scalar* dgate, Scalar* dup) {
  const Index stride = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride) {
    const auto gates = load<width>(gate, i), ups = load<width>(up, i), directions = load<width>(dy, i);
    Pack<Scalar, width> dgates, dups;
    each<width>([&](int k) {
      const auto at = evaluate<f>(wide(gates.values[k]));
      const auto direction = wide(directions.values[k]);
      dgates.values[k] = scalar_cast<Scalar>(direction * wide(ups.values[k]) * at.slope);
      dups.values[k] = scalar_cast<Scalar>(direction * at.value);
    });
    store(dgate, i, dgates), store(dup, i, dups);
  }
}

/// y(i) = f(x(i), row), a block to a row; x may be null: then y(i) = row.
template <int width, class Scalar, class Stored>
__global__ void add_row(Index packs, const Scalar* x, const Stored* row, Scalar* y) {
  const Index first = static_cast<Index>(blockIdx.x) * packs;
  for (Index i = threadIdx.x; i < packs; i += blockDim.x) {
    const auto added = load<width>(row, i);
    Pack<Scalar, width> result;
    if (x == nullptr) {
      each<width>([&](int k) { result.values[k] = scalar_cast<Scalar>(added.values[k]); });
    } else {
      const auto own = load<width>(x, first + i);
      each<width>([&](int k) {
        result.values[k] = scalar_cast<Scalar>(wide(own.values[k]) + wide(added.values[k]));
      });
    }
    store(y, first + i, result);
  }
}

/// y(i) = factors(i) x(i), a block to a row.
template <int width, class Scalar>
__global__ void scale_rows(Index packs, const Scalar* x, const Scalar* factors, Scalar* y) {
  const Index first = static_cast<Index>(blockIdx.x) * packs;
  const auto factor = wide(factors[blockIdx.x]);
  for (Index i = threadIdx.x; i < packs; i += blockDim.x) {
    auto pack = load<width>(x, first + i);
    each<width>([&](int k) { pack.values[k] = scalar_cast<Scalar>(factor * wide(pack.values[k])); });
    store(y, first + i, pack);
  }
}

}  // namespace hyperblocks::cuda::kernels
