// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Prints the embedding of each line of a file as a JSON array on a line.

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_text_encoder.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>

#include "../command_line.hpp"
#include "../streams.hpp"

#ifdef HYPERBLOCKS_BASE_CONFIG
#include <embed_encoder.hpp>
#else  // all-MiniLM-L6-v2
inline constexpr hyperblocks::TextEncoderSpec embed_encoder{
    .vocabulary = 30522, .hidden = 384, .layers = 6, .heads = 12, .inner = 1536};
#endif

namespace hb = hyperblocks;

int main(int count, char** arguments) {
  CLI::App app("Prints the embedding of each line of a file as a JSON array on a line.");
  std::string model, file, pooling;
  hb::EmbedOptions options;
  const std::map<std::string, hb::Pooling> poolings = {
      {"cls", hb::Pooling::cls}, {"mean", hb::Pooling::mean}, {"last", hb::Pooling::last}};
  app.add_option("--model", model, "folder with config.json, model.safetensors and tokenizer.json")
      ->required();
  app.add_option("--pool", pooling, "which hidden states become the vector")
      ->check(CLI::IsMember(poolings))
      ->required();
  app.add_flag_callback(
      "--normalise", [&] { options.length = 1; }, "vectors of length one");
  app.add_option("file", file, "the texts, in UTF-8; - is standard input")->required();
  return hb::example::run_program(app, count, arguments, [&] {
    options.pooling = poolings.at(pooling);
    using Encoder = hb::TextEncoder<embed_encoder, float, hb::Cpu>;
    hb::Cpu cpu;
    const hb::Tokenizer tokenizer = hb::load_tokenizer(model);
    const auto params = hb::loaded_text_encoder<Encoder>(cpu, model, hb::ProgressBar());
    const Encoder::Positions positions(cpu);
    std::cout.precision(9);
    hb::example::each_line(file, '\n', [&](const std::string& line, std::size_t) {
      const auto tokens = tokenizer.encode(line, true, static_cast<std::size_t>(embed_encoder.positions));
      const auto vector = hb::embed<Encoder>(cpu, params, positions, tokens, options);
      for (std::size_t i = 0; i < vector.size(); ++i) std::cout << (i == 0 ? "[" : ", ") << vector[i];
      std::cout << "]\n";
    });
  });
}
