// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// CUDA's runtime, as far as the library uses it, on the host: memory with canaries at both ends, streams that
// are always idle, launches by simt.hpp.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "simt.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

using cudaError_t = int;
inline constexpr cudaError_t cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorIllegalAddress = 700;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an emulated error";
}

namespace emulator {
inline constexpr std::size_t canary = 256;
inline std::map<void*, std::size_t> allocated;
inline bool harmed = false;  ///< a canary was written to
}  // namespace emulator

inline cudaError_t cudaMalloc(void** bytes, std::size_t size) {
  using emulator::canary;
  auto* const base =
      static_cast<unsigned char*>(std::aligned_alloc(canary, (size + 3 * canary) / canary * canary));
  if (base == nullptr) return cudaErrorMemoryAllocation;
  std::memset(base, 0xff, size + 2 * canary);
  *bytes = base + canary;
  emulator::allocated[*bytes] = size;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* bytes) {
  if (bytes == nullptr) return cudaSuccess;
  auto* const base = static_cast<unsigned char*>(bytes) - emulator::canary;
  const std::size_t size = emulator::allocated.at(bytes);
  for (std::size_t i = 0; i < emulator::canary; ++i)
    emulator::harmed = emulator::harmed || base[i] != 0xff || base[emulator::canary + size + i] != 0xff;
  emulator::allocated.erase(bytes);
  std::free(base);
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** bytes, std::size_t size) { return cudaMalloc(bytes, size); }
inline cudaError_t cudaFreeHost(void* bytes) { return cudaFree(bytes); }

struct CUstream_st {};
using cudaStream_t = CUstream_st*;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 3;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t size, cudaStream_t) {
  std::memset(to, byte, size);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind,
                                   cudaStream_t) {
  if (size != 0) std::memcpy(to, from, size);
  return cudaSuccess;
}

/// Threads run one at a time.
template <class T>
T atomicAdd(T* at, T value) {
  const T found = *at;
  *at += value;
  return found;
}
inline void __threadfence() {}
