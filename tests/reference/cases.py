# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The cases of the parity tests: name -> block and what it is fed with. The C++ side is the table of the same names in
# tests/blocks/*parity_test.cpp.
import dataclasses
import typing

import blocks


@dataclasses.dataclass
class Case:
    block: typing.Callable  # (at, feed) -> rows
    width: int = 0  # of x; 0: the block takes ids
    count: int = 1  # sequences
    length: int = 1
    interleaved: bool = False  # row = position * count + sequence
    context: int = 0  # how wide a context is; its sequences are 3 rows longer
    masked: bool = False
    updated: bool = False
    vocabulary: int = 0
    deviation: float = 1.0  # of x: small, so that the epsilon of a norm tells


def rows(block, width, length, **options):
    """A case of a block that sees rows alone."""
    return Case(lambda at, feed: block(at, feed.x), width, length=length, **options)


def sequences(block, width, count, length, *, interleaved=False, masked=False, updated=False, **spec):
    return Case(lambda at, feed: block(at, feed.x, feed, **spec), width, count, length, interleaved, masked=masked,
                updated=updated)


def crossing(block, width, context, count, length, *, masked=False, updated=False, **spec):
    return Case(lambda at, feed: block(at, feed.x, feed, context=feed.context, **spec), width, count, length,
                context=context, masked=masked, updated=updated)


def resampling(width, count, length, *, masked=False, **spec):
    return Case(lambda at, feed: blocks.resampler(at, feed, **spec), width, count, length, masked=masked)


LLAMA = dict(heads=3, kv_heads=1, inner=21)
QWEN = dict(heads=4, kv_heads=2, head_width=6, inner=13, epsilon=1e-3, head_norm=True)
GEMMA = dict(heads=2, kv_heads=1, head_width=4, inner=11, activation="gelu_tanh", norm_shift=1.0, output_norms=True,
             scale=0.3, soft_cap=2.0, window=3)
GROUPED = dict(heads=4, kv_heads=2, head_width=6, bias=True, output_bias=True, causal=True)

CASES = {
    "linear": rows(lambda at, x: blocks.linear(at, x, 3), 5, 7),
    "linear_large": rows(lambda at, x: blocks.linear(at, x, 65, bias=False), 33, 37),
    "linear_updated": rows(lambda at, x: blocks.linear(at, x, 19), 17, 9, updated=True),
    "embedding": Case(lambda at, feed: blocks.embedding(at, feed.ids, 7, 5, scale=3.0), length=11, vocabulary=7),
    "rms_norm": rows(blocks.rms_norm, 37, 5, deviation=0.03),
    "rms_norm_shifted": rows(lambda at, x: blocks.rms_norm(at, x, epsilon=1e-2, shift=1.0), 65, 3),
    "layer_norm": rows(blocks.layer_norm, 37, 5, deviation=0.03),
    "layer_norm_without_bias": rows(lambda at, x: blocks.layer_norm(at, x, epsilon=1e-3, bias=False), 19, 4),
    "mlp_gelu_exact": rows(lambda at, x: blocks.mlp(at, x, 9, 5), 7, 6, updated=True),
    "mlp_gelu_tanh": rows(lambda at, x: blocks.mlp(at, x, 19, 7, "gelu_tanh"), 7, 5),
    "mlp_silu": rows(lambda at, x: blocks.mlp(at, x, 11, 3, "silu", bias=False), 9, 5),
    "mlp_relu": rows(lambda at, x: blocks.mlp(at, x, 13, 5, "relu"), 6, 5),
    "glu_mlp_silu": rows(lambda at, x: blocks.glu_mlp(at, x, 23), 11, 7, updated=True),
    "glu_mlp_gelu_tanh": rows(lambda at, x: blocks.glu_mlp(at, x, 7, 3, "gelu_tanh", bias=True), 9, 5),
    "residual": rows(lambda at, x: x + blocks.mlp(at, x, 19, 9), 9, 5, updated=True),
    "chain": rows(
        lambda at, x: blocks.chain(at, x, lambda place, part: blocks.linear(place, part, 7), blocks.layer_norm,
                                   lambda place, part: part + blocks.glu_mlp(place, part, 9)), 5, 6),
    "per_layer": rows(
        lambda at, x: blocks.per_layer(at, x, 3, lambda place, part: blocks.linear(place, part, 6)), 5, 12),
    "residual_mlp_layer_norm": rows(lambda at, x: blocks.residual_mlp(at, x, 11, epsilon=1e-3), 7, 5),
    "residual_mlp_activation": rows(lambda at, x: blocks.residual_mlp(at, x, 5, tail="activation"), 9, 5),
    "residual_mlp_none": rows(
        lambda at, x: blocks.residual_mlp(at, x, 5, activation="gelu_exact", tail="none"), 9, 5),
    "residual_mlp_per_layer": rows(lambda at, x: blocks.residual_mlp(at, x, 9, layers=4), 7, 12),
    "residual_mlp_per_layer_activation": rows(
        lambda at, x: blocks.residual_mlp(at, x, 7, layers=2, activation="gelu_tanh", tail="activation"), 5, 6),
    "residual_mlp_per_layer_none": rows(lambda at, x: blocks.residual_mlp(at, x, 5, layers=3, tail="none"), 7, 9),
    "attention_self": sequences(blocks.multihead_attention, 15, 2, 7, heads=3, masked=True, updated=True),
    "attention_grouped": sequences(blocks.attention, 11, 2, 9, **GROUPED, rotated=6, updated=True),
    "attention_interleaved_rope": sequences(blocks.attention, 10, 3, 5, **GROUPED, rotated=4, layout="interleaved"),
    "attention_long": sequences(blocks.attention, 18, 1, 67, heads=1, causal=True, rotated=18),
    "attention_window": sequences(blocks.attention, 9, 2, 11, heads=3, causal=True, window=4),
    "attention_soft_cap": sequences(blocks.attention, 14, 2, 7, heads=2, soft_cap=1.5, scale=0.6, masked=True),
    "attention_head_norm": sequences(blocks.attention, 12, 2, 5, heads=4, kv_heads=1, head_width=5, head_norm=True,
                                     shift=1.0, epsilon=1e-3),
    "attention_cross": crossing(blocks.multihead_attention, 12, 7, 3, 5, heads=4, masked=True, updated=True),
    "attention_cross_grouped": crossing(blocks.attention, 10, 9, 2, 3, heads=4, kv_heads=2, head_width=7, masked=True),
    "encoder_post": sequences(blocks.encoder_layer, 14, 2, 7, heads=2, inner=19, masked=True, updated=True),
    "encoder_pre": sequences(blocks.encoder_layer, 9, 2, 5, heads=3, inner=17, norm_first=True, epsilon=1e-3, masked=True),
    "encoder_across": sequences(blocks.encoder_layer, 10, 6, 3, heads=2, inner=13, interleaved=True),
    "encoder_without_bias": sequences(blocks.encoder_block, 12, 2, 5, heads=2, inner=9, activation="silu",
                                      placement="pre", bias=False),
    "decoder_llama": sequences(blocks.decoder_block, 18, 2, 7, **LLAMA, updated=True),
    "decoder_interleaved_rope": sequences(blocks.decoder_block, 12, 2, 5, **LLAMA, layout="interleaved"),
    "decoder_across": sequences(blocks.decoder_block, 12, 5, 3, **LLAMA, interleaved=True),
    "decoder_qwen2": sequences(blocks.decoder_block, 12, 2, 5, **LLAMA, bias=True),
    "decoder_qwen3": sequences(blocks.decoder_block, 11, 2, 7, **QWEN, updated=True),
    "decoder_gemma2": sequences(blocks.decoder_block, 9, 2, 7, **GEMMA, updated=True),
    "perceiver_cross": crossing(blocks.perceiver_layer, 9, 7, 2, 5, heads=4, kv_heads=2, head_width=5, inner=11,
                                epsilon=1e-3, masked=True, updated=True),
    "perceiver_self": sequences(blocks.perceiver_layer, 10, 2, 5, heads=2, inner=9),
    "resampler_own": resampling(6, 2, 7, latents=3, hidden=14, blocks=2, heads=2, kv_heads=1, inner=19,
                                epsilon=1e-3, masked=True),
    "resampler_own_self": resampling(5, 2, 6, latents=2, hidden=15, blocks=2, self_layers=1, heads=3, inner=21),
    "resampler_shared": resampling(6, 2, 7, latents=3, hidden=18, blocks=3, self_layers=2, shares_weights=True, heads=2,
                                   kv_heads=1, head_width=7, inner=25, masked=True),
}
