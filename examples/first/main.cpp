// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A small network composed of blocks learns y = |x| by gradient descent.
#include <hyperblocks/hyperblocks.hpp>

#include <cmath>
#include <cstdio>

namespace hb = hyperblocks;

template <class Scalar, class Device>
using Network = hb::Chain<hb::Linear<hb::LinearSpec{.in = 1, .out = 16}, Scalar, Device>,
                          hb::Residual<hb::GluMlp<hb::GluMlpSpec{.hidden = 16, .inner = 32}, Scalar, Device>>,
                          hb::Linear<hb::LinearSpec{.in = 16, .out = 1}, Scalar, Device>>;

int main() {
  using Net = Network<float, hb::Cpu>;
  constexpr hb::Index rows = 64;
  hb::Cpu cpu;
  hb::Random random(1);
  auto params = hb::make<Net::Params>(cpu);
  auto gradients = hb::make<Net::Gradients>(cpu);
  Net::initialise(cpu, params, random);
  std::printf("%td parameters\n", hb::count(params));

  hb::Tensor<float, hb::Cpu, hb::dyn, 1> x(cpu, rows), y(cpu, rows), dy(cpu, rows);
  for (hb::Index i = 0; i < rows; ++i) x(i, 0) = -1 + 2 * static_cast<float>(i) / (rows - 1);

  for (int step = 0; step <= 2000; ++step) {
    const hb::ArenaScope scope(cpu);  // the tape lives until the scope ends
    Net::Tape tape;
    Net::forward(cpu, params, x, y, &tape);
    double loss = 0;
    for (hb::Index i = 0; i < rows; ++i) {
      const float error = y(i, 0) - std::abs(x(i, 0));
      loss += error * error / rows;
      dy(i, 0) = 2 * error / rows;
    }
    Net::backward(cpu, params, tape, dy, {}, gradients, hb::Write::assign);
    hb::visit(
        [](const std::string&, auto& value, const auto& gradient) {
          for (hb::Index i = 0; i < value.size(); ++i) value.data()[i] -= 0.2f * gradient.data()[i];
        },
        params, gradients);
    if (step % 1000 == 0) std::printf("step %4d: loss %.3f\n", step, loss);
  }
}
