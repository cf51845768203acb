// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Cuda: one GPU's stream, cuBLASLt handle with its workspace and the plans of its products, and an arena.
// Several may live in one process, on one GPU or on several; each is given work by one host thread at a time.
// Nothing is global. Work is asynchronous; what kernels find wrong is thrown when the host waits.
#pragma once

#include <array>
#include <map>

#include <hyperblocks/core/memory.hpp>
#include <hyperblocks/core/shape.hpp>
#include <hyperblocks/cuda/faults.cuh>

namespace hyperblocks {

class Cuda final : public Memory {
 public:
  /// What a product's algorithm depends on: shapes, strides, types, alignments.
  using ProductKey = std::array<Index, 20>;

  explicit Cuda(int ordinal = 0) : ordinal_(select(ordinal)) {
    cudaStream_t stream = nullptr;
    cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_.reset(stream);
    cublasLtHandle_t products = nullptr;
    cuda::check(cublasLtCreate(&products));
    products_.reset(products);
    cuda::check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, ordinal));
    workspace_ = allocate(std::size_t{32} << 20);
    progress_ = allocate(Memory::alignment);
  }

  Arena& arena() { return arena_; }
  cudaStream_t stream() const { return stream_.get(); }
  cublasLtHandle_t products() const { return products_.get(); }
  const Buffer& workspace() const { return workspace_; }
  /// A few zeros by which the blocks of a launch tell one another how far they are, and which they leave so.
  void* progress() const { return progress_.bytes.get(); }
  int processors() const { return processors_; }
  std::map<ProductKey, cublasLtMatmulAlgo_t>& plans() { return plans_; }
  cuda::FaultReport faults() const { return faults_.report(); }
  int ordinal() const { return ordinal_; }

  /// Makes this GPU the calling thread's: before every launch.
  void select() const { select(ordinal_); }
  /// Waits for all work given before; throws what a kernel found wrong.
  void synchronise() {
    cuda::check(cudaStreamSynchronize(stream()));
    faults_.raise();
  }

  Buffer allocate(std::size_t size) override {
    select();
    void* bytes = nullptr;
    cuda::check(cudaMalloc(&bytes, std::max<std::size_t>(size, 1)));
    Buffer buffer{std::shared_ptr<void>(bytes, [](void* p) { cudaFree(p); }), size};
    fill(bytes, 0, size);
    return buffer;
  }
  void fill(void* to, unsigned char byte, std::size_t size) override {
    select();
    cuda::check(cudaMemsetAsync(to, byte, size, stream()));
  }
  void upload(void* to, const void* host, std::size_t size) override {
    copy(to, host, size, cudaMemcpyHostToDevice);
  }
  void download(void* host, const void* from, std::size_t size) override {
    copy(host, from, size, cudaMemcpyDeviceToHost);
  }

 private:
  static int select(int ordinal) {
    cuda::check(cudaSetDevice(ordinal));
    return ordinal;
  }
  void copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
    select();
    cuda::check(cudaMemcpyAsync(to, from, size, kind, stream()));
    synchronise();
  }

  struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  struct DestroyProducts {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };

  int ordinal_;
  std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream> stream_;
  std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, DestroyProducts> products_;
  cuda::Faults faults_;
  std::map<ProductKey, cublasLtMatmulAlgo_t> plans_;
  int processors_ = 0;
  Buffer workspace_, progress_;
  Arena arena_{*this};
};

}  // namespace hyperblocks
