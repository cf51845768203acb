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

enum class PaddingSide : std::uint8_t { left, right };

struct PaddingOptions {
  PaddingSide side = PaddingSide::left;
  Index appended = 0;  ///< how many rows a pass puts behind each text
  Index passes = 1;    ///< for how many passes over all texts, one behind the other, the mask is to serve
};

/// Texts as long as the longest: shorter ones begin or end with padding, which no row sees.
template <class Device>
class PaddedTexts {
 public:
  PaddedTexts(Device& device, std::span<const Tokens> texts, const PaddingOptions& options = {}) {
    check(!texts.empty() && std::ranges::none_of(texts, &Tokens::empty), [&] {
      return Error("nothing to read", "PaddedTexts", "texts of one token or more",
                   texts.empty() ? "no text" : "an empty one");
    });
    std::size_t longest = 0, shortest = texts.front().size();
    for (const Tokens& text : texts)
      longest = std::max(longest, text.size()), shortest = std::min(shortest, text.size());
    length_ = static_cast<Index>(longest), columns_ = length_ + options.appended;
    Tokens ids;
    std::vector<std::uint8_t> allowed;
    for (const Tokens& text : texts) {
      const std::size_t padding = longest - text.size();
      const bool left = options.side == PaddingSide::left;
      ids.insert(ids.end(), left ? padding : 0, text.front());
      ids.insert(ids.end(), text.begin(), text.end());
      ids.insert(ids.end(), left ? 0 : padding, text.back());
      allowed.insert(allowed.end(), left ? padding : 0, 0);
      allowed.insert(allowed.end(), text.size(), 1);
      allowed.insert(allowed.end(), left ? 0 : padding, 0);
      allowed.insert(allowed.end(), static_cast<std::size_t>(options.appended), 1);
    }
    ids_ = Tensor<std::int32_t, Device, dyn>(device, static_cast<Index>(ids.size()));
    ids_.upload(device, ids);
    if (shortest == longest) return;
    const std::size_t once = allowed.size();
    for (Index pass = 1; pass < options.passes; ++pass)
      for (std::size_t i = 0; i < once; ++i) allowed.push_back(allowed[i]);
    allowed_ = Tensor<std::uint8_t, Device, dyn>(device, static_cast<Index>(allowed.size()));
    allowed_.upload(device, allowed);
  }

  Index count() const { return ids_.size() / length_; }
  Index length() const { return length_; }
  View<const std::int32_t, Device, dyn> ids() const { return ids_; }
  AttentionMask mask() const {
    if (allowed_.data() == nullptr) return {};
    return {.allowed = allowed_.data(), .size = allowed_.size(), .batch_stride = columns_};
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

  /// `texts`: of each its parts, which look at `numbers`, or at what lives longer.
  Generated(std::vector<Tensor<Scalar, Device, dyn>> numbers, std::vector<std::vector<Updates>> texts)
      : numbers_(std::move(numbers)) {
    for (auto& parts : texts) texts_.emplace_back(std::move(parts));
  }

  std::size_t count() const { return texts_.size(); }
  /// As a decoder's input takes it, while this object lives.
  const Updates& updates(std::size_t text = 0) const { return texts_.at(text).front(); }
  /// All of them for one pass, each for its run of the rows: questions about several texts in one batch.
  Batch<Updates> batched(const std::vector<RowRange>& rows) const {
    check(rows.size() == texts_.size(), [&] {
      return Error("each text has a run of rows", "Generated", std::to_string(texts_.size()),
                   std::to_string(rows.size()));
    });
    std::vector<Updates> parts;
    std::vector<RowRange> of_parts;
    for (std::size_t i = 0; i < texts_.size(); ++i)
      for (const Updates& part : texts_[i].parts()) parts.push_back(part), of_parts.push_back(rows[i]);
    return hyperblocks::batched(std::move(parts), of_parts);
  }
  HostAdapter to_host(Device& device, std::size_t text = 0) const {
    return hyperblocks::to_host<Model>(device, updates(text));
  }

 private:
  std::vector<Tensor<Scalar, Device, dyn>> numbers_;
  std::vector<Batch<Updates>> texts_;
};

}  // namespace hyperblocks
