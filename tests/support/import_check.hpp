// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// An import of a checkpoint of the fixtures: written, loaded and compared with the parameters that it was
// made of; and with edits in its files, the error that it ends with.
#pragma once

#include "folder.hpp"
#include "torch_rewrite.hpp"

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/configs.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

#include "../../examples/import/settings.hpp"
#include "../../examples/import/torch_parts.hpp"

namespace hyperblocks::test {

inline std::filesystem::path fixtures() { return HYPERBLOCKS_FIXTURES; }

/// A system's importer, and the names of its settings.
template <class Import_, const std::set<std::string>& settings>
struct Importer {
  using Import = Import_;

  static example::ImportedHypernet read(const std::filesystem::path& folder, const std::string& base,
                                        const std::vector<std::string>& set, std::ostream* report = nullptr) {
    example::Settings given(set, settings);
    auto net = Import(folder, decoder_spec(fixtures() / "models" / base), given).read();
    if (report != nullptr) given.print(*report);
    return net;
  }

  /// Writes what is imported, and gives it back as the Net's parameters.
  template <class Net>
  static typename Net::Params loaded(Cpu& cpu, const std::string& checkpoint, const std::string& base,
                                     const std::vector<std::string>& set) {
    const Folder folder;
    const auto net = read(fixtures() / "checkpoints" / checkpoint, base, set);
    hyperblocks::detail::write_hypernet(folder.path, net.config, net.tensors.tensors());
    return loaded_hypernet<Net>(cpu, folder.path);
  }

  /// The error of an import of an edited copy, or "accepted".
  static std::string error(const std::string& checkpoint, const std::string& base,
                           const std::vector<std::string>& set, const std::string& file = "",
                           const TorchEdits& edits = {}) {
    const Folder folder;
    const auto from = fixtures() / "checkpoints" / checkpoint;
    std::filesystem::copy(from, folder.path, std::filesystem::copy_options::recursive);
    if (!file.empty()) {
      const std::string bytes = TorchRewriter(from / file, edits).bytes();
      std::ofstream(folder.path / file, std::ios::binary) << bytes;
    }
    return error_of(folder.path, base, set);
  }

  static std::string error_of(const std::filesystem::path& folder, const std::string& base,
                              const std::vector<std::string>& set) {
    try {
      read(folder, base, set);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
};

/// That a group's numbers are those of a parity fixture, bit for bit; of another type than float, as rounded
/// to it. Parameters that the fixture does not have are passed to `other`.
template <class Params, class Other>
void check_parameters(const Params& params, const std::string& fixture, bool rounded, Other other) {
  const SafetensorsFile file(fixtures() / "hypernets" / (fixture + ".safetensors"));
  visit(
      [&](const std::string& name, const auto& tensor) {
        CAPTURE(name);
        if (!file.contains("params." + name)) return other(name, tensor);
        std::vector<float> expected(static_cast<std::size_t>(tensor.size()));
        const auto shape = tensor.shape().all();
        file.read<float>("params." + name, {shape.begin(), shape.end()}, expected);
        if (rounded)
          for (float& number : expected) number = static_cast<float>(bf16(number));
        CHECK(std::ranges::equal(tensor.span(), expected));
      },
      params);
}
template <class Params>
void check_parameters(const Params& params, const std::string& fixture, bool rounded = false) {
  check_parameters(params, fixture, rounded, [](const std::string& name, const auto&) { FAIL_CHECK(name); });
}

inline void check_error(const std::string& error, const std::string& expected) {
  CHECK_MESSAGE(error.find(expected) != std::string::npos, error);
}

}  // namespace hyperblocks::test
