// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A PyTorch file written again with other values, keys and tensors in some places: what public checkpoints
// might be and must not.
#pragma once

#include <map>
#include <set>

#include <hyperblocks/io/torch_zip.hpp>

#include "torch_archive.hpp"

namespace hyperblocks::test {

/// By paths as "0.attention.q.A".
struct TorchEdits {
  std::map<std::string, std::string> replaced = {};  ///< by instructions of a pickle
  std::set<std::string> dropped = {};
  std::map<std::string, std::string> renamed = {};  ///< keys
  std::map<std::string, std::string> added = {};    ///< to a dict or object: keys and values
};

constexpr std::int64_t spare_numbers = 4096;

/// A tensor of zeros, or of a few numbers that are not finite.
inline std::string pickled_zeros(const std::vector<std::int64_t>& shape,
                                 const std::string& type = "FloatStorage", const std::string& key = "zeros") {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return pickled_tensor(pickled_storage(spare_numbers, type, key), 0, shape, strides);
}
inline std::string pickled_infinities(const std::vector<std::int64_t>& shape) {
  return pickled_zeros(shape, "FloatStorage", "infinities");
}
inline const std::string pickled_none = "N";
inline std::string pickled_list(const std::string& elements) { return "](" + elements + "e"; }

class TorchRewriter {
 public:
  TorchRewriter(const std::filesystem::path& file, const TorchEdits& edits) : edits_(edits), file_(file) {}

  std::string bytes() {
    const std::string pickle = "\x80\x02" + value(file_.root(), "") + ".";
    std::vector<ZipEntry> entries = {{"a/data.pkl", pickle}, {"a/byteorder", "little"}};
    entries.push_back({"a/data/zeros", std::string(8 * spare_numbers, '\0')});
    std::string infinities;
    for (std::int64_t i = 0; i < spare_numbers; ++i) infinities += bytes_of(0x7f800000, 4);
    entries.push_back({"a/data/infinities", infinities});
    for (std::size_t i = 0; i < storages_.size(); ++i)
      entries.push_back({"a/data/" + std::to_string(i), storages_[i]});
    return zip_of(entries);
  }

 private:
  std::string value(const TorchValue& from, const std::string& path) {
    if (const auto found = edits_.replaced.find(path); found != edits_.replaced.end()) return found->second;
    switch (from.kind()) {
      case TorchKind::none:
        return pickled_none;
      case TorchKind::boolean:
        return from.as<bool>() ? "\x88" : "\x89";
      case TorchKind::integer:
        return pickled(from.as<std::int64_t>());
      case TorchKind::real:
        return real(from.as<double>());
      case TorchKind::string:
        return pickled(std::string(from.as<std::string_view>()));
      case TorchKind::list:
      case TorchKind::tuple:
        return sequence(from, path, from.is(TorchKind::list));
      case TorchKind::set:
        return pickled_name("__builtin__", "set") + "(" + sequence(from, path, true) + "tR";
      case TorchKind::dict:
        return "}" + items(from, path);
      case TorchKind::tensor:
        return tensor(from.tensor());
      default:
        return object(from, path);
    }
  }

  static std::string real(double number) {
    std::string big = bytes_of(std::bit_cast<std::uint64_t>(number), 8);
    std::reverse(big.begin(), big.end());
    return "G" + big;
  }

  std::string sequence(const TorchValue& from, const std::string& path, bool list) {
    std::string all;
    std::int64_t i = 0;
    for (const TorchValue& element : from.elements())
      all += value(element, hyperblocks::detail::joined(path, std::to_string(i++)));
    return list ? pickled_list(all) : "(" + all + "t";
  }

  std::string items(const TorchValue& from, const std::string& path) {
    std::string all = "(";
    for (const auto& [key, inner] : from.items()) {
      const bool text = key.is(TorchKind::string);
      const std::string name = text ? std::string(key.as<std::string_view>()) : key.integer_text();
      const std::string place = hyperblocks::detail::joined(path, name);
      if (edits_.dropped.contains(place)) continue;
      const auto other = edits_.renamed.find(place);
      if (other != edits_.renamed.end())
        all += pickled(other->second);
      else
        all += text ? pickled(name) : pickled(key.as<std::int64_t>());
      all += value(inner, place);
    }
    if (const auto more = edits_.added.find(path); more != edits_.added.end()) all += more->second;
    return all + "u";
  }

  std::string object(const TorchValue& from, const std::string& path) {
    const std::string full = from.class_name();
    const auto dot = full.rfind('.');
    std::string all = pickled_name(full.substr(0, dot), full.substr(dot + 1));
    if (from.is(TorchKind::name)) return all;
    all += sequence(from.arguments(), path, false) + "R";
    if (from.state()) all += "}" + items(from, path) + "b";
    return all;
  }

  std::string tensor(const TorchTensor& from) {
    const std::map<DType, std::string> types = {
        {DType::f32, "FloatStorage"}, {DType::bf16, "BFloat16Storage"}, {DType::i64, "LongStorage"}};
    std::vector<std::byte> room;
    const auto bytes = row_major(from, room);
    storages_.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::vector<std::int64_t> strides(from.shape.size(), 1);
    for (std::size_t i = from.shape.size(); i-- > 1;) strides[i - 1] = strides[i] * from.shape[i];
    return pickled_tensor(
        pickled_storage(from.size(), types.at(from.dtype), std::to_string(storages_.size() - 1)), 0,
        {from.shape.begin(), from.shape.end()}, strides);
  }

  TorchEdits edits_;
  TorchFile file_;
  std::vector<std::string> storages_;
};

}  // namespace hyperblocks::test
