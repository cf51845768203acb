// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Counts what the program takes from the heap, on every thread: its operator new, or, where ThreadSanitizer
// has its own, that one's hook. For one file of a program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HYPERBLOCKS_TEST_HOOKS
#include <sanitizer/allocator_interface.h>
#endif
#endif

namespace hyperblocks::test {
inline std::atomic<int> heap_allocations = 0;

/// How many f() takes.
template <class F>
int allocations_of(F f) {
  const int before = heap_allocations;
  f();
  return heap_allocations - before;
}
}  // namespace hyperblocks::test

#ifdef HYPERBLOCKS_TEST_HOOKS
namespace {
const int hooks_of_the_heap = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { ++hyperblocks::test::heap_allocations; },
    [](const volatile void*) {});
}  // namespace
#else
namespace {
void* counted_bytes(std::size_t size, std::size_t alignment) {
  ++hyperblocks::test::heap_allocations;
  void* const bytes = std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
  if (bytes == nullptr) throw std::bad_alloc();
  return bytes;
}
}  // namespace

// Never inlined: g++ would see free() of what operator new gave, and warn.
// NOLINTBEGIN(misc-definitions-in-headers)
[[gnu::noinline]] void* operator new(std::size_t size) {
  return counted_bytes(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted_bytes(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* bytes) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::align_val_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t, std::align_val_t) noexcept {
  std::free(bytes);
}
// NOLINTEND(misc-definitions-in-headers)
#endif
