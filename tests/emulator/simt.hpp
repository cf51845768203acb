// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A GPU's threads on the host, so that kernels run where no GPU is: each thread of a block is a fiber, which
// runs until it meets a barrier; then the next one runs, in an order that tests can turn round, since what
// depends on the order has a race. Blocks run one after the other. Everything is one host thread's.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
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

/// 16 bytes to be copied to shared memory, or zeros; without a place the end of a group.
struct Copy {
  void* to;
  const void* from;
};

/// The block that runs.
struct Block {
  std::vector<Fiber> fibers;
  std::size_t threads = 0, current = 0;
  std::vector<unsigned char> shared;
  std::vector<std::array<std::uint64_t, 4>> exchanged;  ///< what the threads of a warp show one another
  std::vector<std::vector<Copy>> copies;                ///< of every thread, that have not arrived
};
inline Block block;

inline void wait(State at) { block.fibers[block.current].wait(at); }

/// Runs a warp until it cannot go on without others, so that warps are as far apart as barriers let them be.
inline void run_warp(std::size_t warp, const std::function<void()>& body) {
  jmp_buf caller;
  const std::size_t first = warp * warp_size, last = std::min(first + warp_size, block.threads);
  for (bool together = true; together;) {
    for (std::size_t i = first; i < last; ++i) {
      block.current = order == Order::ascending ? i : first + last - 1 - i;
      if (block.fibers[block.current].state == State::ready) block.fibers[block.current].resume(body, caller);
    }
    for (std::size_t i = first; i < last; ++i)
      together = together && block.fibers[i].state == State::at_warp_barrier;
    for (std::size_t i = first; together && i < last; ++i) block.fibers[i].state = State::ready;
  }
}

inline void run_block(const std::function<void()>& body) {
  const auto threads = block.threads;
  for (std::size_t i = 0; i < threads; ++i) {
    block.fibers[i].restart();
    block.fibers[i].index =
        dim3(static_cast<unsigned>(i) % blockDim.x, static_cast<unsigned>(i) / blockDim.x % blockDim.y,
             static_cast<unsigned>(i) / blockDim.x / blockDim.y);
  }
  const std::size_t warps = (threads + warp_size - 1) / warp_size;
  for (;;) {
    for (std::size_t i = 0; i < warps; ++i) run_warp(order == Order::ascending ? i : warps - 1 - i, body);
    bool done = true;
    for (std::size_t i = 0; i < threads; ++i) {
      State& state = block.fibers[i].state;
      if (state == State::at_warp_barrier)
        throw std::logic_error("emulator: a warp waits for threads that wait elsewhere or have ended");
      if (state == State::at_block_barrier) state = State::ready, done = false;
    }
    if (done) return;
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
  block.exchanged.resize((block.threads + warp_size - 1) / warp_size * warp_size);
  for (unsigned z = 0; z < blocks.z; ++z)
    for (unsigned y = 0; y < blocks.y; ++y)
      for (unsigned x = 0; x < blocks.x; ++x) {
        blockIdx = dim3(x, y, z);
        block.shared.assign(shared + 16, 0xff);
        block.copies.assign(block.threads, {});
        run_block(body);
      }
}

inline void* shared_memory() {
  const auto at = reinterpret_cast<std::uintptr_t>(block.shared.data());
  return reinterpret_cast<void*>((at + 15) / 16 * 16);
}

/// This thread's number in its warp.
inline unsigned lane() { return static_cast<unsigned>(block.current % warp_size); }
inline std::vector<Copy>& copies() { return block.copies[block.current]; }

/// use(of_lane), of_lane(l) being what lane l of this warp shows.
template <class T, class Use>
void share(const T& value, Use use) {
  static_assert(sizeof(T) <= sizeof block.exchanged[0]);
  const std::size_t thread = block.current, first = thread - thread % warp_size;
  std::memcpy(&block.exchanged[thread], &value, sizeof value);
  wait(State::at_warp_barrier);
  use([&](unsigned from) {
    T result;
    std::memcpy(&result, &block.exchanged[first + from % warp_size], sizeof result);
    return result;
  });
  wait(State::at_warp_barrier);
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::State::at_block_barrier); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait(emulator::State::at_warp_barrier); }
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  T result = value;
  emulator::share(value, [&](auto of_lane) { result = of_lane(static_cast<unsigned>(from)); });
  return result;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return __shfl_sync(0xffffffffu, value, static_cast<int>(emulator::lane()) ^ mask);
}
inline int __all_sync(unsigned, int value) {
  int all = 1;
  emulator::share(value, [&](auto of_lane) {
    for (unsigned i = 0; i < emulator::warp_size; ++i) all = all != 0 && of_lane(i) != 0 ? 1 : 0;
  });
  return all;
}
