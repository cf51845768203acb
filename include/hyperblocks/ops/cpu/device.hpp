// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Cpu: threads, the instruction set its kernels use, and an arena. One host thread at a time gives it work;
// several devices may exist side by side.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include <hyperblocks/core/memory.hpp>
#include <hyperblocks/ops/cpu/packed_product.hpp>
#include <hyperblocks/ops/cpu/threads.hpp>

namespace hyperblocks {

class Cpu final : public Memory {
 public:
  struct Options {
    Index threads = 0;                      ///< the caller included; 0 means one per core
    std::optional<Isa> isa = std::nullopt;  ///< forced; by default the best that runs here
  };

  Cpu() : Cpu(Options{}) {}
  explicit Cpu(const Options& options) : threads_(options.threads), isa_(options.isa.value_or(best_isa())) {
    check(runs_here(isa_), [&] {
      return Error("the instruction set cannot run here", "Cpu", "at most " + std::string(name(best_isa())),
                   std::string(name(isa_)));
    });
  }

  Arena& arena() { return arena_; }
  cpu::Parallel& threads() { return threads_; }
  /// Which kernels run: forced or found.
  Isa isa() const { return isa_; }
  cpu::Execution execution() { return {threads_, isa_}; }

  Buffer allocate(std::size_t size) override {
    constexpr std::align_val_t aligned{alignment};
    void* const bytes = ::operator new(std::max<std::size_t>(size, 1), aligned);
    std::memset(bytes, 0, size);
    return {std::shared_ptr<void>(bytes, [](void* p) { ::operator delete(p, aligned); }), size};
  }
  void fill(void* to, unsigned char byte, std::size_t size) override { std::memset(to, byte, size); }
  void upload(void* to, const void* host, std::size_t size) override { copy(to, host, size); }
  void download(void* host, const void* from, std::size_t size) override { copy(host, from, size); }

 private:
  static void copy(void* to, const void* from, std::size_t size) {
    if (size != 0) std::memcpy(to, from, size);
  }

  cpu::Threads threads_;
  Isa isa_;
  Arena arena_{*this};
};

}  // namespace hyperblocks
