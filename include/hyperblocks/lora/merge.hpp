// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// merge: W += scale B A and bias += C, for numbers on the host, for a linear's tensors on a device, and for a
// whole decoder; unmerge takes them away. Sums are in double and rounded once to what W is stored in: what is
// below half a last place of a weight (at most 2^-8 of it for bf16, 2^-11 for half) is lost, and unmerge
// restores W to the last place of the larger of W and W + scale B A.
#pragma once

#include <algorithm>

#include <hyperblocks/lora/linear_change.hpp>

namespace hyperblocks {

namespace detail {
/// The caller's memory as a tensor of no device.
struct Host {};
template <RealScalar Scalar, Index... extents>
struct HostTensor {
  using ScalarType = Scalar;
  std::span<Scalar> numbers;
  Shape<extents...> extents_;
  const Shape<extents...>& shape() const { return extents_; }
  Index size() const { return static_cast<Index>(numbers.size()); }
  void download(Host&, std::span<Scalar> host) const { std::ranges::copy(numbers, host.begin()); }
  void upload(Host&, std::span<const Scalar> host) const { std::ranges::copy(host, numbers.begin()); }
};

template <RealScalar Stored, RealScalar Bias>
void change(std::span<Stored> weight, const HostFactors& factors, std::span<Bias> bias, double sign,
            const std::string& where) {
  Host host;
  const LinearChange change = change_of(host, factors, sign, where);
  const auto& [in, out] = factors.size;
  check(static_cast<Index>(weight.size()) == out * in, [&] {
    return Error("the update's size is not the weight's", where, std::to_string(weight.size()) + " numbers",
                 to_string(LinearSize{in, out}));
  });
  const HostTensor<Stored, dyn, dyn> weights{weight, Shape<dyn, dyn>(out, in)};
  const HostTensor<Bias, dyn> biases{bias, Shape<dyn>(out)};
  apply(host, weights, biases, change, where);
}

/// Calls f(linear) for the parameters of a decoder's linear.
template <class Params, class F>
void with_linear(Params& params, const HostAdapter::Place& place, F f) {
  auto& layer = params.layers[static_cast<std::size_t>(place.layer)];
  auto& attention = layer.attention.inner;
  auto& mlp = layer.mlp.inner;
  switch (place.projection) {
    case Projection::query:
      return f(attention.query);
    case Projection::key:
      return f(attention.key);
    case Projection::value:
      return f(attention.value);
    case Projection::output:
      return f(attention.output);
    case Projection::gate:
      return f(mlp.gate);
    case Projection::up:
      return f(mlp.up);
    case Projection::down:
      return f(mlp.down);
  }
}

/// All of an adapter is checked before anything changes.
template <class Device, class Params>
void change(Device& device, Params& params, const HostAdapter& adapter, double sign, const char* name) {
  const auto where = [&](const HostAdapter::Place& place) {
    return std::string(name) + ": " + to_string(place);
  };
  std::map<HostAdapter::Place, LinearChange> changes;
  for (const auto& [place, factors] : adapter.linears) {
    const auto layers = static_cast<Index>(params.layers.size());
    check(place.layer >= 0 && place.layer < layers, [&] {
      return Error("the model has no such layer", where(place), "0 .. " + std::to_string(layers - 1),
                   std::to_string(place.layer));
    });
    const auto& change = changes[place] = change_of(device, factors, sign, where(place));
    with_linear(params, place, [&, &at = place](const auto& linear) {
      check_change(linear.weight, linear.bias, change, where(at));
    });
  }
  for (const auto& [place, change] : changes)
    with_linear(params, place, [&, &at = place, &made = change](auto& linear) {
      apply(device, linear.weight, linear.bias, made, where(at));
    });
}

template <class Update>
inline constexpr bool is_update = std::same_as<Update, HostFactors>;
template <class Scalar, class Device, Index out, Index in>
inline constexpr bool is_update<LowRank<const Scalar, Device, out, in>> = true;
}  // namespace detail

/// Of row-major numbers on the host: a weight (out, in) and, where there is a C, a bias (out). Like those
/// below, an Error where a number is not finite or becomes so, and then nothing has changed; `where` names
/// the weight in it.
template <RealScalar Stored, RealScalar Bias = Stored>
void merge(std::span<Stored> weight, const HostFactors& factors, std::span<Bias> bias = {},
           const std::string& where = "merge") {
  detail::change(weight, factors, bias, 1, where);
}
template <RealScalar Stored, RealScalar Bias = Stored>
void unmerge(std::span<Stored> weight, const HostFactors& factors, std::span<Bias> bias = {},
             const std::string& where = "unmerge") {
  detail::change(weight, factors, bias, -1, where);
}

/// Of a linear's parameters on a device: a plain or frozen weight, a bias or Nothing; from HostFactors or a
/// LowRank operand.
template <class Device, class Linear, class Update>
requires detail::is_update<Update>
void merge(Device& device, Linear& linear, const Update& update) {
  detail::apply(device, linear.weight, linear.bias, detail::change_of(device, update, 1, "merge"), "merge");
}
template <class Device, class Linear, class Update>
requires detail::is_update<Update>
void unmerge(Device& device, Linear& linear, const Update& update) {
  detail::apply(device, linear.weight, linear.bias, detail::change_of(device, update, -1, "unmerge"),
                "unmerge");
}

/// Of a whole decoder's parameters. What does not fit is an Error before anything changes; a weight whose sum
/// would not be finite is one when those of earlier places have changed.
template <class Device, class Params>
void merge(Device& device, Params& params, const HostAdapter& adapter) {
  detail::change(device, params, adapter, 1, "merge");
}
template <class Device, class Params>
void unmerge(Device& device, Params& params, const HostAdapter& adapter) {
  detail::change(device, params, adapter, -1, "unmerge");
}

}  // namespace hyperblocks
