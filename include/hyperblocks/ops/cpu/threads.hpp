// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Threads: Parallel over Eigen's thread pool. A part belongs to whoever claims it first, so a caller never
// waits for a helper that has not woken up yet; which thread runs a part changes nothing in its result.
#pragma once

#include <hyperblocks/ops/cpu/parallel.hpp>

#if __has_include(<Eigen/ThreadPool>)
#include <Eigen/ThreadPool>
#else
#include <unsupported/Eigen/CXX11/ThreadPool>
#endif

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <hyperblocks/core/check.hpp>

namespace hyperblocks::cpu {

class Threads final : public Parallel {
 public:
  /// `count` threads, the caller included; 0 means one per core.
  explicit Threads(Index count = 0) : Parallel(resolved(count)) {
    if (this->count() > 1) pool_ = std::make_unique<Eigen::ThreadPool>(static_cast<int>(this->count() - 1));
  }

 private:
  // What the pool copies: it fits the small buffer of std::function, so that nothing is allocated.
  struct Helper {
    Threads* threads;
    std::uint32_t generation;
    void operator()() const { threads->take_parts(generation); }
  };

  static Index resolved(Index count) {
    check(count >= 0 && count < 65536, [&] {
      return Error("impossible number of threads", "cpu::Threads", "0 (all cores) to 65535",
                   std::to_string(count));
    });
    if (count > 0) return count;
    const unsigned cores = std::thread::hardware_concurrency();
    return cores == 0 ? 1 : static_cast<Index>(cores);
  }

  void run_parts(const Work& work) override {
    const std::unique_lock only_one(running_, std::try_to_lock);
    if (!only_one.owns_lock()) return work.run_all();  // another thread's work has the helpers
    work_ = work;
    failure_ = nullptr;
    const auto parts = static_cast<std::uint32_t>(work.parts);
    unfinished_.store(parts, std::memory_order_relaxed);
    const std::uint32_t generation = ++generation_;
    unclaimed_.store(std::uint64_t{generation} << 32 | parts, std::memory_order_release);
    for (int helper = 0; helper + 1 < static_cast<int>(parts); ++helper)
      pool_->ScheduleWithHint(Helper{this, generation}, helper, helper + 1);
    take_parts(generation);
    wait();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  // A helper that comes late finds another generation, or no part left, and touches nothing else.
  void take_parts(std::uint32_t generation) {
    std::uint64_t word = unclaimed_.load(std::memory_order_acquire);
    while (word >> 32 == generation && (word & 0xffffffffu) != 0) {
      if (!unclaimed_.compare_exchange_weak(word, word - 1, std::memory_order_acquire)) continue;
      run_part(work_.parts - static_cast<Index>(word & 0xffffffffu));
      word = unclaimed_.load(std::memory_order_acquire);
    }
  }

  void run_part(Index part) {
    inside() = true;
    try {
      work_.run(part);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    inside() = false;
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::scoped_lock lock(mutex_);  // the waiter is either before its last look or asleep
    finished_.notify_one();
  }

  void wait() {
    const auto finished = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
    for (int spin = 0; spin < 2000; ++spin) {
      if (finished()) return;
      detail::pause();
    }
    std::unique_lock lock(mutex_);
    finished_.wait(lock, finished);
  }

  std::mutex running_;  // held by the thread whose work it is
  Work work_{};
  std::uint32_t generation_ = 0;
  std::atomic<std::uint64_t> unclaimed_{0};  // generation, and the number of parts nobody has claimed
  std::atomic<std::uint32_t> unfinished_{0};
  std::mutex mutex_;  // guards failure_ and the sleep of the caller
  std::condition_variable finished_;
  std::exception_ptr failure_;
  std::unique_ptr<Eigen::ThreadPool> pool_;  // the last member: its destructor joins the helpers
};

}  // namespace hyperblocks::cpu
