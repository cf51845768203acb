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
/// Whether a path is a GGUF file, by its first bytes, not its name; but one that is called so must be one.
inline bool is_gguf(const std::filesystem::path& path) {
  if (is_folder(path)) return false;
  const MappedFile file(path);
  const std::string_view kind = kind_of(file.bytes());
  check(kind == kind_of_gguf || path.extension() != ".gguf", [&] {
    return Error("not a GGUF file", path.string(), "the letters GGUF at its beginning",
                 kind.empty() ? "others" : std::string(kind));
  });
  return kind == kind_of_gguf;
}
}  // namespace detail

/// The spec of a directory with a config.json, of a config.json by any name, or of a GGUF file.
inline DecoderSpec decoder_spec(const std::filesystem::path& path) {
  if (detail::is_gguf(path)) return decoder_spec_from_gguf(GgufFile(path));
  const auto config = is_folder(path) ? path / "config.json" : path;
  return decoder_spec_from_config(read_json(config), config.string());
}

}  // namespace hyperblocks
