// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Factors: the low-rank update of one linear, y += scale (x A^T) B^T + C, as parameters that own their
// memory; their forms and perhaps their rank stand in the type.
//   Factors<FactorsSpec{.in = 576, .out = 192, .rank = 8}, float, Cpu> factors(cpu);
//   Linear::forward(cpu, params, {x, factors.update()}, y);
#pragma once

#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks {

struct FactorsSpec {
  Index in = 0, out = 0;
  Index rank = dyn;                    ///< dyn: told at run time
  FactorForm a = FactorForm::rows;     ///< A is (rank, in), as columns (in, rank)
  FactorForm b = FactorForm::columns;  ///< B is (out, rank), as rows (rank, out)
  bool bias = false;                   ///< with a C
};

template <FactorsSpec spec_, RealScalar Scalar_, class Device_>
struct Factors {
  static constexpr FactorsSpec spec = spec_;
  static_assert(spec.in > 0 && spec.out > 0 && (spec.rank > 0 || spec.rank == dyn),
                "hyperblocks: Factors need in, out and rank of one or more");
  using Scalar = Scalar_;
  using Device = Device_;
  template <FactorForm form, Index width>
  using Matrix = std::conditional_t<form == FactorForm::rows, Tensor<Scalar, Device, spec.rank, width>,
                                    Tensor<Scalar, Device, width, spec.rank>>;
  template <class S>
  using Update = LowRank<S, Device, spec.out, spec.in>;

  Matrix<spec.a, spec.in> a;
  Matrix<spec.b, spec.out> b;
  [[no_unique_address]] std::conditional_t<spec.bias, Tensor<Scalar, Device, spec.out>, Nothing> bias;
  double scale = 1;
  Tensor<Scalar, Device, dyn> packed_b;  ///< see pack()

  static constexpr auto fields() {
    return std::tuple{Field{"a", &Factors::a}, Field{"b", &Factors::b}, Field{"bias", &Factors::bias}};
  }

  /// Owns nothing: an update of nothing.
  Factors() = default;
  /// Zeros.
  explicit Factors(Device& device) requires(spec.rank != dyn) : a(device), b(device) { make_bias(device); }
  Factors(Device& device, Index rank) requires(spec.rank == dyn) : a(device, rank), b(device, rank) {
    make_bias(device);
  }

  Index rank() const { return a.extent(spec.a == FactorForm::rows ? 0 : 1); }
  bool given() const { return a.data() != nullptr; }

  /// As an operand; packed factors are multiplied with as they were packed.
  Update<const Scalar> update() const {
    if (!given()) return {};
    Update<const Scalar> result = views<const Scalar>(*this);
    result.scale = scale;
    result.packed_b = packed_b.data();
    return result;
  }
  /// As what receives gradients.
  Update<Scalar> gradient() { return given() ? views<Scalar>(*this) : Update<Scalar>(); }

  /// Puts B into the form that the device multiplies fastest with, once for many passes with few rows. To be
  /// called again when B has changed; pack(device, false) forgets it.
  void pack(Device& device, bool wanted = true) {
    packed_b = {};
    if (!wanted || !given()) return;
    std::vector<Scalar> numbers(static_cast<std::size_t>(b.size())), columns(numbers.size());
    b.download(device, numbers);
    const auto rank = static_cast<std::size_t>(this->rank());
    for (std::size_t i = 0; i < numbers.size(); ++i)
      columns[spec.b == FactorForm::columns ? i : i % spec.out * rank + i / spec.out] = numbers[i];
    packed_b = Tensor<Scalar, Device, dyn>(device,
                                           Ops<Device>::template packed_size<Scalar>(spec.out, this->rank()));
    Ops<Device>::pack(device, columns.data(), spec.out, this->rank(), packed_b.data());
  }

  /// A normal of this deviation, B and C zero: an update of nothing that can be trained.
  static void initialise(Device& device, Factors& factors, Random& random, double deviation) {
    if (!factors.given()) return;
    fill_normal(device, factors.a, random, deviation);
    fill_constant(device, factors.b, 0);
    if constexpr (spec.bias) fill_constant(device, factors.bias, 0);
  }

 private:
  void make_bias(Device& device) {
    if constexpr (spec.bias) bias = Tensor<Scalar, Device, spec.out>(device);
  }
  template <class S, class Self>
  static Update<S> views(Self& self) {
    Update<S> result;
    result.a = {self.a.data(), self.rank(), spec.a};
    result.b = {self.b.data(), self.rank(), spec.b};
    if constexpr (spec.bias) result.bias = self.bias.view();
    return result;
  }
};

}  // namespace hyperblocks
