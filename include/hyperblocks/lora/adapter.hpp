// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Adapter: factors for the linears of a decoder's layers, all or some, as parameters; and what of it a
// decoder's input takes. From and to a HostAdapter, as which it is read, written and composed.
//   using Lora = Adapter<base, AdapterSpec{.rank = 8, .targets = query_and_value}, float, Cpu>;
//   Lora lora(cpu);    input.updates = lora.updates<Decoder>();
#pragma once

#include <hyperblocks/lora/factors.hpp>
#include <hyperblocks/lora/host_adapter.hpp>

namespace hyperblocks {

/// Which linears of a layer an adapter changes.
struct Targets {
  bool query = true, key = true, value = true, output = true, gate = true, up = true, down = true;

  constexpr bool contains(Projection projection) const {
    const std::array all = {query, key, value, output, gate, up, down};
    return all[static_cast<std::size_t>(projection)];
  }
};
inline constexpr Targets query_and_value{
    .key = false, .output = false, .gate = false, .up = false, .down = false};
inline constexpr Targets query_key_value{.output = false, .gate = false, .up = false, .down = false};
inline constexpr Targets no_linears{false, false, false, false, false, false, false};

/// Which linears of a model have a bias.
template <class Base>
constexpr Targets biased(const Base& base) {
  Targets targets = base.bias ? query_key_value : no_linears;
  targets.output = base.output_bias;
  return targets;
}

struct AdapterSpec {
  Index rank = dyn;  ///< of every linear; dyn: told at run time, each linear's own, some without factors
  Targets targets = {};
  FactorForm a = FactorForm::rows;
  FactorForm b = FactorForm::columns;
  Targets bias = no_linears;  ///< which have a C
};

/// The member of a layer that belongs to a projection, of anything built as a decoder's layer is.
template <Projection projection, class Layer>
auto& linear_of(Layer& layer) {
  if constexpr (projection == Projection::query) return layer.attention.query;
  if constexpr (projection == Projection::key) return layer.attention.key;
  if constexpr (projection == Projection::value) return layer.attention.value;
  if constexpr (projection == Projection::output) return layer.attention.output;
  if constexpr (projection == Projection::gate) return layer.mlp.gate;
  if constexpr (projection == Projection::up) return layer.mlp.up;
  if constexpr (projection == Projection::down) return layer.mlp.down;
}

/// f.template operator()<projection>() for all of them.
template <class F>
void each_projection(F f) {
  [&]<std::size_t... i>(std::index_sequence<i...>) { (f.template operator()<all_projections[i]>(), ...); }
  (std::make_index_sequence<all_projections.size()>());
}

/// One thing for each linear of a layer, built as a decoder's layer is; Nothing where Of says so.
template <template <Projection> class Of>
struct PerLinear {
  struct Attention {
    [[no_unique_address]] Of<Projection::query> query;
    [[no_unique_address]] Of<Projection::key> key;
    [[no_unique_address]] Of<Projection::value> value;
    [[no_unique_address]] Of<Projection::output> output;
    static constexpr auto fields() {
      return std::tuple{Field{"query", &Attention::query}, Field{"key", &Attention::key},
                        Field{"value", &Attention::value}, Field{"output", &Attention::output}};
    }
  };
  struct Mlp {
    [[no_unique_address]] Of<Projection::gate> gate;
    [[no_unique_address]] Of<Projection::up> up;
    [[no_unique_address]] Of<Projection::down> down;
    static constexpr auto fields() {
      return std::tuple{Field{"gate", &Mlp::gate}, Field{"up", &Mlp::up}, Field{"down", &Mlp::down}};
    }
  };

  Attention attention;
  Mlp mlp;
  static constexpr auto fields() {
    return std::tuple{Field{"attention", &PerLinear::attention}, Field{"mlp", &PerLinear::mlp}};
  }
};

template <auto base, AdapterSpec spec_, RealScalar Scalar_, class Device_>
struct Adapter {
  static constexpr AdapterSpec spec = spec_;
  using Scalar = Scalar_;
  using Device = Device_;
  template <Projection projection>
  using Of = std::conditional_t<spec.targets.contains(projection),
                                Factors<FactorsSpec{.in = std::max<Index>(size_of(base, projection).in, 1),
                                                    .out = std::max<Index>(size_of(base, projection).out, 1),
                                                    .rank = spec.rank,
                                                    .a = spec.a,
                                                    .b = spec.b,
                                                    .bias = spec.bias.contains(projection)},
                                        Scalar, Device>,
                                Nothing>;
  using Layer = PerLinear<Of>;

  std::array<Layer, static_cast<std::size_t>(base.layers)> layers;
  static constexpr auto fields() { return std::tuple{Field{"layers", &Adapter::layers}}; }

  /// Owns nothing.
  Adapter() = default;
  /// Zeros: the adapter that changes nothing.
  explicit Adapter(Device& device) requires(spec.rank != dyn) {
    each([&]<class F>(const auto&, F& factors) { factors = F(device); });
  }
  Adapter(Device& device, Index rank) requires(spec.rank == dyn) {
    each([&]<class F>(const auto&, F& factors) { factors = F(device, rank); });
  }
  /// What a HostAdapter holds; `where` names it in errors.
  Adapter(Device& device, const HostAdapter& host, const std::string& where);

  /// f(place, factors) for every linear that is a target.
  template <class F>
  void each(F f) {
    each_of(*this, f);
  }
  template <class F>
  void each(F f) const {
    each_of(*this, f);
  }

  /// As a decoder's input takes it; it looks at this adapter's memory.
  template <class Model>
  typename Model::template Updates<const Scalar> updates() const {
    return filled<Model, typename Model::template Updates<const Scalar>>(
        *this, [](const auto& factors) { return factors.update(); });
  }
  /// As a decoder's backward pass gives gradients, into an adapter of this type.
  template <class Model>
  typename Model::template Updates<Scalar> gradients() {
    return filled<Model, typename Model::template Updates<Scalar>>(
        *this, [](auto& factors) { return factors.gradient(); });
  }

  /// See Factors::pack.
  void pack(Device& device, bool wanted = true) {
    each([&](const auto&, auto& factors) { factors.pack(device, wanted); });
  }

  static void initialise(Device& device, Adapter& adapter, Random& random, double deviation) {
    adapter.each(
        [&]<class F>(const auto&, F& factors) { F::initialise(device, factors, random, deviation); });
  }

  HostAdapter to_host(Device& device) const;

 private:
  template <class Self, class F>
  static void each_of(Self& self, F& f) {
    for (std::size_t i = 0; i < self.layers.size(); ++i)
      each_projection([&]<Projection projection>() {
        if constexpr (spec.targets.contains(projection))
          f(HostAdapter::Place{static_cast<Index>(i), projection}, linear_of<projection>(self.layers[i]));
      });
  }
  template <class Model>
  static constexpr bool fits() {
    bool same = Model::spec.layers == base.layers;
    for (const Projection projection : all_projections)
      same = same && size_of(Model::spec, projection) == size_of(base, projection);
    return same;
  }
  template <class Model, class Updates, class Self, class F>
  static Updates filled(Self& self, F f) {
    static_assert(
        fits<Model>(),
        "hyperblocks: the model has other layers, or layers of other widths, than the adapter's base");
    Updates updates;
    if constexpr (fits<Model>())  // no errors besides
      for (std::size_t i = 0; i < self.layers.size(); ++i)
        each_projection([&]<Projection projection>() {
          if constexpr (spec.targets.contains(projection))
            linear_of<projection>(updates.layers[i]) = f(linear_of<projection>(self.layers[i]));
        });
    return updates;
  }
};

template <auto base, AdapterSpec spec_, RealScalar Scalar_, class Device_>
Adapter<base, spec_, Scalar_, Device_>::Adapter(Device& device, const HostAdapter& host,
                                                const std::string& where) {
  check_adapter(host, where);
  for (const auto& [place, factors] : host.linears)
    check(place.layer >= 0 && place.layer < base.layers && spec.targets.contains(place.projection),
          [&, &at = place] {
            return Error("factors of a linear that the adapter's type does not have", where,
                         "its targets in layers 0 to " + std::to_string(base.layers - 1), to_string(at));
          });
  each([&]<class F>(const HostAdapter::Place& place, F& factors) {
    const auto found = host.linears.find(place);
    check(found != host.linears.end() || spec.rank == dyn,
          [&] { return Error("a linear without factors", where, to_string(place), "none"); });
    if (found == host.linears.end()) return;
    const HostFactors& from = found->second;
    const auto differs = [&](const char* what, Index expected, Index given) {
      check(expected == given, [&] {
        return Error(std::string(what) + " differs", where + ": " + to_string(place),
                     std::to_string(expected), std::to_string(given));
      });
    };
    differs("in", F::spec.in, from.size.in);
    differs("out", F::spec.out, from.size.out);
    if constexpr (spec.rank != dyn) {
      differs("the rank", spec.rank, from.rank);
      factors = F(device);
    } else {
      factors = F(device, from.rank);
    }
    factors.scale = from.scale;
    factors.a.upload(device, detail::converted<Scalar>(from.a, from.rank, spec.a == FactorForm::columns));
    factors.b.upload(device, detail::converted<Scalar>(from.b, from.size.out, spec.b == FactorForm::rows));
    if constexpr (F::spec.bias) {
      if (!from.bias.empty()) factors.bias.upload(device, detail::converted<Scalar>(from.bias, 1, false));
    } else {
      check(from.bias.empty(), [&] {
        return Error("the adapter's type has no C", where + ": " + to_string(place), "AdapterSpec with bias",
                     std::to_string(from.bias.size()) + " numbers of C");
      });
    }
  });
}

template <auto base, AdapterSpec spec_, RealScalar Scalar_, class Device_>
HostAdapter Adapter<base, spec_, Scalar_, Device_>::to_host(Device& device) const {
  HostAdapter host;
  const auto numbers = [&](const auto& tensor) {
    std::vector<Scalar> result(static_cast<std::size_t>(tensor.size()));
    tensor.download(device, result);
    return result;
  };
  each([&]<class F>(const HostAdapter::Place& place, const F& factors) {
    if (!factors.given()) return;
    HostFactors& to = host.linears[place];
    to.size = {F::spec.in, F::spec.out}, to.rank = factors.rank(), to.scale = factors.scale;
    to.a = detail::converted<float>(numbers(factors.a), F::spec.in, false);
    if (spec.a == FactorForm::columns) to.a = detail::converted<float>(to.a, F::spec.in, true);
    to.b = detail::converted<float>(numbers(factors.b), to.rank, spec.b == FactorForm::rows);
    if constexpr (F::spec.bias) to.bias = detail::converted<float>(numbers(factors.bias), 1, false);
  });
  return host;
}

}  // namespace hyperblocks
