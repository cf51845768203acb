// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: the model has other layers, or layers of other widths, than the adapter's base
// errors: 1
#include <hyperblocks/hyperblocks.hpp>

// One layer more than the model has.
namespace hb = hyperblocks;
constexpr hb::DecoderSpec spec(hb::Index layers) {
  return {.vocabulary = 19, .hidden = 8, .layers = layers, .heads = 2, .inner = 10};
}
using Model = hb::Decoder<spec(2), float, hb::Cpu>;
void caller(const hb::Adapter<spec(3), hb::AdapterSpec{.rank = 2}, float, hb::Cpu>& adapter,
            Model::Input& input) {
  input.updates = adapter.updates<Model>();
}
