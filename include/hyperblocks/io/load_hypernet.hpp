// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A hypernetwork's parameters from a folder with hypernet.json and hypernet.safetensors, and into one. The
// folder's hypernetwork must be that of the program's spec, on a base of these sizes, and its tensors those
// of the parameters, all of them and no others.
//   const auto params = loaded_hypernet<Net>(cpu, "path/to/net");
//   save_hypernet<Net>(cpu, params, "path/to/other", read_hypernet("path/to/net"));
#pragma once

#include <hyperblocks/io/hypernet_json.hpp>
#include <hyperblocks/io/safetensors.hpp>

namespace hyperblocks {

namespace detail {

/// Writes both files and only then lets both appear, never one beside another's.
template <class... Bytes>
void write_hypernet(const std::filesystem::path& folder, const HypernetConfig& config,
                    const std::map<std::string, StoredTensor>& tensors, const Bytes&... bytes) {
  const auto json = folder / "hypernet.json";
  const std::string text = hypernet_text(config, json.string());
  const FolderToFill made(folder);
  AtomicFile description(json), weights(folder / "hypernet.safetensors");
  description.write(std::as_bytes(std::span(text)));
  write_safetensors(weights, tensors, {{"format", "hyperblocks"}}, bytes...);
  AtomicFile::commit_together(weights, description);
}

/// That a hypernetwork is the one of the program: the errors name every field that differs.
template <class Spec>
void check_hypernet(const Spec& spec, const HypernetBase& base, const HypernetConfig& config,
                    const std::string& file) {
  const auto* const found = std::get_if<Spec>(&config.spec);
  check(found != nullptr, [&] {
    return Error("a hypernetwork of another system", file + ": 'system'", SpecCode<Spec>::system,
                 system_of(config));
  });
  check_spec(base, config.base, file + ": 'base'", "a hypernetwork for another base");
  check_spec(resolved(spec, base), resolved(*found, base), file + ": 'spec'",
             "a hypernetwork of another spec than the program was compiled for");
}

template <class Params>
void check_names(const Params& params, const SafetensorsFile& file, const std::string& where) {
  std::set<std::string> known;
  visit([&](const std::string& name, const auto&) { known.insert(name); }, params);
  for (const auto& [name, tensor] : file.tensors())
    check(known.contains(name), [&, &extra = name] {
      return Error("a tensor that the hypernetwork does not have", where, "only those of its spec",
                   "'" + extra + "'");
    });
}

/// That no weight is NaN or infinite: what is generated would be, too.
inline void check_finite(const SafetensorsFile& file, const std::string& where) {
  for (const auto& [name, tensor] : file.tensors())
    check(all_finite(tensor.dtype, tensor.bytes), [&, &wrong = name] {
      return Error("a number is not finite", place(where, wrong), "finite numbers", "NaN or infinity");
    });
}

}  // namespace detail

/// Parameters with their memory, filled.
template <class Net, class Device>
typename Net::Params loaded_hypernet(Device& device, const std::filesystem::path& folder) {
  const auto json = folder / "hypernet.json", weights = folder / "hypernet.safetensors";
  detail::check_hypernet(Net::spec, hypernet_base(Net::Model::spec), read_hypernet(json), json.string());
  const SafetensorsFile file(weights);
  auto params = make<typename Net::Params>(device);
  detail::check_names(params, file, weights.string());
  detail::check_finite(file, weights.string());
  load(device, params, file);
  return params;
}

/// `config` says how the hypernetwork is fed: context, chunk and reader; {} where none of them matters. Its
/// base and spec are the Net's.
template <class Net, class Device>
void save_hypernet(Device& device, const typename Net::Params& params, const std::filesystem::path& folder,
                   HypernetConfig config) {
  config.base = hypernet_base(Net::Model::spec);
  config.spec = Net::spec;
  Downloads downloads;
  downloads.add_all(device, params);
  detail::write_hypernet(folder, config, downloads.tensors());
}

}  // namespace hyperblocks
