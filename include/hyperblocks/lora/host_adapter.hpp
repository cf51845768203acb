// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// HostAdapter: an adapter of any shapes in the host's memory: what files hold and what is composed, merged
// and compressed. To be applied it becomes an Adapter of a decoder's type: adapter.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <hyperblocks/core/check.hpp>
#include <hyperblocks/core/dtype.hpp>
#include <hyperblocks/core/shape.hpp>

namespace hyperblocks {

/// The linears of a decoder's layer that an adapter may change.
enum class Projection : std::uint8_t { query, key, value, output, gate, up, down };

inline constexpr std::array all_projections = {Projection::query,  Projection::key,  Projection::value,
                                               Projection::output, Projection::gate, Projection::up,
                                               Projection::down};

constexpr const char* name(Projection projection) {
  constexpr std::array names = {"query", "key", "value", "output", "gate", "up", "down"};
  return names[static_cast<std::size_t>(projection)];
}

/// How many numbers a linear reads and gives.
struct LinearSize {
  Index in, out;
  friend bool operator==(const LinearSize&, const LinearSize&) = default;
};

/// Of a decoder, by its DecoderSpec or its layers' spec.
template <class DecoderSpec>
constexpr LinearSize size_of(const DecoderSpec& spec, Projection projection) {
  const Index query = spec.heads * spec.width(), key = spec.key_heads() * spec.width();
  switch (projection) {
    case Projection::query:
      return {spec.hidden, query};
    case Projection::key:
    case Projection::value:
      return {spec.hidden, key};
    case Projection::output:
      return {query, spec.hidden};
    case Projection::gate:
    case Projection::up:
      return {spec.hidden, spec.inner};
    case Projection::down:
      return {spec.inner, spec.hidden};
  }
  return {0, 0};
}

/// What an adapter adds to one linear: y += scale B (A x) + C.
struct HostFactors {
  LinearSize size{0, 0};
  Index rank = 0;
  std::vector<float> a = {};     ///< (rank, in)
  std::vector<float> b = {};     ///< (out, rank)
  std::vector<float> bias = {};  ///< C (out), or empty
  double scale = 1;
};

struct HostAdapter {
  struct Place {
    Index layer;
    Projection projection;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  std::map<Place, HostFactors> linears = {};

  /// How many numbers there are.
  Index count() const {
    Index sum = 0;
    for (const auto& [place, factors] : linears)
      sum += static_cast<Index>(factors.a.size() + factors.b.size() + factors.bias.size());
    return sum;
  }
};

/// "layer 3 query", as errors say where.
inline std::string to_string(const HostAdapter::Place& place) {
  return "layer " + std::to_string(place.layer) + " " + name(place.projection);
}

/// "64 -> 32"
inline std::string to_string(const LinearSize& size) {
  return std::to_string(size.in) + " -> " + std::to_string(size.out);
}

namespace detail {
/// A number as errors show it, however large.
inline std::string shown(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", number);
  return text.data();
}
}  // namespace detail

/// The same with zeros behind its A and B, up to a rank.
inline HostFactors padded(HostFactors factors, Index rank) {
  if (rank <= factors.rank) return factors;
  const auto& [in, out] = factors.size;
  std::vector<float> b(static_cast<std::size_t>(out * rank));
  for (Index row = 0; row < out; ++row)
    std::copy_n(factors.b.begin() + row * factors.rank, factors.rank, b.begin() + row * rank);
  factors.a.resize(static_cast<std::size_t>(rank * in));
  factors.b = std::move(b), factors.rank = rank;
  return factors;
}

/// That the numbers are as many as sizes and rank say; `where` names the linear.
inline void check_factors(const HostFactors& factors, const std::string& where) {
  const auto& [in, out] = factors.size;
  const auto holds = [&](const char* what, const std::vector<float>& numbers, Index expected) {
    check(static_cast<Index>(numbers.size()) == expected, [&] {
      return Error("the factors do not fit", where, std::to_string(expected) + " numbers of " + what,
                   std::to_string(numbers.size()));
    });
  };
  check(in > 0 && out > 0 && factors.rank >= 0, [&] {
    return Error("impossible sizes", where, "in, out > 0, rank >= 0",
                 std::to_string(in) + ", " + std::to_string(out) + ", " + std::to_string(factors.rank));
  });
  holds("A", factors.a, checked_size(std::array{factors.rank, in}));
  holds("B", factors.b, checked_size(std::array{out, factors.rank}));
  if (!factors.bias.empty()) holds("C", factors.bias, out);
}

/// The same of all; `where` names the adapter.
inline void check_adapter(const HostAdapter& adapter, const std::string& where) {
  for (const auto& [place, factors] : adapter.linears)
    check_factors(factors, where + ": " + to_string(place));
}

/// That a linear's numbers are neither NaN nor infinite; `where` names it.
inline void check_finite(const HostFactors& factors, const std::string& where) {
  const auto finite = [&](const char* what, const std::vector<float>& numbers) {
    for (const float number : numbers)
      check(std::isfinite(number), [&] {
        return Error("a number is not finite", where, std::string("finite numbers in ") + what,
                     detail::shown(static_cast<double>(number)));
      });
  };
  finite("A", factors.a);
  finite("B", factors.b);
  finite("C", factors.bias);
  check(std::isfinite(factors.scale), [&] {
    return Error("a number is not finite", where, "a finite scale", detail::shown(factors.scale));
  });
}

/// The same of all; `where` names the adapter.
inline void check_finite(const HostAdapter& adapter, const std::string& where) {
  for (const auto& [place, factors] : adapter.linears) check_finite(factors, where + ": " + to_string(place));
}

namespace detail {
/// (rows, columns) to (columns, rows) if wanted.
template <class To, class From>
std::vector<To> converted(const std::vector<From>& matrix, Index rows, bool turned) {
  std::vector<To> result(matrix.size());
  const std::size_t columns = rows == 0 ? 0 : matrix.size() / static_cast<std::size_t>(rows);
  for (std::size_t i = 0; i < matrix.size(); ++i)
    result[turned ? i % columns * static_cast<std::size_t>(rows) + i / columns : i] =
        scalar_cast<To>(matrix[i]);
  return result;
}
}  // namespace detail

}  // namespace hyperblocks
