// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLoraCase: a TextToLora away from the special values of its beginning, embeddings of some texts, and a
// direction of the factors.
#pragma once

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/text_to_lora.hpp>

#include "block_check.hpp"

namespace hyperblocks::test {

template <class Net>
struct TextToLoraCase {
  using Scalar = typename Net::Scalar;

  TextToLoraCase(Cpu& cpu, Index texts)
      : random(3),
        params(make<typename Net::Params>(cpu)),
        gradients(make<typename Net::Gradients>(cpu)),
        embeddings(cpu, texts),
        dembeddings(cpu, texts),
        factors(cpu, texts * Net::numbers),
        direction(cpu, texts * Net::numbers) {
    Net::initialise(cpu, params, random);
    visit(
        [&](const std::string&, auto& tensor) {
          for (Scalar& value : tensor.span()) value += static_cast<Scalar>(0.3 * random.normal());
        },
        params);
    fill_normal(cpu, embeddings, random, 1);
    fill_normal(cpu, direction, random, 1);
  }

  void infer(Cpu& cpu) {
    const ArenaScope scope(cpu);
    typename Net::Tape tape;
    Net::forward(cpu, params, {.x = embeddings, .dropout = dropout}, {.factors = factors},
                 dropout ? &tape : nullptr);
  }
  void train(Cpu& cpu, Write write) {
    const ArenaScope scope(cpu);
    typename Net::Tape tape;
    Net::forward(cpu, params, {.x = embeddings, .dropout = dropout}, {.factors = factors}, &tape);
    Net::backward(cpu, params, tape, {.factors = direction}, dembeddings, gradients, write);
  }
  double loss(Cpu& cpu) {
    infer(cpu);
    double sum = 0;
    for (Index i = 0; i < factors.size(); ++i)
      sum += static_cast<double>(factors.data()[i]) * static_cast<double>(direction.data()[i]);
    return sum;
  }

  Random random;
  Dropout dropout = {};
  typename Net::Params params;
  typename Net::Gradients gradients;
  Tensor<Scalar, Cpu, dyn, Net::spec.embedding> embeddings, dembeddings;
  Tensor<Scalar, Cpu, dyn> factors, direction;
};

}  // namespace hyperblocks::test
