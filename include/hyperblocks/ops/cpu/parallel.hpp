// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Parallel: runs f(task) for tasks 0, 1, .. on several threads, the caller among them. Static contiguous
// parts, one per thread; nothing is allocated; exceptions reach the caller; a call from inside a task runs in
// that task's thread. The threads themselves come from a derived class (threads.hpp), so that kernels'
// headers need not include a thread pool.
#pragma once

#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include <hyperblocks/core/shape.hpp>

namespace hyperblocks::cpu {

namespace detail {
/// A moment of a waiting loop.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}
}  // namespace detail

class Parallel {
 public:
  virtual ~Parallel() = default;

  /// How many threads take part, the caller included.
  Index count() const { return count_; }

  /// Calls f(task), or f(task, part) where part < count() names the part (for scratch memory of its own), for
  /// every task.
  template <class F>
  void run(Index tasks, F&& f) {
    if (tasks <= 0) return;
    using Function = std::remove_reference_t<F>;
    const Work work{&call<Function>, const_cast<void*>(static_cast<const void*>(std::addressof(f))), tasks,
                    tasks < count_ ? tasks : count_};
    if (work.parts == 1 || inside()) {
      work.run_all();
    } else {
      run_parts(work);
    }
  }

 protected:
  explicit Parallel(Index count) : count_(count) {}
  Parallel(const Parallel&) = delete;
  Parallel& operator=(const Parallel&) = delete;

  struct Work {
    void (*function)(void* context, Index first, Index last, Index part);
    void* context;
    Index tasks;
    Index parts;

    void run(Index part) const { function(context, tasks * part / parts, tasks * (part + 1) / parts, part); }
    void run_all() const { function(context, 0, tasks, 0); }
  };

  virtual void run_parts(const Work& work) = 0;

  /// Whether this thread is executing a part: then further calls stay in it.
  static bool& inside() {
    static thread_local bool value = false;
    return value;
  }

 private:
  template <class Function>
  static void call(void* context, Index first, Index last, Index part) {
    Function& f = *static_cast<Function*>(context);
    for (Index task = first; task < last; ++task) {
      if constexpr (std::is_invocable_v<Function&, Index, Index>) {
        f(task, part);
      } else {
        f(task);
      }
    }
  }

  Index count_;
};

}  // namespace hyperblocks::cpu
