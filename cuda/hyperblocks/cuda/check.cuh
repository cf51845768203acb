// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Every status of the CUDA runtime and of cuBLASLt becomes an Error with file and line.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <source_location>
#include <string>

#include <hyperblocks/core/check.hpp>

namespace hyperblocks::cuda {

inline void check(bool good, const char* status, const std::source_location& place) {
  hyperblocks::check(good, [&] {
    return Error("a CUDA call failed", std::string(place.file_name()) + ":" + std::to_string(place.line()),
                 "success", status);
  });
}

inline void check(cudaError_t status, std::source_location place = std::source_location::current()) {
  if (status != cudaSuccess) (void)cudaGetLastError();  // it is told here, not at the next launch
  check(status == cudaSuccess, cudaGetErrorString(status), place);
}

inline void check(cublasStatus_t status, std::source_location place = std::source_location::current()) {
  check(status == CUBLAS_STATUS_SUCCESS, cublasLtGetStatusName(status), place);
}

}  // namespace hyperblocks::cuda
