// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Runs a fuzz target without libFuzzer: once on an empty input, on every file of the folder given, on every
// prefix of the small ones, and on each of their bytes flipped.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  constexpr std::size_t small = 4096;
  std::size_t files = 0, inputs = 1;
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (const auto& entry : std::filesystem::directory_iterator(argc > 1 ? argv[1] : ".")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    std::vector<char> text{std::istreambuf_iterator<char>(stream), {}};
    std::vector<std::uint8_t> bytes(text.begin(), text.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++files, ++inputs;
    if (bytes.size() > small) continue;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::vector<std::uint8_t> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(i));
      LLVMFuzzerTestOneInput(prefix.data(), prefix.size());
      bytes[i] ^= 0xff;
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      bytes[i] ^= 0xff;
      inputs += 2;
    }
  }
  std::printf("%zu seeds, %zu inputs\n", files, inputs);
  return files == 0;  // a fuzz target without seeds is a mistake
}
