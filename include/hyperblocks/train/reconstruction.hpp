// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ReconstructionCourse: what a Trainer makes a hypernetwork learn where adapters are known, each of a
// document or a task: to write the same factors. loss = the mean over documents of factor_distance.
#pragma once

#include <hyperblocks/lora/host_adapter.hpp>
#include <hyperblocks/train/teaching.hpp>
#include <hyperblocks/train/trainer.hpp>

namespace hyperblocks {

/// A document, and the adapter that is wanted of it; it is kept by the caller.
template <class Document>
struct KnownAdapter {
  Document document;
  const HostAdapter* adapter = nullptr;
};

/// An adapter's factors in the arena, in the forms of those that are to become like them. What it is scaled
/// by more than they are goes into B.
template <class Model>
auto factors_like(typename Model::Device& device,
                  const typename Model::template Updates<const typename Model::Scalar>& like,
                  const HostAdapter& adapter) {
  using Scalar = typename Model::Scalar;
  const auto placed = [&](const std::vector<float>& numbers, Index rows, bool turned, double factor) {
    const auto columns = static_cast<Index>(numbers.size()) / rows;
    std::vector<Scalar> host(numbers.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto at = static_cast<Index>(i);
      const Index to = turned ? at % columns * rows + at / columns : at;
      host[static_cast<std::size_t>(to)] = scalar_cast<Scalar>(static_cast<double>(numbers[i]) * factor);
    }
    const auto result = take<Scalar, dyn>(device, std::ssize(host));
    device.upload(result.data(), host.data(), result.bytes());
    return result.data();
  };
  auto result = like;
  for (std::size_t layer = 0; layer < result.layers.size(); ++layer)
    each_projection([&]<Projection projection>() {
      auto& update = linear_of<projection>(result.layers[layer]);
      const HostAdapter::Place place{static_cast<Index>(layer), projection};
      const auto found = adapter.linears.find(place);
      const Index wanted = update.given() ? update.rank() : 0;
      const Index rank = found != adapter.linears.end() ? found->second.rank : 0;
      check(rank == wanted, [&] {
        return Error("a known adapter has another structure", "factors_like: " + to_string(place),
                     "rank " + std::to_string(wanted), "rank " + std::to_string(rank));
      });
      if (rank == 0) return;
      const HostFactors& known = found->second;
      const LinearSize size = size_of(Model::spec, projection);
      const FactorForm a = update.a.form(), b = update.b.form();
      update.a = {placed(known.a, rank, a != FactorForm::rows, 1), rank, a};
      update.b = {placed(known.b, size.out, b != FactorForm::columns, known.scale / update.scale), rank, b};
    });
  return result;
}

template <class Writer_, class Pose>
struct ReconstructionCourse {
  using Writer = Writer_;
  using Model = typename Writer::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Params = typename Writer::Net::Params;
  using Gradients = typename Writer::Net::Gradients;

  const Writer& writer;
  Pose pose;  ///< pose(number): the KnownAdapters of a batch

  Learned learn(Device& device, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    const ArenaScope scope(device);
    const auto known = pose(number);
    std::vector<typename Writer::Document> documents;
    documents.reserve(known.size());
    for (const auto& each : known) documents.push_back(each.document);
    typename Writer::Tape tape;
    double loss = 0;
    const auto parts = writer.write(device, params, documents, tape);
    check(parts.size() == known.size(), [&] {
      return Error("adapters of several parts cannot be reconstructed", "ReconstructionCourse",
                   std::to_string(known.size()) + " parts", std::to_string(parts.size()));
    });
    for (const auto& part : parts)
      loss += factor_distance<Model>(
          device, 1 / static_cast<double>(known.size()), part.updates,
          factors_like<Model>(device, part.updates, *known[part.first_document].adapter), part.gradient);
    return {loss + writer.backward(device, params, tape, gradients, write), std::ssize(known)};
  }
};

}  // namespace hyperblocks
