// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Parity: a block in float on the Cpu against tests/fixtures/blocks/<case>.safetensors, which PyTorch
// computed in float64 (tools/fixtures). Parameters and inputs come from the file; y and all gradients are
// compared, and no tensor of the file may be left over. The error of a tensor is max |difference| / max
// |expected|.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include <hyperblocks/io/safetensors.hpp>

#include "block_case.hpp"
#include "worse.hpp"

namespace hyperblocks::test {

/// The tensor that errs most.
struct Worst {
  double error = -1;
  std::string tensor, isa;
  void take(const Worst& other) {
    if (other.error > error) *this = other;
  }
};

inline std::filesystem::path parity_folder() {
  return std::filesystem::path(HYPERBLOCKS_FIXTURES) / "blocks";
}

class Fixture {
 public:
  explicit Fixture(const std::filesystem::path& path) : file_(path) {}

  const SafetensorsFile& file() const { return file_; }
  void use(const std::string& name) { used_.insert(name); }

  Feed feed() {
    std::int32_t lie[4];  // count, length, count stride, length stride
    read<std::int32_t>("sequences", {4}, lie);
    const bool interleaved = lie[3] != 1;
    REQUIRE(lie[2] == (interleaved ? 1 : lie[1]));
    REQUIRE(lie[3] == (interleaved ? lie[0] : 1));
    return {.count = lie[0],
            .length = lie[1],
            .interleaved = interleaved,
            .masked = file_.contains("mask"),
            .updated = largest("updates.") > 0};
  }

  template <class T>
  void read(const std::string& name, const std::vector<Index>& shape, std::span<T> to) {
    file_.read<T>(name, shape, to);
    use(name);
  }

  /// Relative to the largest gradient of the file where a gradient is zero everywhere, as that of a key's
  /// bias is, which softmax takes out again.
  template <class Shape>
  Worst compare(const std::string& name, const Shape& shape, std::span<const float> found) {
    std::vector<float> expected(found.size());
    read<float>(name, {shape.begin(), shape.end()}, expected);
    double difference = 0, magnitude = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double distance = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
      difference = worse(difference, distance);
      magnitude = std::max(magnitude, std::abs(static_cast<double>(expected[i])));
    }
    const double error = difference / (magnitude > 0 ? magnitude : largest("gradients."));
    return {error >= 0 ? error : std::numeric_limits<double>::infinity(), name, {}};
  }

  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : file_.tensors())
      if (!used_.contains(name)) names.push_back(name);
    return names;
  }

 private:
  /// The largest number of the tensors whose names begin so; 0 where there is none.
  double largest(const std::string& prefix) const {
    double result = 0;
    for (const auto& [name, tensor] : file_.tensors()) {
      if (!name.starts_with(prefix)) continue;
      std::vector<double> values(tensor.bytes.size() / byte_size(tensor.dtype));
      file_.read<double>(name, tensor.shape, values);
      for (const double value : values) result = std::max(result, std::abs(value));
    }
    return result;
  }

  SafetensorsFile file_;
  std::set<std::string> used_;
};

/// Parameters and inputs of a case from its file.
template <class B>
void fill_case(Cpu& cpu, Fixture& fixture, Case<B>& subject) {
  constexpr const char* prefix = "params.";
  load(cpu, subject.params, fixture.file(), prefix);
  visit([&](const std::string& name, const auto&) { fixture.use(prefix + name); }, subject.params);
  subject.each_input([&](const std::string& name, const std::vector<Index>& shape, std::span<float> values,
                         auto, bool) { fixture.read<float>(name, shape, values); });
  fixture.read<float>("dy", {subject.dy.extent(0), B::out}, subject.dy.span());
  if constexpr (TakesIds<B>) fixture.read<std::int32_t>("ids", {subject.ids.extent(0)}, subject.ids.span());
  if (!subject.allowed.empty()) {
    const Index count = subject.feed().count;
    const std::vector<Index> shape = {count, static_cast<Index>(subject.allowed.size()) / count};
    fixture.read<std::uint8_t>("mask", shape, subject.allowed);
  }
}

/// A frozen block has no gradients of its parameters, so those of the file may be left over.
template <class B>
Worst parity(const std::string& name, Isa isa) {
  Cpu cpu({.threads = 2, .isa = isa});
  cpu.arena().poison(true);
  Fixture fixture(parity_folder() / (name + ".safetensors"));
  Case<B> subject(cpu, fixture.feed(), 1);
  fill_case(cpu, fixture, subject);
  subject.train(cpu, Write::assign);

  Worst worst = fixture.compare("y", subject.y.shape().all(), subject.y.span());
  subject.each_input([&](const std::string& input, const std::vector<Index>& shape, auto,
                         std::span<const float> gradient, bool written) {
    worst.take(fixture.compare((written ? "gradients." : "d") + input, shape, gradient));
  });
  visit(
      [&](const std::string& parameter, const auto& gradient) {
        worst.take(fixture.compare("gradients." + parameter, gradient.shape().all(), gradient.span()));
      },
      subject.gradients);
  if (count(subject.gradients) == 0)
    visit([&](const std::string& parameter, const auto&) { fixture.use("gradients." + parameter); },
          subject.params);
  CHECK(fixture.left_over() == std::vector<std::string>());
  worst.isa = hyperblocks::name(isa);
  return worst;
}

struct ParityCase {
  std::string name;
  Worst (*run)(const std::string& name, Isa isa);
};
template <class B>
ParityCase parity_case(std::string name) {
  return {std::move(name), &parity<B>};
}

inline std::set<std::string> names_of(const std::vector<ParityCase>& cases) {
  std::set<std::string> names;
  for (const auto& one : cases) names.insert(one.name);
  return names;
}

/// The names of the files whose blocks attend, or of those whose blocks do not.
inline std::set<std::string> fixtures(bool attending) {
  constexpr std::string_view kinds[] = {"attention", "encoder", "decoder", "perceiver", "resampler"};
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(parity_folder())) {
    const std::string name = entry.path().stem().string();
    if (std::any_of(std::begin(kinds), std::end(kinds), [&](auto kind) { return name.starts_with(kind); }) ==
        attending)
      names.insert(name);
  }
  return names;
}

/// Every case on every instruction set of this machine; prints a line of docs/parity.md for each.
inline void check_parity(const std::vector<ParityCase>& cases, const char* label = "", double most = 1e-5) {
  for (const auto& [name, run] : cases) {
    Worst worst;
    for (const Isa isa : all_isas) {
      if (!runs_here(isa)) continue;
      CAPTURE(name);
      const Worst here = run(name, isa);
      CHECK_MESSAGE(here.error <= most, here.tensor, " errs by ", here.error, " with ", here.isa);
      worst.take(here);
    }
    std::printf("| %s%s | %.1e | %s | %s |\n", name.c_str(), label, worst.error, worst.tensor.c_str(),
                worst.isa.c_str());
  }
}

}  // namespace hyperblocks::test
