# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Every block of the library once more, in PyTorch: functions from rows to rows, whose gradients autograd gives. Where
# torch.nn has the block as a module, the module is called. Parameters come from `at`, a place in a tree of named tensors
# (fixtures.py), under the library's names.
import math

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

UPDATE_SCALE = 0.7  # as tests/support/block_case.hpp
ROPE_BASE, FIRST_POSITION = 100, 1

ACTIVATIONS = {
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu_exact": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}


def linear(at, x, out, bias=True):
    """x W^T + bias, and s (x A^T) B^T + C where the linear is updated."""
    inner = x.shape[-1]
    y = functional.linear(x, at.weight(out, inner), at.bias(out) if bias else None)
    if at.updated:
        a, b, added = at.update(out, inner)
        y = y + UPDATE_SCALE * functional.linear(functional.linear(x, a), b) + added
    return y


def merged_linear(at, out, inner):
    """Weight and bias of an updated linear as one linear's, for modules of torch.nn."""
    weight, bias = at.weight(out, inner), at.bias(out)
    if at.updated:
        a, b, added = at.update(out, inner)
        weight, bias = weight + UPDATE_SCALE * b @ a, bias + added
    return weight, bias


def embedding(at, ids, vocabulary, width, scale=1.0):
    module = nn.Embedding(vocabulary, width)
    return scale * functional_call(module, {"weight": at.weight(vocabulary, width, deviation=1.0)}, ids)


def rms_norm(at, x, epsilon=1e-6, shift=0.0):
    width = x.shape[-1]
    module = nn.RMSNorm(width, eps=epsilon)
    return functional_call(module, {"weight": at.norm_weight(width, 1 - shift) + shift}, x)


def layer_norm(at, x, epsilon=1e-5, bias=True):
    width = x.shape[-1]
    return functional.layer_norm(x, (width,), at.norm_weight(width), at.bias(width) if bias else None, epsilon)


def mlp(at, x, inner, out, activation="gelu_exact", bias=True):
    return linear(at / "project", ACTIVATIONS[activation](linear(at / "expand", x, inner, bias)), out, bias)


def glu_mlp(at, x, inner, out=None, activation="silu", bias=False):
    gate = ACTIVATIONS[activation](linear(at / "gate", x, inner, bias))
    return linear(at / "down", gate * linear(at / "up", x, inner, bias), out or x.shape[-1], bias)


def rotate(x, rotated, layout):
    """x (..., tokens, width): pairs turned by position times frequency."""
    positions = torch.arange(FIRST_POSITION, FIRST_POSITION + x.shape[-2], dtype=torch.float64)
    frequencies = ROPE_BASE ** (-torch.arange(0, rotated, 2, dtype=torch.float64) / rotated)
    angles = positions[:, None] * frequencies  # (tokens, rotated / 2)
    cosines, sines = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    turned, rest = x[..., :rotated], x[..., rotated:]
    if layout == "interleaved":  # neighbours as one complex number
        pairs = torch.view_as_complex(turned.unflatten(-1, (-1, 2)).contiguous())
        turned = torch.view_as_real(pairs * torch.complex(cosines, sines)).flatten(-2)
    else:
        first, second = turned.chunk(2, -1)
        turned = turned * cosines.repeat(1, 2) + torch.cat([-second, first], -1) * sines.repeat(1, 2)
    return torch.cat([turned, rest], -1)


def visible(queries, keys, causal, window, mask):
    """Where a query may see a key: (queries, keys), or (count, 1, queries, keys) with a padding mask (count, keys)."""
    query, key = torch.arange(queries)[:, None], torch.arange(keys)[None]
    allowed = torch.ones(queries, keys, dtype=torch.bool)
    if causal:
        allowed = allowed & (key <= query)
    if window:
        allowed = allowed & (key > query - window)
    return allowed if mask is None else allowed & mask[:, None, None, :]


def attend(query, key, value, scale, soft_cap, allowed):
    """Heads (count, heads, tokens, width), of which several queries share one key."""
    if not soft_cap:
        return functional.scaled_dot_product_attention(query, key, value, allowed, scale=scale, enable_gqa=True)
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = soft_cap * torch.tanh(scale * query @ key.transpose(-1, -2) / soft_cap)
    return scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value


def attention(at, x, feed, heads, kv_heads=None, head_width=None, context=None, bias=False, output_bias=False, causal=False,
              window=0, rotated=0, layout="half_split", scale=None, soft_cap=0.0, head_norm=False, epsilon=1e-6, shift=0.0):
    hidden, kv_heads = x.shape[-1], kv_heads or heads
    width = head_width or hidden // heads
    source, split_source = (x, feed.split) if context is None else (context, feed.split_context)

    def heads_of(name, rows, split, count):
        projected = linear(at / name, rows, count * width, bias)
        return split(projected).unflatten(-1, (count, width)).transpose(1, 2)  # (count, heads, tokens, width)

    query = heads_of("query", x, feed.split, heads)
    key = heads_of("key", source, split_source, kv_heads)
    value = heads_of("value", source, split_source, kv_heads)
    if head_norm:
        query, key = rms_norm(at / "query_norm", query, epsilon, shift), rms_norm(at / "key_norm", key, epsilon, shift)
    if rotated:
        query, key = rotate(query, rotated, layout), rotate(key, rotated, layout)
    allowed = visible(query.shape[2], key.shape[2], causal, window, feed.mask)
    merged = attend(query, key, value, scale or width**-0.5, soft_cap, allowed)
    return linear(at / "output", feed.join(merged.transpose(1, 2).flatten(-2)), hidden, output_bias)


def multihead_attention(at, x, feed, heads, context=None):
    """Attention with biases by torch.nn.MultiheadAttention."""
    hidden = x.shape[-1]
    queries = feed.split(x)
    keys = queries if context is None else feed.split_context(context)
    width = keys.shape[-1]
    module = nn.MultiheadAttention(hidden, heads, kdim=width, vdim=width, batch_first=True)
    parts = [merged_linear(at / "query", hidden, hidden), merged_linear(at / "key", hidden, width),
             merged_linear(at / "value", hidden, width)]
    weights = [weight for weight, _ in parts]
    if width == hidden:
        parameters = {"in_proj_weight": torch.cat(weights)}
    else:
        parameters = dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), weights))
    parameters["in_proj_bias"] = torch.cat([bias for _, bias in parts])
    parameters["out_proj.weight"], parameters["out_proj.bias"] = merged_linear(at / "output", hidden, hidden)
    hidden_keys = None if feed.mask is None else ~feed.mask
    y, _ = functional_call(module, parameters, (queries, keys, keys), {"key_padding_mask": hidden_keys})
    return feed.join(y)


def transformer_block(at, x, attention_of, mlp_of, norm_of, placement):
    """Attention, then an MLP, each with a residual, and norms where the placement says."""
    for place, inner in ((at / "attention", attention_of), (at / "mlp", mlp_of)):
        if placement == "post":
            x = norm_of(place / "norm", x + inner(place, x))
        else:
            branch = inner(place, norm_of(place / "norm", x))
            x = x + (norm_of(place / "output_norm", branch) if placement == "sandwich" else branch)
    return x


def encoder_layer(at, x, feed, heads, inner, norm_first=False, epsilon=1e-5):
    """EncoderBlock by torch.nn.TransformerEncoderLayer."""
    hidden = x.shape[-1]
    module = nn.TransformerEncoderLayer(hidden, heads, inner, dropout=0, activation="gelu", batch_first=True,
                                        norm_first=norm_first, layer_norm_eps=epsilon)
    attention_at, mlp_at = at / "attention", at / "mlp"
    parts = [merged_linear(attention_at / name, hidden, hidden) for name in ("query", "key", "value")]
    linears = {"self_attn.out_proj": merged_linear(attention_at / "output", hidden, hidden),
               "linear1": merged_linear(mlp_at / "expand", inner, hidden),
               "linear2": merged_linear(mlp_at / "project", hidden, inner)}
    linears |= {name: ((place / "norm").norm_weight(hidden), (place / "norm").bias(hidden))
                for name, place in (("norm1", attention_at), ("norm2", mlp_at))}
    parameters = {"self_attn.in_proj_weight": torch.cat([weight for weight, _ in parts]),
                  "self_attn.in_proj_bias": torch.cat([bias for _, bias in parts])}
    for name, (weight, bias) in linears.items():
        parameters |= {name + ".weight": weight, name + ".bias": bias}
    hidden_keys = None if feed.mask is None else ~feed.mask
    return feed.join(functional_call(module, parameters, feed.split(x), {"src_key_padding_mask": hidden_keys}))


def encoder_block(at, x, feed, heads, inner, activation="gelu_exact", placement="post", bias=True):
    """The variants that torch.nn does not have."""
    return transformer_block(
        at, x, lambda place, rows: attention(place, rows, feed, heads, bias=bias, output_bias=bias),
        lambda place, rows: mlp(place, rows, inner, x.shape[-1], activation, bias), layer_norm, placement)


def decoder_block(at, x, feed, heads, inner, activation="silu", epsilon=1e-6, norm_shift=0.0, output_norms=False, **options):
    width = options.get("head_width") or x.shape[-1] // heads
    return transformer_block(
        at, x,
        lambda place, rows: attention(place, rows, feed, heads, causal=True, rotated=width, epsilon=epsilon, shift=norm_shift,
                                      **options),
        lambda place, rows: glu_mlp(place, rows, inner, activation=activation),
        lambda place, rows: rms_norm(place, rows, epsilon, norm_shift), "sandwich" if output_norms else "pre")


def perceiver_layer(at, x, feed, heads, inner, context=None, epsilon=1e-6, **options):
    if context is not None:
        context = rms_norm(at / "context_norm", context, epsilon)
    return transformer_block(
        at, x, lambda place, rows: attention(place, rows, feed, heads, context=context, **options),
        lambda place, rows: glu_mlp(place, rows, inner),
        lambda place, rows: rms_norm(place, rows, epsilon), "sandwich")


def resampler(at, feed, latents, hidden, blocks, self_layers=0, shares_weights=False, epsilon=1e-6, **layer):
    """Latents of every sequence look at its rows, the context."""
    latent_feed = feed.of_latents(latents)
    x = (at / "latents").tensor((latents, hidden), 1.0).repeat(feed.count, 1)
    for block in range(blocks):
        cross = min(block, 1) if shares_weights else block
        x = perceiver_layer(at / f"cross.{cross}", x, latent_feed, context=feed.x, epsilon=epsilon, **layer)
        for i in range(self_layers):
            own = i if shares_weights else block * self_layers + i
            x = perceiver_layer(at / f"self.{own}", x, latent_feed.without_mask(), epsilon=epsilon, **layer)
    return rms_norm(at / "norm", x, epsilon)


def per_layer(at, x, layers, inner):
    """Rows in equal parts, each through a block of its own."""
    return torch.cat([inner(at / str(i), part) for i, part in enumerate(x.chunk(layers))])


def residual_mlp(at, x, inner, layers=1, activation="silu", tail="layer_norm", epsilon=1e-5):
    def own(place, rows, out):
        block = lambda own_place, own_rows: linear(own_place, own_rows, out)
        return block(place, rows) if layers == 1 else per_layer(place, rows, layers, block)

    expanded = ACTIVATIONS[activation](own(at / "1", layer_norm(at / "0", x, epsilon), inner))
    branch = own(at / "3", expanded, x.shape[-1])
    if tail == "layer_norm":
        branch = layer_norm(at / "4", branch, epsilon)
    elif tail == "activation":
        branch = ACTIVATIONS[activation](branch)
    return x + branch


def chain(at, x, *parts):
    for i, block in enumerate(parts):
        x = block(at / str(i), x)
    return x
