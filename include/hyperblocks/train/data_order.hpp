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
  std::size_t next() { return at(position_++); }
  /// The example of any position; only where another epoch begins is there work to do.
  std::size_t at(std::uint64_t position) {
    const std::uint64_t epoch = position / order_.size();
    if (epoch != shuffled_) shuffle(epoch);
    return order_[static_cast<std::size_t>(position % order_.size())];
  }

  /// How many examples were given; set where a training goes on.
  std::uint64_t position() const { return position_; }
  void set_position(std::uint64_t position) { position_ = position; }
  /// How often all of the set were given.
  std::uint64_t epoch() const { return position_ / order_.size(); }

 private:
  static constexpr std::uint64_t none = ~std::uint64_t{0};

  void shuffle(std::uint64_t epoch) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    Random random = Random::of(seed_, epoch);
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
    shuffled_ = epoch;
  }

  std::uint64_t seed_, position_ = 0;
  std::vector<std::size_t> order_;
  std::uint64_t shuffled_ = none;  ///< the epoch whose order this is
};

}  // namespace hyperblocks
