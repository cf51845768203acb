// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Checkpoints: parameters, the optimiser's state and how far a training has come, in one safetensors file
// that is written whole or not at all. A training that goes on from it makes the bits that it would have
// made.
//   save_checkpoint(cpu, "run.safetensors", params, optimiser, {{"data", "1200"}});
//   auto state = load_checkpoint(cpu, "run.safetensors", params, optimiser);
#pragma once

#include <charconv>

#include <hyperblocks/io/safetensors.hpp>

namespace hyperblocks {

/// What else a training has to remember, under names of its own: positions, states of random numbers.
using TrainingState = std::map<std::string, std::string>;

namespace detail {
inline constexpr char checkpoint_mark[] = "hyperblocks.checkpoint", steps_mark[] = "optimiser.steps";
}  // namespace detail

/// A whole number that was remembered.
template <std::integral Number>
Number remembered(const TrainingState& state, const std::string& name, const std::string& where) {
  const auto found = state.find(name);
  const std::string text = found == state.end() ? "nothing" : found->second;
  Number number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(failure == std::errc() && end == text.data() + text.size(), [&] {
    return Error("a checkpoint's state is not readable", where + ": '" + name + "'", "a whole number",
                 "'" + text + "'");
  });
  return number;
}

template <class Device, class Params, class Optimiser>
void save_checkpoint(Device& device, const std::filesystem::path& path, const Params& params,
                     const Optimiser& optimiser, TrainingState state = {}) {
  Downloads downloads;
  downloads.add_all(device, params, "parameters.");
  optimiser.each([&](const std::string& name, const auto& tensor) {
    downloads.add(device, "optimiser." + name, tensor);
  });
  state[detail::checkpoint_mark] = "1";
  state[detail::steps_mark] = std::to_string(optimiser.steps());
  write_safetensors(path, downloads.tensors(), state);
}

/// Parameters and optimiser as they were; what else was remembered. A file of another training is an Error.
template <class Device, class Params, class Optimiser>
TrainingState load_checkpoint(Device& device, const std::filesystem::path& path, Params& params,
                              Optimiser& optimiser) {
  const SafetensorsFile file(path);
  TrainingState state = file.metadata();
  check(state.contains(detail::checkpoint_mark), [&] {
    return Error("not a checkpoint", path.string(), detail::checkpoint_mark, "a file without this mark");
  });
  std::size_t read = 0;
  visit([&](const std::string&, const auto&) { ++read; }, params);
  optimiser.each([&](const std::string&, const auto&) { ++read; });
  check(read == file.tensors().size(), [&] {
    return Error("a checkpoint of another training", path.string(), std::to_string(read) + " tensors",
                 std::to_string(file.tensors().size()));
  });
  const auto steps = remembered<Index>(state, detail::steps_mark, path.string());
  optimiser.each([&](const std::string& name, const auto& tensor) {
    file.expect("optimiser." + name, {tensor.size()});  // before anything is changed
  });
  load(device, params, file, "parameters.");
  optimiser.each([&]<class Tensor>(const std::string& name, Tensor& tensor) {
    std::vector<typename Tensor::ScalarType> host(static_cast<std::size_t>(tensor.size()));
    file.read("optimiser." + name, {tensor.size()}, std::span(host));
    tensor.upload(device, host);
  });
  optimiser.set_steps(steps);
  return state;
}

}  // namespace hyperblocks
