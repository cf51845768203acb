// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Questions and answers as tokens, in the turns of the base's chat template.
#pragma once

#include <hyperblocks/hypernets/pieces.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>
#include <hyperblocks/text/task_description.hpp>
#include <hyperblocks/train/lesson.hpp>

#include "../around_document.hpp"
#include "examples.hpp"

namespace hyperblocks::example {

class Conversation {
 public:
  explicit Conversation(const std::filesystem::path& base)
      : tokenizer_(load_tokenizer(base)),
        chat_(load_chat_template(base)),
        ends_(end_tokens(tokenizer_, base)) {
    std::tie(before_, behind_) = around_document(chat_);
  }

  const Tokens& ends() const { return ends_; }
  std::int32_t vocabulary_size() const { return tokenizer_.vocabulary_size(); }
  std::string text(const Tokens& tokens) const { return tokenizer_.decode(tokens); }

  // ---- documents, as the systems read them

  /// Shine: one behind the other, with the token that ends a text between them.
  Tokens documents(std::span<const std::string> texts, Index most = 0) const {
    Tokens all;
    for (const std::string& text : texts) {
      if (!all.empty()) all.push_back(end_of_text());
      const Tokens own = tokenizer_.encode(text, true);
      all.insert(all.end(), own.begin(), own.end());
    }
    return cut(std::move(all), most);
  }

  /// DocToLora: in a turn of their own, in pieces of at most so many tokens, as many as count(tokens) says.
  template <class Count>
  std::vector<Tokens> in_pieces(std::span<const std::string> texts, Index most, Count count) const {
    std::string joined;
    for (const std::string& text : texts) joined += (joined.empty() ? "" : "\n\n") + text;
    const Tokens ids = cut(tokenizer_.encode(before_ + joined + behind_, false), most);
    const auto wanted = static_cast<Index>(count(std::ssize(ids)));
    return pieces(ids, {.most = (std::ssize(ids) + wanted - 1) / wanted,
                        .prefix = tokenizer_.encode(before_, false),
                        .suffix = tokenizer_.encode(behind_, false)});
  }

  /// TextToLora: a sentence.
  Tokens description(const std::string& text, Index most) const {
    return task_tokens(tokenizer_, text, TaskStyle::sentence, static_cast<std::size_t>(most));
  }

  Tokens document(const std::string& text) const { return tokenizer_.encode(text, true); }
  Index size(const std::string& text) const { return std::ssize(tokenizer_.encode(text, true)); }

  // ---- what is said

  /// A question, with a text before it or none.
  Tokens prompt(const std::string& question, const std::string& text = "") const {
    const std::vector<Message> turns = {{"user", text.empty() ? question : text + "\n\n" + question}};
    return tokenizer_.encode(chat_.render(turns), false);
  }
  Lesson lesson(const Example::Question& asked, const std::string& text = "") const {
    return lesson_of(prompt(asked.question, text), answer(asked));
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
      append(prompt(each.question, &each == &asked.front() ? text : ""), !answers_alone);
      append(answer(each), true);
    }
    return {.ids = Tokens(all.begin(), all.end() - 1), .labels = Tokens(labels.begin() + 1, labels.end())};
  }

 private:
  static Tokens cut(Tokens all, Index most) {
    if (most > 0 && std::ssize(all) > most) all.resize(static_cast<std::size_t>(most));
    return all;
  }

  std::int32_t end_of_text() const { return tokenizer_.id_of("<|endoftext|>").value_or(ends_.front()); }

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
  std::string before_, behind_;  ///< what is around a document in a turn of its own
};

}  // namespace hyperblocks::example
