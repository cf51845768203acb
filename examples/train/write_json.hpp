// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// A file of JSON, written whole or not at all.
#pragma once

#include <hyperblocks/io/atomic_file.hpp>
#include <nlohmann/json.hpp>

namespace hyperblocks::example {

inline void write_json(const std::filesystem::path& file, const nlohmann::ordered_json& json) {
  AtomicFile out(file);
  const std::string text = json.dump(1) + "\n";
  out.write(std::as_bytes(std::span(text)));
  out.commit();
}

}  // namespace hyperblocks::example
