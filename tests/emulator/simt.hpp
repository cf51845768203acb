// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A GPU's threads on the host, so that kernels run where no GPU is: each thread of a block is a fiber, which
// runs until it meets a barrier; then the next one runs, in an order that tests can turn round, since what
// depends on the order has a race. Blocks run one after the other. Everything is one host thread's.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

inline constexpr unsigned warp_size = 32;

enum class Order { ascending, descending };
inline Order order = Order::ascending;

enum class State { ready, at_block_barrier, at_warp_barrier, done };

/// One thread of a block. The stack is entered once by ucontext and then left and entered by jumps, which
/// need no system call.
class Fiber {
 public:
  static constexpr std::size_t stack_size = std::size_t{256} << 10;

  State state = State::ready;
  dim3 index;

  /// Runs until the thread waits or ends; `caller` is where it comes back to.
  void resume(const std::function<void()>& body, jmp_buf& caller) {
    body_ = &body, caller_ = &caller;
    threadIdx = index;
    if (_setjmp(caller) != 0) return;
    if (started_) _longjmp(here_, 1);
    started_ = true;
    if (!stack_) stack_ = std::make_unique<unsigned char[]>(stack_size);
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_.get(), context_.uc_stack.ss_size = stack_size,
    context_.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::enter), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
    setcontext(&context_);
  }
  void wait(State at) {
    state = at;
    if (_setjmp(here_) == 0) _longjmp(*caller_, 1);
  }
  void restart() { started_ = false, state = State::ready; }

 private:
  static void enter(unsigned high, unsigned low) {
    auto* const self = reinterpret_cast<Fiber*>(std::uintptr_t{high} << 32 | low);
    (*self->body_)();
    self->state = State::done;
    _longjmp(*self->caller_, 1);
  }

  const std::function<void()>* body_ = nullptr;
  jmp_buf* caller_ = nullptr;
  jmp_buf here_;
  ucontext_t context_;
  std::unique_ptr<unsigned char[]> stack_;
  bool started_ = false;
};

/// The block that runs.
struct Block {
  std::vector<Fiber> fibers;
  std::size_t threads = 0, current = 0;
  std::vector<unsigned char> shared;
  std::vector<std::uint64_t> exchanged;  ///< two words for every thread: what warps exchange
};
inline Block block;

inline void wait(State at) { block.fibers[block.current].wait(at); }

inline void run_block(const std::function<void()>& body) {
  jmp_buf caller;
  const auto threads = block.threads;
  for (std::size_t i = 0; i < threads; ++i) {
    block.fibers[i].restart();
    block.fibers[i].index =
        dim3(static_cast<unsigned>(i) % blockDim.x, static_cast<unsigned>(i) / blockDim.x % blockDim.y,
             static_cast<unsigned>(i) / blockDim.x / blockDim.y);
  }
  for (;;) {
    for (std::size_t i = 0; i < threads; ++i) {
      block.current = order == Order::ascending ? i : threads - 1 - i;
      if (block.fibers[block.current].state == State::ready) block.fibers[block.current].resume(body, caller);
    }
    // Each one waits or is done: a warp's barrier opens when all of its threads are there, the block's
    // likewise.
    bool all_done = true, opened = false, all_at_barrier = true;
    for (std::size_t first = 0; first < threads; first += warp_size) {
      bool together = true;
      for (std::size_t i = first; i < threads && i < first + warp_size; ++i) {
        const State state = block.fibers[i].state;
        together = together && state == State::at_warp_barrier;
        all_done = all_done && state == State::done;
        all_at_barrier = all_at_barrier && (state == State::at_block_barrier || state == State::done);
      }
      if (!together) continue;
      for (std::size_t i = first; i < threads && i < first + warp_size; ++i)
        block.fibers[i].state = State::ready;
      opened = true;
    }
    if (all_done) return;
    if (opened) continue;
    if (!all_at_barrier)
      throw std::logic_error("emulator: a block waits for threads that wait elsewhere or have ended");
    for (std::size_t i = 0; i < threads; ++i)
      if (block.fibers[i].state == State::at_block_barrier) block.fibers[i].state = State::ready;
  }
}

/// Runs body() as every thread of every block. Shared memory holds NaN before each block.
inline void run(dim3 blocks, dim3 threads, std::size_t shared, const std::function<void()>& body) {
  gridDim = blocks, blockDim = threads;
  block.threads = std::size_t{threads.x} * threads.y * threads.z;
  if (block.threads == 0 || block.threads > 1024 || shared > 227 * 1024 || blocks.x == 0 ||
      blocks.y - 1 > 65534 || blocks.z - 1 > 65534)
    throw std::logic_error("emulator: a launch that no GPU takes");
  if (block.fibers.size() < block.threads) block.fibers = std::vector<Fiber>(block.threads);
  block.exchanged.resize(2 * block.threads);
  for (unsigned z = 0; z < blocks.z; ++z)
    for (unsigned y = 0; y < blocks.y; ++y)
      for (unsigned x = 0; x < blocks.x; ++x) {
        blockIdx = dim3(x, y, z);
        block.shared.assign(shared + 16, 0xff);
        run_block(body);
      }
}

inline void* shared_memory() {
  const auto at = reinterpret_cast<std::uintptr_t>(block.shared.data());
  return reinterpret_cast<void*>((at + 15) / 16 * 16);
}

/// What thread `lane` of this warp gives, for each to read another's.
template <class T, class Source>
T exchange(T value, Source source) {
  static_assert(sizeof(T) <= 16);
  const std::size_t thread = block.current, first = thread / warp_size * warp_size;
  std::memcpy(&block.exchanged[2 * thread], &value, sizeof value);
  wait(State::at_warp_barrier);
  T result = value;
  const std::size_t from = first + source(static_cast<unsigned>(thread - first));
  if (from < block.threads) std::memcpy(&result, &block.exchanged[2 * from], sizeof result);
  wait(State::at_warp_barrier);
  return result;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::State::at_block_barrier); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait(emulator::State::at_warp_barrier); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulator::exchange(value, [=](unsigned lane) { return lane ^ static_cast<unsigned>(mask); });
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return emulator::exchange(value,
                            [=](unsigned) { return static_cast<unsigned>(from) % emulator::warp_size; });
}
inline int __syncthreads_or(int value) {
  static int any;
  __syncthreads();
  any = 0;
  __syncthreads();
  if (value != 0) any = 1;
  __syncthreads();
  return any;
}
