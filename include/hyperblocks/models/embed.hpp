// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// embed: a text's tokens to one vector, by a TextEncoder or by a Decoder behind its final norm.
//   embed<Encoder>(cpu, params, positions, tokens, {.pooling = Pooling::mean, .length = 1})
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <hyperblocks/models/decoder.hpp>
#include <hyperblocks/models/text_encoder.hpp>

namespace hyperblocks {

/// Which of a text's hidden states become its vector.
enum class Pooling : std::uint8_t { cls, mean, last };

struct EmbedOptions {
  Pooling pooling = Pooling::mean;
  double length = 0;  ///< the vector is scaled to this length; 0: left as it is
};

/// The vector (hidden) of one text.
template <class Encoder>
std::vector<float> embed(typename Encoder::Device& device, const typename Encoder::Params& params,
                         const typename Encoder::Positions& positions, std::span<const std::int32_t> tokens,
                         const EmbedOptions& options = {}) {
  using Scalar = typename Encoder::Scalar;
  const ArenaScope scope(device);
  const auto count = static_cast<Index>(tokens.size());
  const auto ids = take<std::int32_t, dyn>(device, count);
  device.upload(ids.data(), tokens.data(), tokens.size_bytes());
  const auto states = take<Scalar, dyn, Encoder::hidden>(device, count);
  if constexpr (std::same_as<std::remove_cv_t<decltype(Encoder::spec)>, DecoderSpec>)
    Encoder::forward(device, params, {.ids = ids, .rotary = positions, .final_norm = true},
                     {.state = states});
  else
    Encoder::forward(device, params, ids, positions, states);

  const Index first = options.pooling == Pooling::last ? count - 1 : 0;
  const Index rows = options.pooling == Pooling::mean ? count : 1;
  std::vector<Scalar> host(static_cast<std::size_t>(rows * Encoder::hidden));
  device.download(host.data(), states.slice(first, rows).data(), host.size() * sizeof(Scalar));
  std::vector<double> sums(static_cast<std::size_t>(Encoder::hidden));
  for (std::size_t i = 0; i < host.size(); ++i) sums[i % sums.size()] += scalar_cast<double>(host[i]);
  double squares = 0;
  for (double& sum : sums) sum /= static_cast<double>(rows), squares += sum * sum;
  const double factor = options.length != 0 && squares > 0 ? options.length / std::sqrt(squares) : 1;
  std::vector<float> result;
  result.reserve(sums.size());
  for (const double sum : sums) result.push_back(static_cast<float>(sum * factor));
  return result;
}

}  // namespace hyperblocks
