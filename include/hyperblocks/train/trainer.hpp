// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Trainer: step after step of a course. Everything of a step follows from its number, so that a training
// needs to remember its parameters, its optimiser and how many steps it has made, and nothing else.
//   Course: Params, Gradients, Device, Scalar;
//           learn(device, params, batch_number, gradients, write) -> {loss, tokens}
#pragma once

#include <hyperblocks/train/adam_w.hpp>
#include <hyperblocks/train/schedule.hpp>

namespace hyperblocks {

/// What a batch gave.
struct Learned {
  double loss = 0;
  Index tokens = 0;  ///< that were read
};

struct TrainerOptions {
  Schedule schedule = {};
  Index accumulate = 1;  ///< batches of a step; their mean is learnt from
  AdamWOptions optimiser = {};
};

/// What a step did.
struct TrainedStep {
  Index number = 0;  ///< counted from zero
  double loss = 0, rate = 0;
  Index tokens = 0;
  StepReport report = {};
};

/// The processes of a training: here one. Those of several have the same members.
struct Alone {
  Index count() const { return 1; }
  Index rank() const { return 0; }
  /// Every process's numbers become the sum of all processes'.
  template <class Number>
  void add_up(std::span<Number>) const {}
};

template <class Course, class Peers = Alone>
class Trainer {
 public:
  using Device = typename Course::Device;
  using Params = typename Course::Params;
  using Optimiser = AdamW<Device, typename Course::Scalar>;

  /// The course is kept by the caller.
  Trainer(Device& device, const Course& course, Params params, const TrainerOptions& options,
          Peers peers = {})
      : course_(course),
        peers_(std::move(peers)),
        options_(options),
        params_(std::move(params)),
        gradients_(make<typename Course::Gradients>(device)),
        optimiser_(device, params_, gradients_, options.optimiser) {
    check(options.accumulate > 0, [&] {
      return Error("a step without batches", "Trainer", "1 or more", std::to_string(options.accumulate));
    });
  }

  TrainedStep step(Device& device) {
    TrainedStep step{.number = steps_, .rate = options_.schedule.at(steps_)};
    const Index batches = options_.accumulate * peers_.count();
    for (Index i = 0; i < options_.accumulate; ++i) {
      const Index number = (steps_ * options_.accumulate + i) * peers_.count() + peers_.rank();
      const Learned learned = course_.learn(device, params_, static_cast<std::uint64_t>(number), gradients_,
                                            i == 0 ? Write::assign : Write::add);
      step.loss += learned.loss / static_cast<double>(batches), step.tokens += learned.tokens;
    }
    if (peers_.count() > 1) add_up(device, step);
    step.report = optimiser_.step(device, params_, gradients_, step.rate, 1 / static_cast<double>(batches));
    ++steps_;
    return step;
  }

  const Params& params() const { return params_; }
  Params& params() { return params_; }
  const Optimiser& optimiser() const { return optimiser_; }
  Optimiser& optimiser() { return optimiser_; }
  Index steps() const { return steps_; }
  void set_steps(Index steps) { steps_ = steps; }

 private:
  void add_up(Device& device, TrainedStep& step) {
    visit(
        [&](const std::string&, auto& gradient) {
          using Number = typename std::remove_cvref_t<decltype(gradient)>::ScalarType;
          std::vector<Number> host(static_cast<std::size_t>(gradient.size()));
          gradient.download(device, host);
          peers_.add_up(std::span(host));
          gradient.upload(device, host);
        },
        gradients_);
    std::array numbers = {step.loss, static_cast<double>(step.tokens)};
    peers_.add_up(std::span<double>(numbers));
    step.loss = numbers[0], step.tokens = static_cast<Index>(numbers[1]);
  }

  const Course& course_;
  Peers peers_;
  TrainerOptions options_;
  Params params_;
  typename Course::Gradients gradients_;
  Optimiser optimiser_;
  Index steps_ = 0;
};

}  // namespace hyperblocks
