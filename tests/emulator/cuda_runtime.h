// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// CUDA's runtime, as far as the library uses it, on the host: memory with canaries at both ends, launches by
// simt.hpp, and streams, whose work is done at once when a block's threads run in the reverse order, and else
// when the host waits for it.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "simt.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(...)

using cudaError_t = int;
inline constexpr cudaError_t cudaSuccess = 0, cudaErrorMemoryAllocation = 2,
                             cudaErrorStreamCaptureUnsupported = 900;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an emulated error";
}

namespace emulator {
inline constexpr std::size_t canary = 256;
inline std::map<void*, std::size_t> allocated;
inline bool harmed = false;  ///< a canary was written to
}  // namespace emulator

using Work = std::function<void()>;
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;

struct CUstream_st {
  std::deque<Work> waiting;
  cudaGraph_t recorded = nullptr;  ///< what is given is recorded there and not done
  void finish() {
    while (!waiting.empty()) {
      const Work work = std::move(waiting.front());
      waiting.pop_front();
      work();
    }
  }
};
using cudaStream_t = CUstream_st*;

namespace emulator {
inline std::set<cudaStream_t> streams;

inline cudaError_t submit(cudaStream_t stream, Work work) {
  if (stream->recorded != nullptr)
    stream->recorded->work.push_back(std::move(work));
  else if (order == Order::descending)
    work();
  else
    stream->waiting.push_back(std::move(work));
  return cudaSuccess;
}
/// What waits for the whole GPU, and may not be recorded.
inline cudaError_t finish_all() {
  for (const cudaStream_t stream : streams) {
    if (stream->recorded != nullptr) return cudaErrorStreamCaptureUnsupported;
    stream->finish();
  }
  return cudaSuccess;
}
}  // namespace emulator

inline cudaError_t cudaMallocAsync(void** bytes, std::size_t size, cudaStream_t) {
  using emulator::canary;
  auto* const base =
      static_cast<unsigned char*>(std::aligned_alloc(canary, (size + 3 * canary) / canary * canary));
  if (base == nullptr) return cudaErrorMemoryAllocation;
  std::memset(base, 0xff, size + 2 * canary);
  *bytes = base + canary;
  emulator::allocated[*bytes] = size;
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* bytes, cudaStream_t stream) {
  return emulator::submit(stream, [bytes] {
    auto* const base = static_cast<unsigned char*>(bytes) - emulator::canary;
    const std::size_t size = emulator::allocated.at(bytes);
    for (std::size_t i = 0; i < emulator::canary; ++i)
      emulator::harmed = emulator::harmed || base[i] != 0xff || base[emulator::canary + size + i] != 0xff;
    emulator::allocated.erase(bytes);
    std::free(base);
  });
}
inline cudaError_t cudaMallocHost(void** bytes, std::size_t size) {
  const auto status = emulator::finish_all();
  return status == cudaSuccess ? cudaMallocAsync(bytes, size, nullptr) : status;
}
inline cudaError_t cudaFreeHost(void* bytes) {
  if (const auto status = emulator::finish_all(); status != cudaSuccess) return status;
  CUstream_st now;
  cudaFreeAsync(bytes, &now);
  now.finish();
  return cudaSuccess;
}

inline constexpr unsigned cudaStreamNonBlocking = 1;
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = *emulator::streams.insert(new CUstream_st).first;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->finish();
  emulator::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->recorded != nullptr) return cudaErrorStreamCaptureUnsupported;
  stream->finish();
  return cudaSuccess;
}

struct CUevent_st {
  cudaStream_t stream = nullptr;
  std::size_t recorded = 0, reached = 0;
};
using cudaEvent_t = CUevent_st*;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return emulator::submit(stream, [event, number = ++event->recorded] { event->reached = number; });
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  while (event->reached != event->recorded) {
    const Work work = std::move(event->stream->waiting.front());
    event->stream->waiting.pop_front();
    work();
  }
  return cudaSuccess;
}

enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recorded = new CUgraph_st;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->recorded, nullptr);
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* program, cudaGraph_t graph, unsigned long long) {
  *program = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t program) {
  delete program;
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t program, cudaStream_t stream) {
  for (const Work& work : program->work) emulator::submit(stream, work);
  return cudaSuccess;
}

inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
using cudaMemPool_t = void*;
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold };
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 3;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t size, cudaStream_t stream) {
  return emulator::submit(stream, [=] { std::memset(to, byte, size); });
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind,
                                   cudaStream_t stream) {
  return emulator::submit(stream, [=] {
    if (size != 0) std::memcpy(to, from, size);
  });
}

/// Threads run one at a time.
template <class T>
T atomicAdd(T* at, T value) {
  const T found = *at;
  *at += value;
  return found;
}
inline void __threadfence() {}
