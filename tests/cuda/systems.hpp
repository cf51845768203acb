// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What the tests of whole systems share: random parameters that are the same on every device, and the
// comparison of all that a run gives on Cuda, in double and in float, with the Cpu's in double.
#pragma once

#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/models/decoder.hpp>

#include "support/worse.hpp"
#include "twins.hpp"

namespace hyperblocks::test {

inline constexpr DecoderSpec base{.vocabulary = 23,
                                  .hidden = 12,
                                  .layers = 2,
                                  .heads = 3,
                                  .kv_heads = 1,
                                  .inner = 10,
                                  .positions = 96,
                                  .bias = true};

/// Random numbers that are the same in every scalar and on every device: those that bf16 has.
template <class Device, class T>
void fill_coarsely(Device& device, T& tensor, Random& random, double deviation) {
  std::vector<typename T::ScalarType> host(static_cast<std::size_t>(tensor.size()));
  for (auto& number : host)
    number = scalar_cast<typename T::ScalarType>(
        scalar_cast<double>(scalar_cast<bf16>(deviation * random.normal())));
  tensor.upload(device, host);
}
template <class Group, class Device>
Group random_group(Device& device, Random& random, double deviation) {
  auto group = make<Group>(device);
  visit([&](const std::string&, auto& tensor) { fill_coarsely(device, tensor, random, deviation); }, group);
  return group;
}

/// Numbers of any tensors, one after the other, in double.
template <class Device>
class Collected {
 public:
  explicit Collected(Device& device) : device_(&device) {}
  template <class V>
  void add_view(const V& view) {
    using S = std::remove_const_t<typename V::ScalarType>;
    std::vector<S> host(static_cast<std::size_t>(view.size()));
    device_->download(host.data(), view.data(), host.size() * sizeof(S));
    for (const S number : host) numbers.push_back(scalar_cast<double>(number));
  }
  template <class Group>
  void add(const Group& group) {
    visit([&](const std::string&, const auto& tensor) { add_view(tensor.view()); }, group);
  }
  std::vector<double> numbers;

 private:
  Device* device_;
};

inline double relative_error(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = std::abs(found[i] - expected[i]);
    difference = worse(difference, error);
    largest = std::max(largest, std::abs(expected[i]));
  }
  REQUIRE(largest > 1e-3);
  return difference / largest;
}

/// run.operator()<Scalar>(device) on both. In bf16 both round alike; how far that is from double is `coarse`.
template <class Run>
void compare(Run run, double coarse = 2e-2) {
  Cpu cpu({.threads = 1});
  Cuda cuda;
  cpu.arena().poison(true), cuda.arena().poison(true);
  const std::vector<double> expected = run.template operator()<double>(cpu);
  CHECK(relative_error(run.template operator()<double>(cuda), expected) < 1e-9);
  CHECK(relative_error(run.template operator()<float>(cuda), expected) < 1e-4);
  const std::vector<double> found = run.template operator()<bf16>(cuda);
  CHECK(relative_error(found, expected) < coarse);
  CHECK(relative_error(found, run.template operator()<bf16>(cpu)) < 2e-2);
}

template <class Device>
Tensor<std::int32_t, Device, dyn> ids_on(Device& device, const std::vector<std::int32_t>& ids) {
  Tensor<std::int32_t, Device, dyn> result(device, static_cast<Index>(ids.size()));
  result.upload(device, ids);
  return result;
}

inline constexpr Targets query_and_down{
    .key = false, .value = false, .output = false, .gate = false, .up = false};
}  // namespace hyperblocks::test
