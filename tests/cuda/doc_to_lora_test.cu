// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Doc-to-LoRA on Cuda against the Cpu in double, the same templates, forward and backward.
#include <hyperblocks/hypernets/doc_to_lora.hpp>

#include "systems.hpp"

namespace hb = hyperblocks;
using hb::dyn, hb::Index, hb::Write;
using namespace hb::test;

namespace {

constexpr hb::DocToLoraSpec doc_spec{.rank = 2,
                                     .targets = query_and_down,
                                     .perceiver = {.latent = 8,
                                                   .latents = 3,
                                                   .blocks = 2,
                                                   .self_layers = 1,
                                                   .heads = 2,
                                                   .kv_heads = 1,
                                                   .head_width = 4,
                                                   .inner = 10,
                                                   .projection_inner = 14},
                                     .mlps = 2,
                                     .mlp_inner = 6};

struct TrainDocToLora {
  template <class S, class Device>
  std::vector<double> operator()(Device& device) const {
    using Net = hb::DocToLora<hb::Decoder<base, S, Device>, doc_spec>;
    constexpr Index pieces = 3, tokens = 5, sequences = Net::states * pieces;
    hb::Random random(3);
    const auto params = random_group<typename Net::Params>(device, random, 0.4);
    auto gradients = hb::make<typename Net::Gradients>(device);
    hb::Tensor<S, Device, dyn, Net::width> features(device, sequences * tokens),
        dfeatures(device, sequences * tokens);
    hb::Tensor<S, Device, dyn> scales(device, pieces), numbers(device, Net::numbers_of(pieces)),
        direction(device, Net::numbers_of(pieces));
    fill_coarsely(device, features, random, 1), fill_coarsely(device, scales, random, 1);
    fill_coarsely(device, direction, random, 1);
    hb::Tensor<std::uint8_t, Device, dyn> allowed(device, sequences * tokens);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(sequences * tokens));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = i % 7 != 3;
    allowed.upload(device, bytes);

    const hb::ArenaScope scope(device);
    typename Net::Tape tape;
    const typename Net::Input input{
        .features = features,
        .pieces = pieces,
        .mask = {.allowed = allowed.view().data(), .size = allowed.size(), .batch_stride = tokens},
        .piece_scales = scales,
        .scale = 1.5};
    Net::forward(device, params, input, {.factors = Net::updates(numbers.view(), 0, pieces)}, &tape);
    Net::backward(device, params, tape, Net::updates(std::as_const(direction).view(), 0, pieces), {dfeatures},
                  gradients, Write::assign);
    Collected<Device> all(device);
    all.add_view(numbers.view()), all.add_view(dfeatures.view());
    // The learned bias factors have no gradient of their own kind; what is trained is compared.
    all.add(gradients);
    return all.numbers;
  }
};

}  // namespace

TEST_CASE("Doc-to-LoRA, forward and backward") {
  // On both devices bf16 is 0.006 from double in the factors, 0.064 in some gradients.
  compare(TrainDocToLora(), 8e-2);
}
