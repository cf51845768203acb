// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Arena: stack order, alignment, growth that ends, poison; ArenaScope; what the Cpu's memory promises.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <hyperblocks/core/tensor.hpp>
#include <hyperblocks/ops/cpu/device.hpp>
#include <span>
#include <vector>

using namespace hyperblocks;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

bool aligned(const void* place) { return reinterpret_cast<std::uintptr_t>(place) % Memory::alignment == 0; }

std::span<const unsigned char> bytes_at(const void* place, std::size_t size) {
  return {static_cast<const unsigned char*>(place), size};
}

bool all_are(std::span<const unsigned char> bytes, unsigned char wanted) {
  return std::all_of(bytes.begin(), bytes.end(), [=](unsigned char byte) { return byte == wanted; });
}

}  // namespace

TEST_CASE("what is taken is aligned, apart, and free again after a release") {
  Cpu cpu;
  Arena& arena = cpu.arena();
  auto* const first = static_cast<char*>(arena.take(1));
  const Arena::Mark mark = arena.mark();
  auto* const second = static_cast<char*>(arena.take(257));
  auto* const third = static_cast<char*>(arena.take(0));
  auto* const fourth = static_cast<char*>(arena.take(256));
  for (const char* place : {first, second, third, fourth}) CHECK(aligned(place));
  CHECK(second - first == 256);
  CHECK(fourth - second == 512);
  arena.release(mark);
  CHECK(arena.take(1) == second);
  arena.release({});
  CHECK(arena.take(1) == first);
}

TEST_CASE("the peak is the most that was taken at once, whatever was released") {
  Cpu cpu;
  Arena& arena = cpu.arena();
  CHECK(arena.peak() == 0);
  {
    const ArenaScope scope(cpu);
    arena.take(1000), arena.take(256);
  }
  arena.take(256);
  CHECK(arena.peak() == 1280);
  arena.forget_peak();
  arena.take(1);
  CHECK(arena.peak() == 512);
  arena.take(2 * mebibyte);  // a chunk of its own, behind the first
  CHECK(arena.peak() == 3 * mebibyte);
}

TEST_CASE("an arena grows by chunks and not once warm") {
  Cpu cpu;
  Arena& arena = cpu.arena();
  CHECK(arena.allocations() == 0);
  CHECK(arena.capacity() == 0);
  std::vector<void*> before;
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> places;
    const ArenaScope scope(cpu);
    for (const std::size_t size : {std::size_t{10}, mebibyte, 3 * mebibyte, std::size_t{10}, 9 * mebibyte})
      places.push_back(arena.take(size));
    for (void* place : places) CHECK(aligned(place));
    if (round > 0) CHECK(places == before);
    before = places;
    // The first chunk has the least size; a quarter of what is held (14 / 4) is more than the fourth wants.
    CHECK(arena.allocations() == 5);
    CHECK(arena.capacity() == (1 + 1 + 3 + 9) * mebibyte + 5 * mebibyte / 4);
  }
}

TEST_CASE("poison fills what is taken with NaN of every scalar") {
  Cpu cpu;
  auto* const place = cpu.arena().take(1000);
  CHECK(all_are(bytes_at(place, 1000), 0));  // a device's memory begins as zeros
  cpu.arena().release({});
  cpu.arena().poison(true);
  CHECK(all_are(bytes_at(cpu.arena().take(1000), 1024), 0xff));
  const auto floats = take<float, dyn>(cpu, 3);
  CHECK(floats(2) != floats(2));
  const auto halves = take<half, 3>(cpu);
  CHECK(static_cast<float>(halves(2)) != static_cast<float>(halves(2)));
  cpu.arena().poison(false);
  cpu.arena().release({});
  CHECK(all_are(bytes_at(cpu.arena().take(8), 8), 0xff));  // left as it was
}

TEST_CASE("poison fills what is released, in every chunk that a scope reached") {
  Cpu cpu;
  cpu.arena().poison(true);
  void* const kept = cpu.arena().take(mebibyte / 2);
  void *first = nullptr, *second = nullptr, *third = nullptr;
  {
    const ArenaScope scope(cpu);
    first = cpu.arena().take(1000);
    second = cpu.arena().take(2 * mebibyte);
    third = cpu.arena().take(3 * mebibyte);
    REQUIRE(cpu.arena().allocations() == 3);
    std::memset(kept, 1, mebibyte / 2);
    std::memset(first, 1, 1000);
    std::memset(second, 1, 2 * mebibyte);
    std::memset(third, 1, 3 * mebibyte);
  }
  CHECK(all_are(bytes_at(kept, mebibyte / 2), 1));
  CHECK(all_are(bytes_at(first, 1000), 0xff));
  CHECK(all_are(bytes_at(second, 2 * mebibyte), 0xff));
  CHECK(all_are(bytes_at(third, 3 * mebibyte), 0xff));
}

TEST_CASE("sizes that no memory has are an Error, and the arena remains usable") {
  Cpu cpu;
  CHECK_THROWS_WITH_AS(cpu.arena().take(SIZE_MAX - 10),
                       doctest::Contains("scratch too large (Arena::take): expected a size that memory can"),
                       Error);
  CHECK_THROWS_WITH_AS((take<double, dyn, dyn>(cpu, Index{1} << 31, Index{1} << 30)),
                       doctest::Contains("too many bytes"), Error);
  CHECK(aligned(cpu.arena().take(16)));
  CHECK(cpu.arena().allocations() == 1);
}

TEST_CASE("a scope gives back what was taken in it, unless it keeps") {
  Cpu cpu;
  void* const base = cpu.arena().take(1);
  void* inner = nullptr;
  {
    const ArenaScope outer(cpu);
    inner = cpu.arena().take(1);
    {
      const ArenaScope scope(cpu);
      CHECK(cpu.arena().take(1) != inner);
    }
    {
      const ArenaScope keeping(cpu, true);
      cpu.arena().take(1);
    }
    CHECK(static_cast<char*>(cpu.arena().take(1)) - static_cast<char*>(inner) == 512);
  }
  CHECK(cpu.arena().take(1) == inner);
  CHECK(base != inner);
}

TEST_CASE("a scope gives back on the way of an exception") {
  Cpu cpu;
  void* place = nullptr;
  const auto leave = [&] {
    const ArenaScope scope(cpu);
    place = cpu.arena().take(100);
    throw Error("what", "where", "expected", "found");
  };
  CHECK_THROWS_AS(leave(), Error);
  CHECK(cpu.arena().take(100) == place);
}

TEST_CASE("the Cpu's memory: zeroed, aligned, shared, copied") {
  Cpu cpu;
  Buffer buffer = cpu.allocate(1000);
  CHECK(buffer.size == 1000);
  CHECK(aligned(buffer.bytes.get()));
  CHECK(all_are(bytes_at(buffer.bytes.get(), 1000), 0));
  const Buffer empty = cpu.allocate(0);
  CHECK(empty.size == 0);
  CHECK(empty.bytes != nullptr);
  cpu.fill(buffer.bytes.get(), 7, 10);
  const std::vector<unsigned char> sent = {1, 2, 3};
  cpu.upload(buffer.bytes.get(), sent.data(), 3);
  std::vector<unsigned char> received(5);
  cpu.download(received.data(), buffer.bytes.get(), 5);
  CHECK(received == std::vector<unsigned char>{1, 2, 3, 7, 7});
  cpu.upload(buffer.bytes.get(), nullptr, 0);
  const Buffer other = buffer;
  buffer = {};
  CHECK(bytes_at(other.bytes.get(), 1)[0] == 1);
}
