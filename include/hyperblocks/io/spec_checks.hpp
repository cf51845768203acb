// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the readers of config.json and of GGUF metadata share: checks of what a file says, and the fields that
// follow from others.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <hyperblocks/io/spec_text.hpp>

namespace hyperblocks::detail {

inline constexpr Index largest_size = (Index{1} << 31) - 1;  ///< no product of two overflows
inline constexpr Index most_layers = 65535;                  ///< readers count them

/// A size of a model, as a file says it there.
inline Index checked_size(Index size, const std::string& where, Index most = largest_size, Index least = 1) {
  check(size >= least && size <= most, [&] {
    return Error("an impossible size", where, std::to_string(least) + " to " + std::to_string(most),
                 std::to_string(size));
  });
  return size;
}

/// A number of a model that can be computed with: divided by, too, unless it may be zero.
inline double checked_number(double number, const std::string& where, bool or_zero = false) {
  check(std::isfinite(number) && (number > 0 || (or_zero && number == 0)), [&] {
    return Error("an impossible number", where, or_zero ? "0 or more" : "more than 0", spec_text(number));
  });
  return number;
}

inline void check_heads(const DecoderSpec& spec, const std::string& where) {
  check(spec.heads % spec.kv_heads == 0 && spec.head_width > 0 && spec.head_width % 2 == 0, [&] {
    return Error("heads that do not fit each other", where, "key heads that divide the heads, of even width",
                 std::to_string(spec.heads) + " heads, " + std::to_string(spec.kv_heads) +
                     " key heads, width " + std::to_string(spec.head_width));
  });
}

/// Leaves the default where the scale equals it.
inline void set_attention_scale(DecoderSpec& spec, double scale) {
  const double usual = 1 / std::sqrt(static_cast<double>(spec.width()));
  spec.attention_scale = std::abs(scale - usual) <= 1e-6 * usual ? 0 : scale;
}

/// What no file says of the Gemma family.
inline void make_gemma(DecoderSpec& spec) {
  spec.norm_shift = 1;
  spec.output_norms = true;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
}

/// The window of the layers that have one; every n-th layer may have none.
inline void set_windows(DecoderSpec& spec, const std::vector<bool>& windows, Index window,
                        const std::string& where) {
  if (std::find(windows.begin(), windows.end(), true) == windows.end()) {
    spec.window_rope_base = 0;
    return;
  }
  check(window > 0, [&] {
    return Error("a window of nothing", where, "a sliding window of 1 or more", std::to_string(window));
  });
  spec.window = window;
  const auto full = std::find(windows.begin(), windows.end(), false);
  spec.full_every = full == windows.end() ? 0 : full - windows.begin() + 1;
  for (Index i = 0; i < spec.layers; ++i)
    check(windows[static_cast<std::size_t>(i)] == spec.slides(i), [&] {
      return Error("an order of attention that is not supported", where,
                   "a window in all layers, or in all but every n-th",
                   "another order from layer " + std::to_string(i) + " on");
    });
}

}  // namespace hyperblocks::detail
