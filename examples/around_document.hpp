// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What a chat template puts around a document that Doc-to-LoRA reads: an empty system turn, and the opening
// of an answer. A template without system turns gets what an empty one leaves before the text.
#pragma once

#include <hyperblocks/text/chat_template.hpp>

namespace hyperblocks::example {

inline std::pair<std::string, std::string> around_document(const ChatTemplate& chat) {
  try {
    return chat.around({{"system", ""}});
  } catch (const Error&) {
    auto [before, behind] = chat.around();
    return {before + "\n\n", behind};
  }
}

}  // namespace hyperblocks::example
