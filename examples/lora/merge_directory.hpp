// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// lora merge: a Hugging Face directory with an adapter merged into its weights, tensor by tensor: what is in
// memory is one tensor, whatever the model's size.
#pragma once

#include <set>

#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/lora/merge.hpp>

namespace hyperblocks::example {

class MergeDirectory {
 public:
  MergeDirectory(const std::filesystem::path& base, HostAdapter adapter, const std::string& where)
      : base_(base), spec_(decoder_spec(base)) {
    check(std::filesystem::is_directory(base), [&] {
      return Error("cannot merge into it", base.string(), "a folder with config.json and *.safetensors",
                   "a file");
    });
    check_fits(adapter, spec_, where);
    check_finite(adapter, where);
    const detail::DirectoryWeights weights(base, spec_);
    const auto add = [&](const std::string& ours, HostFactors factors) {
      const std::string name = weights.stored_name(ours);
      check(weights.find(name) != nullptr, [&] {
        return Error("the base has no such tensor to merge into", where,
                     "'" + name + "' in " + weights.file(), "none");
      });
      changed_[name] = std::move(factors);
    };
    for (auto& [at, factors] : adapter.linears) {
      const std::string linear =
          "layers." + std::to_string(at.layer) + "." + std::string(detail::names_of(at.projection).ours);
      const auto c = std::exchange(factors.bias, {});
      const Index out = factors.size.out;
      add(linear + ".weight", std::move(factors));
      if (!c.empty()) add(linear + ".bias", {.size = {1, out}, .rank = 1, .a = {1}, .b = c});
    }
  }

  /// Into a folder that is new or empty, and empty again after an error.
  void write(const std::filesystem::path& folder, const Progress& progress) {
    make_folder(folder);
    check(std::filesystem::is_empty(folder), [&] {
      return Error("will not overwrite", folder.string(), "a folder that is new or empty", "one with files");
    });
    try {
      write_files(folder, progress);
    } catch (...) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) std::filesystem::remove(entry);
      throw;
    }
  }

 private:
  /// config.json, which makes it a model, comes last.
  void write_files(const std::filesystem::path& folder, const Progress& progress) {
    const auto shards = shard_names();
    for (const std::string& shard : shards) total_ += std::filesystem::file_size(base_ / shard);
    for (const std::string& shard : shards) write_shard(shard, folder, progress);
    for (const auto& entry : std::filesystem::directory_iterator(base_))
      if (entry.is_regular_file() && goes_along(entry.path()))
        std::filesystem::copy_file(entry.path(), folder / entry.path().filename());
    std::filesystem::copy_file(base_ / "config.json", folder / "config.json");
  }

  std::set<std::string> shard_names() const {
    if (std::filesystem::exists(base_ / "model.safetensors")) return {"model.safetensors"};
    const auto index = base_ / "model.safetensors.index.json";
    const JsonObject map = JsonObject(read_json(index), index.string()).object("weight_map");
    std::set<std::string> names;
    for (const auto& [tensor, file] : map.fields().items()) names.insert(map.get<std::string>(tensor));
    return names;
  }

  /// Tokenizer, templates, licences; no weights of another kind, which would be those without the adapter,
  /// and no adapter.
  static bool goes_along(const std::filesystem::path& file) {
    static const std::set<std::string> kinds = {"", ".json", ".txt", ".model", ".jinja", ".md"};
    const std::string name = file.filename();
    return kinds.contains(file.extension()) && name != "config.json" && !name.starts_with(".") &&
           !name.starts_with("adapter_") &&
           !(name.ends_with(".index.json") && name != "model.safetensors.index.json");
  }

  void write_shard(const std::string& name, const std::filesystem::path& folder, const Progress& progress) {
    const SafetensorsFile file(base_ / name);
    std::vector<std::byte> merged;
    write_safetensors(folder / name, file.tensors(), file.metadata(),
                      [&](const std::string& tensor, const StoredTensor& stored) {
                        done_ += stored.bytes.size();
                        if (progress) progress(std::min(done_, total_), total_, tensor);
                        const auto found = changed_.find(tensor);
                        if (found == changed_.end()) return stored.bytes;
                        merged.assign(stored.bytes.begin(), stored.bytes.end());
                        change(tensor, stored.dtype, found->second, merged);
                        return std::span<const std::byte>(merged);
                      });
    if (progress) progress(total_, total_, name);
  }

  void change(const std::string& tensor, DType dtype, const HostFactors& factors,
              std::vector<std::byte>& bytes) {
    switch (dtype) {
      case DType::f32:
        return change_as<float>(tensor, factors, bytes);
      case DType::f16:
        return change_as<half>(tensor, factors, bytes);
      case DType::bf16:
        return change_as<bf16>(tensor, factors, bytes);
      case DType::f64:
        return change_as<double>(tensor, factors, bytes);
      default:
        throw Error("not real numbers", detail::place(base_.string(), tensor), "F64, F32, F16 or BF16",
                    std::string(hyperblocks::name(dtype)));
    }
  }

  /// Vectors' bytes are aligned for any scalar.
  template <RealScalar Stored>
  void change_as(const std::string& tensor, const HostFactors& factors, std::vector<std::byte>& bytes) {
    const std::span<Stored> numbers(reinterpret_cast<Stored*>(bytes.data()), bytes.size() / sizeof(Stored));
    merge<Stored>(numbers, factors, {}, detail::place(base_.string(), tensor));
  }

  std::filesystem::path base_;
  DecoderSpec spec_;
  std::map<std::string, HostFactors> changed_;  ///< C as what a column and a 1 add
  std::uint64_t done_ = 0, total_ = 0;
};

}  // namespace hyperblocks::example
