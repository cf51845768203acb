// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the program is asked for, and lists of numbers as text.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include <hyperblocks/models/generate.hpp>

namespace hyperblocks::example {

struct Options {
  std::string base, hypernet, encoder;
  std::string text, corpus, ids, features, embedding;  ///< one of them is given: the input
  std::string out, format = "peft", dump, logits, logits_ids, weights = "auto";
  std::vector<std::string> questions;
  std::optional<Index> chunk;
  std::string chunk_scales;
  double scale = 1, bias_scale = 1;
  bool iterative = false, in_context = false;
  Index most = 128, threads = 0;
};

/// "1,2;3,4" as {{1, 2}, {3, 4}}; `where` names the option.
inline std::vector<Tokens> parse_ids(const std::string& text, const std::string& where, Index vocabulary) {
  std::vector<Tokens> lists(1);
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int32_t id = -1;
    const auto [stop, error] = std::from_chars(at, end, id);
    check(at != end && *at != ',' && *at != ';',
          [&] { return Error("a token is missing", where, "ids, as 1,2,3 or 1,2;3", "'" + text + "'"); });
    check(error == std::errc() && id >= 0 && id < vocabulary, [&] {
      return Error(
          "not a token", where, "ids of 0 to " + std::to_string(vocabulary - 1) + ", as 1,2,3 or 1,2;3",
          "'" + std::string(at, std::find_if(at, end, [](char c) { return c == ',' || c == ';'; })) + "'");
    });
    lists.back().push_back(id);
    if (stop == end) return lists;
    check(*stop == ',' || *stop == ';', [&] {
      return Error("not a list of tokens", where, "1,2,3 or 1,2;3", "'" + std::string(1, *stop) + "' in it");
    });
    if (*stop == ';') lists.emplace_back();
    at = stop + 1;
  }
}

/// "1,0.5" as {1, 0.5}; of nothing none.
inline std::vector<double> parse_numbers(const std::string& text, const std::string& where) {
  std::vector<double> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    double number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    check(error == std::errc() && std::isfinite(number) && (stop == end || (*stop == ',' && stop + 1 != end)),
          [&] { return Error("not a list of numbers", where, "numbers, as 1,0.5", "'" + text + "'"); });
    numbers.push_back(number);
    at = stop == end ? end : stop + 1;
  }
  return numbers;
}

}  // namespace hyperblocks::example
