// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The contract of ops.hpp: every function once through ops:: with numbers that can be reckoned in the head,
// and once for every extent that does not fit, with the sentence that says so.
#include <doctest/doctest.h>

#include <cmath>
#include <deque>
#include <functional>
#include <hyperblocks/core/random.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>
#include <hyperblocks/ops/ops.hpp>
#include <string>
#include <vector>

using namespace hyperblocks;

namespace {

using Matrix = View<float, Cpu, dyn, dyn>;
using Vector = View<float, Cpu, dyn>;

/// Hands out tensors by their extents; they live as long as the test case.
struct World {
  Matrix matrix(Index rows, Index columns, double value = 1) {
    auto& tensor = matrices.emplace_back(cpu, rows, columns);
    fill_constant(cpu, tensor, value);
    return tensor;
  }
  Vector vector(Index size, double value = 1) {
    auto& tensor = vectors.emplace_back(cpu, size);
    fill_constant(cpu, tensor, value);
    return tensor;
  }
  View<std::int32_t, Cpu, dyn> ids(Index size, std::int32_t value = 0) {
    auto& tensor = integers.emplace_back(cpu, size, Index{1});
    std::fill_n(tensor.data(), size, value);
    return tensor.view().reshape<dyn>(size);
  }
  View<std::int32_t, Cpu, dyn, dyn> id_matrix(Index rows, Index columns) {
    return integers.emplace_back(cpu, rows, columns);
  }
  Rotary<float, Cpu> rotary(Index positions, Index cosines, Index sines) {
    return {matrix(positions, cosines, 0), matrix(positions, sines, 1), {}};
  }

  /// Of a weight (5, 3), all ones, scale 1/4, C 10.
  LowRank<const float, Cpu, 5, 3> update(Index rank_a, Index rank_b) {
    return {View<const float, Cpu, dyn, 3>(matrix(rank_a, 3)),
            View<const float, Cpu, 5, dyn>(matrix(5, rank_b)), 0.25,
            View<const float, Cpu, 5>(vector(5, 10))};
  }

  Cpu cpu{{.threads = 2}};
  std::deque<Tensor<float, Cpu, dyn, dyn>> matrices;
  std::deque<Tensor<float, Cpu, dyn>> vectors;
  std::deque<Tensor<std::int32_t, Cpu, dyn, dyn>> integers;
};

template <class V>
void check_all(V view, double expected) {
  for (const auto value : view.span()) CHECK(static_cast<double>(value) == doctest::Approx(expected));
}

/// A call that must be refused, and what its Error says: the function, what differs, and the two sides.
struct Mistake {
  const char *where, *problem, *expected, *found;
  std::function<void()> call;
};

void check_refused(const std::vector<Mistake>& mistakes) {
  for (const Mistake& mistake : mistakes) {
    std::string sentence = "accepted";
    try {
      mistake.call();
    } catch (const Error& error) {
      sentence = error.what();
    }
    CHECK(sentence == std::string("hyperblocks: ") + mistake.problem + " (" + mistake.where + "): expected " +
                          mistake.expected + ", found " + mistake.found);
  }
}

constexpr auto gelu = Activation::gelu_tanh;
constexpr auto split = RopeLayout::half_split;

}  // namespace

TEST_CASE("products") {
  World w;
  Cpu& cpu = w.cpu;
  FrozenMatrix<float, Cpu, 5, 3> frozen(cpu);
  frozen.upload(cpu, std::vector<float>(15, 2));
  const Matrix y = w.matrix(4, 5), dx = w.matrix(4, 3), dweight = w.matrix(5, 3);
  ops::product<float>(cpu, w.matrix(4, 3), w.matrix(5, 3), w.vector(5, 0.5), y);
  check_all(y, 3.5);
  ops::product<float>(cpu, w.matrix(4, 3), frozen, {}, y);
  check_all(y, 6);
  ops::input_gradient<float>(cpu, w.matrix(4, 5), w.matrix(5, 3, 3), dx, Write::assign);
  check_all(dx, 15);
  ops::input_gradient<float>(cpu, w.matrix(4, 5), frozen, dx, Write::assign);
  check_all(dx, 10);
  ops::input_gradient<float>(cpu, w.matrix(4, 5), frozen, dx, Write::add);
  check_all(dx, 20);
  ops::input_gradient<float>(cpu, w.matrix(4, 5), w.matrix(5, 3, 3), dx, Write::add);
  check_all(dx, 35);
  ops::weight_gradient<float>(cpu, w.matrix(4, 5), w.matrix(4, 3, 2), dweight, Write::assign);
  check_all(dweight, 8);
  ops::weight_gradient<float>(cpu, w.matrix(4, 5), w.matrix(4, 3, 2), dweight, Write::add);
  check_all(dweight, 16);
}

TEST_CASE("low-rank updates and their gradients") {
  World w;
  Cpu& cpu = w.cpu;
  FrozenMatrix<float, Cpu, 5, 3> frozen(cpu);
  frozen.upload(cpu, std::vector<float>(15, 2));
  const Matrix x = w.matrix(4, 3), y = w.matrix(4, 5), dx = w.matrix(4, 3);
  const auto update = w.update(2, 2);
  ops::low_rank_update<float>(cpu, x, frozen, w.vector(5, 0.5), update, y);
  check_all(y, 18);  // 6 + 0.5 + 0.25 * 3 * 2 + 10
  ops::low_rank_update<float>(cpu, x, w.matrix(5, 3), {}, update, y);
  check_all(y, 14.5);
  auto without = update;
  without.bias = {};
  ops::low_rank_update<float>(cpu, x, frozen, w.vector(5, 0.5), without, y);
  check_all(y, 8);

  const LowRank<float, Cpu, 5, 3> gradient{View<float, Cpu, dyn, 3>(w.matrix(2, 3)),
                                           View<float, Cpu, 5, dyn>(w.matrix(5, 2)), 1,
                                           View<float, Cpu, 5>(w.vector(5))};
  const Matrix dy = w.matrix(4, 5);
  for (const bool add : {false, true}) {  // dx is always added to, the rest as `write` says
    const Write write = add ? Write::add : Write::assign;
    ops::low_rank_gradient<float>(cpu, x, dy, update, dx, gradient, write);
    check_all(dx, add ? 6 : 3.5);                  // 1 + 0.25 * 5 * 2, then once more
    check_all(gradient.a.rows(), add ? 10 : 5);    // 4 rows of 0.25 * 5
    check_all(gradient.b.columns(), add ? 6 : 3);  // 4 rows of 0.25 * 3
    check_all(gradient.bias, add ? 8 : 4);         // 4 rows
  }
  ops::low_rank_gradient<float>(cpu, x, dy, update, {}, {}, Write::assign);
}

TEST_CASE("products refuse extents that do not fit") {
  World w;
  Cpu& cpu = w.cpu;
  FrozenMatrix<float, Cpu, 5, 3> frozen(cpu);
  const auto m = [&](Index rows, Index columns) { return w.matrix(rows, columns); };
  const auto product = [&](Matrix x, Matrix y, Index bias) {
    return [&, x, y, bias] { ops::product<float>(cpu, x, w.matrix(5, 3), w.vector(bias), y); };
  };
  const auto fixed = [&](Matrix x, Matrix y, Index bias) {
    return [&, x, y, bias] { ops::product<float>(cpu, x, frozen, w.vector(bias), y); };
  };
  const auto input = [&](Matrix dy, Matrix dx) {
    return [&, dy, dx] { ops::input_gradient<float>(cpu, dy, w.matrix(5, 3), dx, Write::assign); };
  };
  const auto fixed_input = [&](Matrix dy, Matrix dx) {
    return [&, dy, dx] { ops::input_gradient<float>(cpu, dy, frozen, dx, Write::assign); };
  };
  const auto weight = [&](Matrix dy, Matrix x) {
    return [&, dy, x] { ops::weight_gradient<float>(cpu, dy, x, w.matrix(5, 3), Write::assign); };
  };
  const auto update = [&](Matrix x, Index rank_a, Index rank_b, Matrix y, Index bias) {
    return [&, x, rank_a, rank_b, y, bias] {
      ops::low_rank_update<float>(cpu, x, frozen, w.vector(bias), w.update(rank_a, rank_b), y);
    };
  };
  constexpr const char *inner = "the shapes do not fit: columns of x and of the weight",
                       *outer = "the shapes do not fit: rows of the weight and columns of y",
                       *rows = "the shapes do not fit: rows of x and of y",
                       *bias = "the shapes do not fit: elements of the bias",
                       *gradient = "the shapes do not fit: columns of dy and rows of the weight",
                       *columns = "the shapes do not fit: columns of the weight and of dx",
                       *gradients = "the shapes do not fit: rows of dy and of dx";
  check_refused({
      {"ops::product", inner, "3", "7", product(m(4, 7), m(4, 5), 5)},
      {"ops::product", outer, "5", "6", product(m(4, 3), m(4, 6), 5)},
      {"ops::product", rows, "4", "2", product(m(4, 3), m(2, 5), 5)},
      {"ops::product", bias, "5", "4", product(m(4, 3), m(4, 5), 4)},
      {"ops::product", inner, "3", "7", fixed(m(4, 7), m(4, 5), 5)},
      {"ops::product", outer, "5", "6", fixed(m(4, 3), m(4, 6), 5)},
      {"ops::product", rows, "4", "2", fixed(m(4, 3), m(2, 5), 5)},
      {"ops::product", bias, "5", "4", fixed(m(4, 3), m(4, 5), 4)},
      {"ops::input_gradient", gradient, "5", "6", input(m(4, 6), m(4, 3))},
      {"ops::input_gradient", columns, "3", "2", input(m(4, 5), m(4, 2))},
      {"ops::input_gradient", gradients, "4", "1", input(m(4, 5), m(1, 3))},
      {"ops::input_gradient", gradient, "5", "6", fixed_input(m(4, 6), m(4, 3))},
      {"ops::input_gradient", columns, "3", "2", fixed_input(m(4, 5), m(4, 2))},
      {"ops::input_gradient", gradients, "4", "1", fixed_input(m(4, 5), m(1, 3))},
      {"ops::weight_gradient", "the shapes do not fit: columns of dy and rows of dW", "5", "6",
       weight(m(4, 6), m(4, 3))},
      {"ops::weight_gradient", "the shapes do not fit: columns of x and of dW", "3", "2",
       weight(m(4, 5), m(4, 2))},
      {"ops::weight_gradient", "the shapes do not fit: rows of dy and of x", "4", "1",
       weight(m(4, 5), m(1, 3))},
      {"ops::low_rank_update", "the shapes do not fit: columns of x and of A", "3", "4",
       update(m(4, 4), 2, 2, m(4, 5), 5)},
      {"ops::low_rank_update", "the shapes do not fit: columns of y and rows of B", "5", "6",
       update(m(4, 3), 2, 2, m(4, 6), 5)},
      {"ops::low_rank_update", rows, "4", "3", update(m(4, 3), 2, 2, m(3, 5), 5)},
      {"ops::low_rank_update", "the shapes do not fit: the rank of A and B", "2", "1",
       update(m(4, 3), 2, 1, m(4, 5), 5)},
      {"ops::low_rank_update", bias, "5", "3", update(m(4, 3), 2, 2, m(4, 5), 3)},
      {"ops::low_rank_update", "the shapes do not fit: rows of the weight", "5", "6",
       [&] { ops::low_rank_update<float>(cpu, m(4, 3), m(6, 3), {}, w.update(2, 2), m(4, 5)); }},
      {"ops::low_rank_update", "the shapes do not fit: columns of the weight", "3", "2",
       [&] { ops::low_rank_update<float>(cpu, m(4, 3), m(5, 2), {}, w.update(2, 2), m(4, 5)); }},
  });
}

TEST_CASE("frozen matrices come back, and refuse other sizes") {
  Cpu cpu;
  FrozenMatrix<float, Cpu, 2, 3> frozen(cpu), empty;
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  std::vector<float> back(6), five(5);
  frozen.upload(cpu, numbers);
  frozen.download(cpu, back);
  CHECK(back == numbers);
  const char* const problem = "the number of elements differs";
  const char* const where = "FrozenMatrix (2, 3)";
  check_refused(
      {{where, problem, "6", "5", [&] { frozen.upload(cpu, five); }},
       {where, problem, "6", "5", [&] { frozen.download(cpu, five); }},
       {where, problem, "6", "6 for a matrix without memory", [&] { empty.upload(cpu, numbers); }}});
}

TEST_CASE("element-wise functions and sums") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix y = w.matrix(2, 3);
  const Vector sums = w.vector(3);
  ops::add<float>(cpu, w.matrix(2, 3), w.matrix(2, 3, 2), y);
  check_all(y, 3);
  ops::scale_add<float>(cpu, 2, w.matrix(2, 3, 0.5), y);
  check_all(y, 4);
  ops::scale<float>(cpu, 0.5, y, y);
  check_all(y, 2);
  ops::add_rows<float>(cpu, y, w.vector(3, 5), y);
  check_all(y, 7);
  ops::scale_rows<float>(cpu, y, w.vector(2, 0.5), y);
  ops::scale_rows<float>(cpu, y, w.vector(2, 2), y);
  check_all(y, 7);
  ops::column_sums<float>(cpu, y, sums, Write::assign);
  check_all(sums, 14);
  ops::column_sums<float>(cpu, y, sums, Write::add);
  check_all(sums, 28);
  CHECK(ops::sum<float>(cpu, sums) == 84);
  CHECK(ops::squared_norm<float>(cpu, sums) == 3 * 28 * 28);
  CHECK(ops::max_abs<float>(cpu, w.vector(3, -2)) == 2);
  Tensor<half, Cpu, dyn, dyn> narrow(cpu, 2, 3);
  ops::cast<half, float>(cpu, w.matrix(2, 3, 1 + 0x1p-12), narrow);
  for (const half value : narrow.span()) CHECK(static_cast<float>(value) == 1);

  ops::activate<float>(cpu, Activation::relu, w.matrix(2, 3, -1), y);
  check_all(y, 0);
  ops::activate_backward<float>(cpu, Activation::relu, w.matrix(2, 3, 2), w.matrix(2, 3, 5), y);
  check_all(y, 5);
  ops::glu<float>(cpu, Activation::relu, w.matrix(2, 3, 2), w.matrix(2, 3, 3), y);
  check_all(y, 6);
  const Matrix dgate = w.matrix(2, 3), dup = w.matrix(2, 3);
  ops::glu_backward<float>(cpu, Activation::relu, w.matrix(2, 3, 2), w.matrix(2, 3, 3), w.matrix(2, 3, 0.5),
                           dgate, dup);
  check_all(dgate, 1.5);
  check_all(dup, 1);
}

TEST_CASE("element-wise functions refuse shapes that differ") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix good = w.matrix(2, 3), wide = w.matrix(2, 4), turned = w.matrix(3, 2);
  const auto differ = [](const char* where, const char* found, std::function<void()> call) {
    return Mistake{where, "the shapes differ", "(2, 3)", found, std::move(call)};
  };
  const auto back = [&](Matrix up, Matrix dy, Matrix dgate, Matrix dup) {
    return [=, &cpu] { ops::glu_backward<float>(cpu, gelu, good, up, dy, dgate, dup); };
  };
  check_refused({
      differ("ops::add", "(3, 2)", [&] { ops::add<float>(cpu, good, turned, good); }),
      differ("ops::add", "(2, 4)", [&] { ops::add<float>(cpu, good, good, wide); }),
      differ("ops::scale_add", "(2, 4)", [&] { ops::scale_add<float>(cpu, 2, good, wide); }),
      differ("ops::scale", "(3, 2)", [&] { ops::scale<float>(cpu, 2, good, turned); }),
      differ("ops::cast", "(3, 2)", [&] { ops::cast<float, float>(cpu, good, turned); }),
      differ("ops::add_rows", "(3, 2)", [&] { ops::add_rows<float>(cpu, good, w.vector(3), turned); }),
      {"ops::add_rows", "the shapes do not fit: columns of x and elements of the row", "3", "2",
       [&] { ops::add_rows<float>(cpu, good, w.vector(2), good); }},
      {"ops::scale_rows", "the shapes do not fit: rows of x and factors", "2", "3",
       [&] { ops::scale_rows<float>(cpu, good, w.vector(3), good); }},
      {"ops::column_sums", "the shapes do not fit: columns of x and elements of y", "3", "2",
       [&] { ops::column_sums<float>(cpu, good, w.vector(2), Write::add); }},
      differ("ops::activate", "(3, 2)", [&] { ops::activate<float>(cpu, gelu, good, turned); }),
      differ("ops::activate_backward", "(3, 2)",
             [&] { ops::activate_backward<float>(cpu, gelu, good, turned, good); }),
      differ("ops::activate_backward", "(2, 4)",
             [&] { ops::activate_backward<float>(cpu, gelu, good, good, wide); }),
      differ("ops::glu", "(3, 2)", [&] { ops::glu<float>(cpu, gelu, good, turned, good); }),
      differ("ops::glu", "(2, 4)", [&] { ops::glu<float>(cpu, gelu, good, good, wide); }),
      differ("ops::glu_backward", "(2, 4)", back(wide, good, good, good)),
      differ("ops::glu_backward", "(3, 2)", back(good, turned, good, good)),
      differ("ops::glu_backward", "(2, 4)", back(good, good, wide, good)),
      differ("ops::glu_backward", "(3, 2)", back(good, good, good, turned)),
  });
}

TEST_CASE("norms and softmax") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix y = w.matrix(2, 4), dx = w.matrix(2, 4);
  const Vector dweight = w.vector(4), dbias = w.vector(4);
  ops::rms_norm<float>(cpu, w.matrix(2, 4, 3), w.vector(4, 0.5), y, 0, 1);
  check_all(y, 1.5);
  ops::rms_norm_backward<float>(cpu, w.matrix(2, 4, 3), w.vector(4), w.matrix(2, 4, 7), dx, dweight, 0, 0,
                                Write::assign);
  check_all(dx, 0);  // a multiple of the row changes nothing
  check_all(dweight, 14);
  ops::rms_norm_backward<float>(cpu, w.matrix(2, 4, 3), w.vector(4), w.matrix(2, 4, 7), {}, {}, 0, 0,
                                Write::assign);
  ops::layer_norm<float>(cpu, w.matrix(2, 4, 3), w.vector(4, 0.5), w.vector(4, 2), y, 1e-5);
  check_all(y, 2);
  ops::layer_norm_backward<float>(cpu, w.matrix(2, 4, 3), w.vector(4), w.matrix(2, 4, 7), dx, dweight, dbias,
                                  1e-5, Write::assign);
  check_all(dx, 0);
  check_all(dweight, 0);
  check_all(dbias, 14);
  ops::layer_norm_backward<float>(cpu, w.matrix(2, 4, 3), w.vector(4), w.matrix(2, 4, 7), {}, dweight, dbias,
                                  1e-5, Write::add);
  check_all(dbias, 28);
  ops::softmax<float>(cpu, w.matrix(2, 4, 9), y);
  check_all(y, 0.25);
  ops::softmax_backward<float>(cpu, y, w.matrix(2, 4, 3), dx);
  check_all(dx, 0);
}

TEST_CASE("norms and softmax refuse extents that do not fit") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix good = w.matrix(2, 4), other = w.matrix(3, 4);
  const Vector four = w.vector(4), five = w.vector(5);
  const auto differ = [](const char* where, std::function<void()> call) {
    return Mistake{where, "the shapes differ", "(2, 4)", "(3, 4)", std::move(call)};
  };
  const auto five_of = [](const char* where, const char* problem, std::function<void()> call) {
    return Mistake{where, problem, "4", "5", std::move(call)};
  };
  const auto rms = [&](Vector weight, Matrix dy, Matrix dx, Vector dweight) {
    return [=, &cpu] { ops::rms_norm_backward<float>(cpu, good, weight, dy, dx, dweight, 0, 0, Write::add); };
  };
  const auto layer = [&](Vector weight, Matrix dy, Matrix dx, Vector dweight, Vector dbias) {
    return [=, &cpu] {
      ops::layer_norm_backward<float>(cpu, good, weight, dy, dx, dweight, dbias, 0, Write::add);
    };
  };
  constexpr const char *weight = "the shapes do not fit: elements of the weight",
                       *bias = "the shapes do not fit: elements of the bias",
                       *dweight = "the shapes do not fit: elements of dweight",
                       *dbias = "the shapes do not fit: elements of dbias";
  check_refused({
      differ("ops::rms_norm", [&] { ops::rms_norm<float>(cpu, good, four, other, 0, 0); }),
      five_of("ops::rms_norm", weight, [&] { ops::rms_norm<float>(cpu, good, five, good, 0, 0); }),
      differ("ops::rms_norm_backward", rms(four, other, good, four)),
      differ("ops::rms_norm_backward", rms(four, good, other, four)),
      five_of("ops::rms_norm_backward", weight, rms(five, good, good, four)),
      five_of("ops::rms_norm_backward", dweight, rms(four, good, good, five)),
      differ("ops::layer_norm", [&] { ops::layer_norm<float>(cpu, good, four, four, other, 0); }),
      five_of("ops::layer_norm", weight, [&] { ops::layer_norm<float>(cpu, good, five, four, good, 0); }),
      five_of("ops::layer_norm", bias, [&] { ops::layer_norm<float>(cpu, good, four, five, good, 0); }),
      differ("ops::layer_norm_backward", layer(four, other, good, four, four)),
      differ("ops::layer_norm_backward", layer(four, good, other, four, four)),
      five_of("ops::layer_norm_backward", weight, layer(five, good, good, four, four)),
      five_of("ops::layer_norm_backward", dweight, layer(four, good, good, five, four)),
      five_of("ops::layer_norm_backward", dbias, layer(four, good, good, four, five)),
      differ("ops::softmax", [&] { ops::softmax<float>(cpu, good, other); }),
      differ("ops::softmax_backward", [&] { ops::softmax_backward<float>(cpu, good, other, good); }),
      differ("ops::softmax_backward", [&] { ops::softmax_backward<float>(cpu, good, good, other); }),
  });
}

TEST_CASE("rotary positions and embeddings") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix x = w.matrix(2, 8), table = w.matrix(5, 3, 4), y = w.matrix(2, 3);
  ops::rope<float>(cpu, x, w.rotary(4, 1, 1), 2, 2, split, false);  // quarter turns of the first two of four
  for (const Index column : {0, 4}) CHECK(x(1, column) == -1);
  for (const Index column : {1, 2, 3, 5, 6, 7}) CHECK(x(1, column) == 1);
  ops::rope<float>(cpu, x, w.rotary(4, 1, 1), 2, 2, split, true);
  check_all(x, 1);
  ops::rope<float>(cpu, w.matrix(0, 8), w.rotary(4, 1, 1), 0, 2, split, false);  // no tokens, no sequences
  ops::embedding<float, float>(cpu, w.ids(2, 4), table, y, 0.5);
  check_all(y, 2);
  ops::embedding_backward<float>(cpu, w.ids(2, 4), w.matrix(2, 3), table, 0.5, Write::add);
  check_all(table.slice(4, 1), 5);
  check_all(table.slice(0, 4), 4);
  ops::embedding_backward<float>(cpu, w.ids(2, 4), w.matrix(2, 3), table, 0.5, Write::assign);
  check_all(table.slice(4, 1), 1);
  check_all(table.slice(0, 4), 0);
}

TEST_CASE("rotary positions and embeddings refuse what does not fit") {
  World w;
  Cpu& cpu = w.cpu;
  const auto rope = [&](Rotary<float, Cpu> rotary, Index tokens, Index heads) {
    return [=, &w] { ops::rope<float>(w.cpu, w.matrix(2, 8), rotary, tokens, heads, split, false); };
  };
  Rotary<float, Cpu> placed = w.rotary(4, 1, 1);
  placed.positions = w.ids(3);
  constexpr const char* heads = "the shapes do not fit: heads and tables";
  constexpr const char* widths = "heads that divide 8 into widths of at least 2";
  check_refused({
      {"ops::rope: cosines and sines", "the shapes differ", "(4, 1)", "(4, 2)",
       rope(w.rotary(4, 1, 2), 2, 2)},
      {"ops::rope", heads, widths, "3 heads", rope(w.rotary(4, 1, 1), 2, 3)},
      {"ops::rope", heads, widths, "8 heads", rope(w.rotary(4, 1, 1), 2, 8)},
      {"ops::rope", heads, widths, "0 heads", rope(w.rotary(4, 1, 1), 2, 0)},
      {"ops::rope", "the shapes do not fit: rows of x and positions", "2", "3", rope(placed, 0, 2)},
      {"ops::rope", "sequences need tokens", "one or more tokens per sequence", "0",
       rope(w.rotary(4, 1, 1), 0, 2)},
      {"ops::embedding", "the shapes do not fit: ids and rows of y", "2", "3",
       [&] { ops::embedding<float, float>(cpu, w.ids(2), w.matrix(5, 3), w.matrix(3, 3), 1); }},
      {"ops::embedding", "the shapes do not fit: columns of the table and of y", "3", "4",
       [&] { ops::embedding<float, float>(cpu, w.ids(2), w.matrix(5, 3), w.matrix(2, 4), 1); }},
      {"ops::embedding", "an id is out of range", "less than 5 (vocabulary)", "5 at index 0",
       [&] { ops::embedding<float, float>(cpu, w.ids(2, 5), w.matrix(5, 3), w.matrix(2, 3), 1); }},
      {"ops::embedding_backward", "the shapes do not fit: ids and rows of dy", "2", "3",
       [&] { ops::embedding_backward<float>(cpu, w.ids(2), w.matrix(3, 3), w.matrix(5, 3), 1, Write::add); }},
      {"ops::embedding_backward", "the shapes do not fit: columns of dy and of the table", "3", "4",
       [&] { ops::embedding_backward<float>(cpu, w.ids(2), w.matrix(2, 4), w.matrix(5, 3), 1, Write::add); }},
  });
}

TEST_CASE("losses") {
  World w;
  Cpu& cpu = w.cpu;
  const Vector losses = w.vector(2);
  const Matrix dlogits = w.matrix(2, 4);
  ops::cross_entropy<float>(cpu, w.matrix(2, 4), w.ids(2, 1), 0, losses, dlogits, w.vector(2, 4));
  check_all(losses, std::log(4));
  for (Index i = 0; i < 8; ++i) CHECK(dlogits.data()[i] == doctest::Approx(i % 4 == 1 ? -3 : 1));
  ops::cross_entropy<float>(cpu, w.matrix(2, 4), w.ids(2, -100), 0, losses, dlogits, {});
  check_all(losses, 0);
  check_all(dlogits, 0);
  ops::topk_kl<float, float>(cpu, w.matrix(2, 4), w.id_matrix(2, 1), w.matrix(2, 1, 0), losses, dlogits, {});
  check_all(losses, std::log(4));
  for (Index i = 0; i < 8; ++i) CHECK(dlogits.data()[i] == doctest::Approx(i % 4 == 0 ? -0.75 : 0.25));
}

TEST_CASE("losses refuse extents that do not fit") {
  World w;
  Cpu& cpu = w.cpu;
  const Matrix logits = w.matrix(2, 4), other = w.matrix(2, 5);
  const auto entropy = [&](Index labels, Index losses, Matrix dlogits, Index weights) {
    return [=, &w] {
      ops::cross_entropy<float>(w.cpu, logits, w.ids(labels), 0, w.vector(losses), dlogits,
                                w.vector(weights));
    };
  };
  const auto divergence = [&](Index rows, Index k, Index losses, Matrix dlogits, Index weights) {
    return [=, &w] {
      ops::topk_kl<float, float>(w.cpu, logits, w.id_matrix(rows, 3), w.matrix(rows, k), w.vector(losses),
                                 dlogits, w.vector(weights));
    };
  };
  constexpr const char *labels = "the shapes do not fit: rows of the logits and labels",
                       *losses = "the shapes do not fit: rows of the logits and losses",
                       *weights = "the shapes do not fit: rows of the logits and weights",
                       *ids = "the shapes do not fit: rows of the logits and of the ids";
  check_refused({
      {"ops::cross_entropy", labels, "2", "3", entropy(3, 2, logits, 2)},
      {"ops::cross_entropy", losses, "2", "1", entropy(2, 1, logits, 2)},
      {"ops::cross_entropy", "the shapes differ", "(2, 4)", "(2, 5)", entropy(2, 2, other, 2)},
      {"ops::cross_entropy", weights, "2", "4", entropy(2, 2, logits, 4)},
      {"ops::cross_entropy", "an id is out of range", "less than 4 (vocabulary)", "4 at index 0",
       [&] { ops::cross_entropy<float>(cpu, logits, w.ids(2, 4), 0, w.vector(2), {}, {}); }},
      {"ops::cross_entropy", "impossible label smoothing", "0 to 1", "1.500000",
       [&] { ops::cross_entropy<float>(cpu, logits, w.ids(2), 1.5, w.vector(2), {}, {}); }},
      {"ops::cross_entropy", "impossible label smoothing", "0 to 1", "nan",
       [&] { ops::cross_entropy<float>(cpu, logits, w.ids(2), NAN, w.vector(2), {}, {}); }},
      {"ops::topk_kl", ids, "2", "3", divergence(3, 3, 2, logits, 2)},
      {"ops::topk_kl", "the shapes differ", "(2, 3)", "(2, 2)", divergence(2, 2, 2, logits, 2)},
      {"ops::topk_kl", losses, "2", "1", divergence(2, 3, 1, logits, 2)},
      {"ops::topk_kl", "the shapes differ", "(2, 4)", "(2, 5)", divergence(2, 3, 2, other, 2)},
      {"ops::topk_kl", weights, "2", "4", divergence(2, 3, 2, logits, 4)},
  });
}
