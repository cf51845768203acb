// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TextToLora with frozen weights against the same with trainable ones.
#include "../support/text_to_lora_case.hpp"
#include "../support/worse.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec base{
    .vocabulary = 11, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 5, .positions = 16};
constexpr hb::TextToLoraSpec large{
    .rank = 2, .embedding = 5, .latent = 8, .head_in = 6, .z_score = true, .offset = true};
using Model = hb::Decoder<base, float, Cpu>;
using Net = hb::TextToLora<Model, large>;

}  // namespace

TEST_CASE_TEMPLATE("frozen weights give the same factors, and gradients of the embeddings alone", Weights,
                   hb::Frozen<float>, hb::Frozen<hb::bf16>) {
  using Fixed = hb::TextToLora<Model, large, Weights>;
  const double most = std::same_as<Weights, hb::Frozen<float>> ? 1e-5 : 0.1;
  Cpu cpu;
  hb::test::TextToLoraCase<Net> subject(cpu, 2);
  subject.train(cpu, hb::Write::assign);
  auto params = hb::make<typename Fixed::Params>(cpu);
  auto gradients = hb::make<typename Fixed::Gradients>(cpu);
  hb::visit(
      [&]<class To>(const std::string&, To& to, const auto& from) {
        std::size_t i = 0;
        hb::fill(cpu, to, [&] { return from.data()[i++]; });
      },
      params, subject.params);
  hb::Tensor<float, Cpu, dyn> factors(cpu, 2 * Fixed::numbers);
  hb::Tensor<float, Cpu, dyn, 5> dembeddings(cpu, 2);
  const hb::ArenaScope scope(cpu);
  typename Fixed::Tape tape;
  Fixed::forward(cpu, params, {.x = subject.embeddings}, {.factors = factors}, &tape);
  Fixed::backward(cpu, params, tape, {.factors = subject.direction}, dembeddings, gradients,
                  hb::Write::assign);
  const auto close = [&](const auto& found, const auto& expected) {
    double difference = 0, largest = 0;
    for (Index i = 0; i < found.size(); ++i) {
      difference =
          hb::test::worse(difference, std::abs(double(found.data()[i]) - double(expected.data()[i])));
      largest = std::max(largest, std::abs(double(expected.data()[i])));
    }
    CHECK(difference < most * largest);
  };
  close(factors, subject.factors);
  close(dembeddings, subject.dembeddings);
  CHECK(hb::count(gradients) == 0);
  Index held = 0;  // by name beside the parameters, as an optimiser walks them
  hb::visit([&]<class G>(const std::string&, const auto&, const G&) { held += std::same_as<G, hb::Nothing>; },
            params, gradients);
  CHECK(held > 20);
}
