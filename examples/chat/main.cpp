// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Talk to a model from a Hugging Face folder or a GGUF file: one prompt (--prompt, --raw) or a conversation.
#include <chrono>
#include <CLI/CLI.hpp>
#include <iostream>
#include <limits>
#include <optional>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>

#ifdef HYPERBLOCKS_BASE_CONFIG
#include <chat_base.hpp>
#else
inline constexpr hyperblocks::DecoderSpec chat_base = hyperblocks::specs::smollm2_135m;
#endif

namespace hb = hyperblocks;

namespace {

struct Options {
  std::string path, system, weights = "auto";
  std::optional<std::string> prompt, raw;
  hb::Index most = 256, context = std::min<hb::Index>(chat_base.positions, 4096), threads = 0;
  hb::Sampling sampling{.temperature = 0.7, .top_p = 0.95};
  bool greedy = false, quiet = false;
};

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A model whose matrices are kept as Stored numbers; it computes in float.
template <class Stored>
class Chat {
 public:
  using Model = hb::Decoder<chat_base, float, hb::Cpu, hb::Frozen<Stored>>;

  explicit Chat(const Options& options)
      : options_(options),
        cpu_({.threads = options.threads}),
        tokenizer_(hb::load_tokenizer(options.path)),
        params_(hb::loaded_decoder<Model>(cpu_, options.path,
                                          options.quiet ? hb::Progress() : hb::ProgressBar())),
        positions_(cpu_, options.context) {}

  void run() {
    if (options_.raw) return void(answer(tokenizer_.encode(*options_.raw)));
    const auto chat = hb::load_chat_template(options_.path);
    std::vector<hb::Message> turns;
    if (!options_.system.empty()) turns.push_back({"system", options_.system});
    const auto reply_to = [&](const std::string& text) {
      turns.push_back({"user", text});
      turns.push_back({"assistant", answer(tokenizer_.encode(chat.render(turns), false))});
    };
    if (options_.prompt) return reply_to(*options_.prompt);
    std::cerr << "An empty line ends the conversation.\n";
    for (std::string line; std::cerr << "> " && std::getline(std::cin, line) && !line.empty();)
      reply_to(line);
  }

 private:
  /// Prints the continuation of a prompt as it comes.
  std::string answer(const hb::Tokens& prompt) {
    const auto room = options_.context - static_cast<hb::Index>(prompt.size());
    hb::check(room > 0, [&] {
      return hb::Error("the text does not fit the context", "--context",
                       "less than " + std::to_string(options_.context) + " tokens",
                       std::to_string(prompt.size()));
    });
    hb::StreamDecoder decoder(tokenizer_);
    std::string text;
    const auto print = [&](const std::string& piece) {
      text += piece;
      std::cout << piece << std::flush;
    };
    const Stopwatch watch;
    double prefill = 0;
    hb::Index made = 0;
    hb::GenerationOptions options{.most = std::min(options_.most, room), .stop = hb::end_tokens(tokenizer_)};
    options.sampling = options_.sampling;
    options.each = [&](std::size_t, std::int32_t token) {
      if (made++ == 0) prefill = watch.seconds();
      print(decoder.next(token));
      return true;
    };
    hb::generate<Model>(cpu_, params_, positions_, std::span(&prompt, 1), options);
    print(decoder.finish());
    std::cout << std::endl;
    if (!options_.quiet && made > 1)
      std::fprintf(stderr, "[%zu tokens read at %.0f/s, %td written at %.1f/s%s]\n", prompt.size(),
                   static_cast<double>(prompt.size()) / prefill, made,
                   static_cast<double>(made - 1) / (watch.seconds() - prefill),
                   made == room ? "; the context is full" : "");
    return text;
  }

  Options options_;
  hb::Cpu cpu_;
  hb::Tokenizer tokenizer_;
  typename Model::Params params_;
  typename Model::Positions positions_;
};

/// Whether every matrix of a folder is bf16, so that nothing is lost by keeping it so.
bool stores_bf16(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return false;
  bool all = true;
  hb::ModelDirectory(path).each([&](const std::string&, const hb::StoredTensor& tensor) {
    all = all && (tensor.shape.size() < 2 || tensor.dtype == hb::DType::bf16);
  });
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Talk to a language model: from a folder with config.json, or a GGUF file.");
  Options options;
  app.add_option("--base", options.path, "the model")->required();
  auto* const prompt = app.add_option("--prompt", options.prompt, "one question, through the chat template");
  app.add_option("--raw", options.raw, "a text to continue, without a chat template")->excludes(prompt);
  app.add_option("--system", options.system, "the system turn");
  app.add_option("-n", options.most, "tokens at most")
      ->check(CLI::Range(hb::Index{0}, std::numeric_limits<hb::Index>::max()))
      ->capture_default_str();
  app.add_option("--context", options.context, "tokens of a conversation at most")
      ->check(CLI::Range(hb::Index{1}, hb::Index{chat_base.positions}))
      ->capture_default_str();
  app.add_option("--temperature", options.sampling.temperature)->capture_default_str();
  app.add_option("--top-k", options.sampling.top_k, "0: all")->capture_default_str();
  app.add_option("--top-p", options.sampling.top_p)->capture_default_str();
  app.add_option("--min-p", options.sampling.min_p)->capture_default_str();
  app.add_option("--repetition-penalty", options.sampling.repetition_penalty)->capture_default_str();
  app.add_option("--seed", options.sampling.seed)->capture_default_str();
  app.add_flag("--greedy", options.greedy, "always the likeliest token");
  app.add_option("--threads", options.threads, "0: one for each core")->capture_default_str();
  app.add_option("--weights", options.weights, "how matrices are kept; auto: bf16 where the files have it")
      ->check(CLI::IsMember({"auto", "float", "bf16"}))
      ->capture_default_str();
  app.add_flag("--quiet", options.quiet, "print the text alone");
  CLI11_PARSE(app, count, arguments);
  if (options.greedy) options.sampling.temperature = 0;
  try {
    if (options.weights == "bf16" || (options.weights == "auto" && stores_bf16(options.path)))
      Chat<hb::bf16>(options).run();
    else
      Chat<float>(options).run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
