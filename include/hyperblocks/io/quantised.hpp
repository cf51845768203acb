// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The block formats of GGUF tensors, and their expansion to real numbers. A block holds 32 or 256 small
// integers q and the scales that they share: x = scale q + offset. The plain formats are blocks of one
// number.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include <hyperblocks/io/stored_tensor.hpp>

namespace hyperblocks {

/// A format of tensors in GGUF files; `expand` is nullptr where only its size is known.
struct BlockFormat {
  std::uint32_t id;  ///< in the file
  std::string_view name;
  Index numbers;      ///< of a block
  std::size_t bytes;  ///< of a block
  /// Writes the numbers of so many blocks.
  void (*expand)(const std::uint8_t* from, Index blocks, float* to);
};

namespace detail::quantised {

using Bytes = const std::uint8_t*;

inline float half_at(Bytes from) { return static_cast<float>(number_at<half>(from)); }

// ---- 32 numbers: a scale, perhaps an offset, and 4, 5 or 8 bits each -------------------------------------

/// The i-th of 32 numbers of four bits: the low halves of 16 bytes first, then the high ones.
inline int four_bits(Bytes from, int i) { return i < 16 ? from[i] & 15 : from[i - 16] >> 4; }

/// The same with a fifth bit from a word of 32.
inline int five_bits(Bytes from, std::uint32_t fifth, int i) {
  return four_bits(from, i) | static_cast<int>(fifth >> i & 1) << 4;
}

inline void expand_q4_0(Bytes block, float* to) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(four_bits(block + 2, i) - 8);
}

inline void expand_q4_1(Bytes block, float* to) {
  const float scale = half_at(block), offset = half_at(block + 2);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(four_bits(block + 4, i)) + offset;
}

inline void expand_q5_0(Bytes block, float* to) {
  const float scale = half_at(block);
  const auto fifth = number_at<std::uint32_t>(block + 2);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(five_bits(block + 6, fifth, i) - 16);
}

inline void expand_q5_1(Bytes block, float* to) {
  const float scale = half_at(block), offset = half_at(block + 2);
  const auto fifth = number_at<std::uint32_t>(block + 4);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(five_bits(block + 8, fifth, i)) + offset;
}

inline void expand_q8_0(Bytes block, float* to) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
}

// ---- 256 numbers in groups of 32 or 16, whose own scales are small integers ------------------------------

/// Scale and offset of each group of 32, as six bits each in twelve bytes: those of the first four groups
/// lie whole in bytes 0..3 and 4..7, whose two upper bits complete the four bits that 8..11 hold of the
/// others.
struct Groups {
  float scale[8], offset[8];

  explicit Groups(Bytes block) {
    const float scale_unit = half_at(block), offset_unit = half_at(block + 2);
    const Bytes packed = block + 4;
    for (int i = 0; i < 8; ++i) {
      const int s = i < 4 ? packed[i] & 63 : (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
      const int o = i < 4 ? packed[i + 4] & 63 : packed[i + 4] >> 4 | (packed[i] >> 6) << 4;
      scale[i] = scale_unit * static_cast<float>(s);
      offset[i] = offset_unit * static_cast<float>(o);
    }
  }
};

/// The four bits of number i of group g: two groups share 32 bytes, the even one has their low halves.
inline int group_bits(Bytes from, int g, int i) { return from[g / 2 * 32 + i] >> (g % 2 * 4) & 15; }

inline void expand_q4_k(Bytes block, float* to) {
  const Groups groups(block);
  for (int g = 0; g < 8; ++g)
    for (int i = 0; i < 32; ++i)
      to[g * 32 + i] = groups.scale[g] * static_cast<float>(group_bits(block + 16, g, i)) - groups.offset[g];
}

inline void expand_q5_k(Bytes block, float* to) {
  const Groups groups(block);
  const Bytes fifth = block + 16;  // bit g of byte i
  for (int g = 0; g < 8; ++g)
    for (int i = 0; i < 32; ++i) {
      const int q = group_bits(block + 48, g, i) | (fifth[i] >> g & 1) << 4;
      to[g * 32 + i] = groups.scale[g] * static_cast<float>(q) - groups.offset[g];
    }
}

/// Of each half of 128 numbers: 64 bytes with the low four bits, 32 with the upper two, 8 scales.
inline void expand_q6_k(Bytes block, float* to) {
  const float unit = half_at(block + 208);
  for (int n = 0; n < 256; ++n) {
    const int part = n / 128, group = n % 128 / 32, i = n % 32;
    const int low = block[part * 64 + group % 2 * 32 + i] >> (group / 2 * 4) & 15;
    const int high = block[128 + part * 32 + i] >> (group * 2) & 3;
    const float scale = unit * static_cast<float>(static_cast<std::int8_t>(block[192 + n / 16]));
    to[n] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

// ---- the table -------------------------------------------------------------------------------------------

template <RealScalar Scalar>
void expand_plain(Bytes from, Index count, float* to) {
  for (Index i = 0; i < count; ++i)
    to[i] = static_cast<float>(number_at<Scalar>(from + static_cast<std::size_t>(i) * sizeof(Scalar)));
}

template <void one(Bytes, float*), std::size_t bytes, Index numbers>
void expand_blocks(Bytes from, Index blocks, float* to) {
  for (Index i = 0; i < blocks; ++i) one(from + static_cast<std::size_t>(i) * bytes, to + i * numbers);
}

template <void one(Bytes, float*), std::size_t bytes, Index numbers>
constexpr BlockFormat blocks(std::uint32_t id, std::string_view name) {
  return {id, name, numbers, bytes, expand_blocks<one, bytes, numbers>};
}

inline constexpr std::array formats = {
    BlockFormat{0, "F32", 1, 4, expand_plain<float>},
    BlockFormat{1, "F16", 1, 2, expand_plain<half>},
    BlockFormat{30, "BF16", 1, 2, expand_plain<bf16>},
    blocks<expand_q4_0, 18, 32>(2, "Q4_0"),
    blocks<expand_q4_1, 20, 32>(3, "Q4_1"),
    blocks<expand_q5_0, 22, 32>(6, "Q5_0"),
    blocks<expand_q5_1, 24, 32>(7, "Q5_1"),
    blocks<expand_q8_0, 34, 32>(8, "Q8_0"),
    blocks<expand_q4_k, 144, 256>(12, "Q4_K"),
    blocks<expand_q5_k, 176, 256>(13, "Q5_K"),
    blocks<expand_q6_k, 210, 256>(14, "Q6_K"),
    BlockFormat{9, "Q8_1", 32, 40, nullptr},
    BlockFormat{10, "Q2_K", 256, 84, nullptr},
    BlockFormat{11, "Q3_K", 256, 110, nullptr},
    BlockFormat{15, "Q8_K", 256, 292, nullptr},
    BlockFormat{16, "IQ2_XXS", 256, 66, nullptr},
    BlockFormat{17, "IQ2_XS", 256, 74, nullptr},
    BlockFormat{18, "IQ3_XXS", 256, 98, nullptr},
    BlockFormat{19, "IQ1_S", 256, 50, nullptr},
    BlockFormat{20, "IQ4_NL", 32, 18, nullptr},
    BlockFormat{21, "IQ3_S", 256, 110, nullptr},
    BlockFormat{22, "IQ2_S", 256, 82, nullptr},
    BlockFormat{23, "IQ4_XS", 256, 136, nullptr},
    BlockFormat{24, "I8", 1, 1, nullptr},
    BlockFormat{25, "I16", 1, 2, nullptr},
    BlockFormat{26, "I32", 1, 4, nullptr},
    BlockFormat{27, "I64", 1, 8, nullptr},
    BlockFormat{28, "F64", 1, 8, nullptr},
    BlockFormat{29, "IQ1_M", 256, 56, nullptr},
    BlockFormat{34, "TQ1_0", 256, 54, nullptr},
    BlockFormat{35, "TQ2_0", 256, 66, nullptr},
    BlockFormat{39, "MXFP4", 32, 17, nullptr},
    BlockFormat{40, "NVFP4", 64, 36, nullptr},
    BlockFormat{41, "Q1_0", 128, 18, nullptr},
};

}  // namespace detail::quantised

/// The format of a number in a file; nullptr for one not known.
constexpr const BlockFormat* block_format(std::uint32_t id) {
  for (const BlockFormat& format : detail::quantised::formats)
    if (format.id == id) return &format;
  return nullptr;
}

/// Expands whole blocks of a format that has `expand`; `bytes` hold exactly as many numbers as `to`.
template <RealScalar To>
void expand(const BlockFormat& format, std::span<const std::byte> bytes, std::span<To> to) {
  constexpr Index chunk = 256;  // numbers; of whole blocks of every format
  std::array<float, chunk> numbers;
  const auto* from = reinterpret_cast<const std::uint8_t*>(bytes.data());
  for (std::size_t done = 0; done < to.size();) {
    const auto count = std::min<std::size_t>(chunk, to.size() - done);
    const Index blocks = static_cast<Index>(count) / format.numbers;
    format.expand(from, blocks, numbers.data());
    for (std::size_t i = 0; i < count; ++i) to[done + i] = scalar_cast<To>(numbers[i]);
    from += static_cast<std::size_t>(blocks) * format.bytes;
    done += count;
  }
}

}  // namespace hyperblocks
