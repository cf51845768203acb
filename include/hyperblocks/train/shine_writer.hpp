// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ShineWriter: Shine in training. A further meta LoRA beside the one that learns stays as it is.
#pragma once

#include <optional>

#include <hyperblocks/hypernets/shine.hpp>
#include <hyperblocks/train/teaching.hpp>

namespace hyperblocks {

template <class Net_>
struct ShineWriter {
  using Net = Net_;
  using Model = typename Net::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Document = Tokens;

  const typename Model::Params& model;
  typename Model::Rotaries rotary;
  double plain_l1 = 0;  ///< times the sum of |plain output|, over the documents
  typename Model::template Updates<const Scalar> more_meta = {};

  struct Tape {
    std::optional<PaddedTexts<Device>> texts;
    typename Net::Tape net;
    typename Net::Factors plain = {}, gradient = {};
  };

  std::vector<WrittenPart<Model>> write(Device& device, const typename Net::Params& params,
                                        const std::vector<Tokens>& documents, Tape& tape) const {
    const auto count = static_cast<Index>(documents.size());
    const auto take_factors = [&] {
      return take<Scalar, Net::layers, dyn, Net::layer_numbers>(device, count);
    };
    const typename Net::Factors factors = take_factors();
    tape.plain = take_factors(), tape.gradient = take_factors();
    device.fill(tape.gradient.data(), 0, tape.gradient.bytes());
    const auto& texts = tape.texts.emplace(device, documents, PaddingOptions{.appended = Net::memory_tokens});
    Net::forward(device, params,
                 {.model = &model,
                  .ids = texts.ids(),
                  .documents = count,
                  .rotary = rotary,
                  .mask = texts.mask(),
                  .meta = more_meta},
                 {.factors = factors, .plain = tape.plain}, &tape.net);
    std::vector<WrittenPart<Model>> parts;
    parts.reserve(documents.size());
    for (Index i = 0; i < count; ++i)
      parts.push_back({Net::template updates<const Scalar>(factors, i),
                       Net::template updates<Scalar>(tape.gradient, i), static_cast<std::size_t>(i)});
    return parts;
  }

  double backward(Device& device, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    const ArenaScope scope(device);
    typename Net::OutputGradient doutput{.factors = tape.gradient};
    double cost = 0;
    if (plain_l1 != 0) {
      const Index size = tape.plain.size();
      const double share = plain_l1 / static_cast<double>(tape.plain.extent(1));
      const auto dplain = take<Scalar, Net::layers, dyn, Net::layer_numbers>(device, tape.plain.extent(1));
      cost = share * ops::l1_distance<Scalar>(device, tape.plain.template reshape<dyn>(size), {}, share,
                                              dplain.template reshape<dyn>(size));
      doutput.plain = dplain;
    }
    Net::backward(device, params, tape.net, doutput, {}, gradients, write);
    return cost;
  }
};

}  // namespace hyperblocks
