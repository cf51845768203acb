// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Matmul: one product by cuBLASLt, c = alpha op(a) op(b) + beta c + bias, or a batch of them. All matrices
// are column-major, as cuBLASLt sees them; a row-major one is its transpose. The algorithm chosen for a shape
// is kept by the device.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/cuda/device.cuh>

namespace hyperblocks::cuda {

template <RealScalar Scalar>
inline constexpr cudaDataType_t data_type = std::is_same_v<Scalar, double>  ? CUDA_R_64F
                                            : std::is_same_v<Scalar, float> ? CUDA_R_32F
                                            : std::is_same_v<Scalar, bf16>  ? CUDA_R_16BF
                                                                            : CUDA_R_16F;

/// A column-major matrix, or a batch of them; `leading` is the distance of columns.
template <class Scalar>
struct Operand {
  Scalar* data;
  Index rows, columns, leading;
  bool transposed = false;
  Index batch_stride = 0;
};

/// Sums are kept in double for double, else in float. The bias (rows of c), in c's scalar, is optional and
/// not for double.
template <RealScalar Scalar, RealScalar Result>
struct Matmul {
  using Sum = Accumulator<Scalar>;
  Operand<const Scalar> a, b;
  Operand<Result> c;
  Index batch = 1;
  const Result* bias = nullptr;

  void run(Cuda& cuda, double alpha, double beta) const {
    if (c.rows == 0 || c.columns == 0 || batch == 0) return;
    cuda.select();
    const Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> description = describe();
    const Layout a_layout = layout(a), b_layout = layout(b), c_layout = layout(c);
    const Cuda::ProductKey wanted = key();
    auto plan = cuda.plans().find(wanted);
    if (plan == cuda.plans().end()) {
      const auto chosen = choose(cuda, description.handle, a_layout.handle, b_layout.handle, c_layout.handle);
      plan = cuda.plans().emplace(wanted, chosen).first;
    }
    const auto own_alpha = static_cast<Sum>(alpha), own_beta = static_cast<Sum>(beta);
    check(cublasLtMatmul(cuda.products(), description.handle, &own_alpha, a.data, a_layout.handle, b.data,
                         b_layout.handle, &own_beta, c.data, c_layout.handle, c.data, c_layout.handle,
                         &plan->second, cuda.workspace().bytes.get(), cuda.workspace().size, cuda.stream()));
  }

 private:
  template <class Handle, cublasStatus_t (*destroy)(Handle)>
  struct Owned {
    Handle handle = nullptr;
    Owned() = default;
    Owned(Owned&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    Owned& operator=(Owned&&) = delete;
    ~Owned() {
      if (handle != nullptr) destroy(handle);
    }
  };
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> describe() const {
    constexpr auto compute = std::is_same_v<Scalar, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> description;
    check(cublasLtMatmulDescCreate(&description.handle, compute, data_type<Sum>));
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
      check(cublasLtMatmulDescSetAttribute(description.handle, attribute, &value, sizeof value));
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type<Result>);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    return description;
  }

  template <class S>
  Layout layout(const Operand<S>& operand) const {
    Layout result;
    check(cublasLtMatrixLayoutCreate(&result.handle, data_type<std::remove_const_t<S>>,
                                     static_cast<std::uint64_t>(operand.rows),
                                     static_cast<std::uint64_t>(operand.columns), operand.leading));
    const auto set = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      check(cublasLtMatrixLayoutSetAttribute(result.handle, attribute, &value, sizeof value));
    };
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, static_cast<std::int64_t>(operand.batch_stride));
    return result;
  }

  cublasLtMatmulAlgo_t choose(Cuda& cuda, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a_layout,
                              cublasLtMatrixLayout_t b_layout, cublasLtMatrixLayout_t c_layout) const {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(&preference.handle));
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference.handle, attribute, &value, sizeof value));
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, cuda.workspace().size);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(b));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));
    cublasLtMatmulHeuristicResult_t chosen{};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(cuda.products(), description, a_layout, b_layout, c_layout, c_layout,
                                         preference.handle, 1, &chosen, &found));
    check(found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED);
    return chosen.algo;
  }

  /// Of every matrix of a batch, in bytes.
  template <class S>
  static std::uint32_t alignment(const Operand<S>& operand) {
    const auto bits = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(operand.data)) |
                      static_cast<std::uint32_t>(operand.batch_stride * static_cast<Index>(sizeof(S))) | 256u;
    return 1u << std::countr_zero(bits);
  }

  Cuda::ProductKey key() const {
    const auto number = [](auto value) { return static_cast<Index>(value); };
    return {number(data_type<Scalar>),
            number(data_type<Result>),
            number(bias != nullptr),
            batch,
            a.rows,
            a.columns,
            a.leading,
            number(a.transposed),
            a.batch_stride,
            b.rows,
            b.columns,
            b.leading,
            number(b.transposed),
            b.batch_stride,
            c.leading,
            c.batch_stride,
            number(alignment(a)),
            number(alignment(b)),
            number(alignment(c)),
            c.rows};
  }
};

}  // namespace hyperblocks::cuda
