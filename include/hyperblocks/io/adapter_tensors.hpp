// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the readers and writers of adapters share: what a file says besides factors, the linears' names in
// files, the pairing of tensors to factors, and factors as files want them: the scale in B, a rank padded
// with zeros, another scalar.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <hyperblocks/io/decoder_names.hpp>
#include <hyperblocks/io/gguf.hpp>
#include <hyperblocks/io/safetensors.hpp>
#include <hyperblocks/lora/host_adapter.hpp>

namespace hyperblocks {

/// How many heads queries and keys have.
struct AttentionHeads {
  Index query = 0, key = 0;
  AttentionHeads(Index query_, Index key_) : query(query_), key(key_) {}
  explicit AttentionHeads(const DecoderSpec& spec) : query(spec.heads), key(spec.key_heads()) {}
};

/// What an adapter's file says of it besides its factors: read from one and given to another's writer, it
/// stays so. A kind of file passes over what it does not know.
struct AdapterOptions {
  std::string base_model = "";     ///< folders: what the adapter was made for, base_model_name_or_path
  std::string task = "CAUSAL_LM";  ///< folders: task_type; empty: none
  std::string prefix = "model.";   ///< folders: what stands before "layers" in the base's modules
  Index layers = 0;                ///< folders: of the base, if known: all need not be named
  std::string architecture = "";   ///< GGUF: llama, qwen2, qwen3, gemma2 or gemma3: the base's
  std::optional<AttentionHeads> heads = {};  ///< GGUF: needed for llama
  DType dtype = DType::f32;                  ///< F32, F16 or, in folders, BF16
};

namespace detail {

/// {"attention.query", "self_attn.q_proj", "attn_q"}
constexpr const ParameterName& names_of(Projection projection) {
  std::size_t i = 0;
  while (layer_names[i].ours.substr(layer_names[i].ours.find('.') + 1) != name(projection)) ++i;
  return layer_names[i];
}

/// The linear whose name of one kind this is: linear_of("attn_q", &ParameterName::gguf).
inline std::optional<Projection> linear_of(std::string_view module, std::string_view ParameterName::*kind) {
  for (const Projection projection : all_projections)
    if (names_of(projection).*kind == module) return projection;
  return std::nullopt;
}

/// A layer's number in a name, as it is written in one way only.
inline std::optional<Index> layer_number(std::string_view digits) {
  Index layer = 0;
  const char *const first = std::to_address(digits.begin()), *const end = first + digits.size();
  const auto [stop, failure] = std::from_chars(first, end, layer);
  if (failure != std::errc() || stop != end || layer < 0 || std::to_string(layer) != digits)
    return std::nullopt;
  return layer;
}

/// The names of the tensors that make one linear's factors; empty where there is none.
struct StoredFactors {
  std::string a = {}, b = {}, bias = {};
};
using StoredAdapter = std::map<HostAdapter::Place, StoredFactors>;

/// Two names in a file may mean the same linear.
inline void add_tensor(StoredAdapter& stored, const HostAdapter::Place& at, std::string StoredFactors::*part,
                       const std::string& name, const std::string& file) {
  std::string& known = stored[at].*part;
  check(known.empty(), [&] {
    return Error("the same factor twice", place(file, name), "one for " + to_string(at),
                 "'" + known + "' besides");
  });
  known = name;
}

inline void check_paired(const std::string& file, const StoredFactors& names) {
  const std::string& there = !names.a.empty() ? names.a : !names.b.empty() ? names.b : names.bias;
  check(!names.a.empty() && !names.b.empty(), [&] {
    return Error("a factor is missing", place(file, there), "A and B", names.a.empty() ? "no A" : "no B");
  });
}

/// A linear's factors, with a scale of 1.
template <class File>
HostFactors read_factors(const File& file, const std::string& where, const StoredFactors& names) {
  check_paired(where, names);
  const auto& a = file.tensor(names.a).shape;
  const auto& b = file.tensor(names.b).shape;
  for (const auto& [name, shape] : {std::pair(names.a, a), std::pair(names.b, b)})
    check(shape.size() == 2 && shape[0] > 0 && shape[1] > 0, [&, &tensor = name, &found = shape] {
      return Error("not a factor's shape", place(where, tensor), "two extents of one or more",
                   shape_text(found));
    });
  check(a[0] == b[1], [&] {
    return Error("the ranks of A and B differ", place(where, names.b),
                 "(out, " + std::to_string(a[0]) + ") for A of " + shape_text(a), shape_text(b));
  });
  HostFactors factors{.size = {a[1], b[0]}, .rank = a[0]};
  factors.a.resize(static_cast<std::size_t>(a[0] * a[1]));
  factors.b.resize(static_cast<std::size_t>(b[0] * b[1]));
  file.template read<float>(names.a, a, factors.a);
  file.template read<float>(names.b, b, factors.b);
  if (names.bias.empty()) return factors;
  factors.bias.resize(static_cast<std::size_t>(b[0]));
  file.template read<float>(names.bias, {b[0]}, factors.bias);
  return factors;
}

inline std::string_view type_name(const StoredTensor& tensor) { return name(tensor.dtype); }
inline std::string_view type_name(const GgufTensor& tensor) { return tensor.format->name; }

/// The type that holds a file's numbers as they are: its own, if it is one of 16 bits.
template <class File>
DType written_type(const File& file) {
  for (const DType type : {DType::f16, DType::bf16})
    if (std::all_of(file.tensors().begin(), file.tensors().end(),
                    [&](const auto& named) { return type_name(named.second) == name(type); }))
      return type;
  return DType::f32;
}

/// The scale that is left to the loader: in 16 bits that of all linears, so that B is not rounded again,
/// else 1.
inline double written_scale(const HostAdapter& adapter, DType dtype) {
  const double first = adapter.linears.begin()->second.scale, size = std::abs(first);
  const bool common = std::all_of(adapter.linears.begin(), adapter.linears.end(),
                                  [&](const auto& linear) { return linear.second.scale == first; });
  return dtype != DType::f32 && common && size > 1e-30 && size < 1e30 ? first : 1;
}

/// Numbers times a factor.
inline std::vector<float> times(std::span<const float> numbers, double factor) {
  std::vector<float> products(numbers.size());
  std::transform(numbers.begin(), numbers.end(), products.begin(),
                 [&](float number) { return static_cast<float>(static_cast<double>(number) * factor); });
  return products;
}

/// B with what the loader's scale leaves of its own.
inline std::vector<float> scaled_b(const HostFactors& factors, double loader) {
  return times(factors.b, factors.scale / loader);
}

template <RealScalar To>
void append_numbers(std::span<const float> numbers, const std::string& where, std::vector<std::byte>& bytes) {
  for (const float number : numbers) {
    const To stored = scalar_cast<To>(number);
    check(std::isfinite(scalar_cast<float>(stored)) || !std::isfinite(number), [&] {
      return Error("a number is too large", where,
                   "what " + std::string(name(hyperblocks::dtype_of<To>)) + " can hold",
                   shown(static_cast<double>(number)));
    });
    const auto* const first = reinterpret_cast<const std::byte*>(&stored);
    bytes.insert(bytes.end(), first, first + sizeof stored);
  }
}

/// Numbers as a file keeps them; one that becomes infinite by that is an Error.
inline std::vector<std::byte> stored_numbers(std::span<const float> numbers, DType dtype,
                                             const std::string& where) {
  std::vector<std::byte> bytes;
  bytes.reserve(numbers.size() * byte_size(dtype));
  switch (dtype) {
    case DType::f32:
      append_numbers<float>(numbers, where, bytes);
      return bytes;
    case DType::f16:
      append_numbers<half>(numbers, where, bytes);
      return bytes;
    case DType::bf16:
      append_numbers<bf16>(numbers, where, bytes);
      return bytes;
    default:
      throw Error("a type that adapters are not written in", where, "F32, F16 or BF16",
                  std::string(name(dtype)));
  }
}

/// That there is something to write, and of the sizes it says.
inline void check_writable(const HostAdapter& adapter, const std::string& where) {
  check(!adapter.linears.empty(),
        [&] { return Error("an adapter without linears", where, "factors of one linear or more", "none"); });
  check_adapter(adapter, where);
  const Index first = adapter.linears.begin()->first.layer;
  check(first >= 0, [&] { return Error("no such layer", where, "0 or more", std::to_string(first)); });
}

}  // namespace detail
}  // namespace hyperblocks
