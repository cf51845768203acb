// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A GPU's threads on the host, so that kernels run where no GPU is: each thread of a block is a fiber, which
// runs until it meets a barrier; then the next one runs, in an order that tests can turn round, since what
// depends on the order has a race. Everything is one host thread's.
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

enum class State { ready, at_block_barrier, at_warp_barrier, pausing, done };

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

struct Block {
  dim3 index;
  std::size_t threads = 0, current = 0;
  std::vector<Fiber> fibers;
  std::vector<unsigned char> shared;
  std::vector<std::array<std::uint64_t, 4>> exchanged;  ///< what the threads of a warp show one another
  std::vector<std::vector<Copy>> copies;                ///< of every thread, that have not arrived

  /// Shared memory holds NaN at the beginning.
  void begin(dim3 number, std::size_t shared_size) {
    index = number, threads = std::size_t{blockDim.x} * blockDim.y * blockDim.z;
    if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
    for (std::size_t i = 0; i < threads; ++i) {
      const auto thread = static_cast<unsigned>(i);
      fibers[i].restart();
      fibers[i].index =
          dim3(thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y);
    }
    shared.assign(shared_size + 16, 0xff);
    exchanged.resize((threads + warp_size - 1) / warp_size * warp_size);
    copies.assign(threads, {});
  }
};
inline Block* block = nullptr;  ///< the one that runs

inline void wait(State at) { block->fibers[block->current].wait(at); }

/// Runs a warp until it cannot go on without others, so that warps are as far apart as barriers let them be.
inline void run_warp(std::size_t warp, const std::function<void()>& body) {
  jmp_buf caller;
  const std::size_t first = warp * warp_size, last = std::min(first + warp_size, block->threads);
  for (bool together = true; together;) {
    for (std::size_t i = first; i < last; ++i) {
      block->current = order == Order::ascending ? i : first + last - 1 - i;
      Fiber& fiber = block->fibers[block->current];
      if (fiber.state == State::ready) fiber.resume(body, caller);
    }
    for (std::size_t i = first; i < last; ++i)
      together = together && block->fibers[i].state == State::at_warp_barrier;
    for (std::size_t i = first; together && i < last; ++i) block->fibers[i].state = State::ready;
  }
}

/// Runs the block's threads until each waits or has ended, and opens their barrier; whether all have ended.
inline bool run_round(const std::function<void()>& body) {
  const std::size_t warps = (block->threads + warp_size - 1) / warp_size;
  for (std::size_t i = 0; i < warps; ++i) run_warp(order == Order::ascending ? i : warps - 1 - i, body);
  bool done = true, pausing = false;
  for (std::size_t i = 0; i < block->threads; ++i) {
    State& state = block->fibers[i].state;
    done = done && state == State::done, pausing = pausing || state == State::pausing;
    if (state == State::at_warp_barrier)
      throw std::logic_error("emulator: a warp waits for threads that wait elsewhere or have ended");
    if (state == State::pausing) state = State::ready;
  }
  for (std::size_t i = 0; !pausing && i < block->threads; ++i)
    if (State& state = block->fibers[i].state; state == State::at_block_barrier) state = State::ready;
  return done;
}

inline void check(dim3 blocks, dim3 threads, std::size_t shared) {
  const std::size_t size = std::size_t{threads.x} * threads.y * threads.z;
  if (size == 0 || size > 1024 || shared > 227 * 1024 || blocks.x == 0 || blocks.y - 1 > 65534 ||
      blocks.z - 1 > 65534)
    throw std::logic_error("emulator: a launch that no GPU takes");
}

/// Runs body() as every thread of every block: of one block after the other, or in turns if they wait for one
/// another. (Variables declared __shared__ are then all blocks' own: memory that the launch gives is not.)
inline void run(dim3 blocks, dim3 threads, std::size_t shared, bool in_turns,
                const std::function<void()>& body) {
  gridDim = blocks, blockDim = threads;
  const std::size_t count = std::size_t{blocks.x} * blocks.y * blocks.z;
  static std::vector<Block> all;
  const std::size_t at_once = in_turns ? count : 1;
  if (all.size() < at_once) all = std::vector<Block>(at_once);
  for (std::size_t begun = 0; begun < count; begun += at_once) {
    for (std::size_t i = 0; i < at_once; ++i) {
      const std::size_t number = order == Order::ascending ? begun + i : count - 1 - begun - i;
      all[i].begin(
          dim3(static_cast<unsigned>(number % blocks.x), static_cast<unsigned>(number / blocks.x % blocks.y),
               static_cast<unsigned>(number / blocks.x / blocks.y)),
          shared);
    }
    for (bool done = false; !done;) {
      done = true;
      for (std::size_t i = 0; i < at_once; ++i) {
        block = &all[i], blockIdx = block->index;
        done = run_round(body) && done;
      }
    }
  }
}

inline void* shared_memory() {
  const auto at = reinterpret_cast<std::uintptr_t>(block->shared.data());
  return reinterpret_cast<void*>((at + 15) / 16 * 16);
}

/// This thread's number in its warp.
inline unsigned lane() { return static_cast<unsigned>(block->current % warp_size); }
inline std::vector<Copy>& copies() { return block->copies[block->current]; }

/// use(of_lane), of_lane(l) being what lane l of this warp shows.
template <class T, class Use>
void share(const T& value, Use use) {
  static_assert(sizeof(T) <= sizeof(std::array<std::uint64_t, 4>));
  const std::size_t thread = block->current, first = thread - thread % warp_size;
  std::memcpy(&block->exchanged[thread], &value, sizeof value);
  wait(State::at_warp_barrier);
  use([&](unsigned from) {
    T result;
    std::memcpy(&result, &block->exchanged[first + from % warp_size], sizeof result);
    return result;
  });
  wait(State::at_warp_barrier);
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::State::at_block_barrier); }
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
