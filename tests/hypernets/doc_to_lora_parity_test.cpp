// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// DocToLora against PyTorch (tests/reference/doc_to_lora.py): features, latents, factors, logits of a
// question under each document's adapter, gradients of all parameters; the three kinds of context, shared and
// own weights, self layers, one latent per rank or per linear, MLPs for all layers and for each, scales.
// Three pieces of several lengths go together here, each alone there. The error of a tensor is max
// |difference| / max |expected|.
#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/hypernets/context_reader.hpp>
#include <hyperblocks/hypernets/doc_to_lora.hpp>
#include <hyperblocks/io/load_decoder.hpp>

#include "../support/parity_check.hpp"
#include "../support/tiny_decoders.hpp"

namespace hb = hyperblocks;
using hb::Cpu, hb::ContextKind, hb::dyn, hb::Index;

namespace {

constexpr hb::DecoderSpec llama = hb::test::tiny_llama;
constexpr hb::DecoderSpec gemma2 = [] {
  hb::DecoderSpec spec{
      .vocabulary = 40, .hidden = 16, .layers = 3, .heads = 4, .kv_heads = 2, .inner = 24, .positions = 64};
  spec.activation = hb::Activation::gelu_tanh;
  spec.head_width = 6, spec.norm_shift = 1, spec.embedding_scale = 4, spec.window = 4;
  spec.output_norms = spec.tied = true;
  spec.attention_scale = 0.31622776601683794;  // 1 / sqrt(10)
  spec.attention_soft_cap = 2, spec.logit_soft_cap = 3, spec.full_every = 2;
  return spec;
}();

struct Setting {
  hb::ContextSpec context = {};
  hb::DocToLoraSpec net = {};
  double scale = 1, bias_scale = 1;
};

constexpr hb::Targets targets(std::initializer_list<hb::Projection> wanted) {
  const auto has = [&](hb::Projection projection) {
    return std::find(wanted.begin(), wanted.end(), projection) != wanted.end();
  };
  using enum hb::Projection;
  return {has(query), has(key), has(value), has(output), has(gate), has(up), has(down)};
}

constexpr Setting with(auto change) {
  Setting setting{.net = {.rank = 2,
                          .targets = targets({hb::Projection::query, hb::Projection::down}),
                          .perceiver = {.latent = 12,
                                        .latents = 3,
                                        .blocks = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_width = 6,
                                        .inner = 20,
                                        .projection_inner = 24},
                          .mlps = 2,
                          .mlp_inner = 10}};
  change(setting);
  return setting;
}
constexpr Setting layers = with([](auto&) {});
constexpr Setting shared = with([](auto& s) {
  s.net.perceiver.blocks = 3, s.net.perceiver.self_layers = 2, s.net.perceiver.shares_weights = true;
  s.net.mlps_per_layer = true, s.net.targets = hb::down_alone, s.net.rank = 3;
});
constexpr Setting own = with([](auto& s) {
  s.net.perceiver.self_layers = 1, s.net.mlps = 1, s.context.layers = 3, s.scale = 1.5, s.bias_scale = 0.5;
});
constexpr Setting early_exit = with([](auto& s) {
  s.context = {ContextKind::early_exit, 1};
  s.net.layer_to_layer = s.net.bias = false, s.net.mlps_per_layer = true, s.net.rank = 3;
  s.net.targets = targets({hb::Projection::key, hb::Projection::output, hb::Projection::up});
});
constexpr Setting embeddings = with([](auto& s) {
  s.context = {ContextKind::embeddings};
  s.net.layer_to_layer = s.net.per_rank = false, s.net.mlps = 0;
});
constexpr Setting whole = with([](auto& s) {
  s.net.per_rank = s.net.bias = false, s.net.mlps = 1;
  s.net.targets = targets({hb::Projection::value, hb::Projection::gate});
});

constexpr Index asked = 5;
constexpr std::array<Index, 3> lengths = {7, 5, 6};

/// Row by row from (states, pieces, longest, ..) what belongs to one piece, as (states, length, ..).
std::vector<float> of_piece(std::span<const float> all, Index outer, Index pieces, Index piece, Index longest,
                            Index length, Index width) {
  std::vector<float> result;
  for (Index i = 0; i < outer; ++i) {
    const auto begin = all.begin() + (i * pieces + piece) * longest * width;
    result.insert(result.end(), begin, begin + length * width);
  }
  return result;
}

template <hb::DecoderSpec base, Setting setting>
hb::test::Worst parity(const std::string& name, hb::Isa isa) {
  using Model = hb::Decoder<base, float, Cpu>;
  using Net = hb::DocToLora<Model, setting.net>;
  using Reader = hb::ContextReader<Model, setting.context>;
  constexpr Index pieces = 3, states = Net::states, latent = Net::latent;
  const std::filesystem::path fixtures = HYPERBLOCKS_FIXTURES;
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  const auto model = hb::loaded_decoder<Model>(cpu, fixtures / "models" / (base.tied ? "gemma2" : "llama"));
  const typename Model::Positions positions(cpu);
  hb::test::Fixture fixture(fixtures / "hypernets" / ("doc_to_lora_" + name + ".safetensors"));
  auto params = hb::make<typename Net::Params>(cpu);
  auto gradients = hb::make<typename Net::Gradients>(cpu);
  hb::load(cpu, params, fixture.file(), "params.");
  hb::visit([&](const std::string& parameter, const auto&) { fixture.use("params." + parameter); }, params);

  std::vector<hb::Tokens> ids;
  for (Index i = 0; i < pieces; ++i) {
    ids.emplace_back(static_cast<std::size_t>(lengths[i]));
    fixture.read<std::int32_t>("ids." + std::to_string(i), {lengths[i]}, ids.back());
  }
  const hb::PaddedTexts<Cpu> texts(cpu, ids, {.side = hb::PaddingSide::right, .passes = states});
  const Index longest = texts.length(), sequences = states * pieces;
  hb::Tensor<float, Cpu, dyn, base.hidden> features(cpu, sequences * longest);
  const Reader reader(model, positions);
  reader.read(cpu, texts.ids(), pieces, [&](Index state, auto rows) {
    std::copy_n(rows.data(), rows.size(), features.data() + state * rows.size());
  });

  hb::Tensor<float, Cpu, dyn, latent> latents(cpu, sequences * Net::Perceiver::outputs);
  hb::Tensor<float, Cpu, dyn> numbers(cpu, Net::numbers_of(pieces)), dnumbers(cpu, Net::numbers_of(pieces));
  hb::Tensor<float, Cpu, dyn> piece_scales(cpu, pieces);
  const std::vector<double> scales = {1, -0.5, 2};
  std::copy(scales.begin(), scales.end(), piece_scales.span().begin());
  const auto each_factor = [&](auto f) {  // f(name, numbers in `numbers`, shape)
    Index at = 0;
    Net::Head::each_head([&]<hb::Projection projection>(std::size_t layer) {
      const hb::LinearSize size = hb::size_of(base, projection);
      const bool attention = projection < hb::Projection::gate;
      const std::string place = "factors.layers." + std::to_string(layer) + "." +
                                (attention ? "attention." : "mlp.") + hb::name(projection);
      for (const auto& [factor, width] : {std::pair(".a", size.in), std::pair(".b", size.out)}) {
        const Index rows = pieces * Net::rank;
        f(place + factor, at, std::vector<Index>{rows, width});
        at += rows * width;
      }
    });
  };
  const auto part = [](auto& all, Index at, const std::vector<Index>& shape) {
    return all.span().subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(shape[0] * shape[1]));
  };
  each_factor([&](const std::string& factor, Index at, const std::vector<Index>& shape) {
    fixture.read<float>("d" + factor, shape, part(dnumbers, at, shape));
  });

  const hb::ArenaScope scope(cpu);
  typename Net::Tape tape;
  typename Net::Input input{.features = features,
                            .pieces = pieces,
                            .mask = texts.mask(),
                            .piece_scales = piece_scales,
                            .scale = setting.scale};
  Net::forward(cpu, params, input, {Net::updates(numbers.view(), 0, pieces), latents}, &tape);
  Net::backward(cpu, params, tape, Net::updates(std::as_const(dnumbers).view(), 0, pieces), {}, gradients,
                hb::Write::assign);

  hb::test::Worst worst;
  each_factor([&](const std::string& factor, Index at, const std::vector<Index>& shape) {
    worst.take(fixture.compare(factor, shape, part(numbers, at, shape)));
  });
  for (Index i = 0; i < pieces; ++i) {
    const std::string number = std::to_string(i);
    worst.take(
        fixture.compare("features." + number, std::array{states, lengths[i], base.hidden},
                        of_piece(features.span(), states, pieces, i, longest, lengths[i], base.hidden)));
    constexpr Index outputs = Net::Perceiver::outputs;
    worst.take(fixture.compare("latents." + number,
                               std::array{base.layers, Net::linears, Net::Head::reads, latent},
                               of_piece(latents.span(), states, pieces, i, outputs, outputs, latent)));
  }
  hb::visit(
      [&](const std::string& parameter, const auto& gradient) {
        if (parameter.find(".bias_") == std::string::npos)
          worst.take(fixture.compare("gradients." + parameter, gradient.shape().all(), gradient.span()));
      },
      gradients);

  hb::Tensor<std::int32_t, Cpu, dyn> question(cpu, 2 * asked);
  fixture.read<std::int32_t>("question", {2, asked}, question.span());
  const auto adapters =
      Net::generate(cpu, params, reader, std::vector<std::vector<hb::Tokens>>{{ids[0], ids[1]}, {ids[2]}},
                    {.piece_scales = scales, .scale = setting.scale, .bias_scale = setting.bias_scale});
  hb::Tensor<float, Cpu, dyn, base.vocabulary> logits(cpu, 2 * asked);
  const auto linked = adapters.batched({{0, asked}, {asked, asked}});
  Model::forward(cpu, model,
                 {.ids = question, .sequences = 2, .rotary = positions, .updates = linked.front()},
                 {.logits = logits});
  worst.take(fixture.compare("logits", std::array{Index{2}, asked, base.vocabulary}, logits.span()));
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hb::name(isa);
  return worst;
}

const std::vector<hb::test::ParityCase> cases = {{"layers", &parity<llama, layers>},
                                                 {"shared", &parity<llama, shared>},
                                                 {"own", &parity<llama, own>},
                                                 {"early_exit", &parity<llama, early_exit>},
                                                 {"embeddings", &parity<gemma2, embeddings>},
                                                 {"whole", &parity<llama, whole>}};

}  // namespace

TEST_CASE("DocToLora gives what PyTorch gives") { hb::test::check_parity(cases, "", 1e-4); }
