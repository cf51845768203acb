// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DataOrder: all of a set once, in a random order, then all of it again in another one. Seed and position say
// everything: a training goes on where it stopped.
#pragma once

#include <numeric>
#include <vector>

#include <hyperblocks/core/random.hpp>

namespace hyperblocks {

class DataOrder {
 public:
  DataOrder(std::size_t size, std::uint64_t seed) : seed_(seed), order_(size) {
    check(size > 0, [] { return Error("an empty set", "DataOrder", "one example or more", "none"); });
  }

  /// The next example.
  std::size_t next() {
    const std::size_t at = static_cast<std::size_t>(position_ % order_.size());
    if (at == 0 || !shuffled_) shuffle();
    ++position_;
    return order_[at];
  }

  /// How many examples were given; set where a training goes on.
  std::uint64_t position() const { return position_; }
  void set_position(std::uint64_t position) { position_ = position, shuffled_ = false; }
  /// How often all of the set were given.
  std::uint64_t epoch() const { return position_ / order_.size(); }

 private:
  void shuffle() {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    Random random = Random::of(seed_, epoch());
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
    shuffled_ = true;
  }

  std::uint64_t seed_, position_ = 0;
  std::vector<std::size_t> order_;
  bool shuffled_ = false;
};

}  // namespace hyperblocks
