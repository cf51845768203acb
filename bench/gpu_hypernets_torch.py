# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""What bench/gpu_shine, gpu_doc_to_lora and gpu_text_to_lora measure, in PyTorch: the same shapes, bf16, numbers at random for
weights, eager and through torch.compile. A line of JSON for each measurement, as theirs. Needs PyTorch alone.

  python3 bench/gpu_hypernets_torch.py [shine] [doc-to-lora] [text-to-lora]
  python3 bench/gpu_hypernets_torch.py --tiny            small shapes, for trying the program on a machine without a GPU
"""
import argparse
import json
import statistics
import time
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass
class Base:
    """A decoder's shapes."""
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    width: int
    inner: int

    def linears(self):
        """(in, out) of query, key, value, output, gate, up, down."""
        query, key = self.heads * self.width, self.key_heads * self.width
        return [(self.hidden, query), (self.hidden, key), (self.hidden, key), (query, self.hidden),
                (self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden)]


QWEN3_8B = Base(151936, 4096, 36, 32, 8, 128, 12288)
GEMMA2_2B = Base(256000, 2304, 26, 8, 4, 256, 9216)
MISTRAL_7B = Base(32000, 4096, 32, 32, 8, 128, 14336)
TINY = Base(300, 64, 3, 4, 2, 16, 96)


class Made:
    """Makes numbers for weights, on the device."""

    def __init__(self, device):
        self.device = device

    def __call__(self, *shape, spread=0.05):
        return (torch.rand(*shape, device=self.device, dtype=torch.bfloat16) - 0.5) * 2 * spread

    def ones(self, *shape):
        return torch.ones(*shape, device=self.device, dtype=torch.bfloat16)


def rms_norm(x, weight):
    return functional.rms_norm(x, (x.shape[-1],), weight, 1e-6)


class Decoder:
    """A frozen Llama-like decoder; states(x, meta) are those before and behind each layer."""

    def __init__(self, base, make):
        self.base, self.embedding = base, make(base.vocabulary, base.hidden)
        self.layers = [{"linears": [make(out, inner) for inner, out in base.linears()],
                        "norms": [make.ones(base.hidden), make.ones(base.hidden)]} for _ in range(base.layers)]
        angles = torch.outer(torch.arange(8192), 1e6 ** (-torch.arange(0, base.width, 2) / base.width)).to(make.device)
        self.rotary = angles.cos().bfloat16(), angles.sin().bfloat16()

    def turned(self, x):
        cosine, sine = (table[:x.shape[1], None] for table in self.rotary)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)

    def states(self, x, meta=None, last=None):
        b, kept = self.base, [x]
        for number, layer in enumerate(self.layers[:last]):
            def linear(i, rows):
                y = functional.linear(rows, layer["linears"][i])
                return y if meta is None else y + functional.linear(functional.linear(rows, meta[number][i][0]), meta[number][i][1])
            rows = rms_norm(x, layer["norms"][0])
            query, key, value = (linear(i, rows).unflatten(-1, (-1, b.width)) for i in range(3))
            mixed = functional.scaled_dot_product_attention(self.turned(query).transpose(1, 2), self.turned(key).transpose(1, 2),
                                                            value.transpose(1, 2), is_causal=True, enable_gqa=True)
            x = x + linear(3, mixed.transpose(1, 2).flatten(-2))
            rows = rms_norm(x, layer["norms"][1])
            x = x + linear(6, functional.silu(linear(4, rows)) * linear(5, rows))
            kept.append(x)
        return kept


class Shine:
    def __init__(self, base, make, tiny):
        self.decoder, self.rank, meta_rank, blocks = Decoder(base, make), 8, 128, 4
        self.tokens = -(-self.rank * sum(a + b for a, b in base.linears()) // base.hidden)
        self.memory = make(self.tokens, base.hidden)
        self.meta = [[(make(meta_rank, inner), make(out, meta_rank)) for inner, out in base.linears()] for _ in range(base.layers)]
        self.positions = make(base.layers, 1, base.hidden), make(self.tokens, base.hidden)
        heads = max(base.hidden // 128, 1)
        self.blocks = [torch.nn.TransformerEncoderLayer(base.hidden, heads, 2 * base.hidden, 0.0, "gelu", batch_first=True,
                                                        device=make.device, dtype=torch.bfloat16).eval() for _ in range(blocks)]
        self.ids = torch.full((1, 40 if tiny else 1150), 7, device=make.device)

    def __call__(self):
        base = self.decoder.base
        x = torch.cat([self.decoder.embedding[self.ids], self.memory[None]], 1)
        x = torch.stack([state[0, -self.tokens:] for state in self.decoder.states(x, self.meta)[1:]])
        x = x + self.positions[0] + self.positions[1]
        for i, block in enumerate(self.blocks):
            x = block(x.transpose(0, 1)).transpose(0, 1) if i % 2 == 0 else block(x)
        adapter, flat = [], x.flatten(1) * 0.001**0.5
        for layer in range(base.layers):
            at = 0
            for inner, out in base.linears():
                a = flat[layer, at:at + self.rank * inner].view(inner, self.rank)
                b = flat[layer, at + self.rank * inner:at + self.rank * (inner + out)].view(self.rank, out)
                adapter.append((a, b))
                at += self.rank * (inner + out)
        return adapter


class DocToLora:
    latent, latents, blocks, rank, heads, key_heads, width = 512, 8, 9, 8, 16, 4, 128

    def __init__(self, base, make, pieces, tokens):
        self.decoder, d = Decoder(base, make), self.latent
        self.ids = torch.full((pieces, tokens), 7, device=make.device)

        def glu(inner, width, out):
            return make(width, inner), make(width, inner), make(out, width)

        def resampler(latents, blocks):
            return {"latents": make(latents, d), "norm": make.ones(d),
                    "blocks": [{"norms": [make.ones(d) for _ in range(5)], "query": make(self.heads * self.width, d),
                                "key": make(self.key_heads * self.width, d), "value": make(self.key_heads * self.width, d),
                                "output": make(d, self.heads * self.width), "glu": glu(d, 4 * d, d)} for _ in range(blocks)]}
        self.projection = glu(base.hidden, 4 * base.hidden, d)
        self.resamplers = resampler(self.latents, self.blocks), resampler(self.rank, 1)
        self.mlps = [(make.ones(d), make(4 * d, d), make(d, 4 * d), make.ones(d)) for _ in range(4)]
        self.head = make(base.layers, base.inner + base.hidden, d)
        self.bias = make(base.layers, self.rank, base.inner + base.hidden)

    @staticmethod
    def glu(parts, x):
        gate, up, down = parts
        return functional.linear(functional.silu(functional.linear(x, gate)) * functional.linear(x, up), down)

    def resample(self, parts, context):
        x = parts["latents"].expand(len(context), -1, -1)
        for block in parts["blocks"]:
            norms, read = block["norms"], rms_norm(context, block["norms"][0])
            asked = rms_norm(x, norms[1])
            query, key, value = (functional.linear(rows, block[name]).unflatten(-1, (-1, self.width)).transpose(1, 2)
                                 for name, rows in (("query", asked), ("key", read), ("value", read)))
            mixed = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True).transpose(1, 2).flatten(-2)
            x = x + rms_norm(functional.linear(mixed, block["output"]), norms[2])
            x = x + rms_norm(self.glu(block["glu"], rms_norm(x, norms[3])), norms[4])
        return rms_norm(x, parts["norm"])

    def __call__(self):
        base = self.decoder.base
        states = self.decoder.states(self.decoder.embedding[self.ids] * base.hidden**0.5, last=base.layers - 1)
        latents = self.glu(self.projection, torch.cat(states))
        for parts in self.resamplers:
            latents = self.resample(parts, latents)
        for first, up, down, last in self.mlps:
            inner = functional.silu(functional.linear(functional.layer_norm(latents, (self.latent,), first), up))
            latents = latents + functional.layer_norm(functional.linear(inner, down), (self.latent,), last)
        latents = functional.normalize(latents, dim=-1).view(base.layers, -1, self.latent)
        return torch.cat([latents @ self.head.transpose(1, 2), self.bias], 1).split([base.inner, base.hidden], -1)


class TextToLora:
    """Size L with a linear code, for queries and values."""

    def __init__(self, base, make):
        self.base, self.modules, z, head_in = base, [base.linears()[0], base.linears()[2]], 128, 512
        self.embedding, w = make(1, 1024, spread=1), z // 2 + 2 * (z // 4)
        self.task = make(z // 2, 1024), make(z // 2)
        self.depth, self.kind = make(base.layers, z // 4), make(2, z // 4)
        self.mixer = make(4 * w, w), make(w, 4 * w)
        self.mlps = [(make.ones(w), make(4 * w, w), make(out, 4 * w)) for out in (w, w, head_in)]
        self.heads = [(make(8 * (inner + out), head_in), make(8 * (inner + out))) for inner, out in self.modules]

    @staticmethod
    def mlp(parts, x):
        norm, up, down = parts
        x = functional.layer_norm(x, norm.shape, norm)
        return functional.silu(functional.linear(functional.silu(functional.linear(x, up)), down))

    def __call__(self):
        code = functional.layer_norm(functional.linear(self.embedding, *self.task), self.task[1].shape)
        depth, kind = (functional.layer_norm(rows, rows.shape[-1:]) for rows in (self.depth, self.kind))
        layers = self.base.layers
        x = torch.cat([code.expand(2, layers, -1), depth.expand(2, -1, -1), kind[:, None].expand(-1, layers, -1)], -1)
        for weight in self.mixer:
            x = functional.silu(functional.linear(x, weight))
        x = x + self.mlp(self.mlps[0], x)
        x = x + self.mlp(self.mlps[1], x)
        x = self.mlp(self.mlps[2], x)
        adapter = []
        for rows, head, (inner, out) in zip(x, self.heads, self.modules):
            a, b = functional.linear(rows, *head).split([8 * inner, 8 * out], -1)
            adapter.append((a.view(layers, 8, inner), b.view(layers, 8, out).transpose(1, 2)))
        return adapter


def measured(run, device, rounds):
    """Best and median microseconds."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    for number in range(-3, rounds):
        wait()
        begin = time.perf_counter()
        run()
        wait()
        if number >= 0:
            times.append(1e6 * (time.perf_counter() - begin))
    return min(times), statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="*", default=["shine", "doc-to-lora", "text-to-lora"])
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tiny, make = arguments.tiny, Made(device)
    cases = {"shine": [("SHINE, Qwen3-8B, 1150 tokens", lambda: Shine(TINY if tiny else QWEN3_8B, make, tiny))],
             "doc-to-lora": [(f"Doc-to-LoRA, Gemma-2-2b, {pieces} x {tokens} tokens",
                              lambda pieces=pieces, tokens=tokens: DocToLora(TINY if tiny else GEMMA2_2B, make, pieces, tokens))
                             for pieces, tokens in ((1, 180), (8, 512))],
             "text-to-lora": [("Text-to-LoRA L, Mistral-7B", lambda: TextToLora(TINY if tiny else MISTRAL_7B, make))]}
    with torch.inference_mode():
        for system in arguments.systems:
            for name, made in cases[system]:
                run = made()
                for kind, call in (("eager", run), ("compiled", torch.compile(run.__call__))):
                    best, median = measured(call, device, 2 if tiny else 10)
                    print(json.dumps({"name": f"{name}, PyTorch {kind}", "best_us": best, "median_us": median}), flush=True)
                del run


if __name__ == "__main__":
    main()
