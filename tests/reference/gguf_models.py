# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Turns the tiny models of tests/fixtures/models into GGUF files as llama.cpp's converter would: tests/fixtures/gguf/<case>.gguf,
# matrices F16, vectors F32, llama's queries and keys with their rows permuted, Gemma's norms with one added.
#   python gguf_models.py tests/fixtures        (needs: pip install gguf safetensors)
import json
import pathlib
import sys

import gguf
import numpy
import safetensors.numpy

from gguf_fixtures import finish

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2",
                 "gemma3_text": "gemma3"}
CASES = ["llama", "llama3", "smollm2", "qwen2", "qwen3", "gemma2", "gemma3"]


def permuted(tensor, heads):
    """Rows of each head from pairs (i, i + half) to pairs (2 i, 2 i + 1)."""
    return tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def llama3_factors(rope, width):
    """What llama.cpp divides each frequency by."""
    wavelengths = 2 * numpy.pi * rope["rope_theta"] ** (numpy.arange(0, width, 2) / width)
    turns = rope["original_max_position_embeddings"] / wavelengths
    smooth = (turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
    return (1 / ((1 - smooth.clip(0, 1)) / rope["factor"] + smooth.clip(0, 1))).astype(numpy.float32)


def write_values(writer, config, rope):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if config["model_type"].startswith("gemma"):
        writer.add_sliding_window(config["sliding_window"])
        if config["attn_logit_softcapping"]:
            writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
            writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def write_model(source, target):
    config = json.loads((source / "config.json").read_text())
    rope = config["rope_parameters"].get("full_attention", config["rope_parameters"])
    if rope["rope_type"] == "llama3":
        rope["original_max_position_embeddings"] = 8192  # as in all published models: the file does not say it
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(target, architecture)
    write_values(writer, config, rope)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH_NAMES and next(
        key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), config["num_hidden_layers"])
    for name, tensor in sorted(safetensors.numpy.load_file(source / "model.safetensors").items()):
        if architecture == "llama" and (".q_proj." in name or ".k_proj." in name):
            tensor = permuted(tensor, config["num_attention_heads" if ".q_proj." in name else "num_key_value_heads"])
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + 1
        tensor = tensor.astype(numpy.float16 if tensor.ndim == 2 else numpy.float32)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), tensor)
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, config["head_dim"]))
    finish(writer)


if __name__ == "__main__":
    fixtures = pathlib.Path(sys.argv[1])
    for case in CASES:
        write_model(fixtures / "models" / case, fixtures / "gguf" / f"{case}.gguf")
