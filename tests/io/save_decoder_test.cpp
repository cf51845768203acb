// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A decoder that trains, saved as a Hugging Face folder and read again, frozen; specs that no family has.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/save_decoder.hpp>

#include "../support/folder.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::dyn, hb::Index;

namespace {
constexpr hb::DecoderSpec llama{
    .vocabulary = 19, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 10, .positions = 16};
constexpr hb::DecoderSpec qwen = [] {
  hb::DecoderSpec spec = llama;
  spec.head_norm = true, spec.head_width = 6, spec.rope_base = 1e6;
  return spec;
}();

template <hb::DecoderSpec spec>
void check_round_trip() {
  using Trained = hb::Decoder<spec, float, Cpu, hb::Trainable>;
  const hb::test::Folder folder;
  Cpu cpu;
  hb::Random random(1);
  auto params = hb::initialised<Trained>(cpu, random);
  hb::visit([&](const std::string&, auto& tensor) { hb::fill_normal(cpu, tensor, random, 0.3); }, params);
  hb::save_decoder<Trained>(cpu, params, folder.path / "model");
  CHECK(hb::decoder_spec(folder.path / "model").rope_base == spec.rope_base);

  hb::Tensor<std::int32_t, Cpu, dyn> ids(cpu, 5);
  ids.upload(cpu, std::vector<std::int32_t>{3, 1, 4, 1, 5});
  const auto logits = [&]<class Model>(std::type_identity<Model>, const typename Model::Params& given) {
    hb::Tensor<float, Cpu, dyn, Model::vocabulary> result(cpu, 5);
    Model::forward(cpu, given, {.ids = ids, .rotary = typename Model::Positions(cpu)}, {.logits = result});
    return std::vector<float>(result.span().begin(), result.span().end());
  };
  using Frozen = hb::Decoder<spec, float, Cpu>;
  const auto again = hb::loaded_decoder<Frozen>(cpu, folder.path / "model");
  const auto a = logits(std::type_identity<Trained>(), params),
             b = logits(std::type_identity<Frozen>(), again);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
}
}  // namespace

TEST_CASE("a trained decoder is read again as it was saved") {
  check_round_trip<llama>();
  check_round_trip<qwen>();
}

TEST_CASE("a decoder that no file can tell is refused") {
  hb::DecoderSpec spec = llama;
  spec.logit_soft_cap = 30;
  CHECK_THROWS_WITH_AS((void)hb::decoder_config(spec), doctest::Contains("logit_soft_cap"), hb::Error);
  spec = llama, spec.activation = hb::Activation::relu;
  CHECK_THROWS_WITH_AS((void)hb::decoder_config(spec), doctest::Contains("activation"), hb::Error);
}
