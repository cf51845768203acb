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
#include "corpus.hpp"
#include "questions.hpp"
#include "text_reader.hpp"

namespace hyperblocks::example {

template <class NetSpec>
inline constexpr const char* system_name = std::same_as<NetSpec, ShineSpec>       ? "SHINE"
                                           : std::same_as<NetSpec, DocToLoraSpec> ? "Doc-to-LoRA"
                                                                                  : "Text-to-LoRA";

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
    return corpus.each([&](const CorpusText& text, const std::filesystem::path& out) {
      const std::vector<Tokens> pieces = reader_.read(as_read(text.text), text.where);
      Index tokens = 0;
      for (const Tokens& piece : pieces) tokens += std::ssize(piece);
      write(made(pieces, nullptr), options_.format == "gguf" ? out.string() + ".gguf" : out.string());
      return tokens;
    });
  }

 private:
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
    return adapter;
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
    if (std::abs(length / wanted - 1) > 1e-3)
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

/// The files that a run makes, with the options that they come from.
inline std::vector<std::pair<std::string, std::filesystem::path>> output_files(const Options& options) {
  const std::filesystem::path out = options.out;
  std::vector<std::pair<std::string, std::filesystem::path>> files;
  if (names_gguf(out))
    files.emplace_back("--out", out);
  else if (options.format == "safetensors")
    files.emplace_back("--out", out / "adapter.safetensors");
  else if (options.format == "gguf")
    files.emplace_back("--out", out / "adapter.gguf");
  else
    for (const char* const name : {"adapter_model.safetensors", "adapter_config.json"})
      files.emplace_back("--out", out / name);
  if (!options.dump.empty()) files.emplace_back("--dump", options.dump);
  if (!options.logits.empty()) files.emplace_back("--logits", options.logits);
  return files;
}

/// That each output has a place of its own, which is neither a folder or device nor a file that is read here.
inline void check_places(const Options& options) {
  const auto same = [](const std::filesystem::path& a, const std::filesystem::path& b) {
    return std::filesystem::weakly_canonical(a) == std::filesystem::weakly_canonical(b);
  };
  const auto files = output_files(options);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& [option, file] = files[i];
    const auto refuse = [&, &which = option, &place = file](const char* what, const char* expected,
                                                            const std::string& found) {
      throw Error(what, which + " " + place.string(), expected, found);
    };
    if (is_there(file) && !std::filesystem::is_regular_file(file))
      refuse("not a file", "a regular file, or none", "a folder or a device");
    for (std::size_t other = 0; other < i; ++other)
      if (same(file, files[other].second)) refuse("one file for two things", "two files", files[other].first);
    for (const std::string* input : {&options.base, &options.hypernet, &options.encoder, &options.text,
                                     &options.corpus, &options.features, &options.embedding}) {
      if (input->empty() || *input == "-" || !is_there(file)) continue;
      if (same(file, *input) || (is_folder(*input) && same(file.parent_path(), *input)))
        refuse("an input would be overwritten", "a file that is not read here", *input);
    }
  }
}

inline bool can_be_written_to(const std::filesystem::path& folder) {
  try {
    const AtomicFile tried(folder / ".can_be_written_to");
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// That there is a folder to write to, or for the adapter one that can be made: found out before the work.
inline void check_outputs(const Options& options) {
  check(!options.out.empty(),
        [] { return Error("nowhere to write to", "--out", "a folder, or a file *.gguf", "''"); });
  check_places(options);
  for (const auto& [option, file] : output_files(options)) {
    std::filesystem::path there = std::filesystem::absolute(file).parent_path();
    while (option == "--out" && !is_there(there) && there.has_relative_path()) there = there.parent_path();
    check(std::filesystem::is_directory(there) && can_be_written_to(there),
          [&, &which = option, &wanted = file] {
            return Error("nowhere to write to", which + " " + wanted.string(),
                         "a folder that may be written to", there.string());
          });
  }
}

/// That what is to be read is there.
inline void check_inputs(const Options& options) {
  for (const auto& [option, path] : {std::pair("--base", &options.base),
                                     {"--hypernet", &options.hypernet},
                                     {"--encoder", &options.encoder},
                                     {"--text", &options.text},
                                     {"--corpus", &options.corpus},
                                     {"--features", &options.features},
                                     {"--embedding", &options.embedding}})
    check(path->empty() || *path == "-" || is_there(*path), [&, &name = option, &missing = *path] {
      return Error("a missing file", std::string(name) + " " + missing, "a file or a folder",
                   "nothing of this name");
    });
}

/// What fits this program's system, before anything is read.
template <class NetSpec>
void check_options(const Options& options) {
  constexpr bool doc = std::same_as<NetSpec, DocToLoraSpec>, task = std::same_as<NetSpec, TextToLoraSpec>;
  const int inputs = !options.text.empty() + !options.corpus.empty() + !options.ids.empty() +
                     !options.features.empty() + !options.embedding.empty();
  check(inputs == 1, [&] {
    return Error("what to read is not clear", "the input",
                 "one of --text, --corpus, --ids, --features, --embedding, and not empty",
                 std::to_string(inputs) + " of them");
  });
  const auto only = [](bool given, bool fits, const char* option, const char* system) {
    check(!given || fits, [&] {
      return Error("an option of another system", option, std::string("a program for ") + system,
                   std::string("one for ") + system_name<NetSpec>);
    });
  };
  only(!options.features.empty(), doc, "--features", "Doc-to-LoRA");
  only(!options.embedding.empty(), task, "--embedding", "Text-to-LoRA");
  only(!options.ids.empty(), !task, "--ids", "SHINE or Doc-to-LoRA");
  only(options.chunk.has_value(), !task, "--chunk", "SHINE or Doc-to-LoRA");
  only(!options.encoder.empty(), doc || task, "--encoder", "Doc-to-LoRA or Text-to-LoRA");
  only(options.iterative, doc, "--iterative", "Doc-to-LoRA");
  check(!options.in_context || (!task && !options.text.empty() && !options.questions.empty()), [] {
    return Error("nothing to put before a question", "--in-context", "a document of --text, and --ask",
                 "none");
  });
  only(!options.chunk_scales.empty(), doc, "--chunk-scales", "Doc-to-LoRA");
  only(options.scale != 1, doc, "--scale", "Doc-to-LoRA");
  only(options.bias_scale != 1, doc, "--bias-scale", "Doc-to-LoRA");
  check(options.logits.empty() == options.logits_ids.empty(), [] {
    return Error("logits of what, and where to", "--logits FILE --logits-ids 1,2,3", "both", "one of them");
  });
  for (const auto& [given, found] : {std::pair(!options.questions.empty(), "--ask"),
                                     {!options.logits.empty(), "--logits"},
                                     {!options.dump.empty(), "--dump"},
                                     {!options.chunk_scales.empty(), "--chunk-scales"},
                                     {names_gguf(options.out), "--out with a file"}})
    check(options.corpus.empty() || !given, [&option = found] {
      return Error("an option for one document", "--corpus", "--out FOLDER, and no options for one", option);
    });
  check(!options.chunk.has_value() || !options.text.empty() || !options.corpus.empty(), [&] {
    return Error(
        "nothing to cut into pieces", "--chunk", "--text or --corpus",
        options.ids.empty() ? "--features, which are one piece" : "--ids, whose pieces are given as 1,2;3,4");
  });
  for (const auto& [name, value] :
       {std::pair("--scale", options.scale), {"--bias-scale", options.bias_scale}})
    check(std::isfinite(static_cast<float>(value)), [&, &option = name, &given = value] {
      return Error("a number is not finite", option, "a scale that a float can hold", std::to_string(given));
    });
  check_inputs(options);
  check_outputs(options);
}

/// What is read of the model that reads is a part of the program, as specs are.
inline void check_context(const ContextSpec& compiled, const std::string& hypernet) {
  const auto said = [](const ContextSpec& context) {
    return std::string(EnumNames<ContextKind>::names[static_cast<std::size_t>(context.kind)]) + ", layers " +
           std::to_string(context.layers);
  };
  const ContextSpec found = read_hypernet(hypernet).context;
  check(found == compiled, [&] {
    return Error("the program is compiled for another context", hypernet + ": 'context'", said(compiled),
                 said(found));
  });
}

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
  if constexpr (std::same_as<NetSpec, DocToLoraSpec>) check_context(context, options.hypernet);
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
