// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Graph: work on a Cuda device that is given once and then done again and again by one launch.
//   cuda::Graph step(cuda, [&] { Model::forward(cuda, params, input, output); });    has done it once
//   ids.upload(cuda, next);
//   step.run();                                                                      does it again
// The same operations on the same memory: what changes from run to run is written there before. The work must
// neither upload nor wait for the device.
#pragma once

#include <hyperblocks/core/recorded.hpp>
#include <hyperblocks/cuda/device.cuh>

namespace hyperblocks {
namespace cuda {

class Graph {
 public:
  /// Does the work, which grows the arena and finds the products' plans, then records it.
  template <class Work>
  Graph(Cuda& cuda, Work work) : cuda_(&cuda), mark_(cuda.arena().mark()) {
    work();
    const std::size_t allocations = cuda.arena().allocations();
    cuda.begin_recording();
    try {
      work();
    } catch (...) {
      const Recorded nothing(cuda.end_recording());
      throw;
    }
    const Recorded recorded(cuda.end_recording());
    hyperblocks::check(recorded != nullptr && cuda.arena().allocations() == allocations, [] {
      return Error("the work cannot be recorded", "Graph", "operations on one device that do not wait",
                   "others");
    });
    cudaGraphExec_t program = nullptr;
    check(cudaGraphInstantiate(&program, recorded.get(), 0));
    program_.reset(program);
  }

  /// The scratch is the one that was recorded, so that nothing else may be using it.
  void run() {
    const Arena::Mark now = cuda_->arena().mark();
    hyperblocks::check(now.chunk < mark_.chunk || (now.chunk == mark_.chunk && now.offset <= mark_.offset),
                       [] {
                         return Error("the recorded work's scratch is in use", "Graph::run",
                                      "no more taken from the arena than when it was recorded", "more");
                       });
    cuda_->select();
    check(cudaGraphLaunch(program_.get(), cuda_->stream()));
  }

 private:
  struct Destroy {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t program) const { cudaGraphExecDestroy(program); }
  };
  using Recorded = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy>;

  Cuda* cuda_;
  Arena::Mark mark_;
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> program_;
};

}  // namespace cuda

template <>
class Recorded<Cuda> : public cuda::Graph {
 public:
  using Graph::Graph;
};

}  // namespace hyperblocks
