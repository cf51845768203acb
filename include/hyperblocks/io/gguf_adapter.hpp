// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LoRA adapters as llama.cpp loads them (--lora): one GGUF file. Its loader multiplies by alpha / rank of
// each tensor, by 1 where alpha is 0; what is written has one scale as in peft.hpp. The architecture `llama`
// keeps the rows of queries and keys permuted, which needs the base's heads.
//   const HostAdapter adapter = read_gguf_adapter("adapter.gguf", AttentionHeads{9, 3});
#pragma once

#include <optional>
#include <set>

#include <hyperblocks/io/adapter_tensors.hpp>
#include <hyperblocks/io/gguf_writer.hpp>

namespace hyperblocks {

namespace detail {

/// The rows of B between Hugging Face's order, where row j width/2 + i of a head is half j of pair i, and
/// llama.cpp's, where it is row 2 i + j.
inline void permute_rows(HostFactors& factors, Index heads, bool to_gguf, const std::string& where) {
  const Index width = heads > 0 ? factors.size.out / heads : 0, half = width / 2;
  check(heads > 0 && factors.size.out == heads * half * 2, [&] {
    return Error("the heads do not fit", where, "an even number of rows for each of " + std::to_string(heads),
                 std::to_string(factors.size.out) + " rows");
  });
  const std::vector<float> old = factors.b;
  for (Index head = 0; head < heads; ++head)
    for (Index j = 0; j < 2; ++j)
      for (Index i = 0; i < half; ++i) {
        const Index ours = head * width + j * half + i, theirs = head * width + 2 * i + j;
        const Index from = to_gguf ? ours : theirs, to = to_gguf ? theirs : ours;
        std::copy_n(old.begin() + from * factors.rank, factors.rank, factors.b.begin() + to * factors.rank);
      }
}

/// Permutes where the architecture does, forth or back.
inline void permute_heads(HostFactors& factors, Projection projection, const std::string& architecture,
                          const std::optional<AttentionHeads>& heads, bool to_gguf,
                          const std::string& where) {
  const bool query = projection == Projection::query;
  if (architecture != "llama" || (!query && projection != Projection::key)) return;
  if (!heads)
    throw Error("the base's heads are not known", where,
                "a base model: the architecture llama permutes the rows of queries and keys by heads",
                "none");
  permute_rows(factors, query ? heads->query : heads->key, to_gguf, where);
}

inline void check_architecture(const std::string& architecture, const std::string& where) {
  constexpr std::array known = {"llama", "qwen2", "qwen3", "gemma2", "gemma3"};
  check(std::find(known.begin(), known.end(), architecture) != known.end(), [&] {
    return Error("an architecture that is not supported", where, "llama, qwen2, qwen3, gemma2 or gemma3",
                 "'" + architecture + "'");
  });
}

inline void check_adapter_keys(const GgufFile& file) {
  for (const auto& [key, expected] :
       {std::pair("general.type", "adapter"), std::pair("adapter.type", "lora")}) {
    const auto found = file.get<std::string_view>(key);
    check(found == expected, [&, &name = key, &wanted = expected] {
      return Error("not an adapter of LoRA", place(file.name(), name), wanted,
                   "'" + std::string(found) + "'");
    });
  }
  static const std::set<std::string_view> harmless = {"adapter.type", "adapter.lora.alpha",
                                                      "adapter.lora.task_name", "adapter.lora.prompt_prefix"};
  for (const auto& [key, value] : file.metadata())
    check(!key.starts_with("adapter.") || harmless.contains(key), [&, &name = key] {
      return Error("not supported", place(file.name(), name), "no such key", "one");
    });
}

/// The linear and the factor that a tensor's name means.
inline void add_gguf_name(StoredAdapter& stored, const std::string& name, const std::string& file) {
  constexpr std::string_view start = "blk.";
  for (const auto& [ending, part] : {std::pair(std::string_view(".weight.lora_a"), &StoredFactors::a),
                                     std::pair(std::string_view(".weight.lora_b"), &StoredFactors::b)}) {
    if (!name.starts_with(start) || !name.ends_with(ending)) continue;
    const std::string_view middle = std::string_view(name).substr(
        start.size(), name.size() - std::min(name.size(), start.size() + ending.size()));
    const std::size_t dot = middle.find('.');
    if (dot == middle.npos) continue;
    const auto layer = layer_number(middle.substr(0, dot));
    const auto projection = linear_of(middle.substr(dot + 1), &ParameterName::gguf);
    if (!layer || !projection) continue;
    return add_tensor(stored, {*layer, *projection}, part, name, file);
  }
  throw Error("a tensor that is not supported", place(file, name),
              "blk.<number>. and attn_q attn_k attn_v attn_output ffn_gate ffn_up or ffn_down, and "
              ".weight.lora_a or .weight.lora_b",
              "another name");
}

}  // namespace detail

/// The heads are those of the base; without them an adapter of queries or keys of a `llama` is an Error.
inline HostAdapter read_gguf_adapter(const GgufFile& file, const std::optional<AttentionHeads>& heads = {}) {
  detail::check_adapter_keys(file);
  const std::string architecture(file.get<std::string_view>("general.architecture"));
  detail::check_architecture(architecture, detail::place(file.name(), "general.architecture"));
  const auto alpha = static_cast<double>(file.get<float>("adapter.lora.alpha"));
  detail::StoredAdapter stored;
  for (const auto& [name, tensor] : file.tensors()) detail::add_gguf_name(stored, name, file.name());
  check(!stored.empty(),
        [&] { return Error("an adapter without linears", file.name(), "factors of LoRA", "no tensors"); });
  HostAdapter adapter;
  for (const auto& [at, names] : stored) {
    HostFactors factors = detail::read_factors(file, file.name(), names);
    factors.scale = alpha != 0 ? alpha / static_cast<double>(factors.rank) : 1;
    detail::permute_heads(factors, at.projection, architecture, heads, false,
                          detail::place(file.name(), names.b));
    adapter.linears.emplace(at, std::move(factors));
  }
  return adapter;
}

inline HostAdapter read_gguf_adapter(const std::filesystem::path& path,
                                     const std::optional<AttentionHeads>& heads = {}) {
  return read_gguf_adapter(GgufFile(path), heads);
}

/// What a file says besides factors.
inline AdapterOptions gguf_adapter_options(const std::filesystem::path& path) {
  const GgufFile file(path);
  return {.architecture = std::string(file.get<std::string_view>("general.architecture")),
          .dtype = detail::written_type(file)};
}

/// Ranks may differ between linears: alpha is 0 then, so that every scale is 1, and else scale times rank.
inline void write_gguf_adapter(const std::filesystem::path& path, const HostAdapter& adapter,
                               const AdapterOptions& options) {
  const std::string where = path.string();
  detail::check_writable(adapter, where);
  detail::check_architecture(options.architecture, where);
  check(options.dtype == DType::f32 || options.dtype == DType::f16, [&] {
    return Error("a type that GGUF adapters are not written in", where, "F32 or F16",
                 std::string(name(options.dtype)));
  });
  std::map<std::string, std::vector<std::byte>> bytes;
  std::map<std::string, GgufTensor> tensors;
  const auto add = [&](const std::string& name, std::vector<Index> shape, std::span<const float> numbers) {
    auto& stored = bytes[name] = detail::stored_numbers(numbers, options.dtype, detail::place(where, name));
    tensors[name] = {block_format(options.dtype == DType::f16 ? 1 : 0), std::move(shape), stored};
  };
  const Index first = std::max<Index>(adapter.linears.begin()->second.rank, 1);
  const bool equal = std::all_of(adapter.linears.begin(), adapter.linears.end(), [&](const auto& linear) {
    return std::max<Index>(linear.second.rank, 1) == first;
  });
  const double scale = equal ? detail::written_scale(adapter, options.dtype) : 1;
  for (const auto& [at, factors] : adapter.linears) {
    const auto& [in, out] = factors.size;
    check(factors.bias.empty(), [&, &place = at] {
      return Error("GGUF adapters cannot hold a bias", where + ": " + to_string(place), "no C",
                   std::to_string(factors.bias.size()) + " numbers of C");
    });
    HostFactors plain = factors;
    plain.rank = std::max<Index>(factors.rank, 1);
    plain.a.resize(static_cast<std::size_t>(plain.rank * in));
    plain.b = detail::scaled_b(factors, scale);
    detail::permute_heads(plain, at.projection, options.architecture, options.heads, true, where);
    const std::string tensor = "blk." + std::to_string(at.layer) + "." +
                               std::string(detail::names_of(at.projection).gguf) + ".weight";
    add(tensor + ".lora_a", {plain.rank, in}, plain.a);
    add(tensor + ".lora_b", {out, plain.rank}, plain.b);
  }
  write_gguf(path,
             {{"general.architecture", options.architecture},
              {"general.type", "adapter"},
              {"adapter.type", "lora"},
              {"adapter.lora.alpha", equal ? static_cast<float>(scale * static_cast<double>(first)) : 0.0f}},
             tensors);
}

}  // namespace hyperblocks
