// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AnyDecoder: the logits of a model whose sizes are known at run time only, plain and under adapters at once.
// Forward only, in float; one matrix of the model is in memory at a time, whatever the model's size.
#pragma once

#include <optional>
#include <span>
#include <variant>
#include <vector>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_decoder.hpp>

namespace hyperblocks::example {

class AnyDecoder {
 public:
  using Rows = Tensor<float, Cpu, dyn, dyn>;
  /// Which adapter each copy of the sequence is read under; nullptr: none.
  using Variants = std::vector<const HostAdapter*>;

  AnyDecoder(Cpu& cpu, const std::filesystem::path& path) : cpu_(cpu), spec_(decoder_spec(path)) {
    check(detail::is_gguf(path) || std::filesystem::is_directory(path), [&] {
      return Error("not a model with weights", path.string(), "a folder or a GGUF file", "another file");
    });
    if (detail::is_gguf(path))
      weights_.emplace<detail::GgufWeights>(GgufFile(path), spec_);
    else
      weights_.emplace<detail::DirectoryWeights>(path, spec_);
  }

  const DecoderSpec& spec() const { return spec_; }

  /// (variants * tokens, vocabulary)
  Rows logits(const std::vector<std::int32_t>& ids, const Variants& variants, const Progress& progress = {}) {
    const Index tokens = static_cast<Index>(ids.size()), count = static_cast<Index>(variants.size());
    check_ids(ids);
    const RopeTables<float, Cpu> full(cpu_, spec_.rope_base, spec_.width(), tokens, spec_.rope_scaling);
    std::optional<RopeTables<float, Cpu>> window;
    if (spec_.window_rope_base != 0) window.emplace(cpu_, spec_.window_rope_base, spec_.width(), tokens);
    Rows x = embedded(ids, count);
    for (layer_ = 0; layer_ < spec_.layers; ++layer_) {
      const bool slides = spec_.slides(layer_);
      attend(x, variants, slides && window ? *window : full, slides ? spec_.window : 0);
      transform(x, variants);
      if (progress)
        progress(static_cast<std::uint64_t>(layer_ + 1), static_cast<std::uint64_t>(spec_.layers), "layers");
    }
    norm("norm", x, x);
    Rows result(cpu_, x.extent(0), spec_.vocabulary);
    ops::product<float>(cpu_, x, matrix("head.weight", spec_.vocabulary, spec_.hidden), {}, result);
    if (spec_.logit_soft_cap > 0) ops::soft_cap<float>(cpu_, spec_.logit_soft_cap, result, result);
    return result;
  }

 private:
  using Row = Tensor<float, Cpu, dyn>;

  void check_ids(const std::vector<std::int32_t>& ids) const {
    check(!ids.empty(), [] { return Error("no tokens", "AnyDecoder", "one id or more", "none"); });
    for (const std::int32_t id : ids)
      check(id >= 0 && id < spec_.vocabulary, [&] {
        return Error("no such token", "AnyDecoder", "0 to " + std::to_string(spec_.vocabulary - 1),
                     std::to_string(id));
      });
  }

  void read(const std::string& name, const std::vector<Index>& shape, std::span<float> to) const {
    std::visit(
        [&](const auto& weights) {
          if constexpr (!std::same_as<std::remove_cvref_t<decltype(weights)>, std::monostate>)
            weights.template read<float>(name, shape, to);
        },
        weights_);
  }
  Rows matrix(const std::string& name, Index rows, Index columns) const {
    Rows result(cpu_, rows, columns);
    read(name, {rows, columns}, result.span());
    return result;
  }
  Row row(const std::string& name, Index size) const {
    Row result(cpu_, size);
    read(name, {size}, result.span());
    return result;
  }
  std::string of_layer(const std::string& name) const {
    return "layers." + std::to_string(layer_) + "." + name;
  }

  Rows embedded(const std::vector<std::int32_t>& ids, Index count) const {
    const Index tokens = static_cast<Index>(ids.size());
    const Rows table = matrix("embedding.weight", spec_.vocabulary, spec_.hidden);
    Rows x(cpu_, count * tokens, spec_.hidden);
    const View<const std::int32_t, Cpu, dyn> view(ids.data(), Shape<dyn>(tokens));
    for (Index i = 0; i < count; ++i)
      ops::embedding<float, float>(cpu_, view, table, x.view().slice(i * tokens, tokens),
                                   spec_.embedding_scale);
    return x;
  }

  void norm(const std::string& name, const Rows& x, Rows& y) const {
    ops::rms_norm<float>(cpu_, x, row(name + ".weight", spec_.hidden), y, spec_.epsilon, spec_.norm_shift);
  }

  /// y = W x + bias, and s B A x + C for the rows of a variant whose adapter has this linear.
  Rows linear(Projection projection, const Rows& x, const Variants& variants) const {
    const std::string name = of_layer(std::string(detail::names_of(projection).ours));
    const auto [in, out] = size_of(spec_, projection);
    Rows y(cpu_, x.extent(0), out);
    Row bias;
    if (biased(spec_).contains(projection)) bias = row(name + ".bias", out);
    ops::product<float>(cpu_, x, matrix(name + ".weight", out, in),
                        bias.size() > 0 ? std::as_const(bias).view() : View<const float, Cpu, dyn>(), y);
    const Index rows = x.extent(0) / static_cast<Index>(variants.size());
    for (std::size_t i = 0; i < variants.size(); ++i) {
      if (variants[i] == nullptr) continue;
      const auto found = variants[i]->linears.find({layer_, projection});
      if (found == variants[i]->linears.end()) continue;
      const Index first = static_cast<Index>(i) * rows;
      update(found->second, x.view().slice(first, rows), y.view().slice(first, rows));
    }
    return y;
  }

  void update(const HostFactors& factors, View<const float, Cpu, dyn, dyn> x,
              View<float, Cpu, dyn, dyn> y) const {
    const auto& [in, out] = factors.size;
    using Matrix = View<const float, Cpu, dyn, dyn>;
    if (factors.rank > 0) {
      Rows low(cpu_, x.extent(0), factors.rank), high(cpu_, x.extent(0), out);
      ops::product<float>(cpu_, x, Matrix(factors.a.data(), Shape<dyn, dyn>(factors.rank, in)), {}, low);
      ops::product<float>(cpu_, low, Matrix(factors.b.data(), Shape<dyn, dyn>(out, factors.rank)), {}, high);
      ops::scale_add<float>(cpu_, factors.scale, high, y);
    }
    if (!factors.bias.empty())
      ops::add_rows<float>(cpu_, y, View<const float, Cpu, dyn>(factors.bias.data(), Shape<dyn>(out)), y);
  }

  /// x += attention(norm(x))
  void attend(Rows& x, const Variants& variants, const RopeTables<float, Cpu>& tables, Index window) const {
    const Index count = static_cast<Index>(variants.size()), tokens = x.extent(0) / count;
    Rows normed(cpu_, x.extent(0), spec_.hidden);
    norm(of_layer("attention.norm"), x, normed);
    Rows query = linear(Projection::query, normed, variants), key = linear(Projection::key, normed, variants);
    const Rows value = linear(Projection::value, normed, variants);
    if (spec_.head_norm) {
      norm_heads("attention.query_norm", query);
      norm_heads("attention.key_norm", key);
    }
    const Rotary<float, Cpu> rotary = tables;
    ops::rope<float>(cpu_, query, rotary, tokens, spec_.heads, RopeLayout::half_split, false);
    ops::rope<float>(cpu_, key, rotary, tokens, spec_.key_heads(), RopeLayout::half_split, false);
    const double usual = 1 / std::sqrt(static_cast<double>(spec_.width()));
    const AttentionOptions options{.scale = spec_.attention_scale != 0 ? spec_.attention_scale : usual,
                                   .soft_cap = spec_.attention_soft_cap,
                                   .causal = true,
                                   .window = window,
                                   .mask = {}};
    const Sequences sequences(count, tokens);
    Rows merged(cpu_, x.extent(0), query.extent(1));
    ops::attention<float>(cpu_, options, sequences.heads_of(std::as_const(query).view(), spec_.heads),
                          sequences.heads_of(std::as_const(key).view(), spec_.key_heads()),
                          sequences.heads_of(value.view(), spec_.key_heads()),
                          sequences.heads_of(merged.view(), spec_.heads), {});
    add(x, linear(Projection::output, merged, variants), "attention.output_norm");
  }

  void norm_heads(const std::string& name, Rows& x) const {
    const auto heads = x.view().reshape<dyn, dyn>(x.size() / spec_.width(), spec_.width());
    ops::rms_norm<float>(cpu_, heads, row(of_layer(name + ".weight"), spec_.width()), heads, spec_.epsilon,
                         spec_.norm_shift);
  }

  /// x += mlp(norm(x))
  void transform(Rows& x, const Variants& variants) const {
    Rows normed(cpu_, x.extent(0), spec_.hidden);
    norm(of_layer("mlp.norm"), x, normed);
    Rows gate = linear(Projection::gate, normed, variants);
    const Rows up = linear(Projection::up, normed, variants);
    ops::glu<float>(cpu_, spec_.activation, gate, up, gate);
    add(x, linear(Projection::down, gate, variants), "mlp.output_norm");
  }

  /// x += y, which goes through a norm in Gemma.
  void add(Rows& x, Rows y, const std::string& output_norm) const {
    if (spec_.output_norms) norm(of_layer(output_norm), y, y);
    ops::add<float>(cpu_, x, y, x);
  }

  Cpu& cpu_;
  DecoderSpec spec_;
  std::variant<std::monostate, detail::DirectoryWeights, detail::GgufWeights> weights_;
  Index layer_ = 0;
};

}  // namespace hyperblocks::example
