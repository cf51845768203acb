// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// What is wrong with the options, found out before anything is loaded: what does not go together, what is not
// there, what cannot be written, and a hypernetwork that the program was not compiled for.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <hyperblocks/io/adapters.hpp>
#include <hyperblocks/io/load_hypernet.hpp>

#include "options.hpp"

namespace hyperblocks::example {

template <class NetSpec>
inline constexpr const char* system_name = std::same_as<NetSpec, ShineSpec>       ? "SHINE"
                                           : std::same_as<NetSpec, DocToLoraSpec> ? "Doc-to-LoRA"
                                                                                  : "Text-to-LoRA";

/// What an adapter at `out` consists of: a folder's file or files, or a file *.gguf.
inline std::vector<std::filesystem::path> adapter_files(const std::string& format,
                                                        const std::filesystem::path& out) {
  if (names_gguf(out)) return {out};
  if (format == "safetensors") return {out / "adapter.safetensors"};
  if (format == "gguf") return {out / "adapter.gguf"};
  return {out / "adapter_model.safetensors", out / "adapter_config.json"};
}

/// The files that a run makes, with the options that they come from.
inline std::vector<std::pair<std::string, std::filesystem::path>> output_files(const Options& options) {
  std::vector<std::pair<std::string, std::filesystem::path>> files;
  for (const auto& file : adapter_files(options.format, options.out)) files.emplace_back("--out", file);
  if (!options.dump.empty()) files.emplace_back("--dump", options.dump);
  if (!options.logits.empty()) files.emplace_back("--logits", options.logits);
  return files;
}

/// That each output has a place of its own, which is neither a folder or device nor a file that is read here.
inline void check_places(const Options& options) {
  const auto same = [](const std::filesystem::path& a, const std::filesystem::path& b) {
    return std::filesystem::weakly_canonical(a) == std::filesystem::weakly_canonical(b);
  };
  check(options.format != "peft" || !is_folder(options.out) || !same(options.out, options.base), [&] {
    return Error("an adapter in the base's own folder", "--out " + options.out,
                 "another folder: programs would load it whenever they load the base", "--base");
  });
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
      return Error("a number is not finite", option, "a scale that a float can hold",
                   hyperblocks::detail::spec_text(given));
    });
  check_inputs(options);
  check_outputs(options);
}

/// That texts are read as embeddings of the width that a Text-to-LoRA takes.
inline void check_reader(Index embedding, Index width, const Options& options) {
  check(embedding == width, [&] {
    return Error(
        "a model that reads gives embeddings of another width", options.hypernet,
        std::to_string(embedding) +
            " numbers, from --embedding FILE or from the model of "
            "HYPERBLOCKS_ENCODER_CONFIG",
        std::to_string(width) + (options.encoder.empty() ? " of the base" : " of " + options.encoder));
  });
}

/// That the hypernetwork is the program's. What is read of the model that reads is a part of that.
template <class NetSpec>
void check_hypernet(const DecoderSpec& base, const NetSpec& net, const ContextSpec& context,
                    const std::string& folder) {
  const HypernetConfig found = read_hypernet(folder);
  hyperblocks::detail::check_hypernet(net, hypernet_base(base), found, folder);
  if constexpr (std::same_as<NetSpec, DocToLoraSpec>)
    check_spec(context, found.context, folder + ": 'context'",
               "a hypernetwork of another context than the program was compiled for");
}

}  // namespace hyperblocks::example
