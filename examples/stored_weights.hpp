// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// How a model's files hold its matrices, for programs that choose how to keep them.
#pragma once

#include <string>

#include <hyperblocks/io/model_directory.hpp>

namespace hyperblocks::example {

/// Whether every matrix of a folder is bf16, so that nothing is lost by keeping it so.
inline bool stores_bf16(const std::string& path) {
  if (!is_folder(path)) return false;
  bool all = true;
  ModelDirectory(path).each([&](const std::string&, const StoredTensor& tensor) {
    all = all && (tensor.shape.size() < 2 || tensor.dtype == DType::bf16);
  });
  return all;
}

}  // namespace hyperblocks::example
