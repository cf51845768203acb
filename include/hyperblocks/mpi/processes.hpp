// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The processes that mpirun has started, as a Trainer takes them:
//   int main() { hb::MpiSession mpi;  hb::Trainer trainer(cpu, course, params, options, mpi.peers());  ... }
// Started without mpirun, a program is one process and never calls MPI.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <vector>

#include <mpi.h>

#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks {

class MpiPeers {
 public:
  MpiPeers() = default;
  explicit MpiPeers(MPI_Comm communicator) : communicator_(communicator) {
    MPI_Comm_size(communicator, &count_), MPI_Comm_rank(communicator, &rank_);
  }

  Index count() const { return count_; }
  Index rank() const { return rank_; }

  /// Every process's numbers become the sum of all processes', the same bits in each; 16 bits are added up in
  /// float.
  template <class Number>
  void add_up(std::span<Number> numbers) const {
    if constexpr (std::same_as<Number, double>) {
      sum(numbers, MPI_DOUBLE);
    } else if constexpr (std::same_as<Number, float>) {
      sum(numbers, MPI_FLOAT);
    } else {
      std::vector<float> wide(numbers.size());
      std::ranges::transform(numbers, wide.begin(), [](Number number) { return scalar_cast<float>(number); });
      sum(std::span(wide), MPI_FLOAT);
      std::ranges::transform(wide, numbers.begin(), [](float number) { return scalar_cast<Number>(number); });
    }
  }

  /// Waits for all.
  void meet() const {
    if (count_ > 1) MPI_Barrier(communicator_);
  }

 private:
  /// By one process and sent to the others: an MPI_Allreduce may give each its own order of additions.
  template <class Number>
  void sum(std::span<Number> numbers, MPI_Datatype type) const {
    if (count_ == 1) return;
    constexpr std::size_t most = std::size_t{1} << 28;  // counts are ints
    for (std::size_t first = 0; first < numbers.size(); first += most) {
      const std::size_t size = std::min(most, numbers.size() - first);
      void* const data = numbers.data() + first;
      MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : data, data, static_cast<int>(size), type, MPI_SUM, 0,
                 communicator_);
      MPI_Bcast(data, static_cast<int>(size), type, 0, communicator_);
    }
  }

  MPI_Comm communicator_ = MPI_COMM_NULL;
  int count_ = 1, rank_ = 0;
};

/// MPI from here to the end of main.
class MpiSession {
 public:
  MpiSession() : started_(under_mpirun()) {
    if (!started_) return;
    int given = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given);
    peers_ = MpiPeers(MPI_COMM_WORLD);
  }
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession() {
    if (started_) MPI_Finalize();
  }

  const MpiPeers& peers() const { return peers_; }

  /// The exit code of main. One process's failure ends all of them: the others may be waiting for it.
  int ended(int code) const {
    if (started_ && code != 0) MPI_Abort(MPI_COMM_WORLD, code);
    return code;
  }

 private:
  static bool under_mpirun() {
    return std::ranges::any_of(std::array{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"},
                               [](const char* name) { return std::getenv(name) != nullptr; });
  }

  bool started_;
  MpiPeers peers_;
};

}  // namespace hyperblocks
