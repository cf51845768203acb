// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Staging: pinned host memory through which transfers go. What is uploaded is copied there at once, so that
// the host neither keeps it nor waits, unless it is ahead of the device by all of the memory. Downloads go
// in pieces: one is on its way while the one before is copied to its place.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <hyperblocks/cuda/check.cuh>

namespace hyperblocks::cuda {

class Staging {
 public:
  Staging() {
    for (Piece& piece : pieces_) {
      void* bytes = nullptr;
      check(cudaMallocHost(&bytes, piece_size));
      piece.bytes.reset(static_cast<char*>(bytes));
      cudaEvent_t event = nullptr;
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
      piece.done.reset(event);
    }
  }

  void upload(void* to, const void* host, std::size_t size, cudaStream_t stream) {
    for (std::size_t begin = 0; begin < size;) {
      const std::size_t count = std::min(size - begin, piece_size);
      void* const place = take(count, stream);
      std::memcpy(place, static_cast<const char*>(host) + begin, count);
      check(cudaMemcpyAsync(static_cast<char*>(to) + begin, place, count, cudaMemcpyHostToDevice, stream));
      begin += count;
    }
  }

  /// Returns when the bytes are there.
  void download(void* host, const void* from, std::size_t size, cudaStream_t stream) {
    next_piece(stream);  // what earlier uploads wait for is not touched
    const std::size_t count = (size + piece_size - 1) / piece_size;
    const auto size_of = [&](std::size_t i) { return std::min(piece_size, size - i * piece_size); };
    for (std::size_t i = 0; i < count + 1; ++i) {
      if (i < count) {
        Piece& piece = pieces_[(current_ + i) % pieces_.size()];
        check(cudaEventSynchronize(piece.done.get()));
        check(cudaMemcpyAsync(piece.bytes.get(), static_cast<const char*>(from) + i * piece_size, size_of(i),
                              cudaMemcpyDeviceToHost, stream));
        check(cudaEventRecord(piece.done.get(), stream));
      }
      if (i > 0) {
        const Piece& piece = pieces_[(current_ + i - 1) % pieces_.size()];
        check(cudaEventSynchronize(piece.done.get()));
        std::memcpy(static_cast<char*>(host) + (i - 1) * piece_size, piece.bytes.get(), size_of(i - 1));
      }
    }
  }

 private:
  static constexpr std::size_t piece_size = std::size_t{1} << 20;

  struct Free {
    void operator()(char* bytes) const { cudaFreeHost(bytes); }
  };
  struct Destroy {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  struct Piece {
    std::unique_ptr<char, Free> bytes;
    std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy> done;  ///< what reads or writes it
  };

  /// So many bytes of one piece.
  void* take(std::size_t size, cudaStream_t stream) {
    if (used_ + size > piece_size) next_piece(stream);
    void* const place = pieces_[current_].bytes.get() + used_;
    used_ += size;
    return place;
  }
  void next_piece(cudaStream_t stream) {
    check(cudaEventRecord(pieces_[current_].done.get(), stream));
    current_ = (current_ + 1) % pieces_.size(), used_ = 0;
    check(cudaEventSynchronize(pieces_[current_].done.get()));
  }

  std::array<Piece, 4> pieces_;
  std::size_t current_ = 0, used_ = 0;
};

}  // namespace hyperblocks::cuda
