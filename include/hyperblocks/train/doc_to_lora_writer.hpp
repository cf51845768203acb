// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DocToLoraWriter: DocToLora in training. A document is the pieces that it was cut into.
#pragma once

#include <optional>

#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/train/teaching.hpp>

namespace hyperblocks {

template <class Net_, class Reader>
struct DocToLoraWriter {
  using Net = Net_;
  using Model = typename Net::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Document = std::vector<Tokens>;
  static_assert(Reader::width == Net::width && Reader::states == Net::states,
                "hyperblocks: a DocToLora's reader gives features of its width, and its number of states");

  Reader reader;  ///< looks at the decoder, which is kept by the caller

  struct Tape {
    std::optional<PaddedTexts<Device>> texts;
    typename Net::Tape net;
    View<Scalar, Device, dyn> gradient = {},
                              bias_gradient = {};  // of the pieces' factors, of the bias factors
  };

  std::vector<WrittenPart<Model>> write(Device& device, const typename Net::Params& params,
                                        const std::vector<Document>& documents, Tape& tape) const {
    std::vector<Tokens> pieces;
    for (const Document& document : documents) pieces.insert(pieces.end(), document.begin(), document.end());
    const auto count = static_cast<Index>(pieces.size());
    const auto& texts =
        tape.texts.emplace(device, pieces, PaddingOptions{.side = PaddingSide::right, .passes = Net::states});
    const Index rows = count * texts.length();
    const auto features = take<Scalar, dyn, Net::width>(device, Net::states * rows);
    reader.read(device, texts.ids(), count, [&](Index state, View<const Scalar, Device, dyn, Net::width> x) {
      ops::cast<Scalar, Scalar>(device, x, features.slice(state * rows, rows));
    });
    const auto numbers = take<Scalar, dyn>(device, Net::numbers_of(count));
    tape.gradient = zeros(device, Net::numbers_of(count));
    Net::forward(device, params, {.features = features, .pieces = count, .mask = texts.mask()},
                 {.factors = Net::updates(numbers, 0, count)}, &tape.net);
    std::vector<WrittenPart<Model>> parts;
    parts.reserve(documents.size() + 1);
    Index first = 0;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const Index own = std::ssize(documents[i]);
      parts.push_back(
          {Net::template updates<const Scalar>(View<const Scalar, Device, dyn>(numbers), first, own),
           Net::updates(tape.gradient, first, own), i});
      first += own;
    }
    if constexpr (Net::spec.bias) {
      tape.bias_gradient = zeros(device, Net::numbers_of(1));
      parts.push_back({Net::Head::template bias_updates<const Scalar>(params.heads, Net::spec.scale()),
                       Net::updates(tape.bias_gradient, 0, 1), 0, documents.size()});
    }
    return parts;
  }

  double backward(Device& device, const typename Net::Params& params, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    const Index count = tape.gradient.size() / Net::numbers_of(1);
    Net::backward(
        device, params, tape.net,
        Net::template updates<const Scalar>(View<const Scalar, Device, dyn>(tape.gradient), 0, count), {},
        gradients, write);
    if constexpr (Net::spec.bias) give_bias(device, tape, gradients, write);
    return 0;
  }

 private:
  static View<Scalar, Device, dyn> zeros(Device& device, Index size) {
    const auto result = take<Scalar, dyn>(device, size);
    device.fill(result.data(), 0, result.bytes());
    return result;
  }

  /// The bias factors are parameters: their gradients go where parameters' do.
  static void give_bias(Device& device, const Tape& tape, typename Net::Gradients& gradients, Write write) {
    const auto from = Net::updates(tape.bias_gradient, 0, 1);
    const auto to = Net::Head::template bias_updates<Scalar>(gradients.heads, 1);
    Net::Head::each_head([&]<Projection projection>(std::size_t layer) {
      const auto give = [&](const auto& source, const auto& target) {
        ops::scale_add<Scalar>(device, 1, source.rows(), target.rows());
      };
      const auto& source = linear_of<projection>(from.layers[layer]);
      const auto& target = linear_of<projection>(to.layers[layer]);
      if (write == Write::assign) {
        device.fill(target.a.data(), 0, target.a.rows().bytes());
        device.fill(target.b.data(), 0, target.b.rows().bytes());
      }
      give(source.a, target.a), give(source.b, target.b);
    });
  }
};

}  // namespace hyperblocks
