// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The body of the product kernels, included by product_kernels.hpp once per instruction set, inside a
// namespace that gives vector_bytes, tile_rows, registers and has_pairs. No include guard on purpose.
#if defined(HYPERBLOCKS_PRODUCT_KERNEL)

template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::Type;

template <class T>
inline constexpr Index lanes = vector_bytes / static_cast<Index>(sizeof(T));

// 16-bit scalars, one in the low half of every lane, to float.
template <class From>
HYPERBLOCKS_INLINE Vector<float> widened(const Vector<std::uint32_t> bits) {
  if constexpr (std::same_as<From, bf16>) {
    return (Vector<float>)(bits << 16);
  } else {
    const Vector<std::uint32_t> magnitude = (bits & 0x7fffu) << 13;
    // 2^112 makes up for the exponents' biases, of subnormal numbers as well.
    auto value = (Vector<std::uint32_t>)((Vector<float>)magnitude * 0x1p112f);
    value |= (Vector<std::uint32_t>)(magnitude >= 0x0f800000u) & 0x7f800000u;  // infinity and NaN
    return (Vector<float>)(value | ((bits & 0x8000u) << 16));
  }
}

// A tile of `rows` rows and `vectors` vectors of columns which begin `slice` vectors after the panel's first
// column.
template <class Panel, bool pairs, Index rows, Index vectors>
struct Tile {
  using Sum = Accumulator<Panel>;
  static constexpr Index vectors_per_panel = panel_columns<Panel> / lanes<Sum>;
  static constexpr Index row_stride = staged_bytes / static_cast<Index>(sizeof(Sum));

  ProductTile<Panel> call;  // a copy: stores cannot change it
  Index slice;
  typename ProductTile<Panel>::Part part;  // the present one
  const void* x;                           // its numbers
  Vector<Sum> sums[rows][vectors];

  HYPERBLOCKS_INLINE const Panel* columns(Index vector) const {
    return part.panel + (vector / vectors_per_panel) * part.panel_stride +
           (slice + vector % vectors_per_panel) * lanes<Sum> * panel_interleave<Panel>;
  }
  HYPERBLOCKS_INLINE Index column(Index vector) const { return (slice + vector) * lanes<Sum>; }

  HYPERBLOCKS_INLINE void load() {
    HYPERBLOCKS_UNROLL
    for (Index r = 0; r < rows; ++r) {
      HYPERBLOCKS_UNROLL
      for (Index v = 0; v < vectors; ++v)
        std::memcpy(&sums[r][v], call.start + r * call.start_stride + column(v), vector_bytes);
    }
  }

  HYPERBLOCKS_INLINE void store() const {
    HYPERBLOCKS_UNROLL
    for (Index r = 0; r < rows; ++r) {
      HYPERBLOCKS_UNROLL
      for (Index v = 0; v < vectors; ++v)
        std::memcpy(call.y + r * call.y_stride + column(v), &sums[r][v], vector_bytes);
    }
  }

  HYPERBLOCKS_INLINE void multiply_add(const Sum* numbers, const Vector<Sum> (&weights)[vectors]) {
    HYPERBLOCKS_UNROLL
    for (Index r = 0; r < rows; ++r) {
      const Sum factor = numbers[r * row_stride];
      HYPERBLOCKS_UNROLL
      for (Index v = 0; v < vectors; ++v) sums[r][v] += weights[v] * factor;
    }
  }

  // A step reads 128 bytes of every panel. They come from beyond the first-level cache, and the processor's
  // own prefetching stops at every page (measured with weights in memory, m = 8: 16 GB/s without, 31 GB/s
  // with, 4 KiB ahead).
  HYPERBLOCKS_INLINE void prefetch(Index k) const {
    constexpr Index panels = (vectors + vectors_per_panel - 1) / vectors_per_panel;
    constexpr Index bytes = 128 * vectors / vectors_per_panel / panels;
    HYPERBLOCKS_UNROLL
    for (Index p = 0; p < panels; ++p) {
      const Panel* now = columns(p * vectors_per_panel) + k * panel_columns<Panel>;
      HYPERBLOCKS_UNROLL
      for (Index line = 0; line < bytes; line += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(now) + part.ahead + line);
    }
  }

  // Panels of float or double.
  HYPERBLOCKS_INLINE void step(Index k) {
    Vector<Sum> weights[vectors];
    HYPERBLOCKS_UNROLL
    for (Index v = 0; v < vectors; ++v)
      std::memcpy(&weights[v], columns(v) + k * panel_columns<Panel>, vector_bytes);
    multiply_add(static_cast<const Sum*>(x) + k, weights);
  }

  // 16-bit panels: a 32-bit lane holds the weights of row k (low half) and row k + 1 (high half) of one
  // column.
  template <bool second>
  HYPERBLOCKS_INLINE void half_step(Index k) {
    Vector<Sum> weights[vectors];
    HYPERBLOCKS_UNROLL
    for (Index v = 0; v < vectors; ++v) {
      Vector<std::uint32_t> raw;
      std::memcpy(&raw, columns(v) + k * panel_columns<Panel>, vector_bytes);
      if constexpr (std::same_as<Panel, bf16>) {
        weights[v] = (Vector<float>)(second ? raw & 0xffff0000u : raw << 16);
      } else {
        weights[v] = widened<Panel>(second ? raw >> 16 : raw & 0xffffu);
      }
    }
    multiply_add(static_cast<const Sum*>(x) + k + (second ? 1 : 0), weights);
  }

  // Dot products of pairs. As assembly, because compilers disagree on the name and types of the intrinsic.
  HYPERBLOCKS_INLINE void pair_step([[maybe_unused]] Index k) {
#if defined(__x86_64__)
    if constexpr (has_pairs) {
      const auto* pair = static_cast<const std::uint32_t*>(x) + k / 2;
      Vector<std::uint32_t> weights[vectors];
      HYPERBLOCKS_UNROLL
      for (Index v = 0; v < vectors; ++v)
        std::memcpy(&weights[v], columns(v) + k * panel_columns<Panel>, vector_bytes);
      HYPERBLOCKS_UNROLL
      for (Index r = 0; r < rows; ++r) {
        const Vector<std::uint32_t> factor = pair[r * row_stride] - Vector<std::uint32_t>{};
        HYPERBLOCKS_UNROLL
        for (Index v = 0; v < vectors; ++v)
          __asm__("vdpbf16ps %2, %1, %0" : "+v"(sums[r][v]) : "v"(weights[v]), "v"(factor));
      }
    }
#endif
  }

  // To the second part, if there is one left. (A loop over the parts costs 2 %: addresses stay in memory.)
  HYPERBLOCKS_INLINE bool go_on() {
    if (call.parts[1].k == 0) return false;
    x = static_cast<const std::byte*>(x) + part.k * static_cast<Index>(pairs ? sizeof(bf16) : sizeof(Sum));
    part = call.parts[1];
    call.parts[1].k = 0;
    return true;
  }

  HYPERBLOCKS_INLINE void run() {
    load();
    do {
      for (Index k = 0; k < part.k; k += panel_interleave<Panel>) {
        prefetch(k);
        if constexpr (pairs) {
          pair_step(k);
        } else if constexpr (panel_interleave<Panel> == 2) {
          half_step<false>(k);
          half_step<true>(k);
        } else {
          step(k);
        }
      }
    } while (go_on());
    store();
  }
};

// The largest power of two of vectors, `most` at the most, for which registers hold the sums of `rows` rows,
// the weights
// (a single row uses them from memory) and one factor.
constexpr Index vectors_for(Index rows, Index most) {
  Index vectors = most;
  while (vectors > 1 && vectors * (rows + (rows > 1 ? 1 : 0)) + 1 > registers) vectors /= 2;
  return vectors;
}

template <class Panel>
inline constexpr Index vectors_per_panel = panel_columns<Panel> / lanes<Accumulator<Panel>>;

template <class Panel, bool pairs, Index rows, Index panels>
void product_tile(const ProductTile<Panel>& call) {
  constexpr Index vectors = vectors_for(rows, panels * vectors_per_panel<Panel>);
  // Wider than a panel, or a panel slice by slice.
  for (Index slice = 0; slice < vectors_per_panel<Panel>; slice += vectors) {
    Tile<Panel, pairs, rows, vectors> tile{call, slice, call.parts[0], call.x, {}};
    tile.run();
  }
}

template <class Panel>
constexpr Index panels_for(Index rows) {
  const Index vectors = vectors_for(rows, most_panels * vectors_per_panel<Panel>);
  return vectors < vectors_per_panel<Panel> ? 1 : vectors / vectors_per_panel<Panel>;
}

template <class Panel, bool pairs, Index rows = 1>
constexpr ProductKernels<Panel> make_table(ProductKernels<Panel> kernels = {}) {
  kernels.panels[rows] = panels_for<Panel>(rows);
  kernels.one[rows] = &product_tile<Panel, pairs, rows, 1>;
  kernels.several[rows] = &product_tile<Panel, pairs, rows, panels_for<Panel>(rows)>;
  if constexpr (rows < tile_rows) {
    return make_table<Panel, pairs, rows + 1>(kernels);
  } else {
    kernels.rows = rows;
    kernels.pairs = pairs;
    return kernels;
  }
}

// Staging: 16-bit scalars to float.
template <class From>
void widen_row(const From* from, Index count, float* to) {
  constexpr Index step = lanes<float>;
  typedef std::uint16_t Narrow __attribute__((vector_size(vector_bytes / 2)));
  Index i = 0;
  for (; i + step <= count; i += step) {
    Narrow raw;
    std::memcpy(&raw, from + i, sizeof raw);
    const Vector<float> wide = widened<From>(__builtin_convertvector(raw, Vector<std::uint32_t>));
    std::memcpy(to + i, &wide, sizeof wide);
  }
  for (; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

template <class Panel, bool pairs>
inline constexpr ProductKernels<Panel> table = make_table<Panel, pairs>();

#endif
