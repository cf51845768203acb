// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What every hypernetwork is fed with and gives: PaddedTexts, a batch of token sequences of one length;
// Generated, the adapters of some texts, as a decoder's input takes them and as files do.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/lora/batch.hpp>
#include <hyperblocks/lora/compose.hpp>
#include <hyperblocks/models/generate.hpp>

namespace hyperblocks {

/// Texts as long as the longest: shorter ones begin with padding, which no row sees.
template <class Device>
class PaddedTexts {
 public:
  /// `appended`: how many rows a pass puts behind each.
  PaddedTexts(Device& device, std::span<const Tokens> texts, Index appended = 0) {
    check(!texts.empty() && std::ranges::none_of(texts, &Tokens::empty), [&] {
      return Error("nothing to read", "PaddedTexts", "texts of one token or more",
                   texts.empty() ? "no text" : "an empty one");
    });
    std::size_t longest = 0, shortest = texts.front().size();
    for (const Tokens& text : texts)
      longest = std::max(longest, text.size()), shortest = std::min(shortest, text.size());
    length_ = static_cast<Index>(longest), columns_ = length_ + appended;
    Tokens ids;
    std::vector<std::uint8_t> allowed;
    for (const Tokens& text : texts) {
      const std::size_t padding = longest - text.size();
      ids.insert(ids.end(), padding, text.front());
      ids.insert(ids.end(), text.begin(), text.end());
      allowed.insert(allowed.end(), padding, 0);
      allowed.insert(allowed.end(), static_cast<std::size_t>(columns_) - padding, 1);
    }
    ids_ = Tensor<std::int32_t, Device, dyn>(device, static_cast<Index>(ids.size()));
    ids_.upload(device, ids);
    if (shortest == longest) return;
    allowed_ = Tensor<std::uint8_t, Device, dyn>(device, static_cast<Index>(allowed.size()));
    allowed_.upload(device, allowed);
  }

  Index count() const { return ids_.size() / length_; }
  Index length() const { return length_; }
  View<const std::int32_t, Device, dyn> ids() const { return ids_; }
  AttentionMask mask() const {
    if (allowed_.data() == nullptr) return {};
    return {.allowed = allowed_.data(), .batch_stride = columns_};
  }

 private:
  Index length_ = 0, columns_ = 0;
  Tensor<std::int32_t, Device, dyn> ids_;
  Tensor<std::uint8_t, Device, dyn> allowed_;
};

/// What updates of a decoder add, on the host: linked ones become one, along the rank.
template <class Model>
HostAdapter to_host(typename Model::Device& device,
                    const typename Model::template Updates<const typename Model::Scalar>& updates) {
  using Scalar = typename Model::Scalar;
  std::vector<HostAdapter> links;
  const auto numbers = [&](const Scalar* data, Index count) {
    std::vector<Scalar> host(static_cast<std::size_t>(count));
    device.download(host.data(), data, host.size() * sizeof(Scalar));
    return host;
  };
  for (std::size_t layer = 0; layer < updates.layers.size(); ++layer)
    each_projection([&]<Projection projection>() {
      std::size_t link = 0;
      each_update(linear_of<projection>(updates.layers[layer]), [&](const auto& update) {
        if (link == links.size()) links.emplace_back();
        HostAdapter& adapter = links[link++];
        if (!update.given()) return;
        const HostAdapter::Place place{static_cast<Index>(layer), projection};
        check(update.first_row == 0 && update.rows == update.all, [&] {
          return Error("an update of some rows only", "to_host: " + to_string(place), "of all rows",
                       "others");
        });
        HostFactors& to = adapter.linears[place];
        to.size = size_of(Model::spec, projection), to.rank = update.rank(), to.scale = update.scale;
        const auto matrix = [&](const auto& factor, Index width, FactorForm wanted) {
          const bool turned = factor.form() != wanted;
          return detail::converted<float>(numbers(factor.data(), width * to.rank),
                                          factor.form() == FactorForm::rows ? to.rank : width, turned);
        };
        to.a = matrix(update.a, to.size.in, FactorForm::rows);
        to.b = matrix(update.b, to.size.out, FactorForm::columns);
        if (update.bias)
          to.bias = detail::converted<float>(numbers(update.bias.data(), to.size.out), 1, false);
      });
    });
  return links.size() == 1 ? std::move(links.front()) : concat(links);
}

/// The adapters of some texts, each of one part or of several that are added up.
template <class Model>
class Generated {
 public:
  using Scalar = typename Model::Scalar;
  using Device = typename Model::Device;
  using Updates = typename Model::template Updates<const Scalar>;

  /// `texts`: of each its parts, which look at `numbers`.
  Generated(std::vector<Tensor<Scalar, Device, dyn>> numbers, std::vector<std::vector<Updates>> texts)
      : numbers_(std::move(numbers)) {
    for (auto& parts : texts) texts_.emplace_back(std::move(parts));
  }

  std::size_t count() const { return texts_.size(); }
  /// As a decoder's input takes it, while this object lives.
  const Updates& updates(std::size_t text = 0) const { return texts_.at(text).front(); }
  HostAdapter to_host(Device& device, std::size_t text = 0) const {
    return hyperblocks::to_host<Model>(device, updates(text));
  }

 private:
  std::vector<Tensor<Scalar, Device, dyn>> numbers_;
  std::vector<Batch<Updates>> texts_;
};

}  // namespace hyperblocks
