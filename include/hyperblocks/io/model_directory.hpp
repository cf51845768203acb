// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ModelDirectory: the tensors of a Hugging Face directory, whether they lie in one file or in several that an
// index lists. One look-up for all of them.
#pragma once

#include <hyperblocks/io/json_object.hpp>
#include <hyperblocks/io/safetensors.hpp>

namespace hyperblocks {

class ModelDirectory {
 public:
  explicit ModelDirectory(const std::filesystem::path& folder) : folder_(folder) {
    const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
    if (is_there(single)) {
      const SafetensorsFile& file = open("model.safetensors");
      for (const auto& [name, tensor] : file.tensors()) tensors_.emplace(name, Place{&tensor, &file});
      return;
    }
    check(is_there(index), [&] {
      return Error("no weights", folder.string(), "model.safetensors or model.safetensors.index.json",
                   "neither");
    });
    read_index(JsonObject(read_json(index), index.string()));
  }

  std::string name() const { return folder_.string(); }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const StoredTensor& tensor(const std::string& name) const { return *place(name).tensor; }
  /// Keeps a tensor's bytes alive beyond this object's life.
  std::shared_ptr<const void> owner(const std::string& name) const { return place(name).file->owner(); }
  /// f(name, tensor) for all of them.
  template <class F>
  void each(F f) const {
    for (const auto& [name, place] : tensors_) f(name, *place.tensor);
  }

  /// Copies a tensor, converting its numbers; the shape must be the one given.
  template <class To>
  void read(const std::string& name, const std::vector<Index>& shape, std::span<To> to) const {
    place(name).file->template read<To>(name, shape, to);
  }

 private:
  struct Place {
    const StoredTensor* tensor;
    const SafetensorsFile* file;
  };

  const Place& place(const std::string& name) const {
    return detail::find_tensor(tensors_, folder_.string(), name);
  }

  const SafetensorsFile& open(const std::string& file) {
    const auto found = files_.find(file);
    return found != files_.end() ? found->second : files_.emplace(file, folder_ / file).first->second;
  }

  /// Files are plain names: an index leads nowhere outside its folder.
  void read_index(const JsonObject& index) {
    check(index.contains("weight_map"),
          [&] { return Error("no such field", index.where("weight_map"), "an object", "no value"); });
    const JsonObject map = index.object("weight_map");
    for (const auto& item : map.fields().items()) {
      const std::string& name = item.key();
      const auto file = map.get<std::string>(name);
      const std::filesystem::path path(file);
      const bool plain = path.filename() == path && file.find('\0') == file.npos;
      check(plain && !file.empty() && file != "." && file != "..", [&] {
        return Error("a file outside the folder", map.where(name), "a plain file name", detail::shown(file));
      });
      const SafetensorsFile& shard = open(file);
      check(shard.contains(name), [&] {
        return Error("a tensor is missing", (folder_ / file).string() + ": '" + name + "'",
                     "it there, as the index says", "none");
      });
      tensors_.emplace(name, Place{&shard.tensor(name), &shard});
    }
  }

  std::filesystem::path folder_;
  std::map<std::string, SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace hyperblocks
