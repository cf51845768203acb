// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// ChatTemplate: turns of a chat as the text a model was trained on. The family is recognised from the model's
// own template, by the expressions that decide; a template of another kind is an error, never a guess.
//   const auto chat = ChatTemplate::from_directory("model/");
//   const std::vector<Message> turns = {{"user", "Hello"}};
//   const auto ids = tokenizer.encode(chat.render(turns), false);  // the template has its own BOS
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/text/decoders.hpp>

namespace hyperblocks {

/// One turn; the role is system, user or assistant.
struct Message {
  std::string role, content;
};

struct ChatOptions {
  bool generation_prompt = true;     ///< ends with the opening of the assistant's turn
  bool thinking = true;              ///< Qwen3: false closes the thinking before it begins
  std::string date = "26 Jul 2024";  ///< "Today Date" of Llama 3.1 and later, whose own default this is
};

class ChatTemplate {
 public:
  /// `where` stands in errors.
  static ChatTemplate recognise(std::string_view text, const std::string& where = "chat template") {
    std::string source(text);  // in which "\n" and a new line mean the same
    detail::replace_all(source, "\\n", "\n");
    ChatTemplate chat;
    chat.where_ = where;
    const bool known = chat.is_chatml(source) || chat.is_llama3(source) || chat.is_gemma(source) ||
                       chat.is_llama2(source) || chat.is_mistral(source);
    check(known, [&] {
      return Error("a chat template that is not known", where,
                   "one of ChatML, Qwen3, Llama 2, Llama 3, Mistral, Gemma",
                   "one that begins with " + detail::in_quotes(detail::valid_utf8(text.substr(0, 80))));
    });
    if (!has(source, "bos_token")) chat.bos_.clear();
    chat.always_asks_ = !has(source, "add_generation_prompt");
    return chat;
  }

  /// From chat_template.jinja or else tokenizer_config.json in a model's directory.
  static ChatTemplate from_directory(const std::filesystem::path& folder) {
    const auto text_of = [](const std::filesystem::path& path) {
      const MappedFile mapped(path);
      return std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
    };
    const auto own = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
    if (is_there(own)) return recognise(text_of(own), own.string());
    const auto json = is_there(config) ? detail::JsonElement::parse(text_of(config), config.string())
                                       : detail::JsonElement::Json::object();
    const detail::JsonElement root(json, config.string());
    check(root.has("chat_template"), [&] {
      return Error("no chat template", folder.string(),
                   "chat_template.jinja, or chat_template in tokenizer_config.json", "neither");
    });
    const auto element = root.at("chat_template");
    if (!element.json().is_array()) return recognise(element.string(), element.where());
    for (const auto& named : element.elements())
      if (named.at("name").string() == "default")
        return recognise(named.at("template").string(), named.where());
    throw element.error("a template named default");
  }

  std::string render(std::span<const Message> messages, const ChatOptions& options = {}) const {
    for (const Message& message : messages)
      check(message.role == "system" || message.role == "user" || message.role == "assistant",
            [&] { return error("the role system, user or assistant", "'" + message.role + "'"); });
    switch (family_) {
      case Family::chatml:
      case Family::qwen3:
        return chatml(messages, options);
      case Family::llama3:
        return llama3(messages, options);
      case Family::gemma:
        return gemma(messages, options);
      default:
        return instructions(messages);
    }
  }

  /// What stands before and behind the text of a user's turn that follows the turns given: constant texts.
  std::pair<std::string, std::string> around(std::vector<Message> earlier = {},
                                             const ChatOptions& options = {}) const {
    constexpr std::string_view mark = "\x01";
    earlier.push_back({"user", std::string(mark)});
    const std::string text = render(earlier, options);
    const std::size_t at = text.rfind(mark);
    return {text.substr(0, at), text.substr(at + mark.size())};
  }

  /// The token that ends the assistant's turn: where generation stops.
  std::string_view end_of_turn() const {
    constexpr std::string_view ends[] = {"<|im_end|>", "<|im_end|>", "</s>",
                                         "</s>",       "<|eot_id|>", "<end_of_turn>"};
    return ends[static_cast<std::size_t>(family_)];
  }

 private:
  enum class Family { chatml, qwen3, llama2, mistral, llama3, gemma };
  /// What the templates with [INST] differ in.
  struct Instructions {
    std::string open, close, answer, before_end, behind_end;
    bool trim_user = false, trim_answer = false, bos_each_turn = false;
    enum class System { none, first, last } system = System::none;
    std::string system_open, system_close = "\n\n";
  };

  // ---- recognising
  // -----------------------------------------------------------------------------------------
  static bool has(const std::string& source, std::string_view text) {
    return source.find(text) != source.npos;
  }
  static std::string found(const std::string& source, const std::string& pattern) {
    std::string text;
    const detail::Regex regex(pattern, "chat template");
    regex.each_match(source, [&](detail::Regex::Match match) {
      if (text.empty()) text = source.substr(match.begin, match.end - match.begin);
    });
    return text;
  }
  /// What stands between two texts, if no quote is within.
  static std::string between(const std::string& source, std::string_view open, std::string_view close) {
    for (std::size_t at = source.find(open); at != source.npos; at = source.find(open, at + 1)) {
      const std::size_t begin = at + open.size(), end = source.find(close, begin);
      if (end == source.npos) break;
      const std::string text = source.substr(begin, end - begin);
      if (text.find_first_of("'\"{}") == text.npos) return text;
    }
    return {};
  }

  bool is_chatml(const std::string& source) {
    if (!has(source, "<|im_start|>") || has(source, "bos_token") || has(source, "<|im_sep|>")) return false;
    default_system_ = between(source, "<|im_start|>system\n", "<|im_end|>");
    if (has(source, "last_query_index") && has(source, "enable_thinking is false") && !has(source, "trim") &&
        !has(source, "render_content")) {
      family_ = Family::qwen3;
      return true;
    }
    family_ = Family::chatml;
    return !has(source, "think") && !has(source, "trim") && !has(source, "strip") &&
           !found(source, R"(['"]<\|im_start\|>['"]\s*\+\s*message(\.role|\[['"]role['"]\])\s*\+\s*)"
                          R"(['"]\n['"]\s*\+\s*)"
                          R"((message\.)?(content|message\[['"]content['"]\])\s*\+\s*)"
                          R"(['"]<\|im_end\|>(['"]\s*\+\s*['"])?\n['"])")
                .empty();
  }

  bool is_llama3(const std::string& source) {
    family_ = Family::llama3;
    bos_ = "<|begin_of_text|>";
    knowledge_ = between(source, "Cutting Knowledge Date: ", "\n");
    return !has(source, "think") && !has(source, "recipient") && !has(source, "functions_str") &&
           !found(source,
                  R"(['"]<\|start_header_id\|>['"]\s*\+\s*message(\.role|\[['"]role['"]\])\s*\+\s*)"
                  R"(['"]<\|end_header_id\|>\n\n['"]\s*)"
                  R"(\+\s*message(\.content|\[['"]content['"]\])\s*\|\s*trim\s*\+\s*['"]<\|eot_id\|>['"])")
                .empty();
  }

  bool is_gemma(const std::string& source) {
    if (!has(source, "<start_of_turn>") || !has(source, "<end_of_turn>\n") || !has(source, "trim"))
      return false;
    family_ = Family::gemma;
    bos_ = "<bos>";
    return has(source, "model");
  }

  bool is_llama2(const std::string& source) {
    if (!has(source, "<<SYS>>") || !has(source, "content.strip()") || !has(source, "bos_token + '[INST] '") ||
        !between(source, "set system_message = '", "'").empty())
      return false;
    family_ = Family::llama2;
    bos_ = "<s>";
    instructions_ = {.open = "[INST] ",
                     .close = " [/INST]",
                     .answer = " ",
                     .before_end = " ",
                     .behind_end = {},
                     .trim_user = true,
                     .trim_answer = true,
                     .bos_each_turn = true,
                     .system = Instructions::System::first,
                     .system_open = "<<SYS>>\n",
                     .system_close = "\n<</SYS>>\n\n"};
    return true;
  }

  bool is_mistral(const std::string& source) {
    const auto literal = [&](const std::string& pattern) {
      const std::string text = found(source, "['\"]" + pattern + "['\"]");
      return text.empty() ? text : text.substr(1, text.size() - 2);
    };
    instructions_ = {};
    instructions_.open = literal(R"( ?\[INST\] ?)");
    instructions_.close = literal(R"( ?\[/INST\] ?)");
    const std::string answer = found(
        source,
        R"((['"] ['"]\s*\+\s*)?message(\.content|\[['"]content['"]\])(\s*\|\s*trim)?\s*(\+\s*['"] ['"]\s*)?)"
        R"(\+\s*eos_token(\s*\+\s*['"] ['"])?\s*-?\}\})");
    if (instructions_.open.empty() || instructions_.close.empty() || answer.empty() || has(source, "think") ||
        has(source, "<<SYS>>") || has(source, "[SYSTEM_PROMPT]"))
      return false;
    const auto space = [&](const std::string& pattern) {
      return std::string(found(answer, pattern).empty() ? "" : " ");
    };
    instructions_.answer = space(R"(^['"] ['"])");
    instructions_.before_end = space(R"([^\s]\s*\+\s*['"] ['"]\s*\+\s*eos_token)");
    instructions_.behind_end = space(R"(eos_token\s*\+\s*['"] ['"])");
    instructions_.trim_answer = has(answer, "trim");
    if (has(source, "loop.last and system_message is defined"))
      instructions_.system = Instructions::System::last;
    else if (has(source, "loop.first and system_message is defined"))
      instructions_.system = Instructions::System::first;
    family_ = Family::mistral;
    bos_ = "<s>";
    return true;
  }

  // ---- rendering
  // -------------------------------------------------------------------------------------------
  using Messages = std::span<const Message>;

  Error error(const std::string& expected, const std::string& what) const {
    return Error("these turns do not fit the template", where_, expected, what);
  }
  static std::string trimmed(std::string_view text, std::string_view characters = {}) {
    if (characters.empty()) return detail::stripped(text, true, true);
    const std::size_t begin = std::min(text.find_first_not_of(characters), text.size());
    const std::size_t end = text.find_last_not_of(characters);
    return std::string(text.substr(begin, end == text.npos ? 0 : end + 1 - begin));
  }

  bool asks(const ChatOptions& options) const { return options.generation_prompt || always_asks_; }

  /// Takes the system turn from the front; the others alternate, the user's first.
  static std::string take_system(Messages& messages) {
    if (messages.empty() || messages[0].role != "system") return {};
    const std::string system = messages[0].content;
    messages = messages.subspan(1);
    return system;
  }
  void check_alternate(Messages messages) const {
    for (std::size_t i = 0; i < messages.size(); ++i)
      check((messages[i].role == "user") == (i % 2 == 0) && messages[i].role != "system", [&] {
        return error("user and assistant in turn", "'" + messages[i].role + "' as turn " + std::to_string(i));
      });
  }

  std::string chatml(Messages messages, const ChatOptions& options) const {
    std::string text;
    if (!default_system_.empty() && !messages.empty() && messages[0].role != "system")
      text = "<|im_start|>system\n" + default_system_ + "<|im_end|>\n";
    std::size_t last_question = messages.empty() ? 0 : messages.size() - 1;
    while (last_question > 0 && messages[last_question].role != "user") --last_question;
    if (!messages.empty() && messages[last_question].role != "user") last_question = messages.size() - 1;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      std::string content = messages[i].content;
      if (family_ == Family::qwen3 && messages[i].role == "assistant")
        content = with_thoughts(content, i > last_question, i + 1 == messages.size());
      text.append("<|im_start|>")
          .append(messages[i].role)
          .append("\n")
          .append(content)
          .append("<|im_end|>\n");
    }
    if (!asks(options)) return text;
    text += "<|im_start|>assistant\n";
    return family_ == Family::qwen3 && !options.thinking ? text + "<think>\n\n</think>\n\n" : text;
  }

  /// Qwen3 keeps the thoughts of answers to the last question alone.
  static std::string with_thoughts(std::string content, bool keep, bool last) {
    std::string thoughts;
    if (const std::size_t end = content.rfind("</think>"); end != content.npos) {
      const std::string head = content.substr(0, content.find("</think>"));
      const std::size_t begin = head.rfind("<think>");
      thoughts = trimmed(begin == head.npos ? head : head.substr(begin + 7), "\n");
      content = content.substr(std::min(content.find_first_not_of('\n', end + 8), content.size()));
    }
    if (!keep || (!last && thoughts.empty())) return content;
    return "<think>\n" + thoughts + "\n</think>\n\n" +
           content.substr(std::min(content.find_first_not_of('\n'), content.size()));
  }

  std::string llama3(Messages messages, const ChatOptions& options) const {
    const auto turn = [](const std::string& role, const std::string& content) {
      return "<|start_header_id|>" + role + "<|end_header_id|>\n\n" + content + "<|eot_id|>";
    };
    std::string text = bos_;
    if (!knowledge_.empty()) {
      const std::string system = trimmed(take_system(messages));
      text += turn("system", "Cutting Knowledge Date: " + knowledge_ + "\nToday Date: " + options.date +
                                 "\n\n" + system);
    }
    for (const Message& message : messages) text += turn(message.role, trimmed(message.content));
    if (asks(options)) text += "<|start_header_id|>assistant<|end_header_id|>\n\n";
    return text;
  }

  std::string gemma(Messages messages, const ChatOptions& options) const {
    const bool has_system = !messages.empty() && messages[0].role == "system";
    const std::string prefix = take_system(messages) + (has_system ? "\n\n" : "");
    check_alternate(messages);
    std::string text = bos_;
    for (const Message& message : messages)
      text.append("<start_of_turn>")
          .append(message.role == "assistant" ? "model" : "user")
          .append("\n")
          .append(&message == messages.data() ? prefix : "")
          .append(trimmed(message.content))
          .append("<end_of_turn>\n");
    return asks(options) ? text + "<start_of_turn>model\n" : text;
  }

  /// Llama 2 and Mistral; the closed instruction itself asks for the answer.
  std::string instructions(Messages messages) const {
    const Instructions& rules = instructions_;
    const bool has_system = !messages.empty() && messages[0].role == "system";
    check(!has_system || rules.system != Instructions::System::none,
          [&] { return error("no system turn", "one"); });
    const std::string system = take_system(messages);
    check_alternate(messages);
    std::string text = rules.bos_each_turn ? "" : bos_;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const bool here =
          has_system && i == (rules.system == Instructions::System::first ? 0 : messages.size() - 1);
      std::string content = messages[i].content;
      if (messages[i].role == "user") {
        if (here) content.insert(0, rules.system_open + system + rules.system_close);
        if (rules.trim_user) content = trimmed(content);
        text.append(rules.bos_each_turn ? bos_ : "").append(rules.open).append(content).append(rules.close);
      } else {
        if (rules.trim_answer) content = trimmed(content);
        text.append(rules.answer)
            .append(content)
            .append(rules.before_end)
            .append("</s>")
            .append(rules.behind_end);
      }
    }
    return text;
  }

  Family family_ = Family::chatml;
  bool always_asks_ = false;  ///< the first Llama 3 template does
  std::string where_, bos_, default_system_, knowledge_;
  Instructions instructions_;
};

}  // namespace hyperblocks
