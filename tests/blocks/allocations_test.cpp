// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// After the first call of a shape nothing allocates, neither on the heap (this program counts operator new,
// on every thread) nor from the device, whatever other shapes came between.
#include <atomic>
#include <cstdlib>
#include <new>

#include "../support/block_check.hpp"
#include "../support/every_block.hpp"

namespace hb = hyperblocks;

namespace {
std::atomic<bool> counts = false;
std::atomic<int> allocations = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  if (counts) ++allocations;
  void* const bytes = std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
  if (bytes == nullptr) throw std::bad_alloc();
  return bytes;
}
}  // namespace

// Never inlined: g++ would see free() of what operator new gave, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* bytes) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::align_val_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t, std::align_val_t) noexcept {
  std::free(bytes);
}

namespace {

template <class F>
int allocations_of(F f) {
  allocations = 0;
  counts = true;
  f();
  counts = false;
  return allocations;
}

template <class B>
void check_memory(bool updated) {
  hb::Cpu cpu({.threads = 3});
  const hb::test::Feed large{.count = 2, .length = 40, .masked = true, .updated = updated};
  const hb::test::Feed small{.count = 4, .length = 5, .masked = true, .updated = updated};
  hb::test::Case<B> first(cpu, large, 1), second(cpu, small, 2);
  const auto use = [&](auto& subject) {
    subject.infer(cpu);
    subject.train(cpu, hb::Write::assign);
    subject.train(cpu, hb::Write::add);
  };
  use(first), use(second);
  const std::size_t from_device = cpu.arena().allocations();
  CHECK(allocations_of([&] { use(second), use(first), use(second), use(first); }) == 0);
  CHECK(cpu.arena().allocations() == from_device);
}

template <class Table>
void check_every_block() {
  hb::test::for_every_block<Table>([]<class B>(std::type_identity<B>) {
    check_memory<B>(false);
    if constexpr (hb::test::TakesUpdates<B>) check_memory<B>(true);
  });
}

}  // namespace

TEST_CASE("allocations are seen") {
  hb::Cpu cpu;
  CHECK(allocations_of([&] { cpu.arena().take(1); }) > 0);
}
TEST_CASE("trainable blocks allocate nothing once warm") { check_every_block<hb::test::EveryBlock<float>>(); }
TEST_CASE("frozen blocks allocate nothing once warm") {
  check_every_block<hb::test::EveryBlock<hb::bf16, hb::Frozen<hb::bf16>>>();
}
