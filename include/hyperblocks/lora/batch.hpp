// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// batched: several adapters, of any ranks, in one pass over a batch, each for a run of its rows. Rows that no
// adapter has cost nothing; an adapter may serve any number of rows, and rows may have several.
//   auto linked = batched(std::vector{first.updates<Base>(), second.updates<Base>()}, {{0, 12}, {12, 30}});
//   input.updates = linked.front();    // sequences of one length: rows are sequences times tokens
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <hyperblocks/core/params.hpp>

namespace hyperblocks {

/// Rows [first, first + count) of a pass.
struct RowRange {
  Index first = 0, count = 0;
};

/// What `more` has follows what is here; `more` is to be kept until the pass is done.
template <class Updates>
void link(Updates& updates, const Updates& more) {
  visit([](const std::string&, auto& update, const auto& next) { update.next = next ? &next : nullptr; },
        updates, more);
}

/// Updates, one or more, linked to one another: the first stands for all, whose sums are added. To be kept
/// until the pass is done.
template <class Updates>
class Batch {
 public:
  explicit Batch(std::vector<Updates> updates) : updates_(std::move(updates)) {
    for (std::size_t i = updates_.size(); i-- > 1;)
      visit([](const std::string&, auto& update, auto& next) { update.next = &next; }, updates_[i - 1],
            updates_[i]);
  }
  Batch(Batch&&) noexcept = default;
  Batch& operator=(Batch&&) noexcept = default;

  const Updates& front() const& { return updates_.front(); }
  const Updates& front() const&& = delete;  // the others would be gone
  const std::vector<Updates>& parts() const& { return updates_; }

 private:
  std::vector<Updates> updates_;
};

template <class Updates>
Batch<Updates> batched(std::vector<Updates> updates, const std::vector<RowRange>& rows) {
  check(updates.size() == rows.size() && !updates.empty(), [&] {
    return Error("each adapter has a run of rows", "batched",
                 std::to_string(updates.size()) + ", one at least", std::to_string(rows.size()));
  });
  for (std::size_t i = 0; i < updates.size(); ++i)
    visit([&](const std::string&,
              auto& update) { update.first_row = rows[i].first, update.rows = rows[i].count; },
          updates[i]);
  return Batch(std::move(updates));
}

}  // namespace hyperblocks
