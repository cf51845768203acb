// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// cuBLASLt, as far as the library uses it, on the host: plain loops, sums in double. What the real one
// refuses or is not to be trusted with is refused here: types that it has no product of, sums of nothing, a
// bias that is not in whole packs.
#pragma once

#include <cuda_runtime.h>

#include <hyperblocks/core/dtype.hpp>

enum cudaDataType_t { CUDA_R_32F, CUDA_R_64F, CUDA_R_16F, CUDA_R_16BF };
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_NOT_SUPPORTED };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS };
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA,
  CUBLASLT_MATMUL_DESC_TRANSB,
  CUBLASLT_MATMUL_DESC_EPILOGUE,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER,
  CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE
};
enum cublasLtMatrixLayoutAttribute_t {
  CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
  CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET
};
enum cublasLtMatmulPreferenceAttributes_t {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
};

inline const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_NOT_SUPPORTED";
}

struct cublasLtContext {};
using cublasLtHandle_t = cublasLtContext*;
struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias_type = CUDA_R_32F;
  const void* bias = nullptr;
};
using cublasLtMatmulDesc_t = cublasLtMatmulDescOpaque_t*;
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::int64_t rows, columns, leading, stride = 0;
  std::int32_t batch = 1;
};
using cublasLtMatrixLayout_t = cublasLtMatrixLayoutOpaque_t*;
struct cublasLtMatmulPreferenceOpaque_t {};
using cublasLtMatmulPreference_t = cublasLtMatmulPreferenceOpaque_t*;
struct cublasLtMatmulAlgo_t {
  int number = 0;
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
};

inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t,
                                               cudaDataType_t type) {
  *description = new cublasLtMatmulDescOpaque_t;
  (*description)->bias_type = type;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                                     cublasLtMatmulDescAttributes_t attribute,
                                                     const void* value, std::size_t size) {
  void* const places[] = {&description->a, &description->b, &description->epilogue, &description->bias,
                          &description->bias_type};
  std::memcpy(places[attribute], value, size);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                                 std::uint64_t rows, std::uint64_t columns,
                                                 std::int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<std::int64_t>(rows),
                                             static_cast<std::int64_t>(columns), leading};
  return leading >= static_cast<std::int64_t>(rows) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                       cublasLtMatrixLayoutAttribute_t attribute,
                                                       const void* value, std::size_t size) {
  void* const place =
      attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? static_cast<void*>(&layout->batch) : &layout->stride;
  std::memcpy(place, value, size);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                           cublasLtMatmulPreferenceAttributes_t, const void*,
                                                           std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                                     cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                     cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                     cublasLtMatmulPreference_t, int,
                                                     cublasLtMatmulHeuristicResult_t*, int* found) {
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

namespace emulator {
inline double number(const void* data, cudaDataType_t type, std::int64_t i) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[i];
    case CUDA_R_32F:
      return static_cast<double>(static_cast<const float*>(data)[i]);
    case CUDA_R_16BF:
      return hyperblocks::scalar_cast<double>(static_cast<const hyperblocks::bf16*>(data)[i]);
    default:
      return hyperblocks::scalar_cast<double>(static_cast<const hyperblocks::half*>(data)[i]);
  }
}
inline void set_number(void* data, cudaDataType_t type, std::int64_t i, double value) {
  switch (type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[i] = value;
      break;
    case CUDA_R_32F:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      break;
    case CUDA_R_16BF:
      static_cast<hyperblocks::bf16*>(data)[i] = hyperblocks::scalar_cast<hyperblocks::bf16>(value);
      break;
    default:
      static_cast<hyperblocks::half*>(data)[i] = hyperblocks::scalar_cast<hyperblocks::half>(value);
  }
}

struct Matrix {
  const void* data;
  cublasLtMatrixLayoutOpaque_t layout;
  bool turned = false;

  std::int64_t rows() const { return turned ? layout.columns : layout.rows; }
  std::int64_t columns() const { return turned ? layout.rows : layout.columns; }
  std::int64_t at(std::int64_t batch, std::int64_t row, std::int64_t column) const {
    return batch * layout.stride + (turned ? row * layout.leading + column : column * layout.leading + row);
  }
  double operator()(std::int64_t batch, std::int64_t row, std::int64_t column) const {
    return number(data, layout.type, at(batch, row, column));
  }
};

inline void multiply(const cublasLtMatmulDescOpaque_t& description, double alpha, const Matrix& a,
                     const Matrix& b, double beta, const Matrix& c, const Matrix& d) {
  for (std::int64_t batch = 0; batch < d.layout.batch; ++batch)
    for (std::int64_t j = 0; j < d.columns(); ++j)
      for (std::int64_t i = 0; i < d.rows(); ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < a.columns(); ++k) sum += a(batch, i, k) * b(batch, k, j);
        sum *= alpha;
        if (beta != 0) sum += beta * c(batch, i, j);
        if (description.epilogue == CUBLASLT_EPILOGUE_BIAS)
          sum += number(description.bias, description.bias_type, i);
        set_number(const_cast<void*>(d.data), d.layout.type, d.at(batch, i, j), sum);
      }
}
}  // namespace emulator

/// d = alpha op(a) op(b) + beta c + bias; all matrices column-major.
inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                                     const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                                     cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                                     cublasLtMatrixLayout_t c_layout, void* d,
                                     cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t*, void*,
                                     std::size_t, cudaStream_t stream) {
  using emulator::Matrix;
  const Matrix left{a, *a_layout, description->a == CUBLAS_OP_T},
      right{b, *b_layout, description->b == CUBLAS_OP_T}, added{c, *c_layout}, result{d, *d_layout};
  if (right.rows() != left.columns() || left.rows() != result.rows() || right.columns() != result.columns())
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto in = a_layout->type, out = d_layout->type;
  const bool known = b_layout->type == in && (out == in || (out == CUDA_R_32F && in != CUDA_R_64F));
  const bool biased = description->epilogue == CUBLASLT_EPILOGUE_BIAS;
  const bool whole =
      !biased || (out != CUDA_R_64F && reinterpret_cast<std::uintptr_t>(description->bias) % 16 == 0);
  if (!known || !whole || left.columns() == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto type = out == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  emulator::submit(stream, [=, settings = *description, factor = emulator::number(alpha, type, 0),
                            kept = emulator::number(beta, type, 0)] {
    emulator::multiply(settings, factor, left, right, kept, added, result);
  });
  return CUBLAS_STATUS_SUCCESS;
}
