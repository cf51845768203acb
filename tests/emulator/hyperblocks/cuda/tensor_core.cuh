// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// In place of the library's tensor_core.cuh: the same functions on the emulated GPU. Copies arrive at once
// when a block's threads run in the reverse order, and else as late as they may.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include <hyperblocks/core/dtype.hpp>

namespace hyperblocks::cuda {

template <class Scalar>
float number_of(std::uint32_t pair, unsigned second) {
  const auto bits = static_cast<std::uint16_t>(second != 0 ? pair >> 16 : pair);
  return static_cast<float>(Scalar::from_bits(bits));
}

template <class Scalar>
void multiply_add(float (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2]) {
  struct Fragments {
    std::uint32_t left[4], right[2];
  } own;
  std::memcpy(own.left, left, sizeof left), std::memcpy(own.right, right, sizeof right);
  emulator::share(own, [&](auto of_lane) {
    const unsigned lane = emulator::lane(), group = lane / 4, thread = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = group + (i / 2) * 8, column = 2 * thread + i % 2;
      for (unsigned k = 0; k < 16; ++k) {
        const Fragments a = of_lane(row % 8 * 4 + k % 8 / 2), b = of_lane(column * 4 + k % 8 / 2);
        sums[i] +=
            number_of<Scalar>(a.left[row / 8 + k / 8 * 2], k % 2) * number_of<Scalar>(b.right[k / 8], k % 2);
      }
    }
  });
}

template <bool transposed>
void load_matrices(std::uint32_t (&to)[4], const void* row) {
  emulator::share(row, [&](auto of_lane) {
    const unsigned lane = emulator::lane(), group = lane / 4, thread = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
      std::uint16_t pair[2];
      for (unsigned second = 0; second < 2; ++second) {
        const unsigned r = transposed ? 2 * thread + second : group,
                       c = transposed ? group : 2 * thread + second;
        std::memcpy(&pair[second], static_cast<const std::uint16_t*>(of_lane(8 * i + r)) + c, 2);
      }
      to[i] = pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
    }
  });
}

inline void copy_now(const emulator::Copy& copy) {
  if (copy.from == nullptr)
    std::memset(copy.to, 0, 16);
  else
    std::memcpy(copy.to, copy.from, 16);
}
inline void copy_later(void* to, const void* from, bool wanted) {
  const emulator::Copy copy{to, wanted ? from : nullptr};
  if (emulator::order == emulator::Order::descending)
    copy_now(copy);
  else
    emulator::copies().push_back(copy);
}
inline void group_copies() { emulator::copies().push_back({nullptr, nullptr}); }
template <int groups>
void wait_for_copies() {
  auto& copies = emulator::copies();
  std::size_t ends = 0;
  for (const auto& copy : copies) ends += copy.to == nullptr ? 1 : 0;
  std::size_t done = 0;
  for (; done < copies.size() && ends > groups; ++done) {
    const auto& copy = copies[done];
    if (copy.to == nullptr)
      --ends;
    else
      copy_now(copy);
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace hyperblocks::cuda
