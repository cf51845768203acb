// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A hypernetwork in miniature. A document of two rows names the vectors u and v, in any order. The network
// reads it and writes a rank-1 update, with which a frozen linear that has never met u and v computes
// y = W x + (u x) v.
#include <hyperblocks/hyperblocks.hpp>

#include <cstdio>

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

constexpr Index vector_width = 8, samples = 32;
using Base =
    hb::Linear<hb::LinearSpec{.in = vector_width, .out = vector_width}, float, Cpu, hb::Frozen<float>>;
using Reader =
    hb::Resampler<hb::ResamplerSpec{
                      .latents = 2,
                      .layer = {.hidden = 32, .context = vector_width + 1, .heads = 2, .inner = 64}},
                  float, Cpu>;
using Writer = hb::Linear<hb::LinearSpec{.in = Reader::out, .out = vector_width}, float, Cpu>;

// The first row of the factors is A (1, vector_width), the second is B (vector_width, 1).
template <class Scalar>
Base::Updates<Scalar> update_of(hb::View<Scalar, Cpu, dyn, vector_width> factors) {
  return {.a = factors.slice(0, 1), .b = factors.slice(1, 1).template reshape<vector_width, dyn>(1)};
}

template <class Params, class Gradients>
void descend(Params& params, const Gradients& gradients) {
  hb::visit(
      [](const std::string&, auto& value, const auto& gradient) {
        for (Index i = 0; i < value.size(); ++i) value.data()[i] -= 0.01f * gradient.data()[i];
      },
      params, gradients);
}

int main() {
  Cpu cpu;
  hb::Random random(1);
  const auto base = hb::initialised<Base>(cpu, random);
  auto reader = hb::initialised<Reader>(cpu, random);
  auto writer = hb::initialised<Writer>(cpu, random);
  auto dbase = hb::make<Base::Gradients>(cpu);  // empty: frozen weights have no gradients
  auto dreader = hb::make<Reader::Gradients>(cpu);
  auto dwriter = hb::make<Writer::Gradients>(cpu);
  std::printf("%td frozen parameters, %td of the hypernetwork\n", hb::count(base),
              hb::count(reader) + hb::count(writer));

  hb::Tensor<float, Cpu, dyn, vector_width + 1> document(cpu,
                                                         2);  // u and v, and a mark that tells them apart
  hb::Tensor<float, Cpu, dyn, Reader::out> read(cpu, 2), dread(cpu, 2);
  hb::Tensor<float, Cpu, dyn, vector_width> factors(cpu, 2), dfactors(cpu, 2);
  hb::Tensor<float, Cpu, dyn, vector_width> x(cpu, samples), y(cpu, samples), dy(cpu, samples),
      without(cpu, samples);
  double error = 0, error_without = 0;
  for (int step = 1; step <= 20000; ++step) {
    hb::fill_normal(cpu, document, random, 1);
    hb::fill_normal(cpu, x, random, 1);
    const Index u = random.uniform() < 0.5 ? 0 : 1, v = 1 - u;
    document(u, vector_width) = 1, document(v, vector_width) = -1;

    const hb::ArenaScope scope(cpu);  // the tapes live until the scope ends
    Reader::Tape reader_tape;
    Writer::Tape writer_tape;
    Base::Tape base_tape;
    Reader::forward(cpu, reader, {.x = document}, read, &reader_tape);
    Writer::forward(cpu, writer, read, factors, &writer_tape);
    Base::forward(cpu, base, {x, update_of<const float>(factors)}, y, &base_tape);
    Base::forward(cpu, base, x, without);

    for (Index i = 0; i < samples; ++i) {
      float along = 0;
      for (Index j = 0; j < vector_width; ++j) along += document(u, j) * x(i, j);
      for (Index j = 0; j < vector_width; ++j) {
        const float wanted = along * document(v, j), missing = y(i, j) - without(i, j) - wanted;
        error += missing * missing, error_without += wanted * wanted;
        dy(i, j) = 2 * missing / (samples * vector_width);
      }
    }

    Base::backward(cpu, base, base_tape, dy, {{}, update_of<float>(dfactors)}, dbase, hb::Write::assign);
    Writer::backward(cpu, writer, writer_tape, dfactors, dread, dwriter, hb::Write::assign);
    Reader::backward(cpu, reader, reader_tape, dread, {}, dreader, hb::Write::assign);
    descend(reader, dreader);
    descend(writer, dwriter);
    if (step == 5000 || step == 10000 || step == 20000) {
      std::printf("%5d documents read: error %.0f %% of what it is without the update\n", step,
                  100 * error / error_without);
      error = error_without = 0;
    }
  }
}
