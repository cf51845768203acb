// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One template on two devices: an MLP, a GLU MLP and a norm on Cuda against the same blocks on Cpu.
#include <doctest/doctest.h>

#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/mlp.hpp>
#include <hyperblocks/blocks/norm.hpp>
#include <hyperblocks/cuda/cuda.cuh>
#include <hyperblocks/ops/cpu/cpu.hpp>

namespace hb = hyperblocks;

namespace {

template <class Scalar, class Device>
using Network =
    hb::Chain<hb::RmsNorm<hb::RmsNormSpec{.width = 96}, Scalar, Device>,
              hb::Mlp<hb::MlpSpec{.in = 96, .inner = 200, .out = 64}, Scalar, Device>,
              hb::Residual<hb::GluMlp<hb::GluMlpSpec{.hidden = 64, .inner = 160}, Scalar, Device>>>;

/// Output, input gradient and all parameter gradients, one after the other.
template <class Scalar, class Device>
std::vector<Scalar> results(Device& device, hb::Index rows) {
  using Net = Network<Scalar, Device>;
  static_assert(hb::Block<Net>);
  auto params = hb::make<typename Net::Params>(device);
  auto gradients = hb::make<typename Net::Gradients>(device);
  hb::Tensor<Scalar, Device, hb::dyn, Net::in> x(device, rows), dx(device, rows);
  hb::Tensor<Scalar, Device, hb::dyn, Net::out> y(device, rows), dy(device, rows);
  hb::Random random(3);
  Net::initialise(device, params, random);
  hb::fill_normal(device, x, random, 1.0);
  hb::fill_normal(device, dy, random, 1.0);
  device.arena().poison(true);

  const hb::ArenaScope scope(device);
  typename Net::Tape tape;
  Net::forward(device, params, x, y, &tape);
  Net::backward(device, params, tape, dy, dx, gradients, hb::Write::assign);

  std::vector<Scalar> all;
  const auto append = [&](const std::string&, const auto& tensor) {
    std::vector<Scalar> host(static_cast<std::size_t>(tensor.size()));
    tensor.download(device, host);
    all.insert(all.end(), host.begin(), host.end());
  };
  append("y", y);
  append("dx", dx);
  hb::visit(append, gradients);
  return all;
}

template <class Scalar>
double relative_error(const std::vector<Scalar>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    difference =
        std::max(difference, std::abs(static_cast<double>(static_cast<float>(found[i])) - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  return difference / largest;
}

}  // namespace

TEST_CASE("blocks on Cuda agree with the same blocks on Cpu") {
  hb::Cpu cpu;
  hb::Cuda cuda;
  for (const hb::Index rows : {1, 33, 200}) {
    const auto expected = results<double>(cpu, rows);
    CHECK(relative_error(results<double>(cuda, rows), expected) < 1e-6);  // compared as float
    CHECK(relative_error(results<float>(cuda, rows), expected) < 1e-4);
  }
}
