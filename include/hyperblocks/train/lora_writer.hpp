// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// LoraWriter: fine-tuning of an adapter as the plainest hypernetwork, whose parameters are the factors
// themselves, whatever the documents say.
#pragma once

#include <optional>

#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/train/teaching.hpp>

namespace hyperblocks {

/// An adapter with parameters and gradients, as a hypernetwork has them.
template <class Model_, AdapterSpec spec>
struct Lora {
  using Model = Model_;
  using Params = Adapter<Model::spec, spec, typename Model::Scalar, typename Model::Device>;
  using Gradients = Params;
};

template <class Net_>
struct LoraWriter {
  using Net = Net_;
  using Model = typename Net::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Document = Nothing;

  struct Tape {
    std::optional<typename Net::Gradients> gradient;
  };

  std::vector<WrittenPart<Model>> write(Device& device, const typename Net::Params& params,
                                        const std::vector<Document>& documents, Tape& tape) const {
    auto& gradient = tape.gradient.emplace(device);
    return {{params.template updates<Model>(), gradient.template gradients<Model>(), 0, documents.size()}};
  }

  double backward(Device& device, const typename Net::Params&, const Tape& tape,
                  typename Net::Gradients& gradients, Write write) const {
    const auto* const written = tape.gradient ? &*tape.gradient : nullptr;
    check(written != nullptr, [] { return Error("an empty tape", "LoraWriter", "a written one", "none"); });
    visit(
        [&](const std::string&, const auto& from, auto& to) {
          if (write == Write::assign) device.fill(to.data(), 0, to.view().bytes());
          const Index size = from.size();
          ops::scale_add<Scalar>(device, 1, from.view().template reshape<1, dyn>(size),
                                 to.view().template reshape<1, dyn>(size));
        },
        *written, gradients);
    return 0;
  }
};

}  // namespace hyperblocks
