// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ReconstructionCourse: what a Trainer makes a hypernetwork learn where adapters are known, each of a
// document or a task: to write the same factors. loss = the mean over documents of factor_distance, plain or
// in z-scores.
#pragma once

#include <optional>

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

/// Of each number of known adapters their mean, and how far they deviate from it (over N - 1); scales are in
/// B.
struct FactorStatistics {
  HostAdapter mean, deviation;

  explicit FactorStatistics(std::span<const HostAdapter* const> adapters) {
    check(adapters.size() > 1, [&] {
      return Error("too few known adapters", "FactorStatistics", "2 or more",
                   std::to_string(adapters.size()));
    });
    const double count = static_cast<double>(adapters.size());
    mean = sum(adapters, [&](double, double number) { return number / count; });
    deviation = sum(adapters, [&](double middle, double number) {
      return (number - middle) * (number - middle) / (count - 1);
    });
    for (auto& [place, factors] : deviation.linears)
      for (auto* const numbers : {&factors.a, &factors.b})
        for (float& number : *numbers) number = std::sqrt(number);
  }

 private:
  /// Over the adapters, of term(mean, number) for every number of A and of scale B.
  template <class Term>
  HostAdapter sum(std::span<const HostAdapter* const> adapters, Term term) const {
    HostAdapter result = *adapters.front();
    for (auto& [place, factors] : result.linears) {
      factors.scale = 1;
      const auto add_up = [&, &at = place](std::vector<float> HostFactors::*numbers, bool scaled) {
        std::vector<double> all((factors.*numbers).size());
        for (const HostAdapter* const adapter : adapters) {
          const auto found = adapter->linears.find(at);
          check(adapter->linears.size() == result.linears.size() && found != adapter->linears.end() &&
                    (found->second.*numbers).size() == all.size(),
                [&] {
                  return Error("known adapters of different structure", "FactorStatistics: " + to_string(at),
                               "the same linears and ranks", "others");
                });
          const double scale = scaled ? found->second.scale : 1;
          for (std::size_t i = 0; i < all.size(); ++i)
            all[i] += term(mean.linears.empty() ? 0 : static_cast<double>((mean.linears.at(at).*numbers)[i]),
                           scale * static_cast<double>((found->second.*numbers)[i]));
        }
        std::ranges::transform(all, (factors.*numbers).begin(),
                               [](double number) { return static_cast<float>(number); });
      };
      add_up(&HostFactors::a, false), add_up(&HostFactors::b, true);
    }
    return result;
  }
};

/// What a difference of factors that are scaled by `scale` counts in z-scores: one over the deviation.
inline HostAdapter z_score_units(const HostAdapter& deviation, double scale) {
  HostAdapter units = deviation;
  for (auto& [place, factors] : units.linears) {
    const auto invert = [](std::vector<float>& numbers, double factor) {
      for (float& number : numbers)
        number = static_cast<float>(1 / (static_cast<double>(number) * factor + 1e-10));
    };
    invert(factors.a, 1), invert(factors.b, factors.scale / scale);
    factors.scale = scale;
  }
  return units;
}

/// A TextToLora's mean and deviation become those of known adapters.
template <class Net, class Device>
void set_statistics(Device& device, typename Net::Params& params, const FactorStatistics& statistics) {
  static_assert(Net::spec.z_score, "hyperblocks: set_statistics is of a TextToLora with z_score");
  const auto fill_from = [&](auto& parts, const HostAdapter& from) {
    each_projection([&]<Projection projection>() {
      if constexpr (Net::spec.targets.contains(projection)) {
        auto& [a, b] = linear_of<projection>(parts);
        std::vector<float> host_a, host_b;
        for (Index layer = 0; layer < Net::layers; ++layer) {
          const HostAdapter::Place place{layer, projection};
          const auto found = from.linears.find(place);
          check(found != from.linears.end() && found->second.rank == Net::rank, [&] {
            return Error("known adapters of another structure", "set_statistics: " + to_string(place),
                         "rank " + std::to_string(Net::rank), "another");
          });
          const HostFactors& factors = found->second;
          host_a.insert(host_a.end(), factors.a.begin(), factors.a.end());
          for (Index row = 0; row < Net::rank; ++row)
            for (Index out = 0; out < factors.size.out; ++out)
              host_b.push_back(static_cast<float>(
                  static_cast<double>(factors.b[static_cast<std::size_t>(out * Net::rank + row)]) /
                  Net::scale()));
        }
        std::size_t next = 0;
        fill(device, a, [&] { return host_a.at(next++); });
        next = 0;
        fill(device, b, [&] { return host_b.at(next++); });
      }
    });
  };
  fill_from(params.mean, statistics.mean);
  fill_from(params.deviation, statistics.deviation);
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
  Pose pose;                              ///< pose(number): the KnownAdapters of a batch
  std::optional<HostAdapter> units = {};  ///< z_score_units: distances are those of z-scores
  Dropout dropout = {};                   ///< each batch has a seed of its own

  Learned learn(Device& device, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    const ArenaScope scope(device);
    const auto known = pose(number);
    std::vector<typename Writer::Document> documents;
    documents.reserve(known.size());
    for (const auto& each : known) documents.push_back(each.document);
    typename Writer::Tape tape;
    set_writer_dropout(tape, dropout.rate, dropout.seed ^ number);
    double loss = 0;
    const auto parts = writer.write(device, params, documents, tape);
    check(parts.size() == known.size(), [&] {
      return Error("adapters of several parts cannot be reconstructed", "ReconstructionCourse",
                   std::to_string(known.size()) + " parts", std::to_string(parts.size()));
    });
    for (const auto& part : parts) {
      const auto wanted = factors_like<Model>(device, part.updates, *known[part.first_document].adapter);
      const auto in = units ? factors_like<Model>(device, part.updates, *units) : wanted;
      loss += factor_distance<Model>(device, 1 / static_cast<double>(known.size()), part.updates, wanted,
                                     part.gradient, units ? &in : nullptr);
    }
    return {loss + writer.backward(device, params, tape, gradients, write), std::ssize(known)};
  }
};

}  // namespace hyperblocks
