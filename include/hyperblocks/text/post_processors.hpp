// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Post-processors of tokenizer.json: the ids a model wants before and behind a text.
#pragma once

#include <hyperblocks/text/token_model.hpp>

namespace hyperblocks::detail {

struct Surround {
  Ids before, after;

  /// This one's ids go around those of the inner one.
  void enclose(const Surround& inner) {
    before.insert(before.end(), inner.before.begin(), inner.before.end());
    after.insert(after.begin(), inner.after.begin(), inner.after.end());
  }
};

/// ["[SEP]", 102]
inline std::int32_t read_pair_id(const JsonElement& element) {
  const auto pair = element.elements();
  check(pair.size() == 2, [&] { return element.error("[token, id]"); });
  return pair[1].id();
}

inline Surround read_template(const JsonElement& element) {
  Surround surround;
  bool behind = false;
  for (const JsonElement& item : element.at("single").elements()) {
    if (item.has("Sequence")) {
      check(!behind && item.at("Sequence").at("id").string() == "A",
            [&] { return item.error("the sequence A once"); });
      behind = true;
      continue;
    }
    const std::string name = item.at("SpecialToken").at("id").string();
    for (const JsonElement& id : element.at("special_tokens").at(name).at("ids").elements())
      (behind ? surround.after : surround.before).push_back(id.id());
  }
  check(behind, [&] { return element.at("single").error("the sequence A"); });
  return surround;
}

inline Surround read_post_processor(const JsonElement& element) {
  const std::string type = element.type();
  if (type == "ByteLevel") return {};  // it trims offsets, no ids
  if (type == "TemplateProcessing") return read_template(element);
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return {{read_pair_id(element.at("cls"))}, {read_pair_id(element.at("sep"))}};
  if (type == "Sequence") {
    Surround all;
    for (const JsonElement& one : element.at("processors").elements()) {
      Surround outer = read_post_processor(one);
      outer.enclose(all);
      all = std::move(outer);
    }
    return all;
  }
  throw element.unsupported("a post-processor");
}

}  // namespace hyperblocks::detail
