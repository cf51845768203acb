// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// After the first call of a shape nothing allocates, neither on the heap (this program counts operator new,
// on every thread) nor from the device, whatever other shapes came between.
#include "../support/block_check.hpp"
#include "../support/count_allocations.hpp"
#include "../support/every_block.hpp"

namespace hb = hyperblocks;

namespace {

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
  CHECK(hb::test::allocations_of([&] { use(second), use(first), use(second), use(first); }) == 0);
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
  CHECK(hb::test::allocations_of([&] { cpu.arena().take(1); }) > 0);
}
TEST_CASE("trainable blocks allocate nothing once warm") { check_every_block<hb::test::EveryBlock<float>>(); }
TEST_CASE("frozen blocks allocate nothing once warm") {
  check_every_block<hb::test::EveryBlock<hb::bf16, hb::Frozen<hb::bf16>>>();
}
