// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The questions that a run ends with, as prompts: made, and found too long, before anything is loaded.
#pragma once

#include <hyperblocks/models/generate.hpp>

#include "text_reader.hpp"

namespace hyperblocks::example {

struct Question {
  std::string text;
  Tokens alone, in_context;  ///< the prompts; in_context with the document before it, where that is asked for
};

class Questions {
 public:
  /// Of a base with that many positions.
  Questions(const Options& options, const std::string& document, Index positions) : positions_(positions) {
    if (options.questions.empty()) return;
    tokenizer_.emplace(tokenizer_of(options.base, "--ask"));
    generation_ = {.most = options.most, .stop = end_tokens(*tokenizer_, options.base)};
    const ChatTemplate chat = load_chat_template(options.base);
    for (const std::string& text : options.questions) {
      (void)some_text(text, "--ask");
      questions_.push_back({text, prompt(chat, text, "--ask"), {}});
      if (options.in_context)
        questions_.back().in_context = prompt(chat, document + "\n\n" + text, "--in-context");
    }
  }

  auto begin() const { return questions_.begin(); }
  auto end() const { return questions_.end(); }
  const GenerationOptions& generation() const { return generation_; }
  std::string text(const Tokens& answer) const { return tokenizer_->decode(answer); }

 private:
  Tokens prompt(const ChatTemplate& chat, const std::string& asked, const char* option) const {
    const std::vector<Message> turns = {{"user", asked}};
    Tokens tokens = tokenizer_->encode(chat.render(turns), false);
    check(std::ssize(tokens) <= positions_, [&] {
      return Error("a question longer than the base can read", option,
                   "at most " + std::to_string(positions_) + " tokens, those of the template among them",
                   std::to_string(tokens.size()));
    });
    return tokens;
  }

  Index positions_;
  std::optional<Tokenizer> tokenizer_;
  GenerationOptions generation_;
  std::vector<Question> questions_;
};

}  // namespace hyperblocks::example
