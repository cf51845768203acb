// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// HypernetBase: the sizes that a hypernetwork's base must have.
//   static_assert(hypernet_base(my_base) == my_net_base);   // of hyperblocks_add_base and _add_hypernet
#pragma once

#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/models/decoder_spec.hpp>

namespace hyperblocks {

struct HypernetBase {
  Index hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_width = 0, inner = 0;
  bool bias = false;         ///< of q, k and v
  bool output_bias = false;  ///< of o

  constexpr Index key_heads() const { return kv_heads; }
  constexpr Index width() const { return head_width; }
  constexpr bool has_bias(Projection projection) const { return biased(*this).contains(projection); }
  friend bool operator==(const HypernetBase&, const HypernetBase&) = default;
};

constexpr HypernetBase hypernet_base(const DecoderSpec& spec) {
  return {spec.hidden,  spec.layers, spec.heads, spec.key_heads(),
          spec.width(), spec.inner,  spec.bias,  spec.output_bias};
}

}  // namespace hyperblocks
