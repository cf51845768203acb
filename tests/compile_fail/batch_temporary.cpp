// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// expect: use of deleted function|attempt to use a deleted function|call to deleted member function
// errors: 1
#include <hyperblocks/hyperblocks.hpp>

// The first of linked updates outlives the others.
namespace hb = hyperblocks;
using Model =
    hb::Decoder<hb::DecoderSpec{.vocabulary = 19, .hidden = 8, .layers = 2, .heads = 2, .inner = 10}, float,
                hb::Cpu>;
using Updates = Model::Updates<const float>;
void caller(const std::vector<Updates>& updates, const std::vector<hb::RowRange>& rows, Model::Input& input) {
  input.updates = hb::batched(updates, rows).front();
}
