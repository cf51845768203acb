// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Faults: what a kernel finds wrong in the numbers that it is given (an id beyond a table). A kernel cannot
// throw: it writes its finding to memory that the host reads too, and goes on; the host throws when it waits
// for the device next.
#pragma once

#include <cstdint>
#include <string>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/cuda/check.cuh>

namespace hyperblocks::cuda {

enum class Fault : std::uint32_t {
  none,
  embedding_id,
  embedding_backward_id,
  label,
  teacher_id,
  position,
  cache,
  largest,
  nearest,
  one_hot
};

/// Where kernels report: one word, so that a report is whole.
class FaultReport {
 public:
  explicit FaultReport(std::uint64_t* word) : word_(word) {}
  __device__ void operator()(Fault fault, std::int32_t found) const {
    *static_cast<volatile std::uint64_t*>(word_) =
        static_cast<std::uint64_t>(fault) << 32 | static_cast<std::uint32_t>(found);
  }

 private:
  std::uint64_t* word_;
};

/// Host memory that the device writes to.
class Faults {
 public:
  Faults() {
    void* word = nullptr;
    check(cudaMallocHost(&word, sizeof *word_));
    word_ = static_cast<std::uint64_t*>(word);
    *word_ = 0;
  }
  ~Faults() { cudaFreeHost(word_); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  FaultReport report() const { return FaultReport(word_); }

  /// Throws what was reported; to be called when the device has come to rest.
  void raise() {
    const std::uint64_t word = *static_cast<volatile std::uint64_t*>(word_);
    if (word == 0) return;
    *word_ = 0;
    const auto found = std::to_string(static_cast<std::int32_t>(word & 0xffffffffu));
    switch (static_cast<Fault>(word >> 32)) {
      case Fault::none:
        return;
      case Fault::embedding_id:
        throw Error("an id is out of range", "ops::embedding", "less than the vocabulary", found);
      case Fault::embedding_backward_id:
        throw Error("an id is out of range", "ops::embedding_backward", "less than the vocabulary", found);
      case Fault::label:
        throw Error("an id is out of range", "ops::cross_entropy", "less than the vocabulary", found);
      case Fault::teacher_id:
        throw Error("an id is out of range", "ops::topk_kl", "less than the vocabulary", found);
      case Fault::position:
        throw Error("a position is outside of the tables", "ops::rope", "a row of the tables", found);
      case Fault::largest:
        throw Error("nothing can be chosen", "ops::largest", "a number among NaN and infinity",
                    "none in row " + found);
      case Fault::nearest:
        throw Error("nothing can be chosen", "ops::nearest", "a number among NaN and infinity",
                    "none in row " + found);
      case Fault::one_hot:
        throw Error("an id is out of range", "ops::one_hot", "a column", found);
      case Fault::cache:
        throw Error("the cache is full", "ops::append_heads", "a place in the cache", found);
    }
  }

 private:
  std::uint64_t* word_ = nullptr;
};

}  // namespace hyperblocks::cuda
