// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Prints the ids of each line of a file on a line, or, the other way round, the text of each line of ids.
#include <charconv>
#include <sstream>

#include <hyperblocks/text/load_tokenizer.hpp>

#include "../command_line.hpp"
#include "../streams.hpp"

namespace hb = hyperblocks;

namespace {

std::string ids_of(const hb::Tokenizer& tokenizer, const std::string& line, bool special) {
  std::string text;
  for (const std::int32_t id : tokenizer.encode(line, special))
    text.append(text.empty() ? "" : " ").append(std::to_string(id));
  return text;
}

std::string text_of(const hb::Tokenizer& tokenizer, const std::string& line, bool special,
                    const std::string& where) {
  std::istringstream words(line);
  std::vector<std::int32_t> ids;
  for (std::string word; words >> word;) {
    std::int32_t id = -1;
    const char* const end = word.data() + word.size();
    const bool whole = std::from_chars(word.data(), end, id).ptr == end;
    hb::check(whole && id >= 0 && id < tokenizer.vocabulary_size(), [&] {
      return hb::Error("not an id", where, "0 to " + std::to_string(tokenizer.vocabulary_size() - 1),
                       "'" + word + "'");
    });
    ids.push_back(id);
  }
  return tokenizer.decode(ids, !special);
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Prints the ids of each line of a file on a line, separated by spaces.");
  std::string path, file;
  bool special = false, decode = false, null = false;
  app.add_option("--tokenizer", path, "tokenizer.json, a folder that holds one, or a GGUF file")->required();
  app.add_flag("--special", special, "with the tokens that the model wants around a text");
  app.add_flag("--decode", decode, "the file holds ids: print their text");
  app.add_flag("-z,--null", null, "lines end with a zero byte, not with a new line");
  app.add_option("file", file, "the text, in UTF-8; - is standard input")->required();
  return hb::example::run_program(app, count, arguments, [&] {
    const hb::Tokenizer tokenizer = hb::load_tokenizer(path);
    const char end = null ? '\0' : '\n';
    hb::example::each_line(file, end, [&](const std::string& line, std::size_t number) {
      std::cout << (decode ? text_of(tokenizer, line, special, file + ":" + std::to_string(number))
                           : ids_of(tokenizer, line, special))
                << end;
    });
  });
}
