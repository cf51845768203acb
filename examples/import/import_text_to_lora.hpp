// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Text-to-LoRA's checkpoint: hypermod.pt, a state dict, whose keys tell what was built; args.yaml, how it was
// trained; adapter_config.json. Its linears are numbered in an order that comes from a set and differs from
// file to file: that of the keys, which an option overrides; ours are in a layer's.
#pragma once

#include <cmath>
#include <iostream>

#include <hyperblocks/io/json_object.hpp>

#include "modules.hpp"
#include "settings.hpp"
#include "torch_parts.hpp"
#include "yaml_scalars.hpp"

namespace hyperblocks::example {

inline const std::set<std::string> text_to_lora_settings = {"modules"};

class TextToLoraImport {
 public:
  TextToLoraImport(const std::filesystem::path& folder, const DecoderSpec& base, Settings& settings)
      : base_(hypernet_base(base)),
        settings_(settings),
        adapter_(read_json(folder / "adapter_config.json"), (folder / "adapter_config.json").string()),
        arguments_(folder / "args.yaml"),
        source_(TorchFile(folder / "hypermod.pt").root().tensors()) {}

  ImportedHypernet read() {
    read_adapter();
    read_modules();
    read_training();
    read_task_encoder();
    tell_reader();
    read_trunk();
    read_heads();
    read_fixed();
    source_.check_all_taken();
    result_.tensors.keep(source_.owner());
    result_.config.base = base_, result_.config.spec = spec_;
    return std::move(result_);
  }

 private:
  void read_adapter() {
    const auto type = adapter_.find<std::string>("peft_type").value_or("LORA");
    check(type == "LORA",
          [&] { return Error("not supported", adapter_.where("peft_type"), "LORA", "'" + type + "'"); });
    const Index rank = adapter_.get<Index>("r");
    check(rank > 0 && rank < 65536, [&] {
      return Error("an impossible rank", adapter_.where("r"), "1 to 65535", std::to_string(rank));
    });
    spec_.rank = settings_.found("rank", rank);
    spec_.alpha = settings_.found("alpha", adapter_.get<double>("lora_alpha"));
    check(std::isfinite(spec_.alpha) && spec_.alpha != 0, [&] {
      return Error("an impossible scale", adapter_.where("lora_alpha"), "a number other than 0",
                   hyperblocks::detail::spec_text(spec_.alpha));
    });
    spec_.rslora = settings_.found("rslora", adapter_.find<bool>("use_rslora").value_or(false));
    for (const char* const pattern : {"rank_pattern", "alpha_pattern"})
      check(adapter_.object(pattern).fields().empty(), [&] {
        return Error("not supported", adapter_.where(pattern), "one rank and scale for all", "others");
      });
  }

  /// In the order in which the keys stand in the file, which numbers them, or in that of the option.
  void read_modules() {
    for (const std::string& name : source_.plain_names())
      if (name.starts_with("heads.")) {
        const std::string module = name.substr(6, name.find('.', 6) - 6);
        if (std::find(modules_.begin(), modules_.end(), module) == modules_.end()) modules_.push_back(module);
      }
    const auto targets = adapter_.get<std::vector<std::string>>("target_modules");
    check(!modules_.empty() && sorted(targets) == sorted(modules_), [&] {
      return Error("other linears than there are heads for", adapter_.where("target_modules"),
                   modules_.empty() ? "heads in " + source_.file() : joined(modules_), joined(targets));
    });
    if (settings_.given("modules")) {
      const auto order = split(settings_.asked<std::string>("modules", ""));
      check(sorted(order) == sorted(modules_), [&] {
        return Error("an option that contradicts the files", "--set modules",
                     joined(modules_) + " in some order", joined(order));
      });
      modules_ = order;
    } else {
      settings_.found("modules", joined(modules_));
    }
    spec_.targets = no_linears;
    for (const std::string& module : modules_) {
      check(projection_of_module(module).has_value(), [&] {
        return Error("a linear that is not known", source_.where("heads." + module),
                     "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj", "'" + module + "'");
      });
      target_of(spec_.targets, *projection_of_module(module)) = true;
    }
  }

  static std::vector<std::string> sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return names;
  }
  static std::string joined(const std::vector<std::string>& names) {
    std::string all;
    for (const auto& name : names) all += (all.empty() ? "" : ",") + name;
    return all;
  }
  static std::vector<std::string> split(const std::string& names) {
    std::vector<std::string> all(1);
    for (const char letter : names)
      if (letter == ',')
        all.emplace_back();
      else if (letter != ' ')
        all.back() += letter;
    return all;
  }

  Index linears() const { return static_cast<Index>(modules_.size()); }
  /// f(projection, module, its number in the files), in our order.
  template <class F>
  void each_module(F f) const {
    for (const Projection projection : all_projections)
      for (std::size_t i = 0; i < modules_.size(); ++i)
        if (projection_of_module(modules_[i]) == projection)
          f(projection, modules_[i], static_cast<Index>(i));
  }

  /// What was trained for decides what is made of the heads' numbers.
  void read_training() {
    arguments_.require("training_task");
    const std::string task = arguments_.text("training_task").value_or("null");
    settings_.found("trained for", task);
    check(task == "sft" || task == "recon", [&] {
      return Error("an unknown kind of training", arguments_.where("training_task"), "sft or recon",
                   "'" + task + "'");
    });
    const bool numbered = arguments_.boolean("use_one_hot_task_emb").value_or(false);
    check(!numbered, [&] {
      return Error("a network of numbered tasks", arguments_.where("use_one_hot_task_emb"),
                   "one that reads descriptions", "true");
    });
    result_.config.reader = arguments_.text("emb_model").value_or("");
    const std::string reader = result_.config.reader.empty() ? "the base" : result_.config.reader;
    arguments_.contains("emb_model") ? settings_.found("reader", reader)
                                     : settings_.assumed("reader", reader);
    const bool factorised = arguments_.flag("factorized", false);
    if (task == "recon" && factorised) arguments_.require("pred_z_score");
    offsets_ = task == "sft" || factorised;
    spec_.z_score = task == "recon" && factorised && arguments_.flag("pred_z_score", false);
    if (task == "recon") {
      arguments_.contains("factorized") ? settings_.found("factorised", factorised)
                                        : settings_.assumed("factorised", factorised);
      settings_.found("z-scores", spec_.z_score);
      if (!factorised) {
        const auto scale = arguments_.number("delta_w_scaling");
        check(!scale || (std::isfinite(*scale) && *scale > 0), [&] {
          return Error("an impossible scale", arguments_.where("delta_w_scaling"), "more than 0",
                       hyperblocks::detail::spec_text(*scale));
        });
        spec_.product_scale =
            scale ? settings_.found("product scale", *scale) : settings_.assumed("product scale", 10000.0);
      }
    }
  }

  void add(const std::string& to, const std::string& from, const Extents& shape) {
    result_.tensors.add(to, source_.take(from, shape));
  }
  void add_linear(const std::string& to, const std::string& from, Index out, Index in) {
    add(to + ".weight", from + ".weight", {out, in});
    add(to + ".bias", from + ".bias", {out});
  }
  void add_norm(const std::string& to, const std::string& from, Index width) {
    add(to + ".weight", from + ".weight", {width});
    add(to + ".bias", from + ".bias", {width});
  }

  void read_task_encoder() {
    const std::string from = "task_encoder.";
    const bool deep = source_.contains(from + "mlp.3.weight"), table = source_.contains(from + "embed");
    spec_.code = !deep                                     ? TaskCode::linear
                 : source_.contains(from + "cluster_size") ? TaskCode::vq
                 : table                                   ? TaskCode::softmax
                                                           : TaskCode::discrete;
    settings_.found("task encoder", std::string(name(spec_.code)));
    const TorchTensor first = source_.take(from + "mlp.0.weight", {dyn, dyn});
    spec_.embedding = settings_.found("embedding", first.shape[1]);
    add_linear("task.0", from + "mlp.0", first.shape[0], spec_.embedding);
    code_ = deep ? first.shape[0] / 4 : first.shape[0];
    if (!deep) return add_norm("task.1", from + "mlp.1", code_);
    if (spec_.code == TaskCode::softmax) {
      const TorchTensor codes = source_.take(from + "embed", {dyn, code_});
      spec_.codes = settings_.found("codes", codes.shape[0]);
      result_.tensors.add("task.4.weight", transposed(codes));
      add_norm("task.5", from + "ln", code_);
    } else if (spec_.code == TaskCode::vq) {
      spec_.codes = settings_.found("codes", source_.take(from + "embed", {code_, dyn}).shape[1]);
      for (const auto& [theirs, ours] : {std::pair("embed", "code"), {"embed_avg", "sum"}})
        result_.tensors.add(std::string("task.3.") + ours,
                            transposed(source_.take(from + theirs, {code_, spec_.codes})));
      add("task.3.count", from + "cluster_size", {spec_.codes});
      add_norm("task.4", from + "ln", code_);
    } else {
      spec_.classes = settings_.found("classes", code_);
    }
    check(first.shape[0] == 4 * code_, [&] {
      return Error("the shape differs", source_.where(from + "mlp.0.weight"), "a multiple of 4 rows",
                   std::to_string(first.shape[0]));
    });
    add_linear("task.2", from + "mlp.3", spec_.code == TaskCode::softmax ? spec_.codes : code_, 4 * code_);
  }

  void tell_reader() const {
    if (result_.config.reader.empty() && spec_.embedding != base_.hidden)
      std::cerr << "note: it reads embeddings of " << spec_.embedding << " numbers, this base's states have "
                << base_.hidden << ": another model reads, of which args.yaml says nothing\n";
  }

  void read_trunk() {
    const bool one_hot = spec_.code == TaskCode::discrete;
    const Index places = one_hot ? 0 : read_places();
    const Index width = code_ + (one_hot ? base_.layers + linears() : 2 * places);
    read_mixer(one_hot, width);
    read_mlp("mlp1.mlp", "trunk.mlp1", width, width);
    read_mlp("mlp2.mlp", "trunk.mlp2", width, width);
    spec_.head_in = settings_.found("head_in", source_.take("mlp3.4.weight", {dyn, 4 * width}).shape[0]);
    read_mlp("mlp3", "trunk.mlp3", width, spec_.head_in);
    read_sides(width);
    read_positions(width);
  }

  /// Embeddings of layers and linears; with the code they tell the latent size, which halves and quarters of.
  Index read_places() {
    const Index places = source_.take("layer_depth_encoder.0.weight", {base_.layers, dyn}).shape[1];
    add("trunk.depth.weight", "layer_depth_encoder.0.weight", {base_.layers, places});
    add_norm("trunk.depth.norm", "layer_depth_encoder.1", places);
    const TorchTensor types = source_.take("layer_type_encoder.0.weight", {linears(), places});
    std::vector<TorchTensor> rows;
    each_module(
        [&](Projection, const std::string&, Index number) { rows.push_back(part(types, 0, number, 1)); });
    result_.tensors.add("trunk.type.weight", types.dtype, types.shape, behind(rows));
    add_norm("trunk.type.norm", "layer_type_encoder.1", places);
    const double said = arguments_.number("hypernet_latent_size").value_or(0);
    for (const Index latent : {2 * code_, 2 * code_ + 1})
      if (latent / 4 == places && (spec_.latent / 2 != code_ || static_cast<double>(latent) == said))
        spec_.latent = latent;
    check(spec_.latent / 2 == code_ && spec_.latent / 4 == places, [&] {
      return Error("the shape differs", source_.where("layer_depth_encoder.0.weight"),
                   "half as wide as the code's " + std::to_string(code_), std::to_string(places));
    });
    settings_.found("latent", spec_.latent);
    return places;
  }

  /// One-hot numbers of linears are columns of the first matrix, and in the files' order.
  void read_mixer(bool one_hot, Index width) {
    const TorchTensor first = source_.take("mixer.1.weight", {4 * width, width});
    if (one_hot) {
      std::vector<TorchTensor> columns = {part(transposed(first), 0, 0, code_ + base_.layers)};
      each_module([&](Projection, const std::string&, Index number) {
        columns.push_back(part(transposed(first), 0, code_ + base_.layers + number, 1));
      });
      TorchTensor turned = first;
      const std::vector<std::byte> rows = behind(columns);
      turned.bytes = rows, turned.strides = {1, 4 * width};
      std::vector<std::byte> room;
      const auto bytes = row_major(turned, room);
      result_.tensors.add("trunk.mixer.0.weight", first.dtype, first.shape, {bytes.begin(), bytes.end()});
    } else {
      result_.tensors.add("trunk.mixer.0.weight", first);
    }
    add("trunk.mixer.0.bias", "mixer.1.bias", {4 * width});
    add_linear("trunk.mixer.2", "mixer.4", width, 4 * width);
  }

  void read_mlp(const std::string& from, const std::string& to, Index width, Index out) {
    add_norm(to + ".0", from + ".0", width);
    add_linear(to + ".1", from + ".1", 4 * width, width);
    add_linear(to + ".3", from + ".4", out, 4 * width);
  }

  /// Of every linear a row for A and one for B, if they share a head.
  void read_sides(Index width) {
    spec_.shared_head = settings_.found("shared head", source_.contains("out_emb_norm.weight"));
    if (!spec_.shared_head) return;
    std::vector<TorchTensor> rows;
    each_module([&](Projection, const std::string& module, Index) {
      for (const char* const side : {".A", ".B"})
        rows.push_back(source_.take("out_emb." + module + side, {width}));
    });
    result_.tensors.add("trunk.sides.weight", rows.front().dtype, {2 * linears(), width}, behind(rows));
    add_norm("trunk.sides.norm", "out_emb_norm", width);
  }

  void read_positions(Index width) {
    const bool learned = source_.contains("pos_emb.0.weight");
    read_autoregressive(learned);
    if (!spec_.autoregressive) return;
    spec_.positions = learned ? RankPositions::learned : RankPositions::rotary;
    settings_.found("positions", std::string(name(spec_.positions)));
    if (!learned) return;
    add("trunk.ranks.weight", "pos_emb.0.weight", {spec_.rank, width});
    add_norm("trunk.ranks.norm", "pos_emb.1", width);
  }

  Index head_rows(const LinearSize& size) const {
    return spec_.shared_head ? std::max(size.in, size.out) : size.in + size.out;
  }

  /// Heads that give one rank at a time are that much smaller; with one rank only the arguments tell.
  void read_autoregressive(bool learned) {
    const std::string head = "heads." + modules_.front() + ".weight";
    const Index rows = source_.take(head, {dyn, spec_.head_in}).shape[0],
                each = head_rows(size_of(base_, *projection_of_module(modules_.front())));
    check(rows == each || rows == spec_.rank * each, [&] {
      return Error("the shape differs", source_.where(head),
                   std::to_string(each) + " or " + std::to_string(spec_.rank * each) + " rows",
                   std::to_string(rows));
    });
    const bool one = spec_.rank == 1 && !learned;
    spec_.autoregressive = settings_.found(
        "autoregressive", one ? arguments_.boolean("autoreg_gen").value_or(false) : rows == each);
  }

  void read_heads() {
    spec_.head_bias = settings_.found("head bias", source_.contains("heads." + modules_.front() + ".bias"));
    each_module([&](Projection projection, const std::string& module, Index) {
      const LinearSize size = size_of(base_, projection);
      const Index ranks = spec_.autoregressive ? 1 : spec_.rank;
      const std::string to = "heads." + place_of(projection);
      const auto take = [&](const std::string& kind, Extents shape) {
        const TorchTensor tensor = source_.take("heads." + module + kind, shape);
        if (spec_.shared_head) return result_.tensors.add(to + kind, tensor);
        result_.tensors.add(to + ".a" + kind, part(tensor, 0, 0, ranks * size.in));
        result_.tensors.add(to + ".b" + kind, part(tensor, 0, ranks * size.in, ranks * size.out));
      };
      take(".weight", {ranks * head_rows(size), spec_.head_in});
      if (spec_.head_bias) take(".bias", {ranks * head_rows(size)});
    });
  }

  /// Factors that no text changes: there always, and zero where they were not used.
  void read_fixed() {
    const bool zero = all_zero("AB_offset");
    spec_.offset = settings_.found("offset", offsets_ && !zero);
    for (const auto& [theirs, ours, used] : {std::tuple("AB_offset", "offset", spec_.offset),
                                             {"mean_recon_target", "mean", spec_.z_score},
                                             {"std_recon_target", "deviation", spec_.z_score}})
      each_module([&, &from = theirs, &to = ours, &wanted = used](Projection projection,
                                                                  const std::string& module, Index) {
        const LinearSize size = size_of(base_, projection);
        const std::string a = std::string(from) + ".A." + module, b = std::string(from) + ".B." + module;
        const Extents of_a = {base_.layers, spec_.rank, size.in}, of_b = {base_.layers, size.out, spec_.rank};
        if (!wanted) {  // whatever its numbers are: of one adapter the deviations are NaN
          for (const auto& [name, shape] : {std::pair(a, of_a), {b, of_b}})
            if (source_.contains(name)) source_.pass(name, shape);  // older files may have none
          return;
        }
        const TorchTensor first = source_.take(a, of_a), second = source_.take(b, of_b);
        result_.tensors.add(std::string(to) + "." + place_of(projection) + ".a", first);
        result_.tensors.add(std::string(to) + "." + place_of(projection) + ".b", transposed(second));
      });
  }

  bool all_zero(const std::string& prefix) const {
    for (const std::string& name : source_.plain_names()) {
      if (!name.starts_with(prefix + ".")) continue;
      std::vector<std::byte> room;
      const auto bytes = row_major(source_.tensor(name), room);
      if (std::any_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{}; }))
        return false;
    }
    return true;
  }

  HypernetBase base_;
  Settings& settings_;
  JsonObject adapter_;
  YamlScalars arguments_;
  TensorSource source_;
  TextToLoraSpec spec_;
  std::vector<std::string> modules_;  ///< in the order of their numbers in the files
  Index code_ = 0;                    ///< the task's code is so wide
  bool offsets_ = false;              ///< whether an offset counts
  ImportedHypernet result_;
};

}  // namespace hyperblocks::example
