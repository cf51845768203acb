// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a model on disk is: the DecoderSpec of a Hugging Face directory, a config.json or a GGUF file.
//   const DecoderSpec found = decoder_spec("path/to/model");    check_spec(my_base, found, "path/to/model");
#pragma once

#include <hyperblocks/io/config_gguf.hpp>
#include <hyperblocks/io/config_json.hpp>
#include <hyperblocks/io/spec_text.hpp>

namespace hyperblocks {

namespace detail {
/// Whether a path is a GGUF file, by its first bytes, not its name.
inline bool is_gguf(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return false;
  const MappedFile file(path);
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}
}  // namespace detail

/// The spec of a directory with a config.json, of a config.json by any name, or of a GGUF file.
inline DecoderSpec decoder_spec(const std::filesystem::path& path) {
  if (detail::is_gguf(path)) return decoder_spec_from_gguf(GgufFile(path));
  const auto config = std::filesystem::is_directory(path) ? path / "config.json" : path;
  return decoder_spec_from_config(read_json(config), config.string());
}

}  // namespace hyperblocks
