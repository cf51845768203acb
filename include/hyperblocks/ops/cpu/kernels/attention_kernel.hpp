// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The body of the attention kernels, included by attention_kernels.hpp once per instruction set, after the
// body of the row kernels. Rows of scores are whole panels: there are no partial vectors, and what lies
// outside of the visible keys becomes a probability of zero. No include guard on purpose.
#if defined(HYPERBLOCKS_ATTENTION_KERNEL)

// Bytes for the lanes of a vector, widened to numbers of the lanes' size.
template <class A>
HYPERBLOCKS_INLINE auto widened_bytes(const std::uint8_t* bytes) {
  typedef std::uint8_t Raw __attribute__((vector_size(vector_bytes / sizeof(A))));
  Raw raw;
  std::memcpy(&raw, bytes, sizeof raw);
  return __builtin_convertvector(
      raw, Vector<std::conditional_t<std::same_as<A, double>, std::int64_t, std::int32_t>>);
}

struct AttentionKernels {
  template <class A>
  static constexpr A hidden = -std::numeric_limits<A>::infinity();

  // Scores [i, i + lanes) after soft cap and mask, -infinity for what the query may not see.
  template <class A>
  HYPERBLOCKS_INLINE static Vector<A> visible(const ScoreRow<A>& row, Index i) {
    Vector<A> score = load<A>(row.scores + i, lanes<A>);
    if (row.cap > 0) score = hyperbolic_tangent<A>(score / row.cap) * row.cap;
    const bool inside = row.begin <= i && i + lanes<A> <= row.end;
    if (!inside || (row.allowed != nullptr && row.allowed_stride != 1)) {
      for (Index lane = 0; lane < lanes<A>; ++lane)
        if (!row.sees(i + lane)) score[lane] = hidden<A>;
    } else if (row.allowed != nullptr) {
      score = widened_bytes<A>(row.allowed + i) != 0 ? score : all(hidden<A>);
    }
    return score;
  }

  // scores = e^(score - largest so far); rescales the row's sums of earlier keys to the new largest score.
  template <class A>
  static void probabilities(const ScoreRow<A>& row, SoftmaxState<A>& state, A* output, Index width) {
    Vector<A> most = all(state.largest);
    for (Index i = row.first; i < row.last; i += lanes<A>) {
      const Vector<A> score = visible(row, i);
      store<A>(row.scores + i, score, lanes<A>);
      most = score > most ? score : most;
    }
    A largest = most[0];
    for (Index lane = 1; lane < lanes<A>; ++lane) largest = most[lane] > largest ? most[lane] : largest;
    const A reference = largest == hidden<A> ? A{0} : largest;
    // Two chains, by the key's place in its panel: their bits do not depend on which panels are skipped.
    Vector<A> sums[2] = {};
    for (Index i = row.first; i < row.last; i += 2 * lanes<A>) {
      HYPERBLOCKS_UNROLL
      for (Index chain = 0; chain < 2; ++chain) {
        A* const scores = row.scores + i + chain * lanes<A>;
        const Vector<A> value = exponential<A>(load<A>(scores, lanes<A>) - reference);
        sums[chain] += value;
        store<A>(scores, value, lanes<A>);
      }
    }
    const Vector<A> both = sums[0] + sums[1];
    A sum = 0;
    for (Index lane = 0; lane < lanes<A>; ++lane) sum += both[lane];
    if (largest != state.largest) {
      const A factor = std::exp(state.largest - reference);
      state = {largest, state.sum * factor};
      for (Index i = 0; i < width; i += lanes<A>)
        store<A>(output + i, load<A>(output + i, lanes<A>) * factor, lanes<A>);
    }
    state.sum += sum;
  }

  // From scores and dp = dout v^T: p = e^(score - log_sum_exp) and ds = p (dp - <dout, out>) [cap's slope],
  // in their places.
  template <class A>
  static void score_gradients(const ScoreRow<A>& row, A* gradients, A log_sum_exp, A along) {
    const A reference = log_sum_exp == hidden<A> ? A{0} : log_sum_exp;
    for (Index i = row.first; i < row.last; i += lanes<A>) {
      const Vector<A> score = visible(row, i);
      // A hidden key's p is 0 in a row of NaN as well.
      const Vector<A> p = score == hidden<A> ? all(A{0}) : exponential<A>(score - reference);
      Vector<A> slope = p * (load<A>(gradients + i, lanes<A>) - along);
      if (row.cap > 0) slope *= A{1} - score * score / (row.cap * row.cap);
      store<A>(row.scores + i, p, lanes<A>);
      store<A>(gradients + i, p == A{0} ? all(A{0}) : slope, lanes<A>);
    }
  }

  // A row as a row of panels, zeros to the right; returns whether all of its numbers are finite.
  template <class S, class A = Accumulator<S>>
  static bool pack_row(const S* from, Index width, A* to, Index panel_stride) {
    Vector<A> zeros = all(A{0});  // times 0, what is not finite becomes NaN
    for (Index column = 0; column < width; column += panel_columns<A>) {
      for (Index i = 0; i < panel_columns<A>; i += lanes<A>) {
        const Index left = width - column - i;
        const Vector<A> value = load<A>(from + column + i, left < lanes<A> ? left : lanes<A>);
        store<A>(to + i, value, lanes<A>);
        zeros += value * A{0};
      }
      to += panel_stride;
    }
    bool finite = true;
    for (Index lane = 0; lane < lanes<A>; ++lane) finite = finite && zeros[lane] == 0;
    return finite;
  }
};

#endif
