// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// SHINE's checkpoint: mem_tokens.pt, metanetwork.pth, metalora.pth and perhaps ift_additional_metalora.pth. A
// state dict of torch's encoder layers (or of linears) becomes an M2p, a dict of (in, rank) and (rank, out)
// factors the meta LoRA; two meta LoRAs become one, along the rank.
#pragma once

#include <algorithm>
#include <functional>

#include <hyperblocks/lora/host_adapter.hpp>

#include "settings.hpp"
#include "torch_parts.hpp"

namespace hyperblocks::example {

inline const std::set<std::string> shine_settings = {
    "rank", "method", "scale", "layer_first", "m2p", "heads", "couple_width", "couple_heads", "norm_first"};

class ShineImport {
 public:
  ShineImport(const std::filesystem::path& folder, const DecoderSpec& base, Settings& settings)
      : folder_(folder), base_(hypernet_base(base)), settings_(settings) {}

  ImportedHypernet read() {
    read_memory();
    read_rank();
    read_network();
    read_meta();
    result_.config.base = base_, result_.config.spec = spec_;
    return std::move(result_);
  }

 private:
  std::string file(const char* name) const { return (folder_ / name).string(); }

  void read_memory() {
    const TorchFile memory(file("mem_tokens.pt"));
    const TorchTensor tensor = memory.root().tensor();
    check_extents(tensor, {dyn, base_.hidden}, file("mem_tokens.pt"));
    tokens_ = settings_.found("memory tokens", tensor.shape[0]);
    result_.tensors.keep(memory.owner());
    result_.tensors.add("memory", tensor);
  }

  /// As many memory tokens as hold a layer's factors, rounded up: they tell the rank.
  void read_rank() {
    spec_.rank = settings_.asked<Index>("rank", 8);
    Index biases = 0, each = 0;
    for (const Projection projection : all_projections) {
      const LinearSize size = size_of(base_, projection);
      each += size.in + size.out, biases += base_.has_bias(projection) ? size.out : 0;
    }
    const Index room = tokens_ * base_.hidden, fitting = room > biases ? (room - biases) / each : 0;
    const bool fits = fitting > 0 && fitting * each + biases > room - base_.hidden;
    const std::string memory = std::to_string(tokens_) + " memory tokens in " + file("mem_tokens.pt");
    check(fits, [&] {
      return Error("no rank fits the memory tokens on this base", memory,
                   "as many as hold a layer's factors: (rank * " + std::to_string(each) + " + " +
                       std::to_string(biases) + ") / " + std::to_string(base_.hidden) + ", rounded up",
                   std::to_string(tokens_));
    });
    check(spec_.rank == fitting, [&] {
      return Error("a rank that does not fit " + memory, "--set rank", std::to_string(fitting),
                   std::to_string(spec_.rank));
    });
    read_method();
    spec_.scale = settings_.asked("scale", 0.001);
  }

  /// The first letter is A's layout, the second B's: r of (width, rank), l of the other.
  void read_method() {
    const std::string method = settings_.asked_word("method", {"rl", "rr", "lr", "ll"});
    spec_.a = method[0] == 'r' ? FactorForm::columns : FactorForm::rows;
    spec_.b = method[1] == 'r' ? FactorForm::columns : FactorForm::rows;
    merges_ = method == "rl";
  }

  void read_network() {
    const TorchFile network(file("metanetwork.pth"));
    for (const auto& [key, value] : network.root().items())
      check(value.is(TorchKind::tensor), [&, &other = value] {
        return Error("another kind of value", other.where(), "a tensor", std::string(name(other.kind())));
      });
    TensorSource source(network.root().tensors());
    result_.tensors.keep(source.owner());
    result_.tensors.add("m2p.positions.layer", source.take("layer_pe", {base_.layers, base_.hidden}));
    result_.tensors.add("m2p.positions.token", source.take("token_pe", {tokens_, base_.hidden}));
    const Index linears = source.count("linear_layers.");
    if (linears > 0)
      read_linears(source, linears);
    else
      read_transformer(source);
    source.check_all_taken();
  }

  void read_kind(M2pKind kind) {
    const std::vector<std::string> words = {"transformer", "linear", "linear-gate"};
    settings_.found_word("m2p", words[static_cast<std::size_t>(kind)], words);
    spec_.m2p.kind = kind;
  }

  void read_transformer(TensorSource& source) {
    M2pSpec& m2p = spec_.m2p;
    read_kind(M2pKind::transformer);
    m2p.blocks = settings_.found("blocks", source.count("transformer_layers."));
    m2p.couple_blocks = settings_.found("couple blocks", source.count("couple_layers."));
    const bool layer_first = settings_.asked("layer_first", true);
    m2p.axes = layer_first ? M2pAxes::layers_first : M2pAxes::tokens_first;
    m2p.placement = settings_.asked("norm_first", false) ? NormPlacement::pre : NormPlacement::post;
    if (m2p.blocks > 0) {
      m2p.heads = read_heads("heads", base_.hidden);
      m2p.inner = read_inner(source, "transformer_layers.0.", "inner", base_.hidden);
    }
    for (Index i = 0; i < m2p.blocks; ++i)
      add_block(source, "transformer_layers." + std::to_string(i) + ".",
                "m2p.blocks." + std::to_string(i) + ".", base_.hidden, m2p.inner);
    if (m2p.couple_blocks == 0) return;
    m2p.couple_width =
        settings_.found("couple_width", source.take("couple_layers.0.norm1.weight", {dyn}).shape[0]);
    check_couple_width(source);
    m2p.couple_heads = read_heads("couple_heads", m2p.couple_width);
    m2p.couple_inner = read_inner(source, "couple_layers.0.", "couple inner", m2p.couple_width);
    for (Index i = 0; i < m2p.couple_blocks; ++i)
      add_block(source, "couple_layers." + std::to_string(i) + ".", "m2p.couple." + std::to_string(i) + ".",
                m2p.couple_width, m2p.couple_inner);
  }

  Index read_heads(const std::string& name, Index width) {
    const Index heads = settings_.asked(name, M2pSpec::usual_heads(width));
    check(width % heads == 0, [&] {
      return Error("heads that do not divide the width", "--set " + name,
                   "a divisor of " + std::to_string(width), std::to_string(heads));
    });
    return heads;
  }

  Index read_inner(TensorSource& source, const std::string& block, const std::string& name, Index width) {
    return settings_.found(name, source.take(block + "linear1.weight", {dyn, width}).shape[0]);
  }

  void check_couple_width(const TensorSource& source) const {
    const Index width = spec_.m2p.couple_width;
    for (const Projection projection : all_projections) {
      const LinearSize size = size_of(base_, projection);
      for (const Index numbers : {spec_.rank * size.in, spec_.rank * size.out})
        check(numbers % width == 0, [&] {
          return Error("couple layers that do not fit the base",
                       source.where("couple_layers.0.norm1.weight") + ": couple_width",
                       std::string("a divisor of ") + name(projection) + "'s A and B, one of which is " +
                           std::to_string(numbers) + " numbers",
                       std::to_string(width));
        });
      check(!base_.has_bias(projection) || size.out % width == 0, [&] {
        return Error("couple layers that do not fit the base",
                     source.where("couple_layers.0.norm1.weight") + ": couple_width",
                     std::string("a divisor of ") + name(projection) + "'s C of " + std::to_string(size.out) +
                         " numbers",
                     std::to_string(width));
      });
    }
    check(tokens_ * base_.hidden % width == 0, [&] {
      return Error("couple layers that do not fit the base",
                   source.where("couple_layers.0.norm1.weight") + ": couple_width",
                   "a divisor of a layer's " + std::to_string(tokens_ * base_.hidden) + " numbers",
                   std::to_string(width));
    });
  }

  /// One of torch's TransformerEncoderLayers.
  void add_block(TensorSource& source, const std::string& from, const std::string& to, Index width,
                 Index inner) {
    const TorchTensor weight = source.take(from + "self_attn.in_proj_weight", {3 * width, width});
    const TorchTensor bias = source.take(from + "self_attn.in_proj_bias", {3 * width});
    Index first = 0;
    for (const char* const name : {"query", "key", "value"}) {
      result_.tensors.add(to + "attention." + name + ".weight", part(weight, 0, first, width));
      result_.tensors.add(to + "attention." + name + ".bias", part(bias, 0, first, width));
      first += width;
    }
    const auto linear = [&](const char* theirs, const char* ours, Index out, Index in) {
      result_.tensors.add(to + ours + ".weight", source.take(from + theirs + ".weight", {out, in}));
      result_.tensors.add(to + ours + ".bias", source.take(from + theirs + ".bias", {out}));
    };
    linear("self_attn.out_proj", "attention.output", width, width);
    linear("linear1", "mlp.expand", inner, width);
    linear("linear2", "mlp.project", width, inner);
    for (const auto& [theirs, ours] : {std::pair("norm1.", "attention.norm."), {"norm2.", "mlp.norm."}})
      for (const char* const kind : {"weight", "bias"})
        result_.tensors.add(to + ours + kind, source.take(from + theirs + kind, {width}));
  }

  /// A stack of linears is a chain of a first and the rest: ".0" and ".1" at each step.
  void read_linears(TensorSource& source, Index count) {
    M2pSpec& m2p = spec_.m2p;
    const auto place = [](Index i) { return "linear_layers." + std::to_string(i); };
    const Index inner = count > 1 ? source.take(place(0) + ".weight", {dyn, base_.hidden}).shape[0] : 0;
    const std::string last = place(count - 1) + ".weight";
    const Index in = count > 1 ? inner : base_.hidden, out = source.take(last, {dyn, in}).shape[0];
    check(out == base_.hidden || out == 2 * base_.hidden, [&] {
      return Error("the shape differs", source.where(last),
                   std::to_string(base_.hidden) + " rows, or twice as many of a gate", std::to_string(out));
    });
    read_kind(out == base_.hidden ? M2pKind::linear : M2pKind::linear_gate);
    m2p.blocks = settings_.found("blocks", count);
    m2p.linear_bias = settings_.found("linear bias", source.contains(place(0) + ".bias"));
    m2p.inner = count > 1 ? settings_.found("inner", inner) : 0;
    std::string to = "m2p.blocks";
    for (Index i = 0; i < count; ++i, to += ".1") {
      const Index from = i == 0 ? base_.hidden : inner, rows = i + 1 == count ? out : inner;
      const TorchTensor weight = source.take(place(i) + ".weight", {rows, from});
      add_linear(to, weight, "weight", i + 1 == count);
      if (m2p.linear_bias) add_linear(to, source.take(place(i) + ".bias", {rows}), "bias", i + 1 == count);
    }
  }

  void add_linear(const std::string& to, const TorchTensor& tensor, const std::string& kind, bool last) {
    if (!last) {
      result_.tensors.add(to + ".0.0." + kind, tensor);
    } else if (spec_.m2p.kind == M2pKind::linear) {
      result_.tensors.add(to + ".0." + kind, tensor);
    } else {
      result_.tensors.add(to + ".gate.0." + kind, part(tensor, 0, 0, base_.hidden));
      result_.tensors.add(to + ".value.0." + kind, part(tensor, 0, base_.hidden, base_.hidden));
    }
  }

  /// A (in, rank), B (rank, out), and of a linear with a bias C (out).
  struct Leaf {
    TorchTensor a, b;
    std::optional<TorchTensor> c;
  };
  using Leaves = std::map<HostAdapter::Place, Leaf>;

  void read_meta() {
    Leaves main = read_leaves("metalora.pth");
    const Index rank = rank_of(main, "metalora.pth");
    check(rank > 0, [&] {
      return Error("a meta LoRA of no rank", file("metalora.pth"), "a rank of one or more", "0");
    });
    Leaves more;
    Index more_rank = 0;
    if (is_there(folder_ / "ift_additional_metalora.pth")) {
      more = read_leaves("ift_additional_metalora.pth");
      more_rank = rank_of(more, "ift_additional_metalora.pth");
      check(merges_, [&] {
        return Error("an additional meta LoRA", file("ift_additional_metalora.pth"),
                     "--set method=rl with it", "another method");
      });
      settings_.found("additional meta rank", more_rank);
    }
    spec_.meta_rank = settings_.found("meta rank", rank + more_rank);
    for (const auto& [place, leaf] : main) add_leaf(place, leaf, more.empty() ? nullptr : &more.at(place));
  }

  Index rank_of(const Leaves& leaves, const char* name) const {
    const Index rank = leaves.begin()->second.a.shape[1];
    for (const auto& [place, leaf] : leaves)
      check(leaf.a.shape[1] == rank, [&, &at = place, &other = leaf] {
        return Error("a meta LoRA of several ranks", file(name) + ": " + to_string(at), std::to_string(rank),
                     std::to_string(other.a.shape[1]));
      });
    return rank;
  }

  Leaves read_leaves(const char* name) {
    const TorchFile opened(file(name));
    const TorchValue root = opened.root();
    result_.tensors.keep(opened.owner());
    Leaves leaves;
    const auto layers = static_cast<Index>(root.items().size());
    check(layers == base_.layers, [&] {
      return Error("other layers than the base's", root.where(), std::to_string(base_.layers),
                   std::to_string(layers));
    });
    for (Index layer = 0; layer < base_.layers; ++layer) {
      const TorchValue value = root[layer];
      check_keys(value, {"attention", "mlp"});
      check_keys(value["attention"], {"q", "k", "v", "o"});
      check_keys(value["mlp"], {"gate", "up", "down"});
      for (const Projection projection : all_projections) {
        const bool attention = projection < Projection::gate;
        const std::string_view full = hyperblocks::name(projection);
        leaves[{layer, projection}] = read_leaf(
            value[attention ? "attention" : "mlp"][attention ? full.substr(0, 1) : full], projection);
      }
    }
    return leaves;
  }

  static void check_keys(const TorchValue& value, const std::set<std::string_view>& known) {
    for (const auto& [key, inner] : value.items())
      check(key.is(TorchKind::string) && known.contains(key.as<std::string_view>()), [&, &other = inner] {
        std::string all;
        for (const auto each : known) all += (all.empty() ? "" : ", ") + std::string(each);
        return Error("an unknown key", other.where(), "only " + all, "another");
      });
  }

  Leaf read_leaf(const TorchValue& value, Projection projection) const {
    check_keys(value, {"A", "B", "C"});
    const LinearSize size = size_of(base_, projection);
    const TorchValue a = value["A"], b = value["B"];
    const auto c = value.find("C");
    Leaf leaf{a.tensor(), b.tensor(), {}};
    const Index rank = leaf.a.shape.empty() ? 0 : leaf.a.shape.back();
    check_extents(leaf.a, {1, size.in, rank}, a.where());
    check_extents(leaf.b, {1, rank, size.out}, b.where());
    leaf.a = at(leaf.a, 0), leaf.b = at(leaf.b, 0);
    const bool has = c && !c->is(TorchKind::none), wanted = base_.has_bias(projection);
    check(has == wanted, [&] {
      return Error("a C where the base's linear has a bias, and only there",
                   c ? c->where() : value.where() + ": 'C'", wanted ? "a tensor" : "None",
                   has ? "a tensor" : "None");
    });
    if (has) {
      leaf.c = c->tensor();
      check_extents(*leaf.c, {1, size.out}, c->where());
      leaf.c = at(*leaf.c, 0);
    }
    return leaf;
  }

  void add_leaf(const HostAdapter::Place& place, const Leaf& main, const Leaf* more) {
    const std::string to = "meta.layers." + std::to_string(place.layer) +
                           (place.projection < Projection::gate ? ".attention." : ".mlp.") +
                           name(place.projection);
    if (more == nullptr) {
      result_.tensors.add(to + ".a", transposed(main.a));
      result_.tensors.add(to + ".b", transposed(main.b));
      if (main.c) result_.tensors.add(to + ".bias", *main.c);
      return;
    }
    const auto& [in, out] = size_of(base_, place.projection);
    add_joined(to + ".a", {spec_.meta_rank, in}, {transposed(main.a), transposed(more->a)});
    std::vector<TorchTensor> rows;
    for (Index i = 0; i < out; ++i)
      for (const Leaf* const leaf : {&main, more}) rows.push_back(at(transposed(leaf->b), i));
    add_joined(to + ".b", {out, spec_.meta_rank}, rows);
    if (main.c) {
      std::vector<float> sum = floats(*main.c, to);
      std::ranges::transform(sum, floats(*more->c, to), sum.begin(), std::plus<>());
      add_floats(to + ".bias", {out}, sum);
    }
  }

  /// One behind the other; of two types as floats.
  void add_joined(const std::string& to, const Extents& shape, const std::vector<TorchTensor>& parts) {
    const DType dtype = parts.front().dtype;
    if (std::ranges::all_of(parts, [&](const TorchTensor& part) { return part.dtype == dtype; }))
      return result_.tensors.add(to, dtype, shape, behind(parts));
    std::vector<float> numbers;
    for (const TorchTensor& part : parts) {
      const std::vector<float> more = floats(part, to);
      numbers.insert(numbers.end(), more.begin(), more.end());
    }
    add_floats(to, shape, numbers);
  }

  void add_floats(const std::string& to, const Extents& shape, const std::vector<float>& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    result_.tensors.add(to, DType::f32, shape, {bytes.begin(), bytes.end()});
  }

  static std::vector<float> floats(const TorchTensor& tensor, const std::string& where) {
    std::vector<std::byte> room;
    std::vector<float> numbers(static_cast<std::size_t>(tensor.size()));
    hyperblocks::detail::read_numbers(tensor.dtype, row_major(tensor, room), where, std::span(numbers));
    return numbers;
  }

  std::filesystem::path folder_;
  HypernetBase base_;
  Settings& settings_;
  ShineSpec spec_;
  Index tokens_ = 0;
  bool merges_ = true;
  ImportedHypernet result_;
};

}  // namespace hyperblocks::example
