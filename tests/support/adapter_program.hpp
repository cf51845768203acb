// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the tests of examples/adapter share: a hypernetwork of the parity fixtures in a folder of its own, and
// the program's logits beside the fixture's.
#pragma once

#include <doctest/doctest.h>

#include <hyperblocks/hyperblocks.hpp>

#include "../../examples/adapter/program.hpp"
#include "folder.hpp"
#include "tiny_decoders.hpp"
#include "worse.hpp"

namespace hyperblocks::test {

inline const std::filesystem::path adapter_fixtures = HYPERBLOCKS_FIXTURES;

/// The parameters of a parity fixture as a hypernetwork's folder.
template <class Net>
void save_fixture(const std::string& name, const std::filesystem::path& folder) {
  Cpu cpu;
  auto params = make<typename Net::Params>(cpu);
  load(cpu, params, SafetensorsFile(adapter_fixtures / "hypernets" / (name + ".safetensors")), "params.");
  save_hypernet<Net>(cpu, params, folder, {});
}

/// Row `row` of a fixture's ids as the program takes them.
inline std::string ids_text(const std::string& fixture, const std::string& name, Index row = 0) {
  const SafetensorsFile file(adapter_fixtures / "hypernets" / (fixture + ".safetensors"));
  const StoredTensor& stored = file.tensor(name);
  std::vector<std::int32_t> ids(stored.bytes.size() / 4);
  file.read<std::int32_t>(name, stored.shape, ids);
  const Index length = stored.shape.back();
  std::string text;
  for (Index i = row * length; i < (row + 1) * length; ++i)
    text += (text.empty() ? "" : ",") + std::to_string(ids[static_cast<std::size_t>(i)]);
  return text;
}

/// The largest difference of a file's tensor from rows of a fixture's, relative to the largest number there.
inline double differs(const std::filesystem::path& path, const std::string& name, const std::string& fixture,
                      const std::string& expected, Index part = 0, Index parts = 1) {
  const auto found = example::read_tensor(path, name);
  const auto all =
      example::read_tensor(adapter_fixtures / "hypernets" / (fixture + ".safetensors"), expected);
  const std::size_t count = all.numbers.size() / static_cast<std::size_t>(parts);
  REQUIRE(found.numbers.size() == count);
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double number = all.numbers[static_cast<std::size_t>(part) * count + i];
    const double distance = std::abs(found.numbers[i] - number);
    difference = worse(difference, distance);
    largest = std::max(largest, std::abs(number));
  }
  return difference / largest;
}

}  // namespace hyperblocks::test
