// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// The program for one base, one hypernetwork and perhaps another model that reads: from the input to the
// adapter's files, logits and answers.
#pragma once

#include <iostream>

#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_text_encoder.hpp>
#include <hyperblocks/models/embed.hpp>

#include "../stages.hpp"
#include "../stored_weights.hpp"
#include "../streams.hpp"
#include "checks.hpp"
#include "corpus.hpp"
#include "questions.hpp"
#include "text_reader.hpp"

namespace hyperblocks::example {

/// A file's text; "-" is standard input.
inline std::string text_of(const std::string& file) {
  std::string text;
  each_line(file, '\0', [&](const std::string& part, std::size_t number) {
    check(number == 1, [&] { return Error("not a text", file, "UTF-8", "a byte of zero"); });
    text = part;
  });
  const std::size_t valid = hyperblocks::detail::valid_size(text);
  check(valid == text.size(), [&] {
    return Error("not a text", file, "UTF-8", "another byte at offset " + std::to_string(valid));
  });
  return some_text(std::move(text), file);
}

/// How wide its states are.
template <class EncoderSpec>
constexpr Index hidden_of(const DecoderSpec& base, const EncoderSpec& encoder) {
  if constexpr (std::same_as<EncoderSpec, BaseReads>)
    return base.hidden;
  else
    return encoder.hidden;
}

/// The model that reads: the base, another decoder, or a text encoder.
template <class Model, auto spec, class Stored>
struct ReadingModel {
  using Type = Model;
};
template <class Model, DecoderSpec spec, class Stored>
struct ReadingModel<Model, spec, Stored> {
  using Type = Decoder<spec, float, Cpu, Frozen<Stored>>;
};
template <class Model, TextEncoderSpec spec, class Stored>
struct ReadingModel<Model, spec, Stored> {
  using Type = TextEncoder<spec, float, Cpu>;
};

template <auto base_spec, auto net_spec, ContextSpec context, auto encoder_spec, class Stored,
          class EncoderStored>
class Program {
 public:
  using Model = Decoder<base_spec, float, Cpu, Frozen<Stored>>;
  using Net = Writer<Model, net_spec>;
  using Lora = hyperblocks::Adapter<base_spec, AdapterSpec{.bias = Targets{}}, float, Cpu>;
  using NetSpec = std::remove_cv_t<decltype(net_spec)>;
  using EncoderSpec = std::remove_cv_t<decltype(encoder_spec)>;
  static constexpr bool is_shine = std::same_as<NetSpec, ShineSpec>;
  static constexpr bool is_doc_to_lora = std::same_as<NetSpec, DocToLoraSpec>;
  static constexpr bool is_text_to_lora = std::same_as<NetSpec, TextToLoraSpec>;
  static constexpr bool encoder_is_decoder = std::same_as<EncoderSpec, DecoderSpec>;
  static constexpr bool base_reads = std::same_as<EncoderSpec, BaseReads>;
  static_assert(
      !is_doc_to_lora || base_reads || encoder_is_decoder,
      "hyperblocks: a Doc-to-LoRA's context encoder is a decoder: HYPERBLOCKS_ENCODER_CONFIG is another "
      "kind of model (give its features with --features)");
  using Encoder = typename ReadingModel<Model, encoder_spec, EncoderStored>::Type;

  explicit Program(const Options& options)
      : options_(options),
        text_(options.text.empty() ? "" : as_read(text_of(options.text))),
        reader_(options_),
        pieces_(read_input()),
        questions_(options_, text_, base_spec.positions),
        given_(read_tensors(options)),
        cpu_({.threads = options.threads}),
        net_(stages_("hypernetwork loaded", [&] { return Net(cpu_, options); })),
        params_(
            stages_("base loaded", [&] { return loaded_decoder<Model>(cpu_, options.base, ProgressBar()); })),
        positions_(cpu_) {}

  void run() {
    NamedTensors dump;
    const HostAdapter adapter =
        stages_("adapter made", [&] { return made(pieces_, options_.dump.empty() ? nullptr : &dump); });
    if (!options_.dump.empty()) write_tensors(options_.dump, dump);
    stages_("adapter written", [&] {
      if (const Index rank = write(adapter, options_.out); rank > 0) tell_rank(rank);
    });
    Lora lora(cpu_, adapter, "the adapter");
    lora.pack(cpu_);
    if (!options_.logits.empty()) stages_("logits", [&] { write_logits(lora); });
    for (const Question& question : questions_) answer(question, lora);
    flush_output();
  }

  /// An adapter for each of a corpus's texts that has none yet; how many could not be made.
  Index run(Corpus& corpus) {
    const auto place = [&](const std::filesystem::path& out) {
      return options_.format == "gguf" ? out.string() + ".gguf" : out.string();
    };
    const auto make = [&](const CorpusText& text, const std::filesystem::path& out) {
      const std::vector<Tokens> pieces = reader_.read(as_read(text.text), text.where);
      Index tokens = 0;
      for (const Tokens& piece : pieces) tokens += std::ssize(piece);
      write(made(pieces, nullptr), place(out));
      return tokens;
    };
    const auto are_there = [&](const std::filesystem::path& out) {
      return std::ranges::all_of(adapter_files(options_.format, place(out)),
                                 [](const auto& file) { return is_there(file); });
    };
    return corpus.each(made_with(), make, are_there);
  }

 private:
  /// The options that decide what an adapter is.
  std::string made_with() const {
    std::ostringstream all;
    all << options_.format << ' ' << options_.chunk.value_or(-1) << ' ' << options_.scale << ' '
        << options_.bias_scale << ' ' << options_.weights;
    return all.str();
  }

  /// SHINE reads a text as it is, the others without the white space around it.
  static std::string as_read(const std::string& text) {
    return is_shine ? text : std::string(hyperblocks::detail::stripped(text));
  }

  HostAdapter made(const std::vector<Tokens>& pieces, NamedTensors* dump) {
    grow(positions_, pieces);
    const HostAdapter adapter = of_pieces(pieces, dump);
    check_sizes(adapter, base_spec, "the adapter");
    if (!changes(adapter)) std::cerr << "note: the adapter changes nothing: all its B A are zero\n";
    check_finite(adapter,
                 "the adapter, of numbers in the base or the hypernetwork that are not, or of a "
                 "scale or numbers that are too large");
    for (const auto& [place, factors] : adapter.linears) check_product(factors, to_string(place));
    return adapter;
  }

  /// That no number of scale B A can be more than a float holds.
  static void check_product(const HostFactors& factors, const std::string& place) {
    const auto largest = [](const std::vector<float>& numbers) {
      double most = 0;
      for (const float number : numbers) most = std::max(most, std::abs(static_cast<double>(number)));
      return most;
    };
    const double bound =
        std::abs(factors.scale) * static_cast<double>(factors.rank) * largest(factors.a) * largest(factors.b);
    check(bound <= std::numeric_limits<float>::max(), [&] {
      return Error("an adapter of numbers that are too large", place,
                   "scale B A that a float can hold (a smaller --scale or --bias-scale)",
                   "up to " + hyperblocks::detail::spec_text(bound));
    });
  }

  HostAdapter of_pieces(const std::vector<Tokens>& pieces, NamedTensors* dump) {
    if constexpr (is_text_to_lora) {
      return net_.of_embedding(
          cpu_, options_.embedding.empty() ? described_task(pieces.front()) : given_.numbers, dump);
    } else if constexpr (is_shine) {
      return net_.of_pieces(Base<Model>{cpu_, params_, positions_}, pieces, dump);
    } else {
      if (!options_.features.empty()) return net_.of_features(cpu_, given_, options_, dump);
      if constexpr (encoder_is_decoder) {
        auto& [params, positions] = encoder();
        grow(positions, pieces);
        return net_.of_pieces(cpu_, ContextReader<Encoder, context>(params, positions), pieces, options_,
                              dump);
      } else {
        return net_.of_pieces(cpu_, ContextReader<Model, context>(params_, positions_), pieces, options_,
                              dump);
      }
    }
  }

  /// The embedding of a task's description, by the base or by another model.
  std::vector<float> described_task(const Tokens& description) {
    if constexpr (base_reads) {
      return embed<Model>(cpu_, params_, positions_, description, {.pooling = Pooling::last});
    } else {
      auto& [params, positions] = encoder();
      if constexpr (encoder_is_decoder) grow(positions, {description});
      return embed<Encoder>(cpu_, params, positions, description,
                            {.pooling = encoder_is_decoder ? Pooling::last : Pooling::cls});
    }
  }

  /// Tables for pieces that are longer than what a model was trained for.
  template <class Positions>
  void grow(Positions& positions, const std::vector<Tokens>& pieces) {
    Index longest = 0;
    for (const Tokens& piece : pieces) longest = std::max(longest, std::ssize(piece) + reader_.appended);
    if (longest > positions.full.cosines.extent(0)) positions = Positions(cpu_, longest);
  }

  /// The other model that reads, once it is wanted.
  auto& encoder() {
    if (!encoder_)
      encoder_.emplace(stages_("encoder loaded",
                               [&] {
                                 if constexpr (encoder_is_decoder)
                                   return loaded_decoder<Encoder>(cpu_, options_.encoder, ProgressBar());
                                 else
                                   return loaded_text_encoder<Encoder>(cpu_, options_.encoder, ProgressBar());
                               }),
                       typename Encoder::Positions(cpu_));
    return *encoder_;
  }

  // ---- input

  std::vector<Tokens> read_input() const {
    if (!options_.logits.empty()) (void)logits_ids(options_);
    const auto read = !options_.ids.empty()   ? reader_.read_ids()
                      : options_.text.empty() ? std::vector<Tokens>()
                                              : reader_.read(text_, options_.text);
    return checked_scales(options_, read);
  }

  static std::vector<Tokens> checked_scales(const Options& options, std::vector<Tokens> pieces) {
    if constexpr (is_doc_to_lora) (void)Net::call_options(options, pieces.empty() ? 1 : pieces.size());
    return pieces;
  }

  /// A task's embedding is read with the length sqrt(d), whatever it has.
  static void tell_length(const std::vector<float>& embedding, const std::string& file) {
    double squares = 0;
    for (const float number : embedding) squares += static_cast<double>(number) * static_cast<double>(number);
    const double length = std::sqrt(squares), wanted = std::sqrt(static_cast<double>(embedding.size()));
    if (length > 0 && std::abs(length / wanted - 1) > 1e-3)
      std::cerr << "note: " << file << ": 'embedding' of length " << length << " is read with the length "
                << wanted << ", as a description's has\n";
  }

  /// Of the input that is no text, before anything is loaded.
  static NamedTensor read_tensors(const Options& options) {
    if (!options.features.empty()) {
      NamedTensor features = read_tensor(options.features, "features");
      if constexpr (is_doc_to_lora) Net::check_features(features, options.features);
      return features;
    }
    if (options.embedding.empty()) return {};
    NamedTensor embedding = read_tensor(options.embedding, "embedding");
    if constexpr (is_text_to_lora)
      check(static_cast<Index>(embedding.numbers.size()) == net_spec.embedding, [&] {
        return Error("an embedding of another width", options.embedding + ": 'embedding'",
                     std::to_string(net_spec.embedding) + " numbers",
                     hyperblocks::detail::shape_text(embedding.shape));
      });
    tell_length(embedding.numbers, options.embedding);
    return embedding;
  }

  static Tokens logits_ids(const Options& options) {
    const auto lists = parse_ids(options.logits_ids, "--logits-ids", base_spec.vocabulary);
    check(lists.size() == 1, [&] {
      return Error("several lists of tokens", "--logits-ids", "one", std::to_string(lists.size()));
    });
    check(std::ssize(lists.front()) <= base_spec.positions, [&] {
      return Error("more tokens than the base has positions", "--logits-ids",
                   "at most " + std::to_string(base_spec.positions), std::to_string(lists.front().size()));
    });
    return lists.front();
  }

  // ---- outputs

  /// The rank that vLLM is to be told of, 0 where the file is not for it.
  Index write(const HostAdapter& adapter, const std::filesystem::path& out) const {
    if (options_.format == "safetensors" && !names_gguf(out)) {
      const FolderToFill made(out);
      write_tensors(out / "adapter.safetensors", tensors_of(adapter));
      return 0;
    }
    const AdapterOptions base = AdapterBase(options_.base).options();
    if (options_.format == "gguf" || names_gguf(out)) {
      const std::filesystem::path file = names_gguf(out) ? out : out / "adapter.gguf";
      const FolderToFill made(std::filesystem::absolute(file).parent_path());
      write_adapter(file, adapter, base);
      return 0;
    }
    return write_adapter(out, adapter, base);
  }

  static void tell_rank(Index rank) {
    const Index allowed = vllm_rank(rank);
    std::printf("rank %td; vLLM: %s\n", rank,
                allowed == 0 ? "no (its largest rank is 512)"
                             : ("--max-lora-rank " + std::to_string(allowed)).c_str());
  }

  void write_logits(const Lora& lora) {
    const Tokens given = logits_ids(options_);
    const auto rows = static_cast<Index>(given.size());
    Tensor<std::int32_t, Cpu, dyn> ids(cpu_, rows);
    ids.upload(cpu_, given);
    Tensor<float, Cpu, dyn, Model::vocabulary> logits(cpu_, rows);
    Model::forward(cpu_, params_,
                   {.ids = ids, .rotary = positions_, .updates = lora.template updates<Model>()},
                   {.logits = logits});
    check(std::ranges::all_of(logits.span(), [](float number) { return std::isfinite(number); }), [&] {
      return Error("a number is not finite", "the logits, of numbers in the base that are not",
                   "finite logits", "NaN or infinity");
    });
    write_tensors(options_.logits,
                  {{"logits", {{rows, Model::vocabulary}, {logits.span().begin(), logits.span().end()}}}});
  }

  void answer(const Question& question, const Lora& lora) {
    const auto ask = [&](const char* how, const Tokens& prompt, const auto& updates) {
      const Tokens made = stages_(how, [&] {
        return hyperblocks::generate<Model>(cpu_, params_, positions_, std::span(&prompt, 1),
                                            questions_.generation(), updates)
            .front();
      });
      std::cout << questions_.text(made) << "\n";
    };
    std::cout << "\nQuestion: " << question.text << std::endl;
    const typename Model::template Updates<const float> none;
    ask("answer with the adapter", question.alone, lora.template updates<Model>());
    ask("answer without", question.alone, none);
    if (options_.in_context) ask("answer, the text before it", question.in_context, none);
  }

  Options options_;
  Stages stages_;
  std::string text_;  ///< of --text
  TextReader<base_spec, net_spec, encoder_spec, Net> reader_;
  std::vector<Tokens> pieces_;  ///< what is read as tokens; before anything is loaded: mistakes show at once
  Questions questions_;
  NamedTensor given_;  ///< what is read as a tensor
  Cpu cpu_;
  Net net_;
  typename Model::Params params_;
  typename Model::Positions positions_;
  std::optional<std::pair<typename Encoder::Params, typename Encoder::Positions>> encoder_;
};

/// How many documents of a corpus failed.
template <auto base, auto net, ContextSpec context, auto encoder>
Index run(const Options& options, const Peers& peers) {
  using NetSpec = std::remove_cv_t<decltype(net)>;
  check_options<NetSpec>(options);
  constexpr bool base_reads = std::same_as<std::remove_cv_t<decltype(encoder)>, BaseReads>;
  check(!base_reads || options.encoder.empty(), [] {
    return Error("another model that reads", "--encoder",
                 "a program compiled with HYPERBLOCKS_ENCODER_CONFIG", "one for which the base reads");
  });
  const bool reads = !options.text.empty() || !options.corpus.empty() || !options.ids.empty();
  check(base_reads || !reads || !options.encoder.empty(), [] {
    return Error("the model that reads is not given", "--encoder",
                 "the folder of the model of HYPERBLOCKS_ENCODER_CONFIG", "none");
  });
  if constexpr (std::same_as<NetSpec, ShineSpec>)
    check(net.recurrent_rank == 0 || options.dump.empty(), [] {
      return Error("an option of another system", "--dump", "a program for SHINE", "one for SHINE-R");
    });
  check_spec(base, decoder_spec(options.base), options.base);
  check_hypernet(base, net, context, options.hypernet);
  if constexpr (std::same_as<NetSpec, TextToLoraSpec>)
    if (reads) check_reader(net.embedding, hidden_of(base, encoder), options);
  if (base_reads && reads)
    if (const std::string meant = read_hypernet(options.hypernet).reader; !meant.empty())
      std::cerr << "note: hypernet.json says that '" << meant
                << "' reads; in this program, compiled without HYPERBLOCKS_ENCODER_CONFIG, the base does\n";
  const auto in_bf16 = [&](const std::string& model) {
    return options.weights == "bf16" || (options.weights == "auto" && stores_bf16(model));
  };
  const auto with = [&]<class Stored, class EncoderStored>(std::type_identity<Stored>,
                                                           std::type_identity<EncoderStored>) -> Index {
    using Made = Program<base, net, context, encoder, Stored, EncoderStored>;
    if (options.corpus.empty()) return Made(options).run(), 0;
    Corpus corpus(options.corpus, options.out, peers);  // mistakes in it show before anything is loaded
    return Made(options).run(corpus);
  };
  constexpr std::type_identity<float> exact;
  constexpr std::type_identity<bf16> halved;
  if (!in_bf16(options.base)) return with(exact, exact);  // bf16 numbers of an encoder are floats, too
  if constexpr (std::same_as<std::remove_cv_t<decltype(encoder)>, DecoderSpec>)
    if (!options.encoder.empty() && !in_bf16(options.encoder)) return with(halved, exact);
  return with(halved, halved);
}

}  // namespace hyperblocks::example
