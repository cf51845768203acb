// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLoraWriter: TextToLora in training. A document is the embedding of a task's description, of any
// length.
#pragma once

#include <hyperblocks/hypernets/text_to_lora.hpp>
#include <hyperblocks/train/teaching.hpp>

namespace hyperblocks {

template <class Net_>
struct TextToLoraWriter {
  using Net = Net_;
  using Model = typename Net::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Document = std::vector<float>;

  struct Tape {
    typename Net::Tape net;
    View<Scalar, Device, dyn> gradient = {};
    Dropout dropout = {};  ///< set before write()
  };

  std::vector<WrittenPart<Model>> write(Device& device, const typename Net::Params& params,
                                        const std::vector<Document>& documents, Tape& tape) const {
    const auto texts = static_cast<Index>(documents.size());
    const auto x = Net::take_embeddings(device, documents);
    const auto numbers = take<Scalar, dyn>(device, texts * Net::numbers);
    tape.gradient = take<Scalar, dyn>(device, texts * Net::numbers);
    device.fill(tape.gradient.data(), 0, tape.gradient.bytes());
    Net::forward(device, params, {.x = x, .dropout = tape.dropout}, {.factors = numbers}, &tape.net);
    std::vector<WrittenPart<Model>> parts;
    parts.reserve(documents.size());
    for (Index i = 0; i < texts; ++i)
      parts.push_back({Net::template updates<const Scalar>(View<const Scalar, Device, dyn>(numbers), i),
                       Net::updates(tape.gradient, i), static_cast<std::size_t>(i)});
    return parts;
  }

  double backward(Device& device, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    Net::backward(device, params, tape.net, {.factors = tape.gradient}, {}, gradients, write);
    return 0;
  }
};

}  // namespace hyperblocks
