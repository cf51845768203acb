// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A Decoder's parameters from a Hugging Face directory or a GGUF file, converted from whatever they are
// stored as. The model must be the one of the Decoder's spec, and have its tensors, all of them and no
// others.
//   const auto params = loaded_decoder<Base>(cpu, "path/to/model", ProgressBar());
#pragma once

#include <algorithm>
#include <set>

#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/io/decoder_names.hpp>
#include <hyperblocks/io/model_directory.hpp>
#include <hyperblocks/io/progress.hpp>

namespace hyperblocks {

class Cpu;  // the device whose memory is the host's

namespace detail {

/// Bytes of a mapped file as a tensor's memory, if they lie as its scalar must.
template <class Scalar>
std::optional<Buffer> shared_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  auto* const place = const_cast<std::byte*>(bytes.data());  // of private pages: see MappedFile
  if (owner == nullptr || reinterpret_cast<std::uintptr_t>(place) % alignof(Scalar) != 0) return std::nullopt;
  const auto keeper = std::const_pointer_cast<void>(std::move(owner));
  return Buffer{std::shared_ptr<void>(keeper, place), bytes.size()};
}

/// A model's weights in a Hugging Face directory, by the names of our parameters.
class DirectoryWeights {
 public:
  DirectoryWeights(const std::filesystem::path& folder, const DecoderSpec& spec)
      : files_(folder), spec_(spec), prefixes_(prefixes[0]) {
    for (const auto& before : prefixes)
      if (files_.contains(std::string(before.model) + "embed_tokens.weight")) {
        prefixes_ = before;
        break;
      }
    check_tied_head();
  }

  std::string file() const { return files_.name(); }
  std::string stored_name(const std::string& ours) const {
    return hugging_face_name(spec_.tied && ours == "head.weight" ? "embedding.weight" : ours, spec_,
                             prefixes_);
  }
  const StoredTensor* find(const std::string& name) const {
    return files_.contains(name) ? &files_.tensor(name) : nullptr;
  }
  template <class F>
  void each(F f) const {
    files_.each([&](const std::string& name, const auto&) { f(name); });
  }
  /// Tensors that a text model does without: tables that are computed, a second copy of a tied matrix, and
  /// what sees.
  bool harmless(const std::string& name) const {
    return name.ends_with("rotary_emb.inv_freq") || (spec_.tied && name == head_name()) ||
           name.find("vision_tower.") != name.npos || name.find("multi_modal_projector.") != name.npos;
  }
  template <RealScalar To>
  void read(const std::string& ours, const std::vector<Index>& shape, std::span<To> to) const {
    files_.read<To>(stored_name(ours), shape, to);
  }
  /// The memory of a parameter that is stored as `Scalar`.
  template <class Scalar>
  std::optional<Buffer> mapped(const std::string& ours) const {
    const std::string name = stored_name(ours);
    const StoredTensor& stored = files_.tensor(name);
    if (stored.dtype != hyperblocks::dtype_of<Scalar>) return std::nullopt;
    return shared_bytes<Scalar>(stored.bytes, files_.owner(name));
  }

 private:
  std::string head_name() const { return hugging_face_name("head.weight", spec_, prefixes_); }

  /// A second matrix of a tied model is a copy of the first: one of its own would go unused.
  void check_tied_head() const {
    const auto *const head = find(head_name()), *const table = find(stored_name("embedding.weight"));
    if (!spec_.tied || head == nullptr || table == nullptr) return;
    check(head->dtype == table->dtype && std::ranges::equal(head->bytes, table->bytes), [&] {
      return Error("a tied model with a head of its own", place(file(), head_name()),
                   "the embedding's numbers, or in config.json \"tie_word_embeddings\": false", "others");
    });
  }

  ModelDirectory files_;
  DecoderSpec spec_;
  Prefixes prefixes_;
};

/// A model's weights in a GGUF file, as they were before llama.cpp's converter changed some of them.
class GgufWeights {
 public:
  GgufWeights(GgufFile file, const DecoderSpec& spec)
      : file_(std::move(file)),
        spec_(spec),
        permuted_(file_.get<std::string_view>("general.architecture") == "llama") {}

  std::string file() const { return file_.name(); }
  std::string stored_name(const std::string& ours) const {
    return gguf_name(spec_.tied && ours == "head.weight" ? "embedding.weight" : ours);
  }
  const GgufTensor* find(const std::string& name) const {
    return file_.contains(name) ? &file_.tensor(name) : nullptr;
  }
  template <class F>
  void each(F f) const {
    for (const auto& [name, tensor] : file_.tensors()) f(name);
  }
  bool harmless(const std::string& name) const { return name == "rope_freqs.weight"; }

  template <RealScalar To>
  void read(const std::string& ours, const std::vector<Index>& shape, std::span<To> to) const {
    const std::string module = NameParts(ours).module, name = stored_name(ours);
    if (module.ends_with("norm") && spec_.norm_shift != 0) return read_norm(name, shape, to);
    file_.read<To>(name, shape, to);
    if (permuted_ && module == "attention.query") restore_rows(to, spec_.heads);
    if (permuted_ && module == "attention.key") restore_rows(to, spec_.key_heads());
  }
  /// The memory of a matrix that is neither permuted nor shifted and is stored as `Scalar`.
  template <class Scalar>
  std::optional<Buffer> mapped(const std::string& ours) const {
    const GgufTensor& stored = file_.tensor(stored_name(ours));
    if (stored.format->name != hyperblocks::name(hyperblocks::dtype_of<Scalar>)) return std::nullopt;
    return shared_bytes<Scalar>(stored.bytes, file_.owner());
  }

 private:
  /// The file has 1 + weight: the subtraction comes before any rounding.
  template <RealScalar To>
  void read_norm(const std::string& name, const std::vector<Index>& shape, std::span<To> to) const {
    std::vector<double> numbers(to.size());
    file_.read<double>(name, shape, numbers);
    std::transform(numbers.begin(), numbers.end(), to.begin(),
                   [&](double number) { return scalar_cast<To>(number - spec_.norm_shift); });
  }

  /// The converter puts the two rows of a rotary pair side by side: row 2 i + j of a head was j width/2 + i.
  template <RealScalar To>
  void restore_rows(std::span<To> matrix, Index heads) const {
    const std::vector<To> stored(matrix.begin(), matrix.end());
    const Index width = spec_.width(), columns = static_cast<Index>(stored.size()) / (heads * width);
    for (Index row = 0; row < heads * width; ++row) {
      const Index head = row / width, i = row % (width / 2), j = row % width / (width / 2);
      std::copy_n(stored.begin() + (head * width + 2 * i + j) * columns, columns,
                  matrix.begin() + row * columns);
    }
  }

  GgufFile file_;
  DecoderSpec spec_;
  bool permuted_;
};

/// "a, b, c and 7 more"
inline std::string listed(const std::set<std::string>& names) {
  constexpr std::size_t shown = 8;
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : names)
    if (++count <= shown) text += (count == 1 ? "'" : ", '") + name + "'";
  return text + (count > shown ? " and " + std::to_string(count - shown) + " more" : "");
}

/// That the file has what the parameters need, in their shapes, and nothing else; the sum of its bytes.
template <class Weights, class Params>
std::uint64_t check_weights(const Weights& weights, const Params& params) {
  std::set<std::string> missing, extra, used;
  std::uint64_t bytes = 0;
  visit(
      [&](const std::string& ours, const auto& tensor) {
        const std::string name = weights.stored_name(ours);
        used.insert(name);
        const auto* const stored = weights.find(name);
        if (stored == nullptr) return void(missing.insert(name));
        check(stored->shape == shape_of(tensor), [&] {
          return Error("the shape differs", place(weights.file(), name), shape_text(shape_of(tensor)),
                       shape_text(stored->shape));
        });
        bytes += stored->bytes.size();
      },
      params);
  check(missing.empty(),
        [&] { return Error("tensors are missing", weights.file(), listed(missing), "none of that name"); });
  weights.each([&](const std::string& name) {
    if (!used.contains(name) && !weights.harmless(name)) extra.insert(name);
  });
  check(extra.empty(), [&] {
    return Error("tensors that the model does not have", weights.file(), "only those of its spec",
                 listed(extra));
  });
  return bytes;
}

/// Whether a tensor took its numbers where they are, in the mapped file.
template <class Weights, class Device, class Tensor>
bool share_weight(Device&, Tensor& tensor, const Weights& weights, const std::string& ours) {
  if constexpr (std::same_as<Device, Cpu> && requires { tensor.view(); })
    if (ours == "embedding.weight")
      if (auto buffer = weights.template mapped<typename Tensor::ScalarType>(ours)) {
        tensor = Tensor::sharing(*std::move(buffer), tensor.shape());
        return true;
      }
  return false;
}

template <class Model, class Weights, class Device>
void load_weights(Device& device, typename Model::Params& params, const Weights& weights,
                  const Progress& progress) {
  using Stored = typename decltype(params.embedding.weight)::ScalarType;
  check(params.embedding.weight.data() != nullptr, [&] {
    return Error("parameters without memory", "load_decoder", "make<Params>(device), or loaded_decoder",
                 "Params that own nothing");
  });
  const std::uint64_t total = check_weights(weights, params);
  std::uint64_t done = 0;
  visit(
      [&](const std::string& ours, auto& tensor) {
        using Scalar = typename std::remove_cvref_t<decltype(tensor)>::ScalarType;
        if (!share_weight(device, tensor, weights, ours)) {
          std::vector<Scalar> host(static_cast<std::size_t>(tensor.size()));
          bool copied = false;
          if constexpr (std::same_as<Scalar, Stored>)
            if (Model::spec.tied && ours == "head.weight") {  // expanded once already
              params.embedding.weight.download(device, host);
              copied = true;
            }
          if (!copied) weights.template read<Scalar>(ours, shape_of(tensor), host);
          check(all_finite(hyperblocks::dtype_of<Scalar>, std::as_bytes(std::span(host))), [&, &name = ours] {
            return Error("a number is not finite", place(weights.file(), weights.stored_name(name)),
                         "finite weights", "NaN or infinity");
          });
          tensor.upload(device, host);
          if (weights.stored_name(ours) != weights.stored_name("embedding.weight"))  // which may be shared
            release_pages(weights.find(weights.stored_name(ours))->bytes);
        }
        done += weights.find(weights.stored_name(ours))->bytes.size();
        if (progress) progress(done, total, ours);
      },
      params);
}

}  // namespace detail

/// Fills parameters that have their memory. `Model` is a Decoder.
template <class Model, class Device>
void load_decoder(Device& device, typename Model::Params& params, const std::filesystem::path& path,
                  const Progress& progress = {}) {
  if (is_folder(path)) {
    check_spec(Model::spec, decoder_spec(path), path.string());
    detail::load_weights<Model>(device, params, detail::DirectoryWeights(path, Model::spec), progress);
    return;
  }
  check(detail::is_gguf(path), [&] {
    return Error("not a model", path.string(), "a folder with config.json and safetensors, or a GGUF file",
                 "another file");
  });
  GgufFile file(path);
  check_spec(Model::spec, decoder_spec_from_gguf(file), path.string());
  detail::load_weights<Model>(device, params, detail::GgufWeights(std::move(file), Model::spec), progress);
}

/// Parameters with their memory, filled.
template <class Model, class Device>
typename Model::Params loaded_decoder(Device& device, const std::filesystem::path& path,
                                      const Progress& progress = {}) {
  auto params = make<typename Model::Params>(device);
  load_decoder<Model>(device, params, path, progress);
  return params;
}

}  // namespace hyperblocks
