# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes GGUF fixtures with the package `gguf`, and what its numpy code makes of every block format:
#   tests/fixtures/gguf/formats.gguf          a tensor (2, 256) of each format, random bits and sane scales
#   tests/fixtures/gguf/formats.safetensors   the same expanded, F32
#   tests/fuzz/corpus/gguf/{empty,values,tensors,model}   small files for the fuzz target to begin with
#   tests/fuzz/corpus/vocabulary/{gpt2,llama}             the same with tokenizers
#   python gguf_fixtures.py tests        (needs: pip install gguf safetensors)
import pathlib
import sys

import gguf
import numpy
import safetensors.numpy

Q = gguf.GGMLQuantizationType
FORMATS = [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K]
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2],
          Q.Q6_K: [208]}  # where a block's 16-bit scales are


def blocks(random, format):
    """The bytes of a tensor (2, 256)."""
    if format == Q.F32:
        return random.standard_normal((2, 256), numpy.float32).view(numpy.uint8)
    if format in (Q.F16, Q.BF16):
        return gguf.quants.quantize(random.standard_normal((2, 256), numpy.float32), format).view(numpy.uint8)
    numbers, size = gguf.GGML_QUANT_SIZES[format]
    data = random.integers(0, 256, (512 // numbers, size), numpy.uint8)
    for place in HALVES[format]:
        scale = random.standard_normal((len(data), 1)).astype(numpy.float16)
        data[:, place:place + 2] = scale.view(numpy.uint8)
    return data.reshape(2, -1)


def write_formats(folder):
    random = numpy.random.default_rng(4)
    writer = gguf.GGUFWriter(folder / "formats.gguf", "test")
    expected = {}
    for format in FORMATS:
        data = blocks(random, format)
        writer.add_tensor(format.name, data, raw_dtype=format)
        expected[format.name] = gguf.quants.dequantize(data, format).reshape(2, 256).astype(numpy.float32)
    finish(writer)
    safetensors.numpy.save_file(expected, folder / "formats.safetensors")


def write_seeds(folder):
    for name in ("empty", "values", "tensors", "model"):
        writer = gguf.GGUFWriter(folder / name, "gemma3" if name == "model" else "test")
        if name == "values":
            for type in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"):
                getattr(writer, "add_" + type)(type, 7)
            writer.add_bool("bool", True)
            writer.add_string("string", "text")
            writer.add_array("strings", ["a", "", "bc"])
            writer.add_array("integers", [1, -2, 3])
            writer.add_array("floats", [0.5, 1.5])
            writer.add_array("arrays", [[1, 2], [3]])
        if name == "tensors":
            writer.add_custom_alignment(64)
            writer.add_tensor("one", numpy.ones((2, 3), numpy.float32))
            writer.add_tensor("two", blocks(numpy.random.default_rng(1), Q.Q4_0)[:, :18], raw_dtype=Q.Q4_0)
            writer.add_tensor("three", numpy.zeros((1, 1, 2), numpy.float16))
        if name == "model":
            for add in ("context_length", "embedding_length", "block_count", "feed_forward_length", "head_count", "head_count_kv",
                        "key_length", "sliding_window"):
                getattr(writer, "add_" + add)(1 if "head_count" in add else 2)
            writer.add_layer_norm_rms_eps(1e-6)
            writer.add_rope_freq_base(1e6)
            writer.add_array("gemma3.attention.sliding_window_pattern", [True, False])
            writer.add_tensor("token_embd.weight", numpy.ones((3, 2), numpy.float32))
            writer.add_tensor("rope_freqs.weight", numpy.ones(1, numpy.float32))
        finish(writer)


def write_vocabularies(folder):
    for model in ("gpt2", "llama"):
        writer = gguf.GGUFWriter(folder / model, "test")
        writer.add_tokenizer_model(model)
        if model == "gpt2":
            writer.add_tokenizer_pre("qwen2")
            tokens = ["<|end|>", "a", "b", "1", "\u0120", "\u010a", "ab", "\u0120a", "[x]"]
            types = [3] + [1] * 7 + [4]
            writer.add_token_merges(["a b", "\u0120 a"])
        else:
            tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in (10, 97, 206)] + ["\u2581", "a", "b", "ab", "\u2581a", "[x]"]
            types = [2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 4]
            writer.add_token_scores([-float(i) for i in range(len(tokens))])
            writer.add_add_space_prefix(True)
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_add_bos_token(True)
        writer.add_tensor("text", numpy.frombuffer("ab a[x] \u20ac 1\n ".encode(), numpy.int8))
        finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(tests):
    for folder, write in ((tests / "fixtures/gguf", write_formats), (tests / "fuzz/corpus/gguf", write_seeds),
                          (tests / "fuzz/corpus/vocabulary", write_vocabularies)):
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
