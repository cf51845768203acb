// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One template on two devices: a norm, an MLP and a GLU MLP on Cuda against the same blocks on the Cpu.
#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/norm.hpp>

#include "systems.hpp"

namespace hb = hyperblocks;
using namespace hb::test;

namespace {

template <class Scalar, class Device>
using Network =
    hb::Chain<hb::RmsNorm<hb::RmsNormSpec{.width = 96}, Scalar, Device>,
              hb::Mlp<hb::MlpSpec{.in = 96, .inner = 200, .out = 64}, Scalar, Device>,
              hb::Residual<hb::GluMlp<hb::GluMlpSpec{.hidden = 64, .inner = 160}, Scalar, Device>>>;

/// Output, input gradient and all parameter gradients, one after the other.
struct ForwardAndBackward {
  hb::Index rows;

  template <class Scalar, class Device>
  std::vector<double> operator()(Device& device) const {
    using Net = Network<Scalar, Device>;
    static_assert(hb::Block<Net>);
    auto params = hb::make<typename Net::Params>(device);
    auto gradients = hb::make<typename Net::Gradients>(device);
    hb::Tensor<Scalar, Device, hb::dyn, Net::in> x(device, rows), dx(device, rows);
    hb::Tensor<Scalar, Device, hb::dyn, Net::out> y(device, rows), dy(device, rows);
    hb::Random random(3);
    Net::initialise(device, params, random);
    fill_coarsely(device, x, random, 1.0);
    fill_coarsely(device, dy, random, 1.0);

    const hb::ArenaScope scope(device);
    typename Net::Tape tape;
    Net::forward(device, params, x, y, &tape);
    Net::backward(device, params, tape, dy, dx, gradients, hb::Write::assign);
    Collected all(device);
    all.add_view(y.view()), all.add_view(dx.view()), all.add(gradients);
    return all.numbers;
  }
};

}  // namespace

TEST_CASE("blocks on Cuda agree with the same blocks on Cpu") {
  for (const hb::Index rows : {1, 33, 200}) compare(ForwardAndBackward{rows});
}
