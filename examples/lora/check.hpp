// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// lora check: whether an adapter changes a model's logits, and by how much.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "any_decoder.hpp"

namespace hyperblocks::example {

/// How far logits are from others of as many tokens.
struct LogitsChange {
  double largest = 0;      ///< difference
  double relative = 0;     ///< to the largest logit without the adapter
  double divergence = 0;   ///< KL(without, with) of the last token, in nats
  Index other_tokens = 0;  ///< whose likeliest next token is another
};

/// log softmax, in double
inline std::vector<double> log_probabilities(std::span<const float> logits) {
  const auto most = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  std::vector<double> result(logits.size());
  std::transform(logits.begin(), logits.end(), result.begin(),
                 [&](float logit) { return static_cast<double>(logit) - most - std::log(sum); });
  return result;
}

inline LogitsChange change_of(std::span<const float> plain, std::span<const float> adapted,
                              Index vocabulary) {
  LogitsChange change;
  double most = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const double difference = std::abs(static_cast<double>(adapted[i]) - static_cast<double>(plain[i]));
    if (!(difference <= change.largest)) change.largest = difference;  // NaN too
    most = std::max(most, std::abs(static_cast<double>(plain[i])));
  }
  change.relative = change.largest / most;
  const auto width = static_cast<std::size_t>(vocabulary);
  for (std::size_t row = 0; row < plain.size(); row += width) {
    const auto likeliest = [&](std::span<const float> logits) {
      const auto of_row = logits.subspan(row, width);
      return std::max_element(of_row.begin(), of_row.end()) - of_row.begin();
    };
    change.other_tokens += likeliest(plain) != likeliest(adapted) ? 1 : 0;
  }
  const auto before = log_probabilities(plain.last(width)), after = log_probabilities(adapted.last(width));
  for (std::size_t i = 0; i < width; ++i) change.divergence += std::exp(before[i]) * (before[i] - after[i]);
  return change;
}

/// An Error if the adapter does not fit or nothing changes; `file` receives the logits under it, if named.
inline void check_logits(Cpu& cpu, const std::filesystem::path& base, const HostAdapter& adapter,
                         const std::string& where, const std::vector<std::int32_t>& ids,
                         const std::filesystem::path& file) {
  AnyDecoder decoder(cpu, base);
  check_fits(adapter, decoder.spec(), where);
  check_finite(adapter, where);
  const auto logits = decoder.logits(ids, {nullptr, &adapter}, ProgressBar("running"));
  const auto half = static_cast<std::size_t>(logits.size()) / 2;
  const auto plain = logits.span().first(half), adapted = logits.span().last(half);
  if (!file.empty()) {
    const Index tokens = static_cast<Index>(ids.size());
    write_safetensors(
        file, {{"logits", {DType::f32, {tokens, decoder.spec().vocabulary}, std::as_bytes(adapted)}}});
  }
  const LogitsChange change = change_of(plain, adapted, decoder.spec().vocabulary);
  check(std::isfinite(change.largest), [&] {
    return Error("a logit is not finite", where, "finite logits with it and without", "NaN or infinity");
  });
  check(change.largest != 0, [&] {
    return Error("the adapter changes nothing", where, "other logits with it than without",
                 "the same for all " + std::to_string(ids.size()) + " tokens");
  });
  std::printf("%zu tokens: logits change by up to %.4g (%.4g of the largest)\n", ids.size(), change.largest,
              change.relative);
  std::printf("last token: KL(without, with) %.4g nats\n", change.divergence);
  std::printf("likeliest next token: another after %td of %zu\n", change.other_tokens, ids.size());
}

}  // namespace hyperblocks::example
