// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Questions and answers as tokens, in the turns of the base's chat template.
#pragma once

#include <hyperblocks/text/load_tokenizer.hpp>
#include <hyperblocks/train/lesson.hpp>

#include "examples.hpp"

namespace hyperblocks::example {

class Conversation {
 public:
  explicit Conversation(const std::filesystem::path& base)
      : tokenizer_(load_tokenizer(base)),
        chat_(load_chat_template(base)),
        ends_(end_tokens(tokenizer_, base)) {}

  const Tokens& ends() const { return ends_; }
  std::int32_t vocabulary_size() const { return tokenizer_.vocabulary_size(); }
  std::string text(const Tokens& tokens) const { return tokenizer_.decode(tokens); }
  /// A document as a hypernetwork reads it.
  Tokens document(const std::string& text) const { return tokenizer_.encode(text); }

  Tokens prompt(const std::string& question) const {
    const std::vector<Message> turns = {{"user", question}};
    return tokenizer_.encode(chat_.render(turns), false);
  }
  Lesson lesson(const Example::Question& asked) const {
    return lesson_of(prompt(asked.question), answer(asked));
  }

  /// Several questions one behind the other, the first with a text before it; all of it is to be said, or the
  /// answers alone.
  Lesson dialogue(const std::string& text, std::span<const Example::Question> asked,
                  bool answers_alone) const {
    Tokens all, labels;
    const auto append = [&](const Tokens& tokens, bool said) {
      all.insert(all.end(), tokens.begin(), tokens.end());
      for (const std::int32_t token : tokens) labels.push_back(said ? token : -1);
    };
    for (const auto& each : asked) {
      const bool first = &each == &asked.front();
      append(prompt(first && !text.empty() ? text + "\n\n" + each.question : each.question), !answers_alone);
      append(answer(each), true);
    }
    return {.ids = Tokens(all.begin(), all.end() - 1), .labels = Tokens(labels.begin() + 1, labels.end())};
  }

 private:
  /// With all that the template puts behind an answer.
  Tokens answer(const Example::Question& asked) const {
    const std::vector<Message> turns = {{"user", asked.question}, {"assistant", asked.answer}};
    const std::string all = chat_.render(turns, {.generation_prompt = false});
    const std::string before = chat_.render(std::span(turns).first(1));
    check(all.starts_with(before), [] {
      return Error("a chat template that writes answers elsewhere", "Conversation",
                   "the answer behind its opening", "another text");
    });
    return tokenizer_.encode(all.substr(before.size()), false);
  }

  Tokenizer tokenizer_;
  ChatTemplate chat_;
  Tokens ends_;
};

}  // namespace hyperblocks::example
