// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Choices of the Cpu device: few rows of few numbers, but for the logits of a vocabulary.
#pragma once

#include <algorithm>
#include <limits>

#include <hyperblocks/ops/cpu/rows.hpp>

namespace hyperblocks::cpu {

struct ChoiceOps {
  template <RealScalar Scalar>
  static void largest(Cpu&, Rows<const Scalar> x, View<std::int32_t, Cpu, dyn> chosen) {
    choose("ops::largest", chosen, x.columns(),
           [&](Index row, Index column) { return scalar_cast<double>(detail::row(x, row)[column]); });
  }

  template <RealScalar Scalar>
  static void nearest(Cpu&, Rows<const Scalar> x, Rows<const Scalar> codes,
                      View<std::int32_t, Cpu, dyn> chosen) {
    choose("ops::nearest", chosen, codes.rows(), [&](Index row, Index code) {
      double distance = 0;
      for (Index i = 0; i < x.columns(); ++i) {
        const double difference =
            scalar_cast<double>(detail::row(x, row)[i]) - scalar_cast<double>(detail::row(codes, code)[i]);
        distance += difference * difference;
      }
      return -distance;
    });
  }

  template <RealScalar Scalar>
  static void one_hot(Cpu&, Ids chosen, Rows<Scalar> y) {
    detail::check_ids("ops::one_hot", chosen.data(), chosen.size(), false, y.columns());
    std::fill_n(y.data(), y.size(), scalar_cast<Scalar>(0.0));
    for (Index i = 0; i < y.rows(); ++i) detail::row(y, i)[chosen.data()[i]] = scalar_cast<Scalar>(1.0);
  }

 private:
  template <class Score>
  static void choose(const char* where, View<std::int32_t, Cpu, dyn> chosen, Index count, Score score) {
    for (Index row = 0; row < chosen.size(); ++row) {
      Index best = -1;
      double most = -std::numeric_limits<double>::infinity();
      for (Index i = 0; i < count; ++i)
        if (const double found = score(row, i); found > most) best = i, most = found;
      check(best >= 0, [&] {
        return Error("nothing can be chosen", where, "a number among NaN and infinity",
                     "none in row " + std::to_string(row));
      });
      chosen.data()[row] = static_cast<std::int32_t>(best);
    }
  }
};

}  // namespace hyperblocks::cpu
