// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The needle task: one line with a number among many that say nothing, at a chosen depth of a text of a
// chosen length; "What is the special magic number?"
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

struct Needle {
  std::string text, answer;
  Index line = 0;  ///< which of the text's lines has the number
};

inline constexpr char needle_question[] = "What is the special magic number? Reply with only the number.";
inline constexpr char needle_hay[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
inline constexpr Index needle_bins = 10;

/// A text of `lines` lines, the needle's among them, in one of ten bins of depth.
inline Needle needle_of(Random& random, Index lines, Index bin) {
  check(lines > 0 && bin >= 0 && bin < needle_bins, [&] {
    return Error("impossible needle", "needle_of", "a line or more, a bin of 0 to 9",
                 std::to_string(lines) + " lines, bin " + std::to_string(bin));
  });
  Needle needle;
  char number[8];
  std::snprintf(number, sizeof number, "%04d", static_cast<int>(random.below(10000)));
  needle.answer = number;
  const Index first = lines * bin / needle_bins,
              last = (lines * (bin + 1) + needle_bins - 1) / needle_bins - 1;
  needle.line = first + static_cast<Index>(random.below(static_cast<std::size_t>(last - first + 1)));
  for (Index i = 0; i < lines; ++i) {
    if (i > 0) needle.text += '\n';
    needle.text += i == needle.line ? "The special magic number is " + needle.answer + "." : needle_hay;
  }
  return needle;
}

}  // namespace hyperblocks
