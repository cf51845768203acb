// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Losses of factors themselves, with their gradients: small ones are wanted (L1, L2), or those of adapters
// that are known. Means run over the numbers of A and of B of every linear of every layer.
#pragma once

#include <hyperblocks/core/params.hpp>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/ops.hpp>

namespace hyperblocks {

namespace detail {
/// f(factor of A or B, the same of others...) for every linear that has them; how many linears there are.
template <class F, class Updates, class... Others>
Index each_factor(F f, const Updates& updates, const Others&... others) {
  Index linears = 0;
  visit(
      [&](const std::string& name, const auto& update, const auto&... other) {
        if (!update.given()) return;
        check(update.next == nullptr &&
                  ((other.a.rank() == update.a.rank() && other.b.rank() == update.b.rank() &&
                    other.a.form() == update.a.form() && other.b.form() == update.b.form()) &&
                   ...),
              [&, &at = name] {
                return Error("factors of different structure", "factor losses: '" + at + "'",
                             "one update of each, of one rank and form", "others");
              });
        ++linears;
        f(update.a, other.a...);
        f(update.b, other.b...);
      },
      updates, others...);
  return linears;
}

template <class Scalar, class Device, Index width, FactorForm usual>
View<Scalar, Device, dyn> numbers_of(const Factor<Scalar, Device, width, usual>& factor) {
  return {factor.data(), Shape<dyn>(factor.rank() * width)};
}
}  // namespace detail

/// weight * mean over linears of mean |A| + mean |B|; dupdates += the gradient.
template <class Model>
double factor_l1(typename Model::Device& device, double weight,
                 const typename Model::template Updates<const typename Model::Scalar>& updates,
                 const typename Model::template Updates<typename Model::Scalar>& dupdates) {
  using Scalar = typename Model::Scalar;
  const auto linears = static_cast<double>(detail::each_factor([](const auto&) {}, updates));
  double loss = 0;
  detail::each_factor(
      [&](const auto& factor, const auto& dfactor) {
        const auto x = detail::numbers_of(factor);
        const double share = weight / (linears * static_cast<double>(x.size()));
        loss +=
            share * ops::l1_distance<Scalar>(device, x, {}, share, detail::numbers_of(dfactor), Write::add);
      },
      updates, dupdates);
  return loss;
}

/// weight * the sum over modules of mean A^2 + mean B^2, each over all layers; dupdates += the gradient.
template <class Model>
double factor_l2(typename Model::Device& device, double weight,
                 const typename Model::template Updates<const typename Model::Scalar>& updates,
                 const typename Model::template Updates<typename Model::Scalar>& dupdates) {
  using Scalar = typename Model::Scalar;
  double loss = 0;
  detail::each_factor(
      [&](const auto& factor, const auto& dfactor) {
        const auto x = detail::numbers_of(factor);
        const auto dx = detail::numbers_of(dfactor);
        const double share =
            weight / (static_cast<double>(Model::spec.layers) * static_cast<double>(x.size()));
        loss += share * ops::squared_norm<Scalar>(device, x);
        ops::scale_add<Scalar>(device, 2 * share, x.template reshape<1, dyn>(x.size()),
                               dx.template reshape<1, dyn>(x.size()));
      },
      updates, dupdates);
  return loss;
}

/// Reconstruction: weight * mean over linears of (mean |A - A*| + mean |B - B*|) / 2; dupdates become the
/// gradient. With `units`, each difference counts that many times: of z-scores one over the deviation.
template <class Model>
double factor_distance(
    typename Model::Device& device, double weight,
    const typename Model::template Updates<const typename Model::Scalar>& updates,
    const typename Model::template Updates<const typename Model::Scalar>& wanted,
    const typename Model::template Updates<typename Model::Scalar>& dupdates,
    const typename Model::template Updates<const typename Model::Scalar>* units = nullptr) {
  using Scalar = typename Model::Scalar;
  const auto linears = static_cast<double>(detail::each_factor([](const auto&) {}, updates));
  double loss = 0;
  const auto add = [&](auto x, auto aim, auto dx) {
    const double share = weight / (2 * linears * static_cast<double>(x.size()));
    loss += share * ops::l1_distance<Scalar>(device, x, aim, share, dx, Write::assign);
  };
  if (units == nullptr) {
    detail::each_factor(
        [&](const auto& factor, const auto& aim, const auto& dfactor) {
          add(detail::numbers_of(factor), detail::numbers_of(aim), detail::numbers_of(dfactor));
        },
        updates, wanted, dupdates);
    return loss;
  }
  detail::each_factor(
      [&](const auto& factor, const auto& aim, const auto& dfactor, const auto& unit) {
        const ArenaScope scope(device);
        const auto as_row = [](auto numbers) { return numbers.template reshape<1, dyn>(numbers.size()); };
        const auto times_unit = [&](auto x, auto y) {
          ops::glu<Scalar>(device, Activation::identity, as_row(detail::numbers_of(unit)), as_row(x),
                           as_row(y));
        };
        const auto dx = detail::numbers_of(dfactor);
        const auto x = take<Scalar, dyn>(device, dx.size()), wished = take<Scalar, dyn>(device, dx.size());
        times_unit(detail::numbers_of(factor), x);
        times_unit(detail::numbers_of(aim), wished);
        add(x, wished, dx);
        times_unit(dx, dx);
      },
      updates, wanted, dupdates, *units);
  return loss;
}

}  // namespace hyperblocks
