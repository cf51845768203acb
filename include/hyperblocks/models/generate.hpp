// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// generate: continuations of one or several prompts by a Decoder, token by token through its cache.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include <hyperblocks/core/recorded.hpp>
#include <hyperblocks/models/decoder.hpp>
#include <hyperblocks/models/sampler.hpp>

namespace hyperblocks {

using Tokens = std::vector<std::int32_t>;

/// Why a continuation has ended.
enum class Ending : std::uint8_t {
  most,       ///< it has as many tokens as were asked for
  stop,       ///< a stop token came
  told,       ///< GenerationOptions::each said so
  positions,  ///< its last token stands behind the last position: nothing could follow
};

struct GenerationOptions {
  Index most = 128;  ///< new tokens for each prompt
  Tokens stop = {};  ///< tokens that end a continuation and are not part of it
  Sampling sampling = {};
  /// Told every new token and the prompt it continues; false ends that continuation.
  std::function<bool(std::size_t prompt, std::int32_t token)> each = {};
  /// Told once for every prompt.
  std::function<void(std::size_t prompt, Ending why)> ended = {};
};

namespace detail {
/// The state of a generation: a cache with a place for every prompt, the last logits, a sampler each. The
/// prompts that go on stand in the first places: where one ends, the last one moves.
template <class Model>
class Generation {
 public:
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;

  Generation(Device& device, const typename Model::Params& params, const typename Model::Rotaries& rotary,
             std::span<const Tokens> prompts, const GenerationOptions& options,
             const typename Model::template Updates<const Scalar>& updates, typename Model::Cache* cache)
      : device_(device),
        params_(params),
        rotary_(rotary),
        options_(options),
        updates_(updates),
        positions_(cache ? std::min(rotary.full.cosines.rows(), cache->capacity())
                         : rotary.full.cosines.rows()),
        own_(device, cache ? 0 : static_cast<Index>(prompts.size()), capacity(prompts)),
        cache_(cache ? *cache : own_),
        logits_(device, static_cast<Index>(prompts.size())),
        ids_(device, std::max(static_cast<Index>(prompts.size()), chunk)),
        seen_(prompts.begin(), prompts.end()),
        results_(prompts.size()),
        places_(prompts.size()) {
    std::iota(places_.begin(), places_.end(), std::size_t{0});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      Sampling own = options.sampling;
      own.seed += i;
      samplers_.emplace_back(own);
    }
  }

  std::vector<Tokens> run() {
    check_updates();
    check(&cache_ == &own_ || (seen_.size() == 1 && cache_.lengths.size() == 1), [&] {
      return Error("a cache that is kept", "generate", "one prompt, a cache of one sequence",
                   std::to_string(seen_.size()) + " and " + std::to_string(cache_.lengths.size()));
    });
    if (options_.most <= 0) {
      for (std::size_t i = 0; i < seen_.size(); ++i) end(i, Ending::most);
      return results_;
    }
    for (std::size_t i = 0; i < seen_.size(); ++i) read_prompt(i);
    std::vector<std::int32_t> next;
    while (choose(next)) {
      device_.upload(ids_.data(), next.data(), next.size() * sizeof(std::int32_t));
      step(next.size());
    }
    return std::move(results_);
  }

 private:
  static constexpr Index chunk = 512;  // tokens of a prompt in one pass: bounds the memory of long ones

  /// What the longest prompt and its continuation need, which is never more than there are positions.
  Index capacity(std::span<const Tokens> prompts) const {
    Index longest = 0;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto size = static_cast<Index>(prompts[i].size());
      check(size > 0 && size <= positions_, [&] {
        return Error(size == 0 ? "an empty prompt" : "a prompt longer than the positions", "generate",
                     "1 to " + std::to_string(positions_) + " tokens",
                     std::to_string(size) + " in prompt " + std::to_string(i));
      });
      longest = std::max(longest, size);
    }
    return longest + std::clamp<Index>(options_.most, 0, positions_ - longest);
  }

  /// Prompts are read one by one, continuations together: a row is not the same one from pass to pass.
  void check_updates() const {
    visit(
        [](const std::string& name, const auto& linear) {
          each_update(linear, [&](const auto& update) {
            check(update.first_row == 0 && update.rows == update.all, [&] {
              return Error("an update of some rows", "generate: " + name, "one for all prompts",
                           "rows from " + std::to_string(update.first_row) + " on, " +
                               std::to_string(update.rows) + " of them");
            });
          });
        },
        updates_);
  }

  void read_prompt(std::size_t i) {
    const Tokens& prompt = seen_[i];
    const auto size = static_cast<Index>(prompt.size());
    Index& known = cache_.lengths[i];
    known = std::min(known, size - 1);  // the last token is read in any case: for its logits
    for (Index first = known; first < size; first += chunk) {
      const Index count = std::min(chunk, size - first);
      device_.upload(ids_.data(), prompt.data() + first,
                     static_cast<std::size_t>(count) * sizeof(std::int32_t));
      pass(static_cast<Index>(i), 1, count, first + count == size);
    }
  }

  /// One token of each of the first `count` sequences: the same operations every time, until one ends.
  void step(std::size_t count) {
    const auto sequences = static_cast<Index>(count);
    before_ = cache_.lengths;
    if (step_ && stepping_ == count) {
      cache_.prepare(device_, 0, sequences, 1);
      step_->run();
    } else {
      step_.reset();
      step_.emplace(device_, [this, sequences] {
        cache_.lengths = before_;
        pass(0, sequences, sequences, true);
      });
      stepping_ = count;
    }
    for (std::size_t i = 0; i < count; ++i) cache_.lengths[i] = before_[i] + 1;
  }

  /// The first `tokens` ids, those of sequences [first, first + count) of the cache.
  void pass(Index first, Index count, Index tokens, bool wanted) {
    const ArenaScope scope(device_);
    typename Model::Input input;
    input.ids = ids_.view().slice(0, tokens);
    input.sequences = count, input.rotary = rotary_, input.updates = updates_;
    input.cache = &cache_, input.first_cached = first;
    typename Model::Output output;
    if (wanted) output.logits = logits_.view().slice(first, count);
    Model::forward(device_, params_, input, output);
  }

  /// The next tokens of the continuations that go on, by their places; whether there is one.
  bool choose(std::vector<std::int32_t>& next) {
    next.resize(places_.size());
    if (greedy()) {  // chosen where the logits are
      const auto count = static_cast<Index>(places_.size());
      ops::largest<Scalar>(device_, logits_.view().slice(0, count), ids_.view().slice(0, count));
      device_.download(next.data(), ids_.data(), next.size() * sizeof(std::int32_t));
    } else {
      host_.resize(places_.size() * static_cast<std::size_t>(Model::vocabulary));
      device_.download(host_.data(), logits_.data(), host_.size() * sizeof(Scalar));
    }
    std::vector<std::size_t> ended;
    for (std::size_t place = 0; place < places_.size(); ++place) {
      const auto token = go_on(places_[place], greedy() ? next[place] : sampled(place));
      next[place] = token.value_or(0);
      if (!token) ended.push_back(place);
    }
    std::for_each(ended.rbegin(), ended.rend(), [&](std::size_t place) { leave(place, next); });
    return !next.empty();
  }

  /// The last place's continuation takes the place of one that has ended.
  void leave(std::size_t place, std::vector<std::int32_t>& next) {
    const std::size_t last = places_.size() - 1;
    if (place != last) {
      cache_.copy(device_, static_cast<Index>(last), static_cast<Index>(place));
      places_[place] = places_[last], next[place] = next[last];
    }
    places_.pop_back(), next.pop_back();
  }

  std::nullopt_t end(std::size_t prompt, Ending why) {
    if (options_.ended) options_.ended(prompt, why);
    return std::nullopt;
  }

  bool greedy() const {
    return options_.sampling.temperature == 0 && options_.sampling.repetition_penalty == 1;
  }

  std::int32_t sampled(std::size_t place) {
    const std::size_t prompt = places_[place];
    row_.resize(static_cast<std::size_t>(Model::vocabulary));
    std::transform(host_.begin() + static_cast<Index>(place) * Model::vocabulary,
                   host_.begin() + static_cast<Index>(place + 1) * Model::vocabulary, row_.begin(),
                   [](Scalar number) { return scalar_cast<float>(number); });
    return samplers_[prompt].next(row_, seen_[prompt]);
  }

  /// Nothing where the continuation ends, whether with a token or with a stop token in its place.
  std::optional<std::int32_t> go_on(std::size_t prompt, std::int32_t token) {
    if (std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end())
      return end(prompt, Ending::stop);
    results_[prompt].push_back(token);
    seen_[prompt].push_back(token);
    if (options_.each && !options_.each(prompt, token)) return end(prompt, Ending::told);
    if (std::ssize(results_[prompt]) >= options_.most) return end(prompt, Ending::most);
    if (std::ssize(seen_[prompt]) > positions_) return end(prompt, Ending::positions);
    return token;
  }

  Device& device_;
  const typename Model::Params& params_;
  typename Model::Rotaries rotary_;
  const GenerationOptions& options_;
  typename Model::template Updates<const Scalar> updates_;
  Index positions_;  ///< that there are rotary tables of
  typename Model::Cache own_;
  typename Model::Cache& cache_;
  Tensor<Scalar, Device, dyn, Model::vocabulary> logits_;
  Tensor<std::int32_t, Device, dyn> ids_;
  std::vector<Scalar> host_;
  std::vector<float> row_;
  std::vector<Tokens> seen_, results_;
  std::vector<std::size_t> places_;  ///< the prompt in each place of the cache
  std::vector<Sampler> samplers_;
  std::optional<Recorded<Device>> step_;
  std::size_t stepping_ = 0;   ///< sequences of a step
  std::vector<Index> before_;  ///< the cache's lengths before the step
};
}  // namespace detail

/// What follows each prompt: at most options.most tokens and as many as there are positions for, without the
/// token that ended it. Prompts go together, each as if it were alone, with the seed options.sampling.seed +
/// its number. Updates are for all of them. One prompt may have a cache that is kept: its length says how
/// many of the prompt's first tokens it holds, and afterwards of prompt and continuation; it bounds both
/// together.
template <class Model>
std::vector<Tokens> generate(
    typename Model::Device& device, const typename Model::Params& params,
    const typename Model::Rotaries& rotary, std::span<const Tokens> prompts,
    const GenerationOptions& options = {},
    const typename Model::template Updates<const typename Model::Scalar>& updates = {},
    typename Model::Cache* cache = nullptr) {
  return detail::Generation<Model>(device, params, rotary, prompts, options, updates, cache).run();
}

}  // namespace hyperblocks
