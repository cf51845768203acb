// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Doc-to-LoRA's checkpoint: pytorch_model.bin, a state dict with pickled settings beside its tensors. Its
// linears are in alphabetical order, ours in a layer's; a head is one matrix there and two here; MLPs of each
// layer are transposed there; layers that share their weights are listed once for each place there.
#pragma once

#include <cmath>

#include "modules.hpp"
#include "settings.hpp"
#include "torch_parts.hpp"

namespace hyperblocks::example {

inline const std::set<std::string> doc_to_lora_settings = {"chunk", "head_width", "rank", "alpha"};

class DocToLoraImport {
 public:
  DocToLoraImport(const std::filesystem::path& folder, const DecoderSpec& base, Settings& settings)
      : base_(hypernet_base(base)),
        settings_(settings),
        root_(TorchFile(folder / "pytorch_model.bin").root()),
        source_(root_.tensors()) {}

  ImportedHypernet read() {
    check_kinds();
    read_settings();
    read_context();
    read_perceiver();
    read_mlps();
    read_heads();
    source_.check_all_taken();
    result_.tensors.keep(source_.owner());
    result_.config.base = base_, result_.config.spec = spec_;
    return std::move(result_);
  }

 private:
  /// Besides tensors there are three objects.
  void check_kinds() const {
    const std::set<std::string_view> objects = {"hypernet_config", "ctx_encoder_args",
                                                "base_model_name_or_path"};
    for (const auto& [key, value] : root_.items()) {
      const bool named = key.is(TorchKind::string) && objects.contains(key.as<std::string_view>());
      check(named || value.is(TorchKind::tensor), [&, &other = value] {
        return Error("an unknown key", other.where(),
                     "tensors, hypernet_config, ctx_encoder_args and base_model_name_or_path",
                     std::string(name(other.kind())));
      });
    }
  }

  /// A field that is there and not None.
  static std::optional<TorchValue> field(const TorchValue& object, const char* key) {
    auto value = object.find(key);
    if (value && value->is(TorchKind::none)) return std::nullopt;
    return value;
  }

  /// That the settings say what the tensors do, if they say it.
  template <class T>
  static T agreed(T value, const TorchValue& object, const char* key) {
    if (const auto said = field(object, key))
      check(said->as<T>() == value, [&] {
        return Error("the settings contradict the tensors", said->where(),
                     hyperblocks::detail::spec_text(value), hyperblocks::detail::spec_text(said->as<T>()));
      });
    return value;
  }

  /// A string, or an enumeration's.
  static std::string word(const TorchValue& value) {
    if (value.is(TorchKind::object)) {
      const auto arguments = value.arguments().elements();
      if (arguments.size() == 1 && arguments[0].is(TorchKind::string))
        return std::string(arguments[0].as<std::string_view>());
    }
    return std::string(value.as<std::string_view>());
  }

  void read_settings() {
    const TorchValue config = root_["hypernet_config"], lora = config["lora_config"];
    const Index rank = lora["r"].as<Index>();
    check(rank > 0 && rank < 65536,
          [&] { return Error("an impossible rank", lora["r"].where(), "1 to 65535", std::to_string(rank)); });
    spec_.rank = settings_.found("rank", rank);
    if (const auto alpha = field(lora, "lora_alpha"))
      spec_.alpha = settings_.found("alpha", alpha->as<double>());
    else
      spec_.alpha = settings_.asked("alpha", spec_.scale());
    check(std::isfinite(spec_.alpha) && spec_.alpha != 0, [&] {
      return Error("an impossible scale", lora["lora_alpha"].where(), "a number other than 0",
                   hyperblocks::detail::spec_text(spec_.alpha));
    });
    read_targets(lora["target_modules"]);
    if (const auto extra = field(config, "extra_modules"))
      check(extra->elements().empty(),
            [&] { return Error("not supported", extra->where(), "no extra modules", "some"); });
    if (const auto use_bias = field(config, "use_bias"))
      spec_.bias = settings_.found("bias", use_bias->as<bool>());
    else
      spec_.bias = settings_.assumed("bias", true);
    check_base(config);
  }

  void read_targets(const TorchValue& modules) {
    spec_.targets = no_linears;
    for (const TorchValue& element : modules.elements()) {
      const std::string module(element.as<std::string_view>());
      const auto projection = projection_of_module(module);
      check(projection.has_value(), [&] {
        return Error("a linear that is not known", element.where(),
                     "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj", "'" + module + "'");
      });
      target_of(spec_.targets, *projection) = true;
      modules_[module] = *projection;
    }
    check(!modules_.empty(),
          [&] { return Error("no linears", modules.where(), "one module or more", "none"); });
    std::string all;
    for (const auto& [module, projection] : modules_) all += (all.empty() ? "" : " ") + module;
    settings_.found("targets", all);
  }

  /// What is said of the base is so of the given one.
  void check_base(const TorchValue& config) {
    const auto same = [](const TorchValue& value, Index expected) {
      check(value.as<Index>() == expected, [&] {
        return Error("a hypernetwork for another base", value.where(),
                     std::to_string(expected) + ", as the base has", std::to_string(value.as<Index>()));
      });
    };
    settings_.found("base", base_name());
    if (const auto hidden = field(config, "base_hidden_size")) same(*hidden, base_.hidden);
    if (const auto sizes = field(config, "feature_sizes"))
      for (const auto& [module, projection] : modules_) {
        const LinearSize size = size_of(base_, projection);
        same((*sizes)[0][module], size.in), same((*sizes)[1][module], size.out);
      }
    if (const auto indices = field(config, "layer_indices")) check_layers(*indices);
    if (const auto layers = field(config["aggregator_config"], "num_layers")) same(*layers, base_.layers);
  }

  std::string base_name() const { return word(root_["base_model_name_or_path"]); }

  void check_layers(const TorchValue& indices) const {
    std::vector<std::int64_t> found;
    if (indices.is(TorchKind::tensor)) {
      const TorchTensor tensor = indices.tensor();
      std::vector<std::byte> room;
      check(tensor.shape.size() == 1, [&] {
        return Error("the shape differs", indices.where(), "(layers)",
                     hyperblocks::detail::shape_text(tensor.shape));
      });
      const auto bytes = row_major(tensor, room);
      found.resize(static_cast<std::size_t>(tensor.size()));
      hyperblocks::detail::read_numbers(tensor.dtype, bytes, indices.where(), std::span(found));
    } else {
      found = indices.as<std::vector<std::int64_t>>();
    }
    bool all = static_cast<Index>(found.size()) == base_.layers;
    for (std::size_t i = 0; all && i < found.size(); ++i) all = found[i] == static_cast<Index>(i);
    check(all, [&] {
      return Error("other layers than the base's", indices.where(),
                   "0 to " + std::to_string(base_.layers - 1) + " in order",
                   std::to_string(found.size()) + " of them");
    });
  }

  /// What is read, and of which model.
  void read_context() {
    const TorchValue context = root_["ctx_encoder_args"];
    const std::string kind = settings_.found("context", word(context["ctx_encoder_type"]));
    ContextSpec& spec = result_.config.context;
    const auto last = field(context, "ctx_encoder_last_layer"), exit = field(context, "layer_idx");
    const auto reader = field(context, "ctx_encoder_model_name_or_path");
    if (reader && word(*reader) != base_name())
      result_.config.reader = settings_.found("reader", word(*reader));
    if (kind == "per_layer_activations") {
      spec = {ContextKind::all_layers, base_.layers};
      check(!last || last->as<Index>() == base_.layers, [&] {
        return Error("as many states as the base has layers", last->where(), std::to_string(base_.layers),
                     std::to_string(last->as<Index>()));
      });
    } else if (kind == "early_exit") {
      spec = {ContextKind::early_exit, exit ? settings_.found("layers read", exit->as<Index>())
                                            : settings_.assumed("layers read", quarter())};
      // Of a base of less than four layers a quarter is none; a ContextSpec's 0 says a quarter.
      const bool none = spec.layers == 0 && result_.config.reader.empty() && quarter() == 0;
      check(!exit || spec.layers > 0 || none, [&] {
        return Error("an early exit behind no layer", exit->where(), "1 or more",
                     std::to_string(spec.layers));
      });
    } else {
      check(kind == "embed_only", [&] {
        return Error("a kind of context encoder that is not known", context["ctx_encoder_type"].where(),
                     "per_layer_activations, early_exit or embed_only", "'" + kind + "'");
      });
      spec = {ContextKind::embeddings, 0};
    }
    spec_.layer_to_layer =
        agreed(kind == "per_layer_activations", root_["hypernet_config"]["aggregator_config"],
               "layer_to_layer_ctx_encoder");
    if (const auto quantised = field(context, "quantize_ctx_encoder"))
      settings_.found("reader quantised in training", quantised->as<bool>());
    result_.config.chunk = settings_.asked("chunk", Index{512});
  }

  /// Of the layers of a reader; 0 says so where that is another model than the base.
  Index quarter() const { return result_.config.reader.empty() ? base_.layers / 4 : 0; }

  void read_perceiver() {
    const TorchValue config = root_["hypernet_config"], aggregator = config["aggregator_config"];
    if (const auto type = field(aggregator, "aggregator_type"))
      check(word(*type) == "perceiver",
            [&] { return Error("not supported", type->where(), "perceiver", "'" + word(*type) + "'"); });
    ContextPerceiverSpec& spec = spec_.perceiver;
    const std::string from = "aggregator.perceiver.", encoder = from + "encoder.";
    const TorchTensor gate = source_.take(from + "modality_projection.gate_proj.weight", {dyn, dyn});
    const TorchTensor latents = source_.take(encoder + "latents_q", {dyn, dyn});
    spec.projection_inner = gate.shape[0];
    spec_.features = settings_.found("features", agreed(gate.shape[1], aggregator, "feature_size"));
    check(!result_.config.reader.empty() || spec_.features == base_.hidden, [&] {
      return Error("features that are not as wide as the base's hidden states",
                   source_.where(from + "modality_projection.gate_proj.weight"), std::to_string(base_.hidden),
                   std::to_string(spec_.features));
    });
    spec.latents = settings_.found("latents", agreed(latents.shape[0], aggregator, "n_latent_queries"));
    spec.latent = settings_.found("latent", agreed(latents.shape[1], config, "latent_size"));
    count_layers(aggregator, encoder + "layers.");
    read_head_sizes(encoder + "layers.0.");
    for (const auto& [name, out, in] : {std::tuple("gate", spec.projection_inner, spec_.features),
                                        {"up", spec.projection_inner, spec_.features},
                                        {"down", spec.latent, spec.projection_inner}})
      add(std::string("perceiver.projection.") + name + ".weight",
          from + "modality_projection." + name + "_proj.weight", {out, in});
    result_.tensors.add("perceiver.encoder.latents", latents);
    add("perceiver.encoder.norm.weight", encoder + "layernorm.weight", {spec.latent});
    add_encoder_layers(encoder + "layers.");
    add_decoder(from + "decoder.");
  }

  void add(const std::string& to, const std::string& from, const Extents& shape) {
    result_.tensors.add(to, source_.take(from, shape));
  }

  /// Layers with a norm of the context are the cross layers, one at the beginning of every block.
  void count_layers(const TorchValue& aggregator, const std::string& layers) {
    ContextPerceiverSpec& spec = spec_.perceiver;
    const Index all = source_.count(layers);
    Index blocks = 0;
    for (Index i = 0; i < all; ++i)
      blocks += source_.contains(layers + std::to_string(i) + ".input_context_layernorm.weight");
    check(blocks > 0 && all % blocks == 0, [&] {
      return Error("layers that are not whole blocks", source_.where(layers),
                   "blocks of one cross attention and some self attentions each",
                   std::to_string(all) + " layers, " + std::to_string(blocks) + " of cross attention");
    });
    spec.blocks = settings_.found("blocks", agreed(blocks, aggregator, "num_blocks"));
    spec.self_layers =
        settings_.found("self layers", agreed(all / blocks - 1, aggregator, "num_self_attn_per_block"));
    if (const auto shared = field(aggregator, "shared_weights"))
      spec.shares_weights = settings_.found("shared weights", shared->as<bool>());
    else
      spec.shares_weights = settings_.assumed("shared weights", false);
  }

  void read_head_sizes(const std::string& layer) {
    ContextPerceiverSpec& spec = spec_.perceiver;
    const Index query = source_.take(layer + "self_attn.q_proj.weight", {dyn, spec.latent}).shape[0];
    const Index key = source_.take(layer + "self_attn.k_proj.weight", {dyn, spec.latent}).shape[0];
    spec.inner = source_.take(layer + "mlp.gate_proj.weight", {dyn, spec.latent}).shape[0];
    spec.head_width = settings_.asked("head_width", Index{128});
    check(query % spec.head_width == 0 && key % spec.head_width == 0 && query % key == 0, [&] {
      return Error("heads that do not fit " + source_.where(layer + "self_attn"), "--set head_width",
                   "a common divisor of " + std::to_string(query) + " and " + std::to_string(key) +
                       " (128 unless given)",
                   std::to_string(spec.head_width));
    });
    spec.heads = settings_.found("heads", query / spec.head_width);
    spec.kv_heads = settings_.found("kv heads", key / spec.head_width);
  }

  void add_layer(const std::string& from, const std::string& to, bool cross) {
    const ContextPerceiverSpec& spec = spec_.perceiver;
    const Index width = spec.latent, query = spec.heads * spec.head_width,
                key = spec.kv_heads * spec.head_width;
    for (const auto& [theirs, ours, out, in] : {std::tuple("self_attn.q", "attention.query", query, width),
                                                {"self_attn.k", "attention.key", key, width},
                                                {"self_attn.v", "attention.value", key, width},
                                                {"self_attn.o", "attention.output", width, query},
                                                {"mlp.gate", "mlp.gate", spec.inner, width},
                                                {"mlp.up", "mlp.up", spec.inner, width},
                                                {"mlp.down", "mlp.down", width, spec.inner}})
      add(to + ours + ".weight", from + theirs + "_proj.weight", {out, in});
    for (const auto& [theirs, ours] : {std::pair("input_latents", "attention.norm"),
                                       {"post_attention", "attention.output_norm"},
                                       {"pre_ff", "mlp.norm"},
                                       {"post_ff", "mlp.output_norm"}})
      add(to + ours + ".weight", from + theirs + "_layernorm.weight", {width});
    if (cross) add(to + "context_norm.weight", from + "input_context_layernorm.weight", {width});
  }

  void add_encoder_layers(const std::string& from) {
    const ContextPerceiverSpec& spec = spec_.perceiver;
    const Index block = 1 + spec.self_layers;
    const std::string to = "perceiver.encoder.";
    for (Index i = 0; i < spec.blocks * block; ++i) {
      const Index number = i / block, self = i % block - 1;
      const std::string layer = from + std::to_string(i) + ".";
      const bool cross = self < 0;
      const Index own = !spec.shares_weights ? i : cross ? std::min(number, Index{1}) * block : self + 1;
      if (own == i)
        add_layer(layer,
                  cross ? to + "cross." + std::to_string(number) + "."
                        : to + "self." + std::to_string(number * spec.self_layers + self) + ".",
                  cross);
      else
        check_alias(layer, from + std::to_string(own) + ".");
    }
  }

  /// A layer that is another one, at a second place.
  void check_alias(const std::string& layer, const std::string& other) {
    for (const std::string& full : source_.names()) {
      const auto at = full.find(other);
      if (at == full.npos) continue;
      const std::string last = full.substr(at + other.size());
      const TorchTensor first = source_.tensor(other + last);
      const TorchTensor second = source_.take(layer + last, first.shape);
      check(first.bytes.data() == second.bytes.data() || behind({first}) == behind({second}), [&] {
        return Error("shared weights that differ", source_.where(layer + last), "those of " + other + last,
                     "others");
      });
    }
  }

  /// A resampler of one block, whose latents are the outputs: the linears' order changes.
  void add_decoder(const std::string& from) {
    const TorchValue config = root_["hypernet_config"];
    const Index outer = spec_.layer_to_layer ? 1 : base_.layers, count = modules();
    const TorchTensor latents = source_.take(from + "latents_q", {dyn, spec_.perceiver.latent});
    const Index rows = latents.shape[0];
    read_per_rank(config, rows == outer * count * spec_.rank);
    const Index each = spec_.per_rank ? spec_.rank : 1;
    check(rows == outer * count * each, [&] {
      return Error("the shape differs", source_.where(from + "latents_q"),
                   std::to_string(outer) + " layers times " + std::to_string(count) + " linears times " +
                       std::to_string(each) + " rows",
                   std::to_string(rows));
    });
    std::vector<TorchTensor> ordered;
    for (Index layer = 0; layer < outer; ++layer)
      for (const Projection projection : all_projections)
        if (spec_.targets.contains(projection))
          ordered.push_back(part(latents, 0, (layer * count + module_number(projection)) * each, each));
    result_.tensors.add("perceiver.decoder.latents", latents.dtype, latents.shape, behind(ordered));
    add("perceiver.decoder.norm.weight", from + "layernorm.weight", {spec_.perceiver.latent});
    add_layer(from + "layers.0.", "perceiver.decoder.cross.0.", true);
  }

  void read_per_rank(const TorchValue& config, bool fits) {
    const auto said = field(config, "per_rank_gen");
    spec_.per_rank =
        said ? settings_.found("per rank", said->as<bool>()) : settings_.assumed("per rank", fits);
  }

  Index modules() const { return static_cast<Index>(modules_.size()); }
  /// Alphabetically.
  Index module_number(Projection projection) const {
    Index number = 0;
    for (const auto& [module, at] : modules_) {
      if (at == projection) break;
      ++number;
    }
    return number;
  }

  void read_mlps() {
    const TorchValue config = root_["hypernet_config"];
    const Index width = spec_.perceiver.latent, count = source_.count("layers.");
    const auto said = field(config, "num_pre_head_layers");
    spec_.mlps = said ? settings_.found("MLPs", said->as<Index>()) : settings_.assumed("MLPs", Index{4});
    check(count == spec_.mlps, [&] {
      return Error("the settings contradict the tensors",
                   source_.where("hypernet_config") + ": num_pre_head_layers, " +
                       (said ? "as it says" : "4 where it says nothing"),
                   std::to_string(spec_.mlps) + " of 'layers.NUMBER'", std::to_string(count));
    });
    if (count == 0) return;
    const bool per_layer = source_.contains("layers.0.layers.1.weight");
    spec_.mlps_per_layer =
        settings_.found("MLPs per layer", agreed(per_layer, config, "per_layer_processing"));
    for (Index i = 0; i < count; ++i) {
      const std::string from = "layers." + std::to_string(i) + (per_layer ? ".layers." : ".mlp.");
      const std::string to = "heads.mlps." + std::to_string(i) + ".";
      for (const auto& [theirs, ours] : {std::pair("0.", "0."), {per_layer ? "4." : "6.", "4."}})
        for (const char* const kind : {"weight", "bias"})
          add(to + ours + kind, from + theirs + kind, {width});
      if (per_layer)
        add_linears_of_layers(from, to);
      else
        add_linears(from, to);
    }
  }

  void add_linears(const std::string& from, const std::string& to) {
    const Index width = spec_.perceiver.latent;
    spec_.mlp_inner =
        source_.take(from + "2.weight", {spec_.mlp_inner != 0 ? spec_.mlp_inner : dyn, width}).shape[0];
    add(to + "1.weight", from + "2.weight", {spec_.mlp_inner, width});
    add(to + "1.bias", from + "2.bias", {spec_.mlp_inner});
    add(to + "3.weight", from + "5.weight", {width, spec_.mlp_inner});
    add(to + "3.bias", from + "5.bias", {width});
  }

  void add_linears_of_layers(const std::string& from, const std::string& to) {
    const Index width = spec_.perceiver.latent, layers = base_.layers;
    spec_.mlp_inner =
        source_.take(from + "1.weight", {layers, width, spec_.mlp_inner != 0 ? spec_.mlp_inner : dyn})
            .shape[2];
    for (const auto& [number, in, out] :
         {std::tuple("1.", width, spec_.mlp_inner), {"3.", spec_.mlp_inner, width}}) {
      const TorchTensor weight = source_.take(std::string(from) + number + "weight", {layers, in, out});
      const TorchTensor bias = source_.take(std::string(from) + number + "bias", {1, layers, 1, 1, out});
      for (Index layer = 0; layer < layers; ++layer) {
        const std::string linear = to + number + std::to_string(layer) + ".";
        result_.tensors.add(linear + "weight", transposed(at(weight, layer)));
        result_.tensors.add(linear + "bias", at(at(at(at(bias, 0), layer), 0), 0));
      }
    }
  }

  void read_heads() {
    Index widest = 0;
    for (const auto& [module, projection] : modules_) {
      const LinearSize size = size_of(base_, projection);
      widest = std::max(widest, size.in + size.out);
    }
    const bool one = modules() == 1 && !has_module_axis();
    Extents shape = {base_.layers, modules(), spec_.perceiver.latent,
                     spec_.per_rank ? widest : widest * spec_.rank};
    if (one) shape.erase(shape.begin() + 1);
    const TorchTensor weight = source_.take("head.weight", shape);
    for (Index layer = 0; layer < base_.layers; ++layer)
      for (const auto& [module, projection] : modules_) {
        const TorchTensor of_layer = at(weight, layer);
        add_head(layer, projection, one ? of_layer : at(of_layer, module_number(projection)), widest);
        add_scales(layer, module, projection);
      }
    if (!spec_.bias)
      for (const auto& [module, projection] : modules_)
        source_.ignore("bias_A." + module), source_.ignore("bias_B." + module);
  }

  bool has_module_axis() const {
    return source_.contains("head.weight") && source_.tensor("head.weight").shape.size() == 4;
  }

  /// (latent, ranks * widest): of every rank `in` columns of A, then `out` of B.
  void add_head(Index layer, Projection projection, const TorchTensor& weight, Index widest) {
    const LinearSize size = size_of(base_, projection);
    const Index latent = spec_.perceiver.latent, ranks = spec_.per_rank ? 1 : spec_.rank;
    const auto columns = [&](Index first, Index count, const char* which) {
      TorchTensor view = part(weight, 1, first, count);
      view.shape = {ranks, count, latent};
      view.strides = {widest * weight.strides[1], weight.strides[1], weight.strides[0]};
      result_.tensors.add(head(layer, projection) + which + ".weight", view, {ranks * count, latent});
    };
    columns(0, size.in, "a");
    columns(size.in, size.out, "b");
  }

  static std::string head(Index layer, Projection projection) {
    return "heads.layers." + std::to_string(layer) + "." + place_of(projection) + ".";
  }

  void add_scales(Index layer, const std::string& module, Projection projection) {
    const LinearSize size = size_of(base_, projection);
    const std::string to = head(layer, projection);
    for (const auto& [theirs, ours, width] : {std::tuple("A.", "a", size.in), {"B.", "b", size.out}}) {
      const TorchTensor scale =
          source_.take(std::string("scaler_") + theirs + module, {1, base_.layers, spec_.rank, 1});
      result_.tensors.add(to + "scale_" + ours, at(at(scale, 0), layer), {spec_.rank});
      if (spec_.bias)
        result_.tensors.add(to + "bias_" + ours, at(source_.take(std::string("bias_") + theirs + module,
                                                                 {base_.layers, spec_.rank, width}),
                                                    layer));
    }
  }

  HypernetBase base_;
  Settings& settings_;
  TorchValue root_;
  TensorSource source_;
  DocToLoraSpec spec_;
  std::map<std::string, Projection> modules_;  ///< alphabetically, as the checkpoint has them
  ImportedHypernet result_;
};

}  // namespace hyperblocks::example
