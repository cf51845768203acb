// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The contract between blocks and devices: what a device must provide, and the checks of shapes, made once
// for all devices. Blocks call these functions with the scalar given: ops::product<float>(cpu, x, weight,
// bias, y). Matrices are (rows, columns), row-major; an empty view as an optional argument means "not
// wanted".
#pragma once

#include <hyperblocks/ops/activation.hpp>
#include <hyperblocks/ops/attention.hpp>
#include <hyperblocks/ops/low_rank.hpp>
#include <hyperblocks/ops/matrices.hpp>
#include <hyperblocks/ops/rope.hpp>
#include <hyperblocks/ops/weights.hpp>

namespace hyperblocks::ops {

// Views whose device is named by the first argument alone, so that every compatible view converts.
template <class Scalar, class Device>
using Rows = View<Scalar, std::type_identity_t<Device>, dyn, dyn>;
template <class Scalar, class Device>
using Row = View<Scalar, std::type_identity_t<Device>, dyn>;
/// Token ids, labels, positions.
template <class Device>
using Ids = View<const std::int32_t, std::type_identity_t<Device>, dyn>;

namespace detail {
inline void check_extent(const char* where, const char* which, Index expected, Index found) {
  check(expected == found, [&] {
    return Error(std::string("the shapes do not fit: ") + which, where, std::to_string(expected),
                 std::to_string(found));
  });
}

template <class A, class B>
void check_same(const char* where, const A& expected, const B& found) {
  check(expected.shape().all() == found.shape().all(), [&] {
    return Error("the shapes differ", where, to_string(expected.shape().all()),
                 to_string(found.shape().all()));
  });
}

template <class Scalar>
void check_attention(const char* where, const AttentionOptions& options, Heads<const Scalar> q,
                     Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out) {
  const bool fits = k.shape() == std::array{q.batch, k.tokens, k.heads, q.width} &&
                    v.shape() == std::array{q.batch, k.tokens, k.heads, v.width} &&
                    out.shape() == std::array{q.batch, q.tokens, q.heads, v.width};
  check(fits, [&] {
    return Error("the heads' shapes do not fit", where,
                 "q (b, m, h, d), k (b, n, g, d), v (b, n, g, e), out (b, m, h, e)",
                 to_string(q.shape()) + ", " + to_string(k.shape()) + ", " + to_string(v.shape()) + ", " +
                     to_string(out.shape()));
  });
  check(k.heads > 0 && q.heads % k.heads == 0, [&] {
    return Error("the key heads do not divide the query heads", where,
                 "a divisor of " + std::to_string(q.heads), std::to_string(k.heads));
  });
  check(options.soft_cap >= 0 && options.window >= 0, [&] {
    return Error("impossible options", where, "soft cap and window of zero (none) or more",
                 std::to_string(options.soft_cap) + " and " + std::to_string(options.window));
  });
}

template <class Scalar>
void check_same(const char* where, Heads<const Scalar> expected, Heads<Scalar> found) {
  check(expected.shape() == found.shape(), [&] {
    return Error("a gradient's shape differs from its heads'", where, to_string(expected.shape()),
                 to_string(found.shape()));
  });
}
}  // namespace detail

/// y (m, out) = x (m, in) W (out, in)^T + bias (out), for a plain weight.
template <RealScalar Scalar, class Device>
void product(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
             Row<const Scalar, Device> bias, Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", weight.columns(), x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", weight.rows(), y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", y.columns(), bias.size());
  Ops<Device>::template product<Scalar>(device, x, weight, bias, y);
}

/// The same for a frozen weight.
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void product(Device& device, Rows<const Scalar, Device> x,
             const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
             Rows<Scalar, Device> y) {
  detail::check_extent("ops::product", "columns of x and of the weight", in, x.columns());
  detail::check_extent("ops::product", "rows of the weight and columns of y", out, y.columns());
  detail::check_extent("ops::product", "rows of x and of y", x.rows(), y.rows());
  if (bias) detail::check_extent("ops::product", "elements of the bias", out, bias.size());
  Ops<Device>::template product_packed<Scalar, Stored>(device, x, weight.packed(), bias, y);
}

/// dx (m, in) [+]= dy (m, out) W (out, in)
template <RealScalar Scalar, class Device>
void input_gradient(Device& device, Rows<const Scalar, Device> dy, Rows<const Scalar, Device> weight,
                    Rows<Scalar, Device> dx, Write write) {
  detail::check_extent("ops::input_gradient", "columns of dy and rows of the weight", weight.rows(),
                       dy.columns());
  detail::check_extent("ops::input_gradient", "columns of the weight and of dx", weight.columns(),
                       dx.columns());
  detail::check_extent("ops::input_gradient", "rows of dy and of dx", dy.rows(), dx.rows());
  Ops<Device>::template input_gradient<Scalar>(device, dy, weight, dx, write == Write::add);
}

template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void input_gradient(Device& device, Rows<const Scalar, Device> dy,
                    const FrozenMatrix<Stored, Device, out, in>& weight, Rows<Scalar, Device> dx,
                    Write write) {
  detail::check_extent("ops::input_gradient", "columns of dy and rows of the weight", out, dy.columns());
  detail::check_extent("ops::input_gradient", "columns of the weight and of dx", in, dx.columns());
  detail::check_extent("ops::input_gradient", "rows of dy and of dx", dy.rows(), dx.rows());
  Ops<Device>::template input_gradient_packed<Scalar, Stored>(device, dy, weight.packed(), dx,
                                                              write == Write::add);
}

/// dW (out, in) [+]= dy (m, out)^T x (m, in)
template <RealScalar Scalar, class Device>
void weight_gradient(Device& device, Rows<const Scalar, Device> dy, Rows<const Scalar, Device> x,
                     Rows<Scalar, Device> dweight, Write write) {
  detail::check_extent("ops::weight_gradient", "columns of dy and rows of dW", dweight.rows(), dy.columns());
  detail::check_extent("ops::weight_gradient", "columns of x and of dW", dweight.columns(), x.columns());
  detail::check_extent("ops::weight_gradient", "rows of dy and of x", dy.rows(), x.rows());
  Ops<Device>::template weight_gradient<Scalar>(device, dy, x, dweight, write == Write::add);
}

/// y(i) (m, n) [+]= a(i) (m, k) b(i) (k, n) for a batch of plain matrices with any strides.
template <RealScalar Scalar, class Device>
void batched_product(Device& device, Matrices<const Scalar> a, Matrices<const Scalar> b, Matrices<Scalar> y,
                     Write write) {
  check(a.batch == y.batch && b.batch == y.batch && a.rows == y.rows && b.columns == y.columns &&
            a.columns == b.rows,
        [&] {
          return Error("the shapes do not fit", "ops::batched_product",
                       "a (b, m, k), b (b, k, n), y (b, m, n)",
                       to_string(a.shape()) + ", " + to_string(b.shape()) + ", " + to_string(y.shape()));
        });
  Ops<Device>::template batched_product<Scalar>(device, a, b, y, write == Write::add);
}

namespace detail {
template <class X, class Scalar, class Device, Index out, Index in>
void check_low_rank(const char* where, const X& x, const Row<Scalar, Device>& bias,
                    const LowRank<Scalar, Device, out, in>& update,
                    const Rows<std::remove_const_t<Scalar>, Device>& y) {
  check_extent(where, "columns of x and of A", in, x.columns());
  check_extent(where, "columns of y and rows of B", out, y.columns());
  check_extent(where, "rows of x and of y", x.rows(), y.rows());
  check_extent(where, "the rank of A and B", update.a.rows(), update.b.columns());
  if (bias) check_extent(where, "elements of the bias", out, bias.size());
}

/// The bias that an updated linear starts from: bias + C, in scratch where both are there.
template <RealScalar Scalar, class Device>
Row<const Scalar, Device> updated_bias(Device& device, Row<const Scalar, Device> bias,
                                       Row<const Scalar, Device> c) {
  if (!bias) return c;
  if (!c) return bias;
  const auto both = take<Scalar, dyn>(device, c.size());
  Ops<Device>::template add<Scalar>(device, bias, c, both);
  return both;
}
}  // namespace detail

/// y = x W^T + bias + scale (x A^T) B^T + C in one pass over y, for a plain weight W (out, in).
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> weight,
                     Row<const Scalar, Device> bias, const LowRank<const Scalar, Device, out, in>& update,
                     Rows<Scalar, Device> y) {
  detail::check_extent("ops::low_rank_update", "columns of the weight", in, weight.columns());
  detail::check_extent("ops::low_rank_update", "rows of the weight", out, weight.rows());
  detail::check_low_rank("ops::low_rank_update", x, bias, update, y);
  const ArenaScope scope(device);
  Ops<Device>::template low_rank_update<Scalar>(device, x, weight,
                                                detail::updated_bias<Scalar>(device, bias, update.bias),
                                                update.a, update.b, update.scale, y);
}

/// The same for a frozen weight.
template <RealScalar Scalar, class Device, RealScalar Stored, Index out, Index in>
void low_rank_update(Device& device, Rows<const Scalar, Device> x,
                     const FrozenMatrix<Stored, Device, out, in>& weight, Row<const Scalar, Device> bias,
                     const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> y) {
  detail::check_low_rank("ops::low_rank_update", x, bias, update, y);
  const ArenaScope scope(device);
  Ops<Device>::template low_rank_update_packed<Scalar, Stored>(
      device, x, weight.packed(), detail::updated_bias<Scalar>(device, bias, update.bias), update.a, update.b,
      update.scale, y);
}

/// y (n) [+]= the sums of the columns of x (m, n): the gradient of a bias.
template <RealScalar Scalar, class Device>
void column_sums(Device& device, Rows<const Scalar, Device> x, Row<Scalar, Device> y, Write write) {
  detail::check_extent("ops::column_sums", "columns of x and elements of y", x.columns(), y.size());
  Ops<Device>::template column_sums<Scalar>(device, x, y, write == Write::add);
}

/// y = a + b, element by element; y may be a or b.
template <RealScalar Scalar, class Device>
void add(Device& device, Rows<const Scalar, Device> a, Rows<const Scalar, Device> b, Rows<Scalar, Device> y) {
  detail::check_same("ops::add", a, b);
  detail::check_same("ops::add", a, y);
  const Index size = a.size();
  Ops<Device>::template add<Scalar>(device, a.template reshape<dyn>(size), b.template reshape<dyn>(size),
                                    y.template reshape<dyn>(size));
}

/// y += alpha x
template <RealScalar Scalar, class Device>
void scale_add(Device& device, double alpha, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::scale_add", x, y);
  Ops<Device>::template scale_add<Scalar>(device, alpha, x.template reshape<dyn>(x.size()),
                                          y.template reshape<dyn>(y.size()));
}

/// y = alpha x; y may be x.
template <RealScalar Scalar, class Device>
void scale(Device& device, double alpha, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::scale", x, y);
  Ops<Device>::template scale<Scalar>(device, alpha, x.template reshape<dyn>(x.size()),
                                      y.template reshape<dyn>(y.size()));
}

/// y = x in another scalar, rounded once to nearest even.
template <RealScalar To, RealScalar From, class Device>
void cast(Device& device, Rows<const From, Device> x, Rows<To, Device> y) {
  detail::check_same("ops::cast", x, y);
  Ops<Device>::template cast<To, From>(device, x.template reshape<dyn>(x.size()),
                                       y.template reshape<dyn>(y.size()));
}

/// y(i) = x(i) + row, for every row of x; y may be x.
template <RealScalar Scalar, class Device>
void add_rows(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> row,
              Rows<Scalar, Device> y) {
  detail::check_same("ops::add_rows", x, y);
  detail::check_extent("ops::add_rows", "columns of x and elements of the row", x.columns(), row.size());
  Ops<Device>::template add_rows<Scalar>(device, x, row, y);
}

/// y(i) = row, for every row of y.
template <RealScalar Scalar, RealScalar Stored, class Device>
void broadcast(Device& device, Row<const Stored, Device> row, Rows<Scalar, Device> y) {
  detail::check_extent("ops::broadcast", "elements of the row and columns of y", y.columns(), row.size());
  Ops<Device>::template broadcast<Scalar, Stored>(device, row, y);
}

/// The sum of all elements.
template <RealScalar Scalar, class Device>
double sum(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template sum<Scalar>(device, x);
}

/// The sum of the squares of all elements.
template <RealScalar Scalar, class Device>
double squared_norm(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template squared_norm<Scalar>(device, x);
}

/// The largest magnitude; NaN if any element is.
template <RealScalar Scalar, class Device>
double max_abs(Device& device, Row<const Scalar, Device> x) {
  return Ops<Device>::template max_abs<Scalar>(device, x);
}

/// y = activation(x), element by element; y may be x.
template <RealScalar Scalar, class Device>
void activate(Device& device, Activation activation, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::activate", x, y);
  const Index size = x.size();
  Ops<Device>::template activate<Scalar>(device, activation, x.template reshape<dyn>(size),
                                         y.template reshape<dyn>(size));
}

/// dx = dy activation'(x); dx may be dy.
template <RealScalar Scalar, class Device>
void activate_backward(Device& device, Activation activation, Rows<const Scalar, Device> x,
                       Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx) {
  detail::check_same("ops::activate_backward", x, dy);
  detail::check_same("ops::activate_backward", x, dx);
  const Index size = x.size();
  Ops<Device>::template activate_backward<Scalar>(device, activation, x.template reshape<dyn>(size),
                                                  dy.template reshape<dyn>(size),
                                                  dx.template reshape<dyn>(size));
}

/// y = activation(gate) * up
template <RealScalar Scalar, class Device>
void glu(Device& device, Activation activation, Rows<const Scalar, Device> gate,
         Rows<const Scalar, Device> up, Rows<Scalar, Device> y) {
  detail::check_same("ops::glu", gate, up);
  detail::check_same("ops::glu", gate, y);
  Ops<Device>::template glu<Scalar>(device, activation, gate, up, y);
}

template <RealScalar Scalar, class Device>
void glu_backward(Device& device, Activation activation, Rows<const Scalar, Device> gate,
                  Rows<const Scalar, Device> up, Rows<const Scalar, Device> dy, Rows<Scalar, Device> dgate,
                  Rows<Scalar, Device> dup) {
  detail::check_same("ops::glu_backward", gate, up);
  detail::check_same("ops::glu_backward", gate, dy);
  detail::check_same("ops::glu_backward", gate, dgate);
  detail::check_same("ops::glu_backward", gate, dup);
  Ops<Device>::template glu_backward<Scalar>(device, activation, gate, up, dy, dgate, dup);
}

/// What the update itself sends back: dx += scale (dy B) A; dA [+]= scale (dy B)^T x, dB [+]= scale dy^T (x
/// A^T), dC [+]= the sums of dy's columns. dx and each member of `gradient` are optional.
template <RealScalar Scalar, class Device, Index out, Index in>
void low_rank_gradient(Device& device, Rows<const Scalar, Device> x, Rows<const Scalar, Device> dy,
                       const LowRank<const Scalar, Device, out, in>& update, Rows<Scalar, Device> dx,
                       const LowRank<Scalar, Device, out, in>& gradient, Write write) {
  const ArenaScope scope(device);
  const Index rank = update.a.rows();
  if (dx || gradient.a) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, dy.rows(), rank);  // scale dy B (tokens, rank)
    input_gradient<Scalar>(device, dy, update.b, shrunk, Write::assign);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    if (dx) input_gradient<Scalar>(device, shrunk, update.a, dx, Write::add);
    if (gradient.a) weight_gradient<Scalar>(device, shrunk, x, gradient.a, write);
  }
  if (gradient.b) {
    const auto shrunk = take<Scalar, dyn, dyn>(device, x.rows(), rank);  // scale x A^T (tokens, rank)
    product<Scalar>(device, x, update.a, {}, shrunk);
    scale<Scalar>(device, update.scale, shrunk, shrunk);
    weight_gradient<Scalar>(device, dy, shrunk, gradient.b, write);
  }
  if (gradient.bias) column_sums<Scalar>(device, dy, gradient.bias, write);
}

/// y = x / sqrt(mean(x^2) + epsilon) * (weight + shift), row by row; Gemma's shift is 1.
template <RealScalar Scalar, class Device>
void rms_norm(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
              Rows<Scalar, Device> y, double epsilon, double shift) {
  detail::check_same("ops::rms_norm", x, y);
  detail::check_extent("ops::rms_norm", "elements of the weight", x.columns(), weight.size());
  Ops<Device>::template rms_norm<Scalar>(device, x, weight, y, epsilon, shift);
}

/// dx and dweight are optional; dx is neither x nor dy.
template <RealScalar Scalar, class Device>
void rms_norm_backward(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                       Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx, Row<Scalar, Device> dweight,
                       double epsilon, double shift, Write write) {
  detail::check_same("ops::rms_norm_backward", x, dy);
  if (dx) detail::check_same("ops::rms_norm_backward", x, dx);
  detail::check_extent("ops::rms_norm_backward", "elements of the weight", x.columns(), weight.size());
  if (dweight)
    detail::check_extent("ops::rms_norm_backward", "elements of dweight", x.columns(), dweight.size());
  Ops<Device>::template rms_norm_backward<Scalar>(device, x, weight, dy, dx, dweight, epsilon, shift,
                                                  write == Write::add);
}

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row; bias is optional.
template <RealScalar Scalar, class Device>
void layer_norm(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                Row<const Scalar, Device> bias, Rows<Scalar, Device> y, double epsilon) {
  detail::check_same("ops::layer_norm", x, y);
  detail::check_extent("ops::layer_norm", "elements of the weight", x.columns(), weight.size());
  if (bias) detail::check_extent("ops::layer_norm", "elements of the bias", x.columns(), bias.size());
  Ops<Device>::template layer_norm<Scalar>(device, x, weight, bias, y, epsilon);
}

/// dx, dweight and dbias are optional; dx is neither x nor dy.
template <RealScalar Scalar, class Device>
void layer_norm_backward(Device& device, Rows<const Scalar, Device> x, Row<const Scalar, Device> weight,
                         Rows<const Scalar, Device> dy, Rows<Scalar, Device> dx, Row<Scalar, Device> dweight,
                         Row<Scalar, Device> dbias, double epsilon, Write write) {
  detail::check_same("ops::layer_norm_backward", x, dy);
  if (dx) detail::check_same("ops::layer_norm_backward", x, dx);
  detail::check_extent("ops::layer_norm_backward", "elements of the weight", x.columns(), weight.size());
  if (dweight)
    detail::check_extent("ops::layer_norm_backward", "elements of dweight", x.columns(), dweight.size());
  if (dbias) detail::check_extent("ops::layer_norm_backward", "elements of dbias", x.columns(), dbias.size());
  Ops<Device>::template layer_norm_backward<Scalar>(device, x, weight, dy, dx, dweight, dbias, epsilon,
                                                    write == Write::add);
}

/// y = e^x / sum(e^x), row by row; y may be x. A row of -infinity alone gives zeros.
template <RealScalar Scalar, class Device>
void softmax(Device& device, Rows<const Scalar, Device> x, Rows<Scalar, Device> y) {
  detail::check_same("ops::softmax", x, y);
  Ops<Device>::template softmax<Scalar>(device, x, y);
}

/// dx = y (dy - sum(y dy)), with forward's y; dx may be dy.
template <RealScalar Scalar, class Device>
void softmax_backward(Device& device, Rows<const Scalar, Device> y, Rows<const Scalar, Device> dy,
                      Rows<Scalar, Device> dx) {
  detail::check_same("ops::softmax_backward", y, dy);
  detail::check_same("ops::softmax_backward", y, dx);
  Ops<Device>::template softmax_backward<Scalar>(device, y, dy, dx);
}

/// Turns the pairs of every head of x (tokens, heads * width) in place by their token's position. `inverse`
/// turns back, which is the backward pass.
template <RealScalar Scalar, class Device>
void rope(Device& device, Rows<Scalar, Device> x,
          const Rotary<Accumulator<Scalar>, std::type_identity_t<Device>>& rotary, Index tokens_per_sequence,
          Index heads, RopeLayout layout, bool inverse) {
  detail::check_same("ops::rope", rotary.cosines, rotary.sines);
  check(heads > 0 && x.columns() % heads == 0 && 2 * rotary.cosines.columns() <= x.columns() / heads, [&] {
    return Error("the shapes do not fit: heads and tables", "ops::rope",
                 "heads that divide " + std::to_string(x.columns()) + " into widths of at least " +
                     std::to_string(2 * rotary.cosines.columns()),
                 std::to_string(heads) + " heads");
  });
  if (rotary.positions)
    detail::check_extent("ops::rope", "rows of x and positions", x.rows(), rotary.positions.size());
  else
    check(tokens_per_sequence > 0 || x.rows() == 0, [&] {
      return Error("sequences need tokens", "ops::rope", "one or more tokens per sequence",
                   std::to_string(tokens_per_sequence));
    });
  Ops<Device>::template rope<Scalar>(device, x, rotary, tokens_per_sequence, heads, layout, inverse);
}

/// out = softmax(scores) v with scores = cap(scale q k^T), over the keys that options let a query see; query
/// head h uses key head h / (q.heads / k.heads). A query that sees no key gives zeros. NaN and infinity in a
/// key or its value reach the queries that see the key, no others: hidden ones count for nothing whatever
/// they hold. log_sum_exp (batch * heads * queries), of the scores, is optional; backward wants it.
template <RealScalar Scalar, class Device>
void attention(Device& device, const AttentionOptions& options, Heads<const Scalar> q, Heads<const Scalar> k,
               Heads<const Scalar> v, Heads<Scalar> out, Row<Accumulator<Scalar>, Device> log_sum_exp) {
  detail::check_attention<Scalar>("ops::attention", options, q, k, v, out);
  if (log_sum_exp)
    detail::check_extent("ops::attention", "elements of log_sum_exp", q.batch * q.heads * q.tokens,
                         log_sum_exp.size());
  Ops<Device>::template attention<Scalar>(device, options, q, k, v, out, log_sum_exp);
}

/// The gradients of q, k and v, assigned; out and log_sum_exp are forward's. Gradients overlap no input.
template <RealScalar Scalar, class Device>
void attention_backward(Device& device, const AttentionOptions& options, Heads<const Scalar> q,
                        Heads<const Scalar> k, Heads<const Scalar> v, Heads<const Scalar> out,
                        Row<const Accumulator<Scalar>, Device> log_sum_exp, Heads<const Scalar> dout,
                        Heads<Scalar> dq, Heads<Scalar> dk, Heads<Scalar> dv) {
  constexpr const char* where = "ops::attention_backward";
  detail::check_attention<Scalar>(where, options, q, k, v, out);
  detail::check_attention<Scalar>(where, options, q, k, v, dout);
  detail::check_same<Scalar>(where, q, dq);
  detail::check_same<Scalar>(where, k, dk);
  detail::check_same<Scalar>(where, v, dv);
  detail::check_extent(where, "elements of log_sum_exp", q.batch * q.heads * q.tokens, log_sum_exp.size());
  Ops<Device>::template attention_backward<Scalar>(device, options, q, k, v, out, log_sum_exp, dout, dq, dk,
                                                   dv);
}

/// y(i) = scale * table(ids(i)); an id outside of the table is an Error.
template <RealScalar Scalar, RealScalar Table, class Device>
void embedding(Device& device, Ids<Device> ids, Rows<const Table, Device> table, Rows<Scalar, Device> y,
               double scale) {
  detail::check_extent("ops::embedding", "ids and rows of y", ids.size(), y.rows());
  detail::check_extent("ops::embedding", "columns of the table and of y", table.columns(), y.columns());
  Ops<Device>::template embedding<Scalar, Table>(device, ids, table, y, scale);
}

/// dtable(id) [+]= scale * the sum of dy(i) over ids(i) = id.
template <RealScalar Scalar, class Device>
void embedding_backward(Device& device, Ids<Device> ids, Rows<const Scalar, Device> dy,
                        Rows<Scalar, Device> dtable, double scale, Write write) {
  detail::check_extent("ops::embedding_backward", "ids and rows of dy", ids.size(), dy.rows());
  detail::check_extent("ops::embedding_backward", "columns of dy and of the table", dtable.columns(),
                       dy.columns());
  Ops<Device>::template embedding_backward<Scalar>(device, ids, dy, dtable, scale, write == Write::add);
}

/// loss(i) = -(1 - s) log p(label) - s mean(log p) with p = softmax(logits(i)), s = label_smoothing; a row
/// with a negative label is ignored (zero loss, zero gradient). dlogits (optional, may be the logits) is the
/// gradient of the sum of the losses, each times its weight (optional).
template <RealScalar Scalar, class Device>
void cross_entropy(Device& device, Rows<const Scalar, Device> logits, Ids<Device> labels,
                   double label_smoothing, Row<Accumulator<Scalar>, Device> losses,
                   Rows<Scalar, Device> dlogits, Row<const Accumulator<Scalar>, Device> weights) {
  detail::check_extent("ops::cross_entropy", "rows of the logits and labels", logits.rows(), labels.size());
  detail::check_extent("ops::cross_entropy", "rows of the logits and losses", logits.rows(), losses.size());
  if (dlogits) detail::check_same("ops::cross_entropy", logits, dlogits);
  if (weights)
    detail::check_extent("ops::cross_entropy", "rows of the logits and weights", logits.rows(),
                         weights.size());
  Ops<Device>::template cross_entropy<Scalar>(device, logits, labels, label_smoothing, losses, dlogits,
                                              weights);
}

/// loss(i) = -sum_j p_j log softmax(logits(i))(ids(i, j)) with p_j = e^log_probabilities(i, j): a teacher's
/// top k, not normalised. dlogits and weights as in cross_entropy.
template <RealScalar Scalar, RealScalar Stored, class Device>
void topk_kl(Device& device, Rows<const Scalar, Device> logits, Rows<const std::int32_t, Device> ids,
             Rows<const Stored, Device> log_probabilities, Row<Accumulator<Scalar>, Device> losses,
             Rows<Scalar, Device> dlogits, Row<const Accumulator<Scalar>, Device> weights) {
  detail::check_extent("ops::topk_kl", "rows of the logits and of the ids", logits.rows(), ids.rows());
  detail::check_same("ops::topk_kl", ids, log_probabilities);
  detail::check_extent("ops::topk_kl", "rows of the logits and losses", logits.rows(), losses.size());
  if (dlogits) detail::check_same("ops::topk_kl", logits, dlogits);
  if (weights)
    detail::check_extent("ops::topk_kl", "rows of the logits and weights", logits.rows(), weights.size());
  Ops<Device>::template topk_kl<Scalar, Stored>(device, logits, ids, log_probabilities, losses, dlogits,
                                                weights);
}

}  // namespace hyperblocks::ops
