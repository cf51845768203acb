// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// AdamW over a group of parameters: moments, and master weights where parameters have 16 bits; groups with
// their own decay, rate and bound of the gradient's norm.
//   AdamW<Cpu, float> optimiser(cpu, params, gradients, {.groups = {{.clip = 1}}});
//   optimiser.step(cpu, params, gradients, schedule.at(step));
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

struct OptimiserGroup {
  double decay = 0;
  double clip = 0;  ///< the largest norm of the group's gradient; 0: any
  double rate = 1;  ///< times the step's rate; 0: stays as it is
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  std::vector<OptimiserGroup> groups = {{}};
  /// Which group a parameter belongs to, by its name; the first where nothing is said.
  std::function<std::size_t(const std::string& name)> group = {};
};

/// What a step did.
struct StepReport {
  bool done = false;          ///< no: a gradient was NaN or infinite, and nothing has changed
  std::vector<double> norms;  ///< of each group's gradient, before it was bounded
};

template <class Device, RealScalar Scalar>
class AdamW {
 public:
  using Wide = Accumulator<Scalar>;
  static constexpr bool has_masters = !std::same_as<Wide, Scalar>;

  /// For those parameters that have a gradient.
  template <class Params, class Gradients>
  AdamW(Device& device, const Params& params, const Gradients& gradients, AdamWOptions options = {})
      : options_(std::move(options)) {
    visit(
        [&](const std::string& name, const auto&, const auto& parameter) {
          add(device, name, parameter.view().template reshape<dyn>(parameter.size()));
        },
        gradients, params);
  }

  /// One step with factor * gradients at a rate.
  template <class Params, class Gradients>
  StepReport step(Device& device, Params& params, const Gradients& gradients, double rate,
                  double factor = 1) {
    StepReport report{.norms = norms(device, gradients, factor)};
    for (const double norm : report.norms)
      if (!std::isfinite(norm)) return report;
    report.done = true;
    ++steps_;
    std::size_t i = 0;
    visit(
        [&](const std::string&, const auto& gradient, auto& parameter) {
          State& state = states_.at(i++);
          const OptimiserGroup& group = options_.groups[state.group];
          const Index size = gradient.size();
          const auto numbers = parameter.view().template reshape<dyn>(size);
          const AdamStep step{.rate = rate * group.rate,
                              .beta1 = options_.beta1,
                              .beta2 = options_.beta2,
                              .epsilon = options_.epsilon,
                              .decay = group.decay,
                              .factor = factor * bound(group, report.norms[state.group]),
                              .step = steps_};
          const auto row = gradient.view().template reshape<dyn>(size);
          if constexpr (has_masters)
            ops::adam_step<Scalar>(device, step, row, state.master, state.mean, state.square, numbers);
          else
            ops::adam_step<Scalar>(device, step, row, numbers, state.mean, state.square);
        },
        gradients, params);
    return report;
  }

  /// How many steps were done; set where a training goes on.
  Index steps() const { return steps_; }
  void set_steps(Index steps) { steps_ = steps; }

  /// f(name, tensor) for all that a training needs to go on: moments, and master weights.
  template <class F>
  void each(F f) {
    each_of(*this, f);
  }
  template <class F>
  void each(F f) const {
    each_of(*this, f);
  }

 private:
  struct State {
    std::string name;
    std::size_t group;
    Tensor<Wide, Device, dyn> mean, square;
    Tensor<Wide, Device, dyn> master;  ///< empty where the parameters are wide
  };

  void add(Device& device, const std::string& name, View<const Scalar, Device, dyn> parameter) {
    const std::size_t group = options_.group ? options_.group(name) : 0;
    check(group < options_.groups.size(), [&] {
      return Error("no such group of parameters", "AdamW: '" + name + "'",
                   "one of " + std::to_string(options_.groups.size()), std::to_string(group));
    });
    const Index size = parameter.size();
    State& state = states_.emplace_back(State{name, group, Tensor<Wide, Device, dyn>(device, size),
                                              Tensor<Wide, Device, dyn>(device, size),
                                              Tensor<Wide, Device, dyn>(device, has_masters ? size : 0)});
    if constexpr (has_masters)
      ops::cast<Wide, Scalar>(device, parameter.template reshape<1, dyn>(size),
                              state.master.view().template reshape<1, dyn>(size));
  }

  template <class Gradients>
  std::vector<double> norms(Device& device, const Gradients& gradients, double factor) const {
    std::vector<double> squares(options_.groups.size());
    std::size_t i = 0;
    visit(
        [&](const std::string& name, const auto& gradient) {
          check(i < states_.size() && states_[i].name == name && states_[i].mean.size() == gradient.size(),
                [&, &at = name] {
                  return Error("gradients of other parameters", "AdamW",
                               i < states_.size() ? "'" + states_[i].name + "'" : "no more", "'" + at + "'");
                });
          squares[states_[i].group] +=
              ops::squared_norm<Scalar>(device, gradient.view().template reshape<dyn>(gradient.size()));
          ++i;
        },
        gradients);
    for (double& square : squares) square = std::abs(factor) * std::sqrt(square);
    return squares;
  }

  /// As torch.nn.utils.clip_grad_norm_ does it.
  static double bound(const OptimiserGroup& group, double norm) {
    return group.clip > 0 ? std::min(1.0, group.clip / (norm + 1e-6)) : 1.0;
  }

  template <class Self, class F>
  static void each_of(Self& self, F& f) {
    for (auto& state : self.states_) {
      f(state.name + ".mean", state.mean);
      f(state.name + ".square", state.square);
      if constexpr (has_masters) f(state.name + ".master", state.master);
    }
  }

  AdamWOptions options_;
  std::vector<State> states_;
  Index steps_ = 0;
};

}  // namespace hyperblocks
