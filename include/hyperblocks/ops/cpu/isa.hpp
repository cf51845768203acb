// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The instruction sets that kernels are compiled for, and which of them this processor (and its operating
// system) runs. Kernels are chosen at run time: a program built for plain x86-64 keeps the fast ones.
#pragma once

#include <string_view>

namespace hyperblocks {

/// From the least to the most capable: each runs wherever a later one runs.
enum class Isa { portable, avx2, avx512, avx512_bf16 };

inline constexpr Isa all_isas[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

constexpr std::string_view name(Isa isa) {
  constexpr std::string_view names[] = {"portable", "avx2", "avx512", "avx512_bf16"};
  return names[static_cast<int>(isa)];
}

inline bool runs_here(Isa isa) {
#if defined(__x86_64__)
  const auto avx2 = [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); };
  const auto avx512 = [&] {
    return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  };
  switch (isa) {
    case Isa::portable:
      return true;
    case Isa::avx2:
      return avx2();
    case Isa::avx512:
      return avx512();
    case Isa::avx512_bf16:
      return avx512() && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return isa == Isa::portable;
#endif
}

/// The most capable instruction set of this processor.
inline Isa best_isa() {
  static const Isa best = [] {
    Isa found = Isa::portable;
    for (const Isa isa : all_isas)
      if (runs_here(isa)) found = isa;
    return found;
  }();
  return best;
}

}  // namespace hyperblocks
