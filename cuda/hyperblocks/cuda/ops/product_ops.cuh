// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Products of the Cuda device by cuBLASLt: float, bf16 and half with float sums, double with double. A frozen
// matrix stays row-major here, so packed and plain weights are multiplied by the same calls.
#pragma once

#include <type_traits>

#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/cuda/device.cuh>
#include <hyperblocks/cuda/kernels/rows.cuh>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks::cuda {

template <RealScalar Scalar>
inline constexpr cudaDataType_t data_type = std::is_same_v<Scalar, double>  ? CUDA_R_64F
                                            : std::is_same_v<Scalar, float> ? CUDA_R_32F
                                            : std::is_same_v<Scalar, bf16>  ? CUDA_R_16BF
                                                                            : CUDA_R_16F;

/// A column-major matrix as cuBLASLt sees it; a row-major one is its transpose.
template <RealScalar Scalar>
struct Operand {
  const Scalar* data;
  Index rows, columns;
  bool transposed = false;
};

/// c (m, n), column-major, = alpha op(a) op(b) + beta c + bias (m), the bias optional and not for double.
template <RealScalar Scalar>
class Matmul {
  using Sum = Accumulator<Scalar>;
  template <class Handle, cublasStatus_t (*destroy)(Handle)>
  struct Owned {
    Handle handle = nullptr;
    Owned() = default;
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    ~Owned() {
      if (handle != nullptr) destroy(handle);
    }
  };
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

 public:
  Matmul(Operand<Scalar> a, Operand<Scalar> b, Index m, Index n, const Scalar* bias)
      : a_data_(a.data), b_data_(b.data) {
    constexpr auto compute = std::is_same_v<Scalar, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(&description_.handle, compute, data_type<Sum>));
    set(CUBLASLT_MATMUL_DESC_TRANSA, a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    create(a_, a.rows, a.columns);
    create(b_, b.rows, b.columns);
    create(c_, m, n);
  }

  void run(Cuda& cuda, Sum alpha, Sum beta, Scalar* c) {
    Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
    check(cublasLtMatmulPreferenceCreate(&preference.handle));
    const std::size_t workspace = cuda.workspace().size;
    check(cublasLtMatmulPreferenceSetAttribute(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace, sizeof workspace));
    cublasLtMatmulHeuristicResult_t chosen{};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(cuda.products(), description_.handle, a_.handle, b_.handle,
                                         c_.handle, c_.handle, preference.handle, 1, &chosen, &found));
    check(found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED);
    check(cublasLtMatmul(cuda.products(), description_.handle, &alpha, a_data_, a_.handle, b_data_, b_.handle,
                         &beta, c, c_.handle, c, c_.handle, &chosen.algo, cuda.workspace().bytes.get(),
                         workspace, cuda.stream()));
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublasLtMatmulDescSetAttribute(description_.handle, attribute, &value, sizeof value));
  }
  static void create(Layout& layout, Index rows, Index columns) {
    check(cublasLtMatrixLayoutCreate(&layout.handle, data_type<Scalar>, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), rows));
  }

  const Scalar *a_data_, *b_data_;
  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> description_;
  Layout a_, b_, c_;
};

struct ProductOps {
  template <class Scalar>
  using Rows = View<Scalar, Cuda, dyn, dyn>;
  template <class Scalar>
  using Row = View<Scalar, Cuda, dyn>;

  template <RealScalar Stored>
  static Index packed_size(Index out, Index in) {
    return out * in;
  }
  template <RealScalar Stored>
  static constexpr Index rows_together() {
    return 1;
  }
  template <RealScalar Stored>
  static void pack(Cuda& cuda, const Stored* weight, Index out, Index in, Stored* packed) {
    cuda.upload(packed, weight, static_cast<std::size_t>(out * in) * sizeof(Stored));
  }
  template <RealScalar Stored>
  static void unpack(Cuda& cuda, const Stored* packed, Index out, Index in, Stored* weight) {
    cuda.download(weight, packed, static_cast<std::size_t>(out * in) * sizeof(Stored));
  }

  /// y = x W^T + bias
  template <RealScalar Scalar>
  static void product(Cuda& cuda, Rows<const Scalar> x, Rows<const Scalar> weight, Row<const Scalar> bias,
                      Rows<Scalar> y) {
    product_packed<Scalar, Scalar>(cuda, x, weight.data(), bias, y);
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void product_packed(Cuda& cuda, Rows<const Scalar> x, const Stored* weight, Row<const Scalar> bias,
                             Rows<Scalar> y) {
    static_assert(std::is_same_v<Scalar, Stored>,
                  "hyperblocks: on Cuda a frozen weight has the block's scalar");
    const Index in = x.columns(), out = y.columns();
    const Operand<Scalar> w{weight, in, out, true}, rows{x.data(), in, x.rows()};
    if constexpr (std::is_same_v<Scalar, double>) {  // cuBLASLt adds no bias in double: y starts from it
      if (bias)
        map(cuda, y.size(),
            [b = bias.data(), to = y.data(), out] __device__(Index i) { to[i] = b[i % out]; });
      multiply<Scalar>(cuda, w, rows, out, x.rows(), 1, bias ? 1 : 0, y.data());
    } else {
      multiply<Scalar>(cuda, w, rows, out, x.rows(), 1, 0, y.data(), bias.data());
    }
  }

  /// dx [+]= dy W
  template <RealScalar Scalar>
  static void input_gradient(Cuda& cuda, Rows<const Scalar> dy, Rows<const Scalar> weight, Rows<Scalar> dx,
                             bool add) {
    input_gradient_packed<Scalar, Scalar>(cuda, dy, weight.data(), dx, add);
  }

  template <RealScalar Scalar, RealScalar Stored>
  static void input_gradient_packed(Cuda& cuda, Rows<const Scalar> dy, const Stored* weight, Rows<Scalar> dx,
                                    bool add) {
    static_assert(std::is_same_v<Scalar, Stored>,
                  "hyperblocks: on Cuda a frozen weight has the block's scalar");
    const Index in = dx.columns(), out = dy.columns();
    multiply<Scalar>(cuda, {weight, in, out}, {dy.data(), out, dy.rows()}, in, dy.rows(), 1, add ? 1 : 0,
                     dx.data());
  }

  /// dW [+]= dy^T x
  template <RealScalar Scalar>
  static void weight_gradient(Cuda& cuda, Rows<const Scalar> dy, Rows<const Scalar> x, Rows<Scalar> dweight,
                              bool add) {
    const Index in = x.columns(), out = dy.columns();
    multiply<Scalar>(cuda, {x.data(), in, x.rows()}, {dy.data(), out, dy.rows(), true}, in, out, 1,
                     add ? 1 : 0, dweight.data());
  }

  /// y = x W^T + bias + scale (x A^T) B^T + C ..., in three products for every update.
  template <RealScalar Scalar, Index out, Index in>
  static void low_rank_update(Cuda& cuda, Rows<const Scalar> x, Rows<const Scalar> weight,
                              Row<const Scalar> bias, const LowRank<const Scalar, Cuda, out, in>& updates,
                              Rows<Scalar> y) {
    updated_product<Scalar>(cuda, x,
                            UpdatedProduct<Scalar, Scalar, Cuda, out, in>{weight.data(), bias, updates, y});
  }

  template <RealScalar Scalar, class... Products>
  static void updated_products(Cuda& cuda, Rows<const Scalar> x, const Products&... products) {
    (updated_product<Scalar>(cuda, x, products), ...);
  }

  /// y(i) += row for every row; public, as nvcc demands of a function with a __device__ lambda.
  template <RealScalar Scalar>
  static void add_row(Cuda& cuda, const Scalar* row, Rows<Scalar> y) {
    using Sum = Accumulator<Scalar>;
    map(cuda, y.size(), [row, to = y.data(), columns = y.columns()] __device__(Index i) {
      to[i] = scalar_cast<Scalar>(scalar_cast<Sum>(to[i]) + scalar_cast<Sum>(row[i % columns]));
    });
  }

  /// f(i) for every element, on the device's stream.
  template <class F>
  static void map(Cuda& cuda, Index size, F f) {
    if (size == 0) return;
    constexpr Index threads = 256, most_blocks = 4096;
    const Index blocks = std::min((size + threads - 1) / threads, most_blocks);
    cuda.select();
    kernels::for_elements<<<static_cast<unsigned>(blocks), threads, 0, cuda.stream()>>>(size, f);
    check(cudaGetLastError());
  }

 private:
  template <RealScalar Scalar, class Stored, Index out, Index in>
  static void updated_product(Cuda& cuda, Rows<const Scalar> x,
                              const UpdatedProduct<Scalar, Stored, Cuda, out, in>& product) {
    product_packed<Scalar, Stored>(cuda, x, product.weight, product.bias, product.y);
    each_update(product.updates, [&](const auto& update) {
      const Index rows = update.row_count(x.rows());
      add_update<Scalar>(cuda, x.slice(update.first_row, rows), update,
                         product.y.slice(update.first_row, rows));
    });
  }

  template <RealScalar Scalar, class Update>
  static void add_update(Cuda& cuda, Rows<const Scalar> x, const Update& update, Rows<Scalar> y) {
    const ArenaScope scope(cuda);
    const Index in = x.columns(), out = y.columns(), rank = update.rank(), tokens = x.rows();
    if (update.a) {
      const auto shrunk = take<Scalar, dyn, dyn>(cuda, tokens, rank);
      const bool rows = update.a.form() == FactorForm::rows, columns = update.b.form() == FactorForm::columns;
      const Operand<Scalar> a{update.a.data(), rows ? in : rank, rows ? rank : in, rows};
      const Operand<Scalar> b{update.b.data(), columns ? rank : out, columns ? out : rank, columns};
      multiply<Scalar>(cuda, a, {x.data(), in, tokens}, rank, tokens, update.scale, 0, shrunk.data());
      multiply<Scalar>(cuda, b, {shrunk.data(), rank, tokens}, out, tokens, 1, 1, y.data());
    }
    if (update.bias) add_row<Scalar>(cuda, update.bias.data(), y);
  }

  template <RealScalar Scalar>
  static void multiply(Cuda& cuda, Operand<Scalar> a, Operand<Scalar> b, Index m, Index n, double alpha,
                       double beta, Scalar* c, const Scalar* bias = nullptr) {
    using Sum = Accumulator<Scalar>;
    if (m == 0 || n == 0) return;
    cuda.select();
    Matmul<Scalar>(a, b, m, n, bias).run(cuda, static_cast<Sum>(alpha), static_cast<Sum>(beta), c);
  }
};

}  // namespace hyperblocks::cuda
