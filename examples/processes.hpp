// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The processes of a program: those that mpirun has started, where it is built with MPI; else one.
#pragma once

#ifdef HYPERBLOCKS_WITH_MPI
#include <hyperblocks/mpi/processes.hpp>
#endif
#include <hyperblocks/train/trainer.hpp>

namespace hyperblocks::example {

#ifdef HYPERBLOCKS_WITH_MPI
using Peers = MpiPeers;
using Processes = MpiSession;
inline void meet(const Peers& peers) { peers.meet(); }
#else
using Peers = Alone;
struct Processes {
  Peers peers() const { return {}; }
  int ended(int code) const { return code; }
};
inline void meet(const Peers&) {}
#endif

}  // namespace hyperblocks::example
