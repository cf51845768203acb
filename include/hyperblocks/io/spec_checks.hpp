// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the readers of config.json and of GGUF metadata share: checks of what a file says, and the fields that
// follow from others.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <vector>

#include <hyperblocks/models/decoder_spec.hpp>

namespace hyperblocks::detail {

/// That sizes are positive, no product of two of them overflows, and heads fit each other.
inline void check_sizes(const DecoderSpec& spec, const std::string& where) {
  const auto check_size = [&](const char* what, Index size, Index most = (Index{1} << 31) - 1) {
    check(size > 0 && size <= most, [&] {
      return Error(std::string("an impossible size: ") + what, where, "1 to " + std::to_string(most),
                   std::to_string(size));
    });
  };
  check_size("vocabulary", spec.vocabulary);
  check_size("hidden size", spec.hidden);
  check_size("layers", spec.layers, 65535);  // readers count them
  check_size("heads", spec.heads);
  check_size("key heads", spec.kv_heads);
  check_size("width of a head", spec.head_width);
  check_size("inner size", spec.inner);
  check_size("positions", spec.positions);
  check(spec.heads % spec.kv_heads == 0 && spec.head_width % 2 == 0, [&] {
    return Error("heads that do not fit each other", where, "key heads that divide the heads, of even width",
                 std::to_string(spec.heads) + " heads, " + std::to_string(spec.kv_heads) +
                     " key heads, width " + std::to_string(spec.head_width));
  });
}

/// That every number can be computed with.
inline void check_numbers(const DecoderSpec& spec, const std::string& file) {
  each_field(
      [&](const std::string& field, auto value) {
        if constexpr (std::floating_point<decltype(value)>) {
          const bool divides = field == "epsilon" || field == "rope_base" || field == "rope_scaling.factor";
          check(std::isfinite(value) && (divides ? value > 0 : value >= 0), [&] {
            return Error("an impossible number: " + field, file, divides ? "more than 0" : "0 or more",
                         std::to_string(value));
          });
        }
      },
      spec);
  const RopeScaling& scaling = spec.rope_scaling;
  check(scaling.low_frequency_factor < scaling.high_frequency_factor, [&] {
    return Error("an impossible rope scaling", file, "a low frequency factor below the high one",
                 std::to_string(scaling.low_frequency_factor) + " and " +
                     std::to_string(scaling.high_frequency_factor));
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
