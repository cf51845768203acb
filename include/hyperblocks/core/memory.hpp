// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Where bytes live: Buffer owns a piece of a device's memory, Memory is what every device offers, Arena hands
// out scratch in stack order. After the first call of a shape an arena has grown enough: nothing allocates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include <hyperblocks/core/shape.hpp>

namespace hyperblocks {

/// A shared owner of bytes; of whose kind (heap, a device's, a mapped file's) only its deleter knows.
struct Buffer {
  std::shared_ptr<void> bytes;
  std::size_t size = 0;
};

/// What a device was asked for, counted from shapes: multiplications and additions of products, attention and
/// low-rank updates (what works element by element is not counted), and the bytes of the matrices that each
/// of them reads and writes.
struct Work {
  double operations = 0, bytes = 0;

  /// (rows, in) times (in, out), of numbers of so many bytes; `count` times.
  void add_product(Index count, Index rows, Index out, Index in, std::size_t number, std::size_t weight) {
    const auto of = [](Index a, Index b) { return static_cast<double>(a) * static_cast<double>(b); };
    const double times = static_cast<double>(count);
    operations += times * 2 * of(rows, out) * static_cast<double>(in);
    bytes += times * ((of(rows, in) + of(rows, out)) * static_cast<double>(number) +
                      of(out, in) * static_cast<double>(weight));
  }
};

/// Allocation and transfer, the part of a device that is the same for all of them. Sizes are in bytes.
class Memory {
 public:
  /// Since the device was made, or since the caller set it to nothing.
  Work& work() { return work_; }

  /// Zeroed memory, aligned to `alignment`.
  virtual Buffer allocate(std::size_t size) = 0;
  virtual void fill(void* to, unsigned char byte, std::size_t size) = 0;
  virtual void upload(void* to, const void* host, std::size_t size) = 0;
  /// Returns when the bytes are there: waits for all work given to the device before.
  virtual void download(void* host, const void* from, std::size_t size) = 0;

  static constexpr std::size_t alignment = 256;

 protected:
  Memory() = default;
  ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

 private:
  Work work_;
};

class Arena {
 public:
  explicit Arena(Memory& memory) : memory_(&memory) {}

  /// A position to come back to.
  struct Mark {
    std::size_t chunk = 0;
    std::size_t offset = 0;
  };

  void* take(std::size_t size) {
    check(size <= SIZE_MAX - Memory::alignment, [&] {
      return Error("scratch too large", "Arena::take", "a size that memory can have", std::to_string(size));
    });
    const std::size_t rounded = (size + Memory::alignment - 1) / Memory::alignment * Memory::alignment;
    while (top_.chunk < chunks_.size() && chunks_[top_.chunk].memory.size - top_.offset < rounded)
      top_ = {top_.chunk + 1, 0};
    if (top_.chunk == chunks_.size()) grow(rounded);
    const Chunk& chunk = chunks_[top_.chunk];
    void* const place = static_cast<char*>(chunk.memory.bytes.get()) + top_.offset;
    top_.offset += rounded;
    peak_ = std::max(peak_, chunk.begin + top_.offset);
    if (poisons_) memory_->fill(place, 0xff, rounded);
    return place;
  }

  Mark mark() const { return top_; }
  /// Everything taken since the mark becomes free; memory is kept for the next call. On leaving a scope: it
  /// throws nothing, and a device that cannot poison any more says so at its next call.
  void release(Mark mark) noexcept {
    try {
      if (poisons_) spoil(mark);
    } catch (const std::exception&) {
      poisons_ = false;
    }
    top_ = mark;
  }

  /// Bytes held from the device, and how often the device was asked: constant once warm.
  std::size_t capacity() const { return capacity_; }
  std::size_t allocations() const { return chunks_.size(); }

  /// The most bytes that had to be there at once, ever or since they were forgotten.
  std::size_t peak() const { return peak_; }
  void forget_peak() { peak_ = 0; }

  /// Fills what is taken and what is released with 0xff (NaN in every scalar): reads of unwritten scratch, or
  /// of a tape whose scope has ended, then show.
  void poison(bool on) { poisons_ = on; }

 private:
  void spoil(Mark from) {
    for (std::size_t i = from.chunk; i < chunks_.size() && i <= top_.chunk; ++i) {
      const std::size_t begin = i == from.chunk ? from.offset : 0;
      const std::size_t end = i == top_.chunk ? top_.offset : chunks_[i].memory.size;
      if (begin < end)
        memory_->fill(static_cast<char*>(chunks_[i].memory.bytes.get()) + begin, 0xff, end - begin);
    }
  }

  void grow(std::size_t size) {
    constexpr std::size_t smallest = std::size_t{1} << 20;
    chunks_.push_back({memory_->allocate(std::max({size, smallest, capacity_ / 4})), capacity_});
    capacity_ += chunks_.back().memory.size;
  }

  struct Chunk {
    Buffer memory;
    std::size_t begin;  ///< how many bytes the chunks before it have
  };

  Memory* memory_;
  std::vector<Chunk> chunks_;
  Mark top_;
  std::size_t capacity_ = 0, peak_ = 0;
  bool poisons_ = false;
};

/// Gives back on leaving a scope what was taken from a device's arena within it.
template <class Device>
class ArenaScope {
 public:
  /// With `keeps` true nothing is given back: forward's way to leave its tape in the arena.
  explicit ArenaScope(Device& device, bool keeps = false)
      : arena_(keeps ? nullptr : &device.arena()), mark_(device.arena().mark()) {}
  ~ArenaScope() {
    if (arena_ != nullptr) arena_->release(mark_);
  }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena* arena_;
  Arena::Mark mark_;
};

}  // namespace hyperblocks
