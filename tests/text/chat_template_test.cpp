// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Chats as Jinja renders them, from tests/fixtures/text/chats.json; what is no known template is an error.
#include "support/folder.hpp"

#include <hyperblocks/text/load_tokenizer.hpp>

using namespace hyperblocks;
using namespace hyperblocks::test;
using Json = nlohmann::json;

namespace {

Json fixture() {
  return Json::parse(contents(std::filesystem::path(HYPERBLOCKS_FIXTURES) / "text" / "chats.json"));
}

std::vector<Message> messages_of(const Json& chat) {
  std::vector<Message> messages;
  for (const Json& message : chat) messages.push_back({message["role"], message["content"]});
  return messages;
}

/// The expected text; null: the template itself refuses these turns.
void check_rendered(const ChatTemplate& chat, const Json& turns, const ChatOptions& options,
                    const Json& expected) {
  CAPTURE(turns.dump());
  if (expected.is_null())
    CHECK_THROWS_WITH_AS(chat.render(messages_of(turns), options),
                         doctest::Contains("these turns do not fit the template"), Error);
  else
    CHECK(chat.render(messages_of(turns), options) == expected.get<std::string>());
}

}  // namespace

TEST_CASE("turns are rendered as the templates render them") {
  const Json all = fixture();
  for (const Json& one : all["cases"]) {
    const auto name = one["name"].get<std::string>();
    CAPTURE(name);
    const auto chat = ChatTemplate::recognise(one["template"].get<std::string>());
    for (std::size_t i = 0; i < all["chats"].size(); ++i) {
      check_rendered(chat, all["chats"][i], {}, one["asking"][i]);
      check_rendered(chat, all["chats"][i], {.generation_prompt = false}, one["whole"][i]);
    }
    check_rendered(chat, all["chats"][0], {.thinking = false}, one["without thinking"][0]);
  }
}

TEST_CASE("spaces around Mistral's marks are the template's") {
  for (const std::string end : {"", " "}) {
    const auto chat = ChatTemplate::recognise(
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ ' [INST] ' + "
        "message['content'] + ' [/INST]" +
        end + "' }}{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}");
    CHECK(chat.render(std::vector<Message>{{"user", "x"}}) == "<s> [INST] x [/INST]" + end);
    CHECK(chat.render(std::vector<Message>{{"user", "x"}, {"assistant", "y"}},
                      {.generation_prompt = false}) == "<s> [INST] x [/INST]" + end + "y</s>");
  }
}

TEST_CASE("what is no known template is an error that shows its beginning") {
  for (const char* const text :
       {"", "{{ messages }}",
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] }}{% endfor %}",
        "{{ bos_token }}{{ '<|im_start|>' }}", "<|start_header_id|> <|eot_id|> trim",
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}"})
    CHECK_THROWS_WITH_AS(ChatTemplate::recognise(text, "here"),
                         doctest::Contains((std::string("that begins with '") + text).c_str()), Error);
}

TEST_CASE("turns out of order, and roles that are none, are errors") {
  const Json all = fixture();
  for (const Json& one : all["cases"]) {
    const auto chat = ChatTemplate::recognise(one["template"].get<std::string>());
    CHECK_THROWS_WITH_AS(chat.render(std::vector<Message>{{"tool", "x"}}), doctest::Contains("found 'tool'"),
                         Error);
    CHECK_NOTHROW(chat.render({}));
    CHECK(!chat.end_of_turn().empty());
  }
  const auto gemma = ChatTemplate::recognise(all["cases"].back()["template"].get<std::string>());
  CHECK_THROWS_WITH_AS(gemma.render(std::vector<Message>{{"assistant", "x"}}),
                       doctest::Contains("expected user and assistant in turn"), Error);
}

TEST_CASE("what stands around a user's text") {
  const Json all = fixture();
  const auto gemma = ChatTemplate::recognise(all["cases"].back()["template"].get<std::string>());
  const auto [before, after] = gemma.around({{"system", ""}});
  CHECK(before == "<bos><start_of_turn>user\n\n\n");
  CHECK(after == "<end_of_turn>\n<start_of_turn>model\n");
  for (const Json& one : all["cases"]) {
    const auto chat = ChatTemplate::recognise(one["template"].get<std::string>());
    const auto [begin, end] = chat.around();
    CHECK(chat.render(std::vector<Message>{{"user", "text"}}) ==
          std::string(begin).append("text").append(end));
  }
}

TEST_CASE("the date of Llama 3.1 can be given") {
  const Json all = fixture();
  for (const Json& one : all["cases"])
    if (one["name"] == "Llama 3.1") {
      const auto chat = ChatTemplate::recognise(one["template"].get<std::string>());
      const auto text = chat.render(std::vector<Message>{{"user", "x"}}, {.date = "01 Jan 2030"});
      CHECK(text.find("Today Date: 01 Jan 2030\n\n<|eot_id|>") != text.npos);
    }
}

TEST_CASE("a model's directory: chat_template.jinja before tokenizer_config.json") {
  const Folder folder;
  const Json all = fixture();
  const Json &chatml = all["cases"].front(), &gemma = all["cases"].back();
  std::ofstream(folder.path / "tokenizer_config.json") << Json{{"chat_template", chatml["template"]}};
  CHECK(ChatTemplate::from_directory(folder.path).end_of_turn() == "<|im_end|>");
  std::ofstream(folder.path / "tokenizer_config.json")
      << Json{{"chat_template", Json::array({{{"name", "tools"}, {"template", "?"}},
                                             {{"name", "default"}, {"template", chatml["template"]}}})}};
  CHECK(ChatTemplate::from_directory(folder.path).end_of_turn() == "<|im_end|>");
  std::ofstream(folder.path / "chat_template.jinja") << gemma["template"].get<std::string>();
  CHECK(ChatTemplate::from_directory(folder.path).end_of_turn() == "<end_of_turn>");
  std::filesystem::remove(folder.path / "chat_template.jinja");
  std::ofstream(folder.path / "tokenizer_config.json") << "{}";
  const auto none = doctest::Contains("no chat template (");
  CHECK_THROWS_WITH_AS(ChatTemplate::from_directory(folder.path), none, Error);
  std::filesystem::remove(folder.path / "tokenizer_config.json");
  CHECK_THROWS_WITH_AS(ChatTemplate::from_directory(folder.path), none, Error);
  const auto gguf = std::filesystem::path(HYPERBLOCKS_FIXTURES) / "gguf/llama.gguf";
  CHECK_THROWS_WITH_AS(load_chat_template(gguf), none, Error);
}

TEST_CASE("the ends of an answer: of the tokenizer, and of generation_config.json") {
  const Folder folder;
  const auto tokenizer = Tokenizer::from_json(
      "f.json", R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "<|im_end|>": 7}}})");
  const auto ends = [&](const std::string& config) {
    std::ofstream(folder.path / "generation_config.json") << config;
    return end_tokens(tokenizer, folder.path);
  };
  CHECK(end_tokens(tokenizer, folder.path) == std::vector<std::int32_t>{7});
  CHECK(ends("{}") == std::vector<std::int32_t>{7});
  CHECK(ends(R"({"eos_token_id": 3})") == std::vector<std::int32_t>{7, 3});
  CHECK(ends(R"({"eos_token_id": [3, 5]})") == std::vector<std::int32_t>{7, 3, 5});
  CHECK_THROWS_WITH_AS(ends(R"({"eos_token_id": "x"})"), doctest::Contains("'eos_token_id'"), Error);
}

TEST_CASE("the documentation's program: a chat as ids, an answer as text") {
  namespace hb = hyperblocks;
  const Folder folder;
  std::ofstream(folder.path / "chat_template.jinja") << fixture()["cases"][0]["template"].get<std::string>();
  const auto path = std::filesystem::path(HYPERBLOCKS_FIXTURES) / "text" / "tokenizers.json";
  const Json all = Json::parse(contents(path));
  for (const Json& one : all["cases"])
    if (one["name"] == "byte-level BPE") std::ofstream(folder.path / "tokenizer.json") << one["tokenizer"];
  const std::string model = folder.path.string();
  const std::vector<hb::Message> turns = {{"user", "Hello"}};
  std::string answer_text;
  // [usage]
  const hb::Tokenizer tokenizer = hb::load_tokenizer(model);  // a folder, a GGUF file, a tokenizer.json
  const hb::ChatTemplate chat = hb::load_chat_template(model);
  const auto ids = tokenizer.encode(chat.render(turns), false);  // the template brings its own BOS
  hb::StreamDecoder stream(tokenizer);
  for (const std::int32_t id : ids) answer_text += stream.next(id);  // whole characters only
  answer_text += stream.finish();
  // [/usage]
  CHECK(answer_text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
}
