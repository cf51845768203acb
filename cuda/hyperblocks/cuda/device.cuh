// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Cuda: one GPU's stream, cuBLASLt handle with its workspace and the plans of its products, pinned memory for
// transfers, and an arena.
// Several may live in one process, on one GPU or on several; each is given work by one host thread at a time.
// Nothing is global. Work is asynchronous, uploads too; what kernels find wrong is thrown when the host
// waits.
#pragma once

#include <array>
#include <map>

#include <hyperblocks/core/memory.hpp>
#include <hyperblocks/core/shape.hpp>
#include <hyperblocks/cuda/faults.cuh>
#include <hyperblocks/cuda/staging.cuh>

namespace hyperblocks {

class Cuda final : public Memory {
 public:
  /// What a product's algorithm depends on: shapes, strides, types, alignments.
  using ProductKey = std::array<Index, 20>;

  explicit Cuda(int ordinal = 0) : ordinal_(select(ordinal)) {
    cudaStream_t stream = nullptr;
    cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_.reset(stream, [](cudaStream_t ended) { cudaStreamDestroy(ended); });
    cublasLtHandle_t products = nullptr;
    cuda::check(cublasLtCreate(&products));
    products_.reset(products);
    cuda::check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, ordinal));
    cuda::check(cudaDeviceGetAttribute(&most_shared_, cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal));
    keep_freed_memory();
    workspace_ = allocate(std::size_t{32} << 20);
    progress_ = allocate(Memory::alignment);
  }
  ~Cuda() { cudaStreamSynchronize(stream()); }

  Arena& arena() { return arena_; }
  cudaStream_t stream() const { return stream_.get(); }
  cublasLtHandle_t products() const { return products_.get(); }
  const Buffer& workspace() const { return workspace_; }
  /// A few zeros by which the blocks of a launch tell one another how far they are, and which they leave so.
  void* progress() const { return progress_.bytes.get(); }
  int processors() const { return processors_; }
  /// Bytes that a block's shared memory can have.
  int most_shared() const { return most_shared_; }
  std::map<ProductKey, cublasLtMatmulAlgo_t>& plans() { return plans_; }
  cuda::FaultReport faults() const { return faults_.report(); }
  int ordinal() const { return ordinal_; }

  /// Makes this GPU the calling thread's: before every launch.
  void select() const { select(ordinal_); }
  /// Waits for all work given before; throws what a kernel found wrong.
  void synchronise() {
    hyperblocks::check(!recording_, [] {
      return Error("what is recorded waits for the device", "Graph", "work that goes on by itself",
                   "a download or a wait");
    });
    cuda::check(cudaStreamSynchronize(stream()));
    faults_.raise();
  }

  /// In the stream's order, as it is freed: nobody waits. The stream lives as long as any of its memory.
  Buffer allocate(std::size_t size) override {
    hyperblocks::check(!recording_, [&] {
      return Error("what is recorded allocates", "Graph", "memory that is there already",
                   std::to_string(size) + " bytes");
    });
    select();
    void* bytes = nullptr;
    cuda::check(cudaMallocAsync(&bytes, std::max<std::size_t>(size, 1), stream()));
    Buffer buffer{std::shared_ptr<void>(bytes, [at = stream_](void* p) { cudaFreeAsync(p, at.get()); }),
                  size};
    fill(bytes, 0, size);
    return buffer;
  }
  void fill(void* to, unsigned char byte, std::size_t size) override {
    select();
    cuda::check(cudaMemsetAsync(to, byte, size, stream()));
  }
  /// The host's bytes may go when this returns; they arrive in the stream's order.
  void upload(void* to, const void* host, std::size_t size) override {
    hyperblocks::check(!recording_, [&] {
      return Error("what is recorded uploads: it would upload the same every time", "Graph",
                   "ids and the like uploaded before, to where they are read",
                   std::to_string(size) + " bytes");
    });
    select();
    staging_.upload(to, host, size, stream());
  }
  void download(void* host, const void* from, std::size_t size) override {
    select();
    if (!recording_) staging_.download(host, from, size, stream());
    synchronise();  // throws what kernels found wrong, and while recording
  }

  /// What is given to the stream until end_recording is not done but recorded: see Graph.
  void begin_recording() {
    select();
    cuda::check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
    recording_ = true;
  }
  /// What was recorded, to be destroyed by the caller; null after an error.
  cudaGraph_t end_recording() {
    recording_ = false;
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream(), &graph) == cudaSuccess) return graph;
    (void)cudaGetLastError();
    return nullptr;
  }

 private:
  static int select(int ordinal) {
    cuda::check(cudaSetDevice(ordinal));
    return ordinal;
  }

  /// Else every wait gives it back to the system, and what comes next has to map it anew.
  void keep_freed_memory() const {
    cudaMemPool_t pool{};
    cuda::check(cudaDeviceGetDefaultMemPool(&pool, ordinal_));
    std::uint64_t all = UINT64_MAX;
    cuda::check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all));
  }

  struct DestroyProducts {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };

  int ordinal_;
  std::shared_ptr<std::remove_pointer_t<cudaStream_t>> stream_;
  std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, DestroyProducts> products_;
  cuda::Faults faults_;
  cuda::Staging staging_;
  bool recording_ = false;
  std::map<ProductKey, cublasLtMatmulAlgo_t> plans_;
  int processors_ = 0, most_shared_ = 0;
  Buffer workspace_, progress_;
  Arena arena_{*this};
};

}  // namespace hyperblocks
