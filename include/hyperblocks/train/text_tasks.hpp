// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// SHINE's self-supervised tasks, which need texts and nothing else: to say again what was read, and to say
// the whole of what was read in part.
#pragma once

#include <string>
#include <vector>

#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

struct TextTask {
  std::string context;  ///< what the hypernetwork reads
  std::string turn;     ///< what the user says
  std::string answer;
};

inline constexpr char reconstruction_turn[] = "<RECON>", completion_turn[] = "<COMP>";

namespace detail {
inline std::vector<std::string> words(const std::string& text) {
  constexpr char white[] = " \t\n\v\f\r";
  std::vector<std::string> result;
  std::size_t begin = text.find_first_not_of(white);
  while (begin != text.npos) {
    const std::size_t end = std::min(text.find_first_of(white, begin), text.size());
    result.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(white, end);
  }
  return result;
}
}  // namespace detail

inline TextTask reconstruction(const std::string& text) { return {text, reconstruction_turn, text}; }

/// The first of a text's words, a share of 0.7 to 0.9 of them, with single spaces; of fewer than two the
/// text.
inline TextTask completion(Random& random, const std::string& text) {
  const std::vector<std::string> words = detail::words(text);
  const double share = random.uniform(0.7, 0.9);
  if (words.size() < 2) return {text, completion_turn, text};
  const auto count =
      std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(words.size()) * share));
  std::string context = words[0];
  for (std::size_t i = 1; i < count; ++i) context += " " + words[i];
  return {context, completion_turn, text};
}

/// Either, with equal chances.
inline TextTask random_text_task(Random& random, const std::string& text) {
  return random.below(2) == 0 ? reconstruction(text) : completion(random, text);
}

}  // namespace hyperblocks
