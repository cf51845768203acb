// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Dropout: y(i) = x(i) / (1 - rate), or 0 with a chance of `rate`. The seed and i decide, so that a backward
// pass drops what the forward pass dropped, without a mask, on any device and any number of threads.
#pragma once

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/operands.hpp>

namespace hyperblocks {

struct Dropout {
  double rate = 0;
  std::uint64_t seed = 0;

  explicit operator bool() const { return rate != 0; }
};

/// What drops numbers in a tape does so from now on, each place with a seed of its own: a member `dropout`,
/// alone or in tuples and arrays. Others stay as they are.
template <class Tape>
void set_dropout(Tape& tape, double rate, Random& random) {
  if constexpr (requires { tape.dropout = Dropout(); })
    tape.dropout = {rate, random.bits()};
  else if constexpr (requires { std::tuple_size<Tape>::value; })
    std::apply([&](auto&... parts) { (set_dropout(parts, rate, random), ...); }, tape);
}

namespace ops {

/// What the number at i is multiplied with. (constexpr, so that nvcc's relaxed constexpr lets kernels call
/// it.)
template <class Wide>
struct DropoutFactor {
  std::uint64_t seed, dropped;  ///< those of 2^64 numbers that are
  Wide kept;

  explicit DropoutFactor(const Dropout& dropout)
      : seed(dropout.seed),
        dropped(static_cast<std::uint64_t>(dropout.rate * 0x1p64)),
        kept(static_cast<Wide>(1 / (1 - dropout.rate))) {}
  constexpr Wide operator()(Index i) const {
    return Random::bits(seed, static_cast<std::uint64_t>(i)) < dropped ? Wide{0} : kept;
  }
};

/// y may be x. NaN and infinity are not dropped: they become NaN.
template <RealScalar Scalar, class Device>
void dropout(Device& device, Rows<const Scalar, Device> x, const Dropout& dropout, Rows<Scalar, Device> y) {
  detail::check_same("ops::dropout", x, y);
  check(dropout.rate >= 0 && dropout.rate < 1, [&] {
    return Error("no such dropout", "ops::dropout", "a rate from 0 to below 1", std::to_string(dropout.rate));
  });
  Ops<Device>::template dropout<Scalar>(device, x.template reshape<dyn>(x.size()),
                                        DropoutFactor<Accumulator<Scalar>>(dropout),
                                        y.template reshape<dyn>(y.size()));
}

}  // namespace ops
}  // namespace hyperblocks
