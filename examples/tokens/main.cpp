// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Prints the ids of each line of a file on a line, or, the other way round, the text of each line of ids.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include <hyperblocks/text/load_tokenizer.hpp>

namespace hb = hyperblocks;

namespace {

std::string ids_of(const hb::Tokenizer& tokenizer, const std::string& line, bool special) {
  std::string text;
  for (const std::int32_t id : tokenizer.encode(line, special))
    text.append(text.empty() ? "" : " ").append(std::to_string(id));
  return text;
}

std::string text_of(const hb::Tokenizer& tokenizer, const std::string& line, bool special) {
  std::istringstream numbers(line);
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; numbers >> id;) ids.push_back(id);
  hb::check(numbers.eof(),
            [&] { return hb::Error("not ids", "a line of the file", "integers", "'" + line + "'"); });
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
  app.add_option("file", file, "the text, in UTF-8")->required();
  CLI11_PARSE(app, count, arguments);
  try {
    const hb::Tokenizer tokenizer = hb::load_tokenizer(path);
    std::ifstream lines(file, std::ios::binary);
    hb::check(lines.good(),
              [&] { return hb::Error("cannot open", file, "a file that can be read", "none"); });
    const char end = null ? '\0' : '\n';
    for (std::string line; std::getline(lines, line, end);)
      std::cout << (decode ? text_of(tokenizer, line, special) : ids_of(tokenizer, line, special)) << end;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
