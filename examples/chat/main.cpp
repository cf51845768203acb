// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Talk to a model from a Hugging Face folder or a GGUF file: one prompt (--prompt, --raw) or a conversation.
#include <algorithm>
#include <chrono>
#include <optional>

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/text/load_tokenizer.hpp>

#include "../command_line.hpp"
#include "../stored_weights.hpp"
#include "../streams.hpp"

#ifdef HYPERBLOCKS_BASE_CONFIG
#include <chat_base.hpp>
#else
inline constexpr hyperblocks::DecoderSpec chat_base = hyperblocks::specs::smollm2_135m;
#endif

namespace hb = hyperblocks;

namespace {

struct Options {
  std::string path, adapter, system, weights = "auto";
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

/// What a text needs besides the model, and is read before it: mistakes show at once.
struct Words {
  hb::Tokenizer tokenizer;
  hb::Tokens ends;
  std::optional<hb::ChatTemplate> chat;  ///< none for --raw

  explicit Words(const Options& options)
      : tokenizer(hb::load_tokenizer(options.path)), ends(hb::end_tokens(tokenizer, options.path)) {
    if (options.raw) return;
    try {
      chat = hb::load_chat_template(options.path);
    } catch (const hb::Error& error) {
      throw hb::Error(error.problem(), error.where(), error.expected() + " (--raw does without)",
                      error.found());
    }
  }

  hb::Tokens prompt_of(const std::vector<hb::Message>& turns) const {
    return tokenizer.encode(chat ? chat->render(turns) : turns.back().content, false);
  }
};

/// A model whose matrices are kept as Stored numbers; it computes in float.
template <class Stored>
class Chat {
 public:
  using Model = hb::Decoder<chat_base, float, hb::Cpu, hb::Frozen<Stored>>;
  using Adapter = hb::Adapter<chat_base, hb::AdapterSpec{.bias = hb::Targets{}}, float, hb::Cpu>;

  explicit Chat(const Options& options)
      : options_(options),
        cpu_({.threads = options.threads}),
        words_(options),
        adapter_(read_adapter(cpu_, options)),
        params_(hb::loaded_decoder<Model>(cpu_, options.path,
                                          options.quiet ? hb::Progress() : hb::ProgressBar())),
        positions_(cpu_, options.context) {}

  void run() {
    if (options_.raw) return void(answer(words_.tokenizer.encode(*options_.raw)));
    if (!options_.system.empty()) turns_.push_back({"system", options_.system});
    if (options_.prompt) return reply_to(*options_.prompt);
    note("An empty line ends the conversation.\n");
    for (std::string line; next_line(line);) {
      try {
        reply_to(line);
      } catch (const hb::Error& error) {  // the conversation goes on as if nothing had been said
        std::cerr << error.what() << '\n';
      }
    }
  }

 private:
  static Adapter read_adapter(hb::Cpu& cpu, const Options& options) {
    if (options.adapter.empty()) return {};
    const hb::AdapterBase base(options.path);
    const hb::HostAdapter host = hb::read_adapter(options.adapter, &base);
    hb::check_fits(host, chat_base, options.adapter);
    Adapter adapter(cpu, host, options.adapter);
    adapter.pack(cpu);
    return adapter;
  }

  void note(const char* text) const {
    if (!options_.quiet) std::cerr << text;
  }

  bool next_line(std::string& line) const {
    note("> ");
    if (!std::getline(std::cin, line)) return false;
    if (line.ends_with('\r')) line.pop_back();
    return !line.empty();
  }

  void reply_to(const std::string& text) {
    const auto ids = words_.tokenizer.encode(text, false);
    if (words_.tokenizer.decode(ids) != words_.tokenizer.decode(ids, false))
      note("[the text holds control tokens, which the model takes as such]\n");
    auto turns = turns_;
    turns.push_back({"user", text});
    const hb::Tokens prompt = fitted(turns);
    turns.push_back({"assistant", answer(prompt)});
    turns_ = std::move(turns);
  }

  /// The turns as tokens. Where they would not leave room for an answer, the oldest questions and answers go.
  hb::Tokens fitted(std::vector<hb::Message>& turns) const {
    const auto room = options_.context - std::min(options_.most, options_.context / 4);
    const auto oldest = turns.begin() + (options_.system.empty() ? 0 : 1);
    for (bool dropped = false;; dropped = true) {
      hb::Tokens prompt = words_.prompt_of(turns);
      if (std::ssize(prompt) <= room || turns.end() - oldest < 3) {
        if (dropped && std::ssize(prompt) <= room)
          note("[the context is full: the oldest turns are forgotten]\n");
        return prompt;
      }
      turns.erase(oldest, oldest + 2);
    }
  }

  /// How many of a prompt's first tokens the cache holds; it is as large as a conversation may become.
  hb::Index known(const hb::Tokens& prompt) {
    const bool once = options_.raw || options_.prompt;
    if (!cache_)
      cache_.emplace(
          cpu_, 1, once ? std::min(options_.context, std::ssize(prompt) + options_.most) : options_.context);
    read_.resize(static_cast<std::size_t>(cache_->lengths[0]));
    return cache_->lengths[0] = std::ranges::mismatch(read_, prompt).in1 - read_.begin();
  }

  /// Prints the continuation of a prompt as it comes.
  std::string answer(const hb::Tokens& prompt) {
    hb::check(std::ssize(prompt) < options_.context, [&] {
      return hb::Error("the text does not fit the context", "--context",
                       "less than " + std::to_string(options_.context) + " tokens",
                       std::to_string(prompt.size()));
    });
    hb::StreamDecoder decoder(words_.tokenizer);
    std::string text;
    const auto print = [&](const std::string& piece) {
      text += piece;
      std::cout << piece;
      hb::example::flush_output();
    };
    const Stopwatch watch;
    double prefill = 0;
    bool full = false;
    const auto fresh = std::ssize(prompt) - known(prompt);
    read_ = prompt;
    hb::GenerationOptions options{.most = options_.most, .stop = words_.ends};
    options.sampling = options_.sampling;
    options.each = [&](std::size_t, std::int32_t token) {
      if (read_.size() == prompt.size()) prefill = watch.seconds();
      read_.push_back(token);
      print(decoder.next(token));
      return true;
    };
    options.ended = [&](std::size_t, hb::Ending why) { full = why == hb::Ending::positions; };
    hb::generate<Model>(cpu_, params_, positions_, std::span(&prompt, 1), options,
                        adapter_.template updates<Model>(), cache_ ? &*cache_ : nullptr);
    const auto made = static_cast<double>(read_.size() - prompt.size());
    print(decoder.finish());
    std::cout << std::endl;
    if (!options_.quiet && made > 1)
      std::fprintf(stderr, "[%td tokens read at %.0f/s, %.0f written at %.1f/s%s]\n", fresh,
                   static_cast<double>(fresh) / prefill, made, (made - 1) / (watch.seconds() - prefill),
                   full ? "; the context is full" : "");
    return text;
  }

  Options options_;
  hb::Cpu cpu_;
  Words words_;
  Adapter adapter_;
  typename Model::Params params_;
  typename Model::Positions positions_;
  std::optional<typename Model::Cache> cache_;
  hb::Tokens read_;  ///< begins with what the cache holds
  std::vector<hb::Message> turns_;
};

void add_sampling(CLI::App& app, Options& options) {
  hb::Sampling& sampling = options.sampling;
  app.add_option("--temperature", sampling.temperature, "how freely tokens are drawn; 0: the likeliest")
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "so many candidates at most; 0: all")->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "the fewest candidates whose probabilities reach this sum")
      ->capture_default_str();
  app.add_option("--min-p", sampling.min_p, "candidates of at least this part of the likeliest's probability")
      ->capture_default_str();
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "logits of tokens that have come are divided by it")
      ->capture_default_str();
  app.add_option("--seed", sampling.seed, "of what is drawn: the same again gives the same text")
      ->capture_default_str();
  app.add_flag("--greedy", options.greedy, "always the likeliest token");
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Talk to a language model: from a folder with config.json, or a GGUF file.");
  Options options;
  app.add_option("--base", options.path, "the model")->required();
  app.add_option("--adapter", options.adapter, "LoRA for it: a PEFT folder, or a file *.gguf of llama.cpp");
  auto* const prompt = app.add_option("--prompt", options.prompt, "one question, through the chat template");
  app.add_option("--raw", options.raw, "a text to continue, without a chat template")->excludes(prompt);
  app.add_option("--system", options.system, "the system turn");
  app.add_option("-n", options.most, "tokens at most")
      ->check(CLI::Range(hb::Index{0}, hb::Index{1} << 31))
      ->capture_default_str();
  app.add_option("--context", options.context, "tokens of a conversation at most")
      ->check(CLI::Range(hb::Index{1}, hb::Index{chat_base.positions}))
      ->capture_default_str();
  add_sampling(app, options);
  app.add_option("--threads", options.threads, "0: one for each core")
      ->check(CLI::Range(hb::Index{0}, hb::Index{1024}))
      ->capture_default_str();
  app.add_option("--weights", options.weights, "how matrices are kept; auto: bf16 where the files have it")
      ->check(CLI::IsMember({"auto", "float", "bf16"}))
      ->capture_default_str();
  app.add_flag("--quiet", options.quiet, "print the text alone");
  return hb::example::run_program(app, count, arguments, [&] {
    if (options.greedy) options.sampling.temperature = 0;
    static_cast<void>(hb::Sampler(options.sampling));
    hb::check_spec(chat_base, hb::decoder_spec(options.path), options.path);
    if (options.weights == "bf16" || (options.weights == "auto" && hb::example::stores_bf16(options.path)))
      Chat<hb::bf16>(options).run();
    else
      Chat<float>(options).run();
  });
}
