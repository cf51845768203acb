// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Decoders of every family against transformers (tests/reference/decoders.py): tiny models are loaded from
// the directories that it saved; logits, every hidden state and all gradients are compared, and each
// checkpoint's config.json gives the spec that is compiled here. Padding on the left, appended rows and
// updates of every linear are part of each case. The error of a tensor is max |difference| / max |expected|.
#include <cstdio>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>

#include "../support/parity_check.hpp"

namespace hb = hyperblocks;
using hb::Activation, hb::Cpu, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec small{
    .vocabulary = 40, .hidden = 16, .layers = 3, .heads = 4, .kv_heads = 2, .inner = 24, .positions = 64};

constexpr hb::DecoderSpec with(hb::DecoderSpec spec, auto change) {
  change(spec);
  return spec;
}

constexpr hb::DecoderSpec llama = with(small, [](auto& s) { s.epsilon = 1e-5; });
constexpr hb::DecoderSpec llama3 = with(small, [](auto& s) {
  s.rope_base = 5e5;
  s.rope_scaling = {.kind = hb::RopeScaling::Kind::llama3, .factor = 8, .original_positions = 32};
});
constexpr hb::DecoderSpec smollm2 =
    with(small, [](auto& s) { s.heads = 2, s.kv_heads = 1, s.rope_base = 1e5, s.tied = true; });
constexpr hb::DecoderSpec mistral = with(small, [](auto& s) { s.window = 4; });
constexpr hb::DecoderSpec qwen2 = with(small, [](auto& s) { s.bias = s.tied = true; });
constexpr hb::DecoderSpec qwen3 =
    with(small, [](auto& s) { s.head_width = 6, s.head_norm = s.tied = true, s.rope_base = 1e6; });
constexpr hb::DecoderSpec qwen3_biased =
    with(small, [](auto& s) { s.head_norm = s.bias = s.output_bias = true; });
constexpr hb::DecoderSpec gemma = with(small, [](auto& s) {
  s.activation = Activation::gelu_tanh;
  s.head_width = 6, s.norm_shift = 1, s.embedding_scale = 4, s.window = 4;
  s.output_norms = s.tied = true;
});
constexpr hb::DecoderSpec gemma2 = with(gemma, [](auto& s) {
  s.attention_scale = 0.31622776601683794;  // 1 / sqrt(10)
  s.attention_soft_cap = 2, s.logit_soft_cap = 3, s.full_every = 2;
});
constexpr hb::DecoderSpec gemma3 = with(gemma, [](auto& s) {
  s.layers = 7;
  s.attention_scale = 0.4472135954999579;  // 1 / sqrt(5)
  s.head_norm = true, s.full_every = 6, s.rope_base = 1e6, s.window_rope_base = 1e4;
});

/// A case's pass over two sequences, the second padded on the left; the worst error of all that it gives.
template <hb::DecoderSpec spec>
hb::test::Worst parity(const std::string& name, hb::Isa isa) {
  using Model = hb::Decoder<spec, float, Cpu>;
  constexpr Index count = 2, tokens = 7, appended_rows = 2, rows = count * (tokens + appended_rows);
  const auto folder = std::filesystem::path(HYPERBLOCKS_FIXTURES) / "models" / name;
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  const auto params = hb::loaded_decoder<Model>(cpu, folder);
  const typename Model::Positions positions(cpu);
  hb::test::Fixture fixture(folder / "expected.safetensors");

  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, count * tokens);
  hb::Tensor<std::uint8_t, Cpu, dyn> allowed(cpu, rows);
  hb::Tensor<float, Cpu, dyn, spec.hidden> appended(cpu, appended_rows), dappended(cpu, appended_rows),
      dx(cpu, count * tokens);
  hb::Tensor<float, Cpu, dyn, spec.vocabulary> logits(cpu, rows), dlogits(cpu, rows);
  hb::Tensor<float, Cpu, dyn, dyn, spec.hidden> states(cpu, spec.layers + 1, rows),
      dstates(cpu, spec.layers + 1, rows);
  fixture.read<std::int32_t>("ids", {count * tokens}, ids.span());
  fixture.read<std::uint8_t>("allowed", {count, rows / count}, allowed.span());
  fixture.read<float>("appended", {appended_rows, spec.hidden}, appended.span());
  fixture.read<float>("dlogits", {rows, spec.vocabulary}, dlogits.span());
  fixture.read<float>("dstates", {spec.layers + 1, rows, spec.hidden}, dstates.span());
  hb::Random random(1);
  hb::test::UpdateCase<Model> updates;
  updates.prepare(cpu, random, false);
  for (auto& factor : updates.factors) fixture.read<float>(factor.name, factor.shape, factor.values.span());

  typename Model::Input input;
  input.ids = ids, input.appended = appended, input.sequences = count, input.rotary = positions;
  input.mask = {.allowed = allowed.data(), .size = rows, .batch_stride = rows / count};
  input.final_norm = true, input.updates = updates.values;
  typename Model::Tape tape;
  typename Model::Gradients none;
  Model::forward(cpu, params, input, {logits, states}, &tape);
  Model::backward(cpu, params, tape, {dlogits, dstates}, {dx, dappended, updates.gradients}, none,
                  hb::Write::assign);

  for (Index row = 0; row < rows; ++row) {
    if (allowed(row) != 0) continue;  // padding: of no interest, and zeros in the file
    std::fill_n(&logits(row, 0), spec.vocabulary, 0.0f);
    for (Index state = 0; state <= spec.layers; ++state)
      std::fill_n(&states(state, row, 0), spec.hidden, 0.0f);
  }
  auto worst = fixture.compare("logits", logits.shape().all(), logits.span());
  worst.take(fixture.compare("states", states.shape().all(), states.span()));
  worst.take(fixture.compare("dx", dx.shape().all(), dx.span()));
  worst.take(fixture.compare("dappended", dappended.shape().all(), dappended.span()));
  for (auto& factor : updates.factors)
    worst.take(fixture.compare("gradients." + factor.name, factor.shape, factor.gradient.span()));
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hb::name(isa);
  return worst;
}

const std::vector<hb::test::ParityCase> cases = {{"llama", &parity<llama>},
                                                 {"llama3", &parity<llama3>},
                                                 {"smollm2", &parity<smollm2>},
                                                 {"mistral", &parity<mistral>},
                                                 {"qwen2", &parity<qwen2>},
                                                 {"qwen3", &parity<qwen3>},
                                                 {"qwen3_biased", &parity<qwen3_biased>},
                                                 {"gemma2", &parity<gemma2>},
                                                 {"gemma3", &parity<gemma3>}};

}  // namespace

TEST_CASE("decoders of every family give what transformers gives") {
  hb::test::check_parity(cases, "", 1e-4);
}

TEST_CASE("every checkpoint of the folder is a case") {
  std::set<std::string> found;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(HYPERBLOCKS_FIXTURES) / "models"))
    found.insert(entry.path().filename().string());
  CHECK(found == hb::test::names_of(cases));
}
