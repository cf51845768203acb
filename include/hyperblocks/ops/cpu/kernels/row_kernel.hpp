// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The body of the row kernels, included by row_kernels.hpp once per instruction set, inside the namespace
// that product_kernel.hpp gave vector_bytes, Vector, lanes and widened(). A last, partial vector goes through
// the same arithmetic as whole ones. No include guard on purpose.
#if defined(HYPERBLOCKS_ROW_KERNEL)

template <class A>
HYPERBLOCKS_INLINE Vector<A> all(A value) {
  return value - Vector<A>{};
}

// float to 16-bit scalars, to nearest even, in the low half of every lane; as scalar_cast does.
template <class To>
HYPERBLOCKS_INLINE Vector<std::uint32_t> narrowed(Vector<float> value) {
  const auto raw = (Vector<std::uint32_t>)value;
  const Vector<std::uint32_t> magnitude = raw & 0x7fffffffu;
  if constexpr (std::same_as<To, bf16>) {
    const Vector<std::uint32_t> rounded = (raw + 0x7fffu + ((raw >> 16) & 1u)) >> 16;
    return magnitude > 0x7f800000u ? (raw >> 16) | 0x40u : rounded;
  } else {
    const Vector<std::uint32_t> normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    // Next to 0.5 a float counts in units of 2^-24, as subnormal halves do.
    const Vector<std::uint32_t> tiny = (Vector<std::uint32_t>)((Vector<float>)magnitude + 0.5f) - 0x3f000000u;
    Vector<std::uint32_t> result = magnitude < 0x38800000u ? tiny : normal;
    result = magnitude >= 0x477ff000u ? all<std::uint32_t>(0x7c00u) : result;
    result = magnitude > 0x7f800000u ? all<std::uint32_t>(0x7e00u) : result;
    return result | ((raw >> 16) & 0x8000u);
  }
}

// The first `count` lanes from memory, the others `missing`.
template <class A, class From>
HYPERBLOCKS_INLINE Vector<A> load(const From* from, Index count, A missing = 0) {
  Vector<A> value = all(missing);
  if (count < lanes<A>) {
    for (Index lane = 0; lane < count; ++lane) value[lane] = scalar_cast<A>(from[lane]);
  } else if constexpr (std::same_as<A, From>) {
    std::memcpy(&value, from, sizeof value);
  } else if constexpr (std::same_as<A, double> && std::same_as<From, float>) {
    typedef float Narrow __attribute__((vector_size(vector_bytes / 2)));
    Narrow raw;
    std::memcpy(&raw, from, sizeof raw);
    value = __builtin_convertvector(raw, Vector<double>);
  } else if constexpr (std::same_as<A, float> && sizeof(From) == 2) {
    typedef std::uint16_t Narrow __attribute__((vector_size(vector_bytes / 2)));
    Narrow raw;
    std::memcpy(&raw, from, sizeof raw);
    value = widened<From>(__builtin_convertvector(raw, Vector<std::uint32_t>));
  } else {
    for (Index lane = 0; lane < lanes<A>; ++lane) value[lane] = scalar_cast<A>(from[lane]);
  }
  return value;
}

template <class A, class To>
HYPERBLOCKS_INLINE void store(To* to, Vector<A> value, Index count) {
  if (count < lanes<A>) {
    for (Index lane = 0; lane < count; ++lane) to[lane] = scalar_cast<To>(static_cast<A>(value[lane]));
  } else if constexpr (std::same_as<A, To>) {
    std::memcpy(to, &value, sizeof value);
  } else if constexpr (std::same_as<A, float> && sizeof(To) == 2) {
    typedef std::uint16_t Narrow __attribute__((vector_size(vector_bytes / 2)));
    const Narrow raw = __builtin_convertvector(narrowed<To>(value), Narrow);
    std::memcpy(static_cast<void*>(to), &raw, sizeof raw);
  } else {
    for (Index lane = 0; lane < lanes<A>; ++lane) to[lane] = scalar_cast<To>(static_cast<A>(value[lane]));
  }
}

// f(i, count) for every vector of [0, size).
template <class A, class F>
HYPERBLOCKS_INLINE void each(Index size, const F& f) {
  Index i = 0;
  for (; i + lanes<A> <= size; i += lanes<A>) f(i, lanes<A>);
  if (i < size) f(i, size - i);
}

// The sum of term(i, count) over the vectors of [0, size), in four chains.
template <class A, class Term>
HYPERBLOCKS_INLINE A total(Index size, const Term& term) {
  Vector<A> sums[4] = {};
  Index i = 0;
  for (; i + 4 * lanes<A> <= size; i += 4 * lanes<A>) {
    HYPERBLOCKS_UNROLL
    for (Index chain = 0; chain < 4; ++chain) sums[chain] += term(i + chain * lanes<A>, lanes<A>);
  }
  for (; i + lanes<A> <= size; i += lanes<A>) sums[0] += term(i, lanes<A>);
  if (i < size) sums[1] += term(i, size - i);
  const Vector<A> all_chains = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  A sum = 0;
  for (Index lane = 0; lane < lanes<A>; ++lane) sum += all_chains[lane];
  return sum;
}

template <class A, class F>
HYPERBLOCKS_INLINE Vector<A> lane_by_lane(Vector<A> x, const F& f) {
  for (Index lane = 0; lane < lanes<A>; ++lane) x[lane] = f(x[lane]);
  return x;
}

// e^x; float: x = n ln 2 + r, a polynomial in r (Cephes), and 2^n in two factors for subnormal results. NaN
// stays.
template <class A>
HYPERBLOCKS_INLINE Vector<A> exponential(Vector<A> x) {
  if constexpr (std::same_as<A, double>) {
    return lane_by_lane<A>(x, [](double value) { return std::exp(value); });
  } else {
    x = x < -104.0f ? all(-104.0f) : x;
    x = x > 89.0f ? all(89.0f) : x;
    constexpr float round = 0x1.8p23f;  // adding it leaves an integer in the lowest bits
    const Vector<float> shifted = x * 1.44269504f + round;
    const Vector<float> n = shifted - round;
    const Vector<float> r = (x - n * 0x1.62e4p-1f) - n * 1.42860677e-6f;
    Vector<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    const auto exponent = (Vector<std::int32_t>)shifted - 0x4b400000;
    const Vector<std::int32_t> first = exponent >> 1, second = exponent - first;
    return p * (Vector<float>)((Vector<std::uint32_t>)(first + 127) << 23) *
           (Vector<float>)((Vector<std::uint32_t>)(second + 127) << 23);
  }
}

// As an instruction: compilers call a function for every lane, in case that errno has to be set.
template <class A>
HYPERBLOCKS_INLINE Vector<A> square_root(Vector<A> x) {
#if defined(__x86_64__)
  if constexpr (vector_bytes == 16) {
    if constexpr (std::same_as<A, double>)
      __asm__("sqrtpd %1, %0" : "=x"(x) : "x"(x));
    else
      __asm__("sqrtps %1, %0" : "=x"(x) : "x"(x));
  } else {
    if constexpr (std::same_as<A, double>)
      __asm__("vsqrtpd %1, %0" : "=x"(x) : "x"(x));
    else
      __asm__("vsqrtps %1, %0" : "=x"(x) : "x"(x));
  }
  return x;
#else
  return lane_by_lane<A>(x, [](A value) { return std::sqrt(value); });
#endif
}

template <class A>
HYPERBLOCKS_INLINE Vector<A> sigmoid(Vector<A> x) {
  return A{1} / (exponential<A>(-x) + A{1});
}

// The standard normal distribution, erfc(-x / sqrt 2) / 2; float: a Chebyshev fit of fractional error 1.2e-7
// (Numerical Recipes, erfcc).
template <class A>
HYPERBLOCKS_INLINE Vector<A> normal_probability(Vector<A> x) {
  constexpr A half_root = std::numbers::sqrt2_v<A> / 2;
  if constexpr (std::same_as<A, double>) {
    return lane_by_lane<A>(x, [](double value) { return 0.5 * std::erfc(-value * half_root); });
  } else {
    constexpr float fit[] = {-0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f, -0.18628806f,
                             0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    const Vector<float> z = (x < 0.0f ? -x : x) * half_root;
    const Vector<float> t = 1.0f / (z * 0.5f + 1.0f);
    Vector<float> p = all(0.17087277f);
    HYPERBLOCKS_UNROLL
    for (const float coefficient : fit) p = p * t + coefficient;
    const Vector<float> tail = t * exponential<float>(p - z * z) * 0.5f;
    return x < 0.0f ? tail : 1.0f - tail;
  }
}

// tanh x; float: next to 0, where 1 - 2 / (e^2x + 1) cancels, a fit of x + x^3 p(x^2) with relative error
// 5e-9. A soft cap of 50 would otherwise cost 4e-6 of every score.
template <class A>
HYPERBLOCKS_INLINE Vector<A> hyperbolic_tangent(Vector<A> x) {
  if constexpr (std::same_as<A, double>) {
    return lane_by_lane<A>(x, [](double value) { return std::tanh(value); });
  } else {
    const Vector<float> square = x * x;
    Vector<float> p = square * -5.704042525e-3f + 2.063786149e-2f;
    p = p * square - 5.373915650e-2f;
    p = p * square + 1.333143175e-1f;
    p = p * square - 3.333328128e-1f;
    const Vector<float> near = x + x * square * p, far = 1.0f - 2.0f / (exponential<float>(x * 2.0f) + 1.0f);
    return square < 0.390625f ? near : far;
  }
}

template <class A>
struct ValueAndSlope {
  Vector<A> value, slope;
};

template <class A>
HYPERBLOCKS_INLINE Vector<A> at_least(Vector<A> x, A low) {
  return x < low ? all(low) : x;  // NaN stays
}

template <class A>
HYPERBLOCKS_INLINE Vector<A> within(Vector<A> x, A limit) {
  return at_least<A>(x > limit ? all(limit) : x, -limit);
}

// Gates are exactly 0 or 1 beyond saturated_at (activation_functions.hpp).
template <Activation activation, class A>
HYPERBLOCKS_INLINE ValueAndSlope<A> evaluate(Vector<A> x) {
  constexpr A limit = saturated_at<activation, A>;
  const Vector<A> bounded = within<A>(x, limit), above = at_least<A>(x, -limit);
  if constexpr (activation == Activation::identity) {
    return {x, all(A{1})};
  } else if constexpr (activation == Activation::relu) {
    return {x < A{0} ? all(A{0}) : x, x > A{0} ? all(A{1}) : (x != x ? x : all(A{0}))};
  } else if constexpr (activation == Activation::silu) {
    const Vector<A> gate = sigmoid<A>(bounded);
    return {above * gate, gate * (bounded * (A{1} - gate) + A{1})};
  } else if constexpr (activation == Activation::sigmoid) {
    const Vector<A> gate = sigmoid<A>(bounded);
    return {gate, gate * (A{1} - gate)};
  } else if constexpr (activation == Activation::gelu_exact) {
    constexpr A peak = std::numbers::inv_sqrtpi_v<A> * std::numbers::sqrt2_v<A> / 2;
    const Vector<A> gate = normal_probability<A>(bounded);
    return {above * gate, gate + bounded * exponential<A>(bounded * bounded * A{-0.5}) * peak};
  } else {  // (1 + tanh u) / 2 = sigmoid(2 u)
    constexpr A twice = 2 * std::numbers::sqrt2_v<A> * std::numbers::inv_sqrtpi_v<A>, cubic = A(0.044715);
    const Vector<A> square = bounded * bounded, gate = sigmoid<A>(bounded * (square * cubic + A{1}) * twice);
    return {above * gate, gate + bounded * gate * (A{1} - gate) * (square * (3 * cubic) + A{1}) * twice};
  }
}

// Contiguous elements, or one row, per call. Outputs may be the inputs.
struct RowKernels {
  // y = alpha x
  template <class To, class From, class A>
  static void convert(A alpha, const From* x, To* y, Index size) {
    each<A>(size, [=](Index i, Index count)
                      HYPERBLOCKS_LAMBDA { store<A>(y + i, load<A>(x + i, count) * alpha, count); });
  }

  // y = alpha a + beta b
  template <class S, class A = Accumulator<S>>
  static void combine(A alpha, const S* a, A beta, const S* b, S* y, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(y + i, load<A>(a + i, count) * alpha + load<A>(b + i, count) * beta, count);
    });
  }

  // y = cap tanh(x / cap)
  template <class S, class A = Accumulator<S>>
  static void soft_cap(A cap, const S* x, S* y, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(y + i, hyperbolic_tangent<A>(load<A>(x + i, count) / cap) * cap, count);
    });
  }

  // dx = dy (1 - tanh(x / cap)^2)
  template <class S, class A = Accumulator<S>>
  static void soft_cap_backward(A cap, const S* x, const S* dy, S* dx, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> t = hyperbolic_tangent<A>(load<A>(x + i, count) / cap);
      store<A>(dx + i, load<A>(dy + i, count) * (A{1} - t * t), count);
    });
  }

  // sum += alpha x, with sums in A
  template <class S, class A = Accumulator<S>>
  static void add_to(A alpha, const S* x, A* sum, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(sum + i, load<A>(sum + i, count) + load<A>(x + i, count) * alpha, count);
    });
  }

  template <class S, class A = Accumulator<S>>
  static double sum(const S* x, Index size) {
    return total<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA { return load<A>(x + i, count); });
  }

  // In double, where no square of a float overflows or vanishes; those of half have room in float.
  template <class S>
  static double squares(const S* x, Index size) {
    using A = std::conditional_t<std::same_as<S, half>, float, double>;
    return total<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> value = load<A>(x + i, count);
      return value * value;
    });
  }

  // Compared as integers, magnitudes are in order and NaN is the largest.
  template <class S, class A = Accumulator<S>>
  static double max_abs(const S* x, Index size) {
    using Bits = std::conditional_t<std::same_as<A, double>, std::int64_t, std::int32_t>;
    Vector<Bits> most = {};
    each<A>(size, [=, &most](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<Bits> bits = (Vector<Bits>)load<A>(x + i, count) & std::numeric_limits<Bits>::max();
      most = bits > most ? bits : most;
    });
    Bits result = 0;
    for (Index lane = 0; lane < lanes<A>; ++lane) result = most[lane] > result ? most[lane] : result;
    return std::bit_cast<A>(result);
  }

  // Of one row; not centred: the mean is taken as zero.
  template <bool centred, class S, class A = Accumulator<S>>
  HYPERBLOCKS_INLINE static Moments<A> moments(const S* x, Index size, A epsilon) {
    const A mean = centred ? static_cast<A>(sum<S>(x, size)) / static_cast<A>(size) : A{0};
    const A squares = total<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> value = load<A>(x + i, count, mean) - mean;
      return value * value;
    });
    return {mean, 1 / std::sqrt(squares / static_cast<A>(size) + epsilon)};
  }

  template <class S, class A = Accumulator<S>>
  HYPERBLOCKS_INLINE static Vector<A> factor(const S* weight, A shift, Index i, Index count) {
    return weight == nullptr ? all(A{1}) : load<A>(weight + i, count) + shift;
  }

  // y = (x - mean) scale (weight + shift) + bias; weight and bias may be null.
  template <bool centred, class S, class A = Accumulator<S>>
  static void norm(const S* x, const S* weight, const S* bias, S* y, Index size, A epsilon, A shift) {
    const Moments<A> row = moments<centred>(x, size, epsilon);
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      Vector<A> value = (load<A>(x + i, count) - row.mean) * row.scale * factor(weight, shift, i, count);
      if (bias != nullptr) value += load<A>(bias + i, count);
      store<A>(y + i, value, count);
    });
  }

  // With n = (x - mean) scale, g = dy (weight + shift): dx = scale (g - mean(g) - n mean(g n)); not centred:
  // without mean(g). dx may be null: the moments alone.
  template <bool centred, class S, class A = Accumulator<S>>
  static void norm_backward(const S* x, const S* weight, const S* dy, S* dx, Index size, A epsilon, A shift,
                            Moments<A>* kept) {
    *kept = moments<centred>(x, size, epsilon);
    if (dx == nullptr) return;
    const A mean = kept->mean, scale = kept->scale;
    const auto gradient = [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      return load<A>(dy + i, count) * factor(weight, shift, i, count);
    };
    const auto normal = [=](Index i, Index count)
                            HYPERBLOCKS_LAMBDA { return (load<A>(x + i, count, mean) - mean) * scale; };
    const A offset = centred ? total<A>(size, gradient) / static_cast<A>(size) : A{0};
    const A along = total<A>(size, [=](Index i, Index count)
                                       HYPERBLOCKS_LAMBDA { return gradient(i, count) * normal(i, count); }) /
                    static_cast<A>(size);
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(dx + i, (gradient(i, count) - offset - normal(i, count) * along) * scale, count);
    });
  }

  // y [+]= the sums over rows of dy, or of dy (x - mean) scale, for at most column_block columns; parts of 64
  // rows first, so that errors grow slowly.
  template <bool normalised, class S, class A = Accumulator<S>>
  static void column_sums(const S* dy, const S* x, const Moments<A>* moments, Index rows, Index stride,
                          Index columns, S* y, bool add) {
    Vector<A> sums[column_block / lanes<A>] = {};
    for (Index first = 0; first < rows; first += 64) {
      const Index last = first + 64 < rows ? first + 64 : rows;
      Vector<A> part[column_block / lanes<A>] = {};
      for (Index row = first; row < last; ++row) {
        each<A>(columns, [&, row](Index i, Index count) HYPERBLOCKS_LAMBDA {
          Vector<A> term = load<A>(dy + row * stride + i, count);
          if constexpr (normalised)
            term *= (load<A>(x + row * stride + i, count) - moments[row].mean) * moments[row].scale;
          part[i / lanes<A>] += term;
        });
      }
      for (Index i = 0; i < column_block / lanes<A>; ++i) sums[i] += part[i];
    }
    each<A>(columns, [&](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> before = add ? load<A>(y + i, count) : all(A{0});
      store<A>(y + i, before + sums[i / lanes<A>], count);
    });
  }

  // The largest x (0 when all are -infinity), and the sum of e^(x - largest).
  template <class S, class A = Accumulator<S>>
  static Exponentials<A> exponentials(const S* x, Index size) {
    constexpr A lowest = -std::numeric_limits<A>::infinity();
    Vector<A> most = all(lowest);
    each<A>(size, [=, &most](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> value = load<A>(x + i, count, lowest);
      most = value > most ? value : most;
    });
    A largest = lowest;
    for (Index lane = 0; lane < lanes<A>; ++lane) largest = most[lane] > largest ? most[lane] : largest;
    if (largest == lowest) largest = 0;
    return {largest, total<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
              return exponential<A>(load<A>(x + i, count, lowest) - largest);
            })};
  }

  // y = scale e^(x - largest) - offset
  template <class S, class A = Accumulator<S>>
  static void scaled_exponentials(const S* x, S* y, Index size, A largest, A scale, A offset) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(y + i, exponential<A>(load<A>(x + i, count) - largest) * scale - offset, count);
    });
  }

  // dx = y (dy - sum(y dy))
  template <class S, class A = Accumulator<S>>
  static void softmax_backward(const S* y, const S* dy, S* dx, Index size) {
    const A along = total<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      return load<A>(y + i, count) * load<A>(dy + i, count);
    });
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(dx + i, load<A>(y + i, count) * (load<A>(dy + i, count) - along), count);
    });
  }

  // One head: pairs (i, i + half).
  template <class S, class A = Accumulator<S>>
  static void rotate_halves(S* x, const A* cosines, const A* sines, Index half, A sign) {
    each<A>(half, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> first = load<A>(x + i, count), second = load<A>(x + half + i, count);
      const Vector<A> c = load<A>(cosines + i, count), s = load<A>(sines + i, count) * sign;
      store<A>(x + i, first * c - second * s, count);
      store<A>(x + half + i, second * c + first * s, count);
    });
  }

  // One head: pairs (2i, 2i + 1).
  template <class S, class A = Accumulator<S>>
  static void rotate_pairs(S* x, const A* cosines, const A* sines, Index half, A sign) {
    for (Index i = 0; i < half; ++i) {
      const A first = scalar_cast<A>(x[2 * i]), second = scalar_cast<A>(x[2 * i + 1]);
      const A c = cosines[i], s = sines[i] * sign;
      x[2 * i] = scalar_cast<S>(first * c - second * s);
      x[2 * i + 1] = scalar_cast<S>(second * c + first * s);
    }
  }

  template <Activation activation, class S, class A = Accumulator<S>>
  static void activate(const S* x, S* y, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      store<A>(y + i, evaluate<activation, A>(load<A>(x + i, count)).value, count);
    });
  }

  template <Activation activation, class S, class A = Accumulator<S>>
  static void activate_backward(const S* x, const S* dy, S* dx, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> slope = evaluate<activation, A>(load<A>(x + i, count)).slope;
      store<A>(dx + i, load<A>(dy + i, count) * slope, count);
    });
  }

  template <Activation activation, class S, class A = Accumulator<S>>
  static void glu(const S* gate, const S* up, S* y, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> value = evaluate<activation, A>(load<A>(gate + i, count)).value;
      store<A>(y + i, value * load<A>(up + i, count), count);
    });
  }

  template <Activation activation, class S, class A = Accumulator<S>>
  static void glu_backward(const S* gate, const S* up, const S* dy, S* dgate, S* dup, Index size) {
    each<A>(size, [=](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const ValueAndSlope<A> f = evaluate<activation, A>(load<A>(gate + i, count));
      const Vector<A> direction = load<A>(dy + i, count), factor = load<A>(up + i, count);
      store<A>(dgate + i, direction * factor * f.slope, count);
      store<A>(dup + i, direction * f.value, count);
    });
  }

  // |x - target| summed in double, and dx [+]= factor sign(x - target), which is zero where they are equal.
  template <class S, class A = Accumulator<S>>
  static double l1_distance(const S* x, const S* target, A factor, S* dx, bool add, Index size) {
    double sum = 0;
    each<A>(size, [=, &sum](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> aim = target != nullptr ? load<A>(target + i, count) : all(A{0});
      const Vector<A> difference = load<A>(x + i, count) - aim;
      for (Index lane = 0; lane < count; ++lane) sum += std::abs(static_cast<double>(difference[lane]));
      if (dx == nullptr) return;
      const Vector<A> zero = all(A{0}), before = add ? load<A>(dx + i, count) : zero;
      // A difference that is NaN is neither: the factor times it goes on.
      const Vector<A> slope = difference > zero ? all(factor) : difference < zero ? all(-factor) : difference;
      store<A>(dx + i, before + slope, count);
    });
    return sum;
  }

  template <class S, class A = Accumulator<S>>
  static void adam_step(const ops::AdamFactors<A>& factors, const S* gradient, A* weights, A* means,
                        A* squares, S* rounded, Index size) {
    each<A>(size, [&](Index i, Index count) HYPERBLOCKS_LAMBDA {
      const Vector<A> g = load<A>(gradient + i, count) * factors.gradient;
      const Vector<A> mean = load<A>(means + i, count) * factors.mean + g * factors.new_mean;
      const Vector<A> square = load<A>(squares + i, count) * factors.square + g * g * factors.new_square;
      const Vector<A> size_of_step = mean / (square_root<A>(square) * factors.root + factors.epsilon);
      const Vector<A> weight = load<A>(weights + i, count) * factors.keep - size_of_step * factors.rate;
      store<A>(means + i, mean, count);
      store<A>(squares + i, square, count);
      store<A>(weights + i, weight, count);
      if (rounded != nullptr) store<A>(rounded + i, weight, count);
    });
  }
};

#endif
