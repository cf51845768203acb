// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Norms, softmax, rotary positions, embedding and reductions against naive double formulas and central
// differences.
#include "support/row_check.hpp"

#include <limits>

#include <hyperblocks/ops/cpu/row_ops.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using cpu::RowOps;

namespace {
constexpr Index rows = 130, columns = 301;  // neither divides anything

template <class S>
struct Data {
  explicit Data(Cpu& cpu, Index m = rows, Index n = columns)
      : x(random_tensor<S, dyn, dyn>(cpu, 1, m, n)),
        dy(random_tensor<S, dyn, dyn>(cpu, 2, m, n)),
        weight(random_tensor<S, dyn>(cpu, 3, n)),
        bias(random_tensor<S, dyn>(cpu, 4, n)) {}
  Tensor<S, Cpu, dyn, dyn> x, dy;
  Tensor<S, Cpu, dyn> weight, bias;
};
}  // namespace

TEST_CASE_TEMPLATE("norms and softmax have the naive values", S, float, double, bf16, half) {
  Cpu cpu;
  const Data<S> data(cpu);
  std::vector<double> rms, layer, soft, sums(columns);
  for (Index i = 0; i < rows; ++i) {
    double mean = 0, squares = 0, variance = 0, exponentials = 0;
    const auto x = [&](Index j) { return number(data.x(i, j)); };
    for (Index j = 0; j < columns; ++j) mean += x(j) / columns, squares += x(j) * x(j) / columns;
    for (Index j = 0; j < columns; ++j) variance += (x(j) - mean) * (x(j) - mean) / columns;
    for (Index j = 0; j < columns; ++j) exponentials += std::exp(x(j));
    for (Index j = 0; j < columns; ++j) {
      const double weight = number(data.weight(j)), bias = number(data.bias(j));
      rms.push_back(x(j) / std::sqrt(squares + 1e-6) * (weight + 1));
      layer.push_back((x(j) - mean) / std::sqrt(variance + 1e-5) * weight + bias);
      soft.push_back(std::exp(x(j)) / exponentials);
      sums[static_cast<std::size_t>(j)] += x(j);
    }
  }
  const auto in_place = [&](auto run) {
    return [&data, run](Cpu& device) {
      Tensor<S, Cpu, dyn, dyn> y(device, rows, columns);
      std::copy_n(data.x.data(), y.size(), y.data());
      run(device, y.view());
      return numbers(y);
    };
  };
  check_everywhere(rms, tolerance<S>(), in_place([&](Cpu& device, auto y) {
                     RowOps::rms_norm<S>(device, y, data.weight, y, 1e-6, 1);
                   }));
  check_everywhere(layer, tolerance<S>(), in_place([&](Cpu& device, auto y) {
                     RowOps::layer_norm<S>(device, y, data.weight, data.bias, y, 1e-5);
                   }));
  check_everywhere(soft, tolerance<S>(),
                   in_place([&](Cpu& device, auto y) { RowOps::softmax<S>(device, y, y); }));
  check_everywhere(sums, tolerance<S>(), [&](Cpu& device) {
    Tensor<S, Cpu, dyn> y(device, columns);
    RowOps::column_sums<S>(device, data.x, y, false);
    return numbers(y);
  });
}

TEST_CASE("backward of norms and softmax") {
  Cpu cpu({.threads = 2});
  cpu.arena().poison(true);
  Data<double> data(cpu, 5, 19);
  Tensor<double, Cpu, dyn, dyn> y(cpu, 5, 19), dx(cpu, 5, 19);
  Tensor<double, Cpu, dyn> dweight(cpu, 19), dbias(cpu, 19);
  const auto rms = [&] {
    RowOps::rms_norm<double>(cpu, data.x, data.weight, y, 1e-6, 1);
    return dot(y.span(), data.dy.span());
  };
  RowOps::rms_norm_backward<double>(cpu, data.x, data.weight, data.dy, dx, dweight, 1e-6, 1, false);
  check_gradient(data.x.span(), dx.span(), rms);
  check_gradient(data.weight.span(), dweight.span(), rms);
  const double once = dweight(3);
  RowOps::rms_norm_backward<double>(cpu, data.x, data.weight, data.dy, {}, dweight, 1e-6, 1, true);
  CHECK(dweight(3) == doctest::Approx(2 * once));

  const auto layer = [&] {
    RowOps::layer_norm<double>(cpu, data.x, data.weight, data.bias, y, 1e-5);
    return dot(y.span(), data.dy.span());
  };
  RowOps::layer_norm_backward<double>(cpu, data.x, data.weight, data.dy, dx, dweight, dbias, 1e-5, false);
  check_gradient(data.x.span(), dx.span(), layer);
  check_gradient(data.weight.span(), dweight.span(), layer);
  check_gradient(data.bias.span(), dbias.span(), layer);

  const auto softmax = [&] {
    RowOps::softmax<double>(cpu, data.x, y);
    return dot(y.span(), data.dy.span());
  };
  softmax();
  RowOps::softmax_backward<double>(cpu, y, data.dy, dx);
  check_gradient(data.x.span(), dx.span(), softmax);
}

TEST_CASE("softmax of -infinity alone is zero, of NaN is NaN") {
  Cpu cpu;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Tensor<float, Cpu, dyn, dyn> x(cpu, 3, 2);
  x.upload(cpu, std::vector<float>{-infinity, -infinity, -infinity, 1, 0, std::nanf("")});
  RowOps::softmax<float>(cpu, x, x);
  CHECK((x(0, 0) == 0 && x(0, 1) == 0 && x(1, 0) == 0 && x(1, 1) == 1));
  CHECK((std::isnan(x(2, 0)) && std::isnan(x(2, 1))));
}

TEST_CASE_TEMPLATE("rotary positions turn pairs, and back", S, float, double, bf16, half) {
  using Sum = Accumulator<S>;
  Cpu cpu;
  constexpr Index tokens = 6, heads = 2, width = 10, rotated = 6, first = 3;
  const RopeTables<Sum, Cpu> tables(cpu, 10000, rotated, 10);
  const auto x = random_tensor<S, dyn, dyn>(cpu, 7, tokens, heads * width);
  for (const RopeLayout layout : {RopeLayout::half_split, RopeLayout::interleaved}) {
    std::vector<double> expected = numbers(x);
    for (Index token = 0; token < tokens; ++token)
      for (Index head = 0; head < heads; ++head)
        for (Index i = 0; i < rotated / 2; ++i) {
          const double angle = static_cast<double>(first + token % 3) * std::pow(10000.0, -2.0 * i / rotated);
          const bool split = layout == RopeLayout::half_split;
          const Index at = token * heads * width + head * width + (split ? i : 2 * i);
          double &a = expected[at], &b = expected[at + (split ? rotated / 2 : 1)];
          const double turned = a * std::cos(angle) - b * std::sin(angle);
          b = b * std::cos(angle) + a * std::sin(angle);
          a = turned;
        }
    const auto turn = [&](Cpu& device, auto& y, bool inverse) {
      RowOps::rope<S>(device, y, {tables.cosines, tables.sines, {}, first}, 3, heads, layout, inverse);
    };
    for (const bool back : {false, true})
      check_everywhere(back ? numbers(x) : expected, 2 * tolerance<S>(), [&](Cpu& device) {
        Tensor<S, Cpu, dyn, dyn> y(device, tokens, heads * width);
        std::copy_n(x.data(), y.size(), y.data());
        turn(device, y, false);
        if (back) turn(device, y, true);
        return numbers(y);
      });
  }
}

TEST_CASE("embedding, its gradient, and ids out of range") {
  Cpu cpu;
  const auto table = random_tensor<bf16, dyn, dyn>(cpu, 8, 9, columns);
  const auto dy = random_tensor<float, dyn, dyn>(cpu, 9, 5, columns);
  Tensor<std::int32_t, Cpu, dyn> ids(cpu, 5);
  ids.upload(cpu, std::vector<std::int32_t>{4, 0, 4, 8, 4});
  std::vector<double> expected, gradient(9 * columns);
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < columns; ++j) {
      expected.push_back(2 * number(table(ids(i), j)));
      gradient[static_cast<std::size_t>(ids(i) * columns + j)] += 2 * number(dy(i, j));
    }
  check_everywhere(expected, 1e-6, [&](Cpu& device) {
    Tensor<float, Cpu, dyn, dyn> y(device, 5, columns);
    RowOps::embedding<float, bf16>(device, ids, table, y, 2);
    return numbers(y);
  });
  check_everywhere(gradient, 1e-6, [&](Cpu& device) {
    auto dtable = random_tensor<float, dyn, dyn>(device, 1, 9, columns);
    RowOps::embedding_backward<float>(device, ids, dy, dtable, 2, false);
    return numbers(dtable);
  });
  ids(2) = 9;
  Tensor<float, Cpu, dyn, dyn> y(cpu, 5, columns);
  CHECK_THROWS_WITH_AS((RowOps::embedding<float, bf16>(cpu, ids, table, y, 2)),
                       doctest::Contains("less than 9 (vocabulary), found 9 at index 2"), Error);
}

TEST_CASE_TEMPLATE("sums, norms, scaling and casts", S, float, double, bf16, half) {
  Cpu cpu;
  constexpr Index size = 50001;
  const auto a = random_tensor<S, dyn>(cpu, 1, size), b = random_tensor<S, dyn>(cpu, 2, size);
  double sum = 0, squares = 0, most = 0;
  std::vector<double> mixed, cast;
  for (Index i = 0; i < size; ++i) {
    const double value = number(a(i));
    sum += value, squares += value * value, most = std::max(most, std::abs(value));
    mixed.push_back(number(b(i)) + 0.25 * value);
    cast.push_back(number(scalar_cast<half>(a(i))));
  }
  check_everywhere({sum, squares, most}, 1e-4, [&](Cpu& device) {
    return std::vector<double>{RowOps::sum<S>(device, a), RowOps::squared_norm<S>(device, a),
                               RowOps::max_abs<S>(device, a)};
  });
  check_everywhere(mixed, tolerance<S>(), [&](Cpu& device) {
    Tensor<S, Cpu, dyn> y(device, size);
    RowOps::scale<S>(device, 1, b, y);
    RowOps::scale_add<S>(device, 0.25, a, y);
    return numbers(y);
  });
  check_everywhere(cast, 0, [&](Cpu& device) {
    Tensor<half, Cpu, dyn> y(device, size);
    RowOps::cast<half, S>(device, a, y);
    return numbers(y);
  });
}

TEST_CASE("the largest magnitude with a NaN is NaN") {
  Cpu cpu;
  Tensor<float, Cpu, dyn> x(cpu, 20000);
  x(7) = std::nanf("");
  x(15000) = 3;
  CHECK(std::isnan(RowOps::max_abs<float>(cpu, x)));
}

TEST_CASE_TEMPLATE("a row added to every row, and scaling, also in place", S, float, double, bf16, half) {
  Cpu cpu;
  const Data<S> data(cpu);
  std::vector<double> added, scaled, scaled_rows;
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j) {
      added.push_back(number(data.x(i, j)) + number(data.bias(j)));
      scaled.push_back(-1.75 * number(data.x(i, j)));
      scaled_rows.push_back(number(data.bias(i)) * number(data.x(i, j)));
    }
  const auto flat = [](auto matrix) { return matrix.template reshape<dyn>(matrix.size()); };
  for (const bool in_place : {false, true}) {
    const auto run = [&](auto op) {
      return [&, op](Cpu& device) {
        Tensor<S, Cpu, dyn, dyn> y(device, rows, columns);
        if (in_place) std::copy_n(data.x.data(), y.size(), y.data());
        op(device, in_place ? std::as_const(y).view() : data.x.view(), y.view());
        return numbers(y);
      };
    };
    check_everywhere(added, tolerance<S>(),
                     run([&](Cpu& device, auto x, auto y) { RowOps::add_rows<S>(device, x, data.bias, y); }));
    check_everywhere(scaled_rows, tolerance<S>(), run([&](Cpu& device, auto x, auto y) {
                       RowOps::scale_rows<S>(device, x, data.bias.view().slice(0, rows), y);
                     }));
    check_everywhere(scaled, tolerance<S>(), run([&](Cpu& device, auto x, auto y) {
                       RowOps::scale<S>(device, -1.75, flat(x), flat(y));
                     }));
  }
}

TEST_CASE("the gradient of an embedding is added to what is there") {
  Cpu cpu;
  const auto dy = random_tensor<float, dyn, dyn>(cpu, 9, 5, columns);
  const auto before = random_tensor<float, dyn, dyn>(cpu, 1, 9, columns);
  Tensor<std::int32_t, Cpu, dyn> ids(cpu, 5);
  ids.upload(cpu, std::vector<std::int32_t>{4, 0, 4, 8, 4});
  std::vector<double> expected = numbers(before);
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < columns; ++j)
      expected[static_cast<std::size_t>(ids(i) * columns + j)] += -0.5 * number(dy(i, j));
  check_everywhere(expected, 1e-6, [&](Cpu& device) {
    Tensor<float, Cpu, dyn, dyn> dtable(device, 9, columns);
    std::copy_n(before.data(), before.size(), dtable.data());
    RowOps::embedding_backward<float>(device, ids, dy, dtable, -0.5, true);
    return numbers(dtable);
  });
  ids(3) = -1;
  Tensor<float, Cpu, dyn, dyn> dtable(cpu, 9, columns);
  CHECK_THROWS_WITH_AS(RowOps::embedding_backward<float>(cpu, ids, dy, dtable, 1, false),
                       doctest::Contains("found -1 at index 3"), Error);
}

TEST_CASE_TEMPLATE("sums and squared norms are finite wherever double is", S, float, bf16) {
  for (const double magnitude : {1e-30, 1e19, 1e38}) {
    Cpu cpu;
    Tensor<S, Cpu, dyn> x(cpu, 9001);
    fill_constant(cpu, x, magnitude);
    const double value = number(x(0)), size = 9001;
    for (const Isa isa : all_isas) {
      if (!runs_here(isa)) continue;
      Cpu device({.threads = 2, .isa = isa});
      CHECK(RowOps::sum<S>(device, x) == doctest::Approx(size * value).epsilon(1e-12));
      CHECK(RowOps::squared_norm<S>(device, x) == doctest::Approx(size * value * value).epsilon(1e-12));
    }
  }
}

TEST_CASE_TEMPLATE("a cast from double rounds once", S, bf16, half) {
  const double step = std::same_as<S, bf16> ? 0x1p-7 : 0x1p-10;
  for (const double value : {1 + step / 2 + 0x1p-40, 1 + step / 2 - 0x1p-40, -1 - step / 2 - 0x1p-40}) {
    Cpu cpu;
    Tensor<double, Cpu, dyn> x(cpu, 37);
    fill_constant(cpu, x, value);
    const double up = std::abs(value) > 1 + step / 2 ? step : 0;
    check_everywhere(std::vector<double>(37, std::copysign(1 + up, value)), 0, [&](Cpu& device) {
      Tensor<S, Cpu, dyn> y(device, 37);
      RowOps::cast<S, double>(device, x, y);
      return numbers(y);
    });
  }
}
