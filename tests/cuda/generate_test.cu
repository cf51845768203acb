// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Generation on Cuda, whose steps are one recorded graph, against the Cpu's in double: prompts of different
// lengths together, some of which end before others, with updates and without.
#include <hyperblocks/models/generate.hpp>

#include "systems.hpp"

namespace hb = hyperblocks;
using namespace hb::test;

namespace {

constexpr hb::DecoderSpec spec{.vocabulary = 23,
                               .hidden = 16,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 1,
                               .inner = 24,
                               .positions = 96,
                               .window = 6,
                               .full_every = 2};

template <class Scalar, class Device>
std::vector<hb::Tokens> continued(bool updated) {
  using Model = hb::Decoder<spec, Scalar, Device>;
  Device device;
  device.arena().poison(true);
  hb::Random random(4);
  const auto params = random_group<typename Model::Params>(device, random, 0.5);
  const typename Model::Positions positions(device);
  hb::Tensor<Scalar, Device, hb::dyn, 16> a(device, 3), b(device, 3);
  fill_coarsely(device, a, random, 1.0), fill_coarsely(device, b, random, 1.0);
  typename Model::template Updates<const Scalar> updates;
  if (updated)
    updates.layers[1].attention.output = {.a = {a.data(), 3}, .b = {b.data(), 3, hb::FactorForm::rows}};
  const std::vector<hb::Tokens> prompts = {{3, 1, 4, 1, 5}, {9, 2}, {6, 5, 3, 5, 8, 9, 7, 9, 3, 2}, {11}};
  hb::GenerationOptions options{.most = 12};
  options.each = [](std::size_t prompt, std::int32_t token) { return prompt != 1 || token % 3 != 0; };
  return hb::generate<Model>(device, params, positions, prompts, options, updates);
}

}  // namespace

TEST_CASE("continuations are the same on both devices") {
  for (const bool updated : {false, true}) {
    const auto expected = continued<double, hb::Cpu>(updated);
    CHECK(expected[0].size() == 12);
    CHECK(continued<double, hb::Cuda>(updated) == expected);
    CHECK(continued<float, hb::Cuda>(updated) == continued<float, hb::Cpu>(updated));
  }
  CHECK(continued<double, hb::Cpu>(true) != continued<double, hb::Cpu>(false));
}
