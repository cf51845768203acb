// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text-to-LoRA on Cuda against the Cpu in double, the same templates, forward and backward.
#include <hyperblocks/hypernets/text_to_lora.hpp>

#include "systems.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index, hb::Write;
using namespace hb::test;

namespace {

template <hb::TaskCode code, bool shared_head, bool autoregressive>
struct TrainTextToLora {
  static constexpr hb::TextToLoraSpec spec() {
    hb::TextToLoraSpec result{
        .rank = 2, .targets = query_and_down, .embedding = 5, .latent = 8, .head_in = 6};
    result.classes = 4, result.codes = 3, result.z_score = result.offset = true;
    result.code = code, result.shared_head = shared_head, result.autoregressive = autoregressive;
    return result;
  }

  template <class S, class Device>
  std::vector<double> operator()(Device& device) const {
    using Net = hb::TextToLora<hb::Decoder<base, S, Device>, spec()>;
    hb::Random random(3);
    const auto params = random_group<typename Net::Params>(device, random, 0.4);
    auto gradients = hb::make<typename Net::Gradients>(device);
    hb::Tensor<S, Device, dyn, 5> embeddings(device, 3), dembeddings(device, 3);
    hb::Tensor<S, Device, dyn> numbers(device, 3 * Net::numbers), direction(device, 3 * Net::numbers);
    fill_coarsely(device, embeddings, random, 1), fill_coarsely(device, direction, random, 1);

    const hb::ArenaScope scope(device);
    typename Net::Tape tape;
    Net::forward(device, params, {.x = embeddings}, {.factors = numbers}, &tape);
    Net::backward(device, params, tape, {.factors = direction}, dembeddings, gradients, Write::assign);
    Collected<Device> all(device);
    all.add_view(numbers.view()), all.add_view(dembeddings.view()), all.add(gradients);
    return all.numbers;
  }
};

}  // namespace

TEST_CASE("Text-to-LoRA, L and S, chosen and mixed codes, forward and backward") {
  compare(TrainTextToLora<hb::TaskCode::linear, false, false>());
  compare(TrainTextToLora<hb::TaskCode::vq, true, true>());
}
