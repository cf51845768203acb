# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""The systems of bench/hypernets.cpp in PyTorch, eager, float, at SmolLM2-135M's shapes, as one would write them there: batched,
by the modules of torch.nn and transformers.

  hypernets_torch.py FOLDER make                        a base and the systems' weights, at random
  hypernets_torch.py FOLDER SYSTEM TOKENS ROUNDS [compile]
prints the best and the median time in seconds and the memory that came on top of the imports in GB, and writes the adapter as
FOLDER/torch_SYSTEM.safetensors.
"""
import pathlib
import resource
import statistics
import sys
import time

import safetensors.torch
import torch
import transformers
from torch import nn
from torch.nn import functional

HIDDEN, LAYERS, INNER, PIECE = 576, 30, 1536, 512
LINEARS = {"attention.query": ("self_attn.q_proj", 576, 576), "attention.key": ("self_attn.k_proj", 576, 192),
           "attention.value": ("self_attn.v_proj", 576, 192), "attention.output": ("self_attn.o_proj", 576, 576),
           "mlp.gate": ("mlp.gate_proj", 576, 1536), "mlp.up": ("mlp.up_proj", 576, 1536), "mlp.down": ("mlp.down_proj", 1536, 576)}
RANK, META_RANK, SCALE, BLOCKS = 9, 16, 0.001, 4  # SHINE's
TOKENS = -(-RANK * sum(a + b for _, a, b in LINEARS.values()) // HIDDEN)
LATENT, LATENTS, DOC_BLOCKS, DOC_RANK, HEADS, KEY_HEADS, WIDTH = 512, 8, 9, 8, 16, 4, 128  # Doc-to-LoRA's


def uniform(out, inner):
    return (torch.rand(out, inner) * 2 - 1) * inner**-0.5


class Shine(nn.Module):
    """Weights come from, and are kept under, the names that hyperblocks gives them."""

    def __init__(self, base, p):
        super().__init__()
        self.base, self.p = base, p
        self.states = []
        for index, layer in enumerate(base.layers):
            for ours, (theirs, _, _) in LINEARS.items():
                a, b = (p[f"meta.layers.{index}.{ours}.{name}"] for name in "ab")
                layer.get_submodule(theirs).register_forward_hook(lambda _, x, y, a=a, b=b: y + (x[0] @ a.T) @ b.T)
            layer.register_forward_hook(lambda _, __, y: self.states.append((y[0] if isinstance(y, tuple) else y)[0, -TOKENS:]))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(HIDDEN, HIDDEN // 64, 2 * HIDDEN, 0.0, "gelu", batch_first=True)
                                    for _ in range(BLOCKS))
        for i, block in enumerate(self.blocks):
            at = f"m2p.blocks.{i}."
            parts = [at + f"attention.{name}" for name in ("query", "key", "value")]
            values = {"self_attn.in_proj_weight": torch.cat([p[part + ".weight"] for part in parts]),
                      "self_attn.in_proj_bias": torch.cat([p[part + ".bias"] for part in parts])}
            for theirs, ours in {"self_attn.out_proj": "attention.output", "linear1": "mlp.expand", "linear2": "mlp.project",
                                 "norm1": "attention.norm", "norm2": "mlp.norm"}.items():
                values |= {f"{theirs}.{kind}": p[f"{at}{ours}.{kind}"] for kind in ("weight", "bias")}
            block.load_state_dict(values)

    @staticmethod
    def weights():
        p = {"memory": torch.randn(TOKENS, HIDDEN), "m2p.positions.layer": 0.1 * torch.randn(LAYERS, HIDDEN),
             "m2p.positions.token": 0.1 * torch.randn(TOKENS, HIDDEN)}
        for layer in range(LAYERS):
            for ours, (_, inner, out) in LINEARS.items():
                p[f"meta.layers.{layer}.{ours}.a"] = 0.03 * torch.randn(META_RANK, inner)
                p[f"meta.layers.{layer}.{ours}.b"] = 0.03 * torch.randn(out, META_RANK)
        for i in range(BLOCKS):
            at = f"m2p.blocks.{i}."
            sizes = {f"attention.{name}": (HIDDEN, HIDDEN) for name in ("query", "key", "value", "output")}
            sizes |= {"mlp.expand": (2 * HIDDEN, HIDDEN), "mlp.project": (HIDDEN, 2 * HIDDEN)}
            for name, (out, inner) in sizes.items():
                p[f"{at}{name}.weight"], p[f"{at}{name}.bias"] = uniform(out, inner), 0.1 * uniform(out, inner)[:, 0]
            for name in ("attention", "mlp"):
                p[f"{at}{name}.norm.weight"], p[f"{at}{name}.norm.bias"] = torch.ones(HIDDEN), torch.zeros(HIDDEN)
        return p

    def forward(self, ids):
        self.states.clear()
        rows = torch.cat([self.base.embed_tokens(ids[None]), self.p["memory"][None]], 1)
        self.base(inputs_embeds=rows, attention_mask=torch.ones(rows.shape[:2], dtype=torch.int64),
                  position_ids=torch.arange(rows.shape[1])[None], use_cache=False)
        x = torch.stack(self.states) + self.p["m2p.positions.layer"][:, None] + self.p["m2p.positions.token"]
        for i, block in enumerate(self.blocks):
            x = block(x.transpose(0, 1)).transpose(0, 1) if i % 2 == 0 else block(x)
        adapter, flat = {}, x.flatten(1) * SCALE**0.5
        for layer in range(LAYERS):
            at = 0
            for ours, (_, inner, out) in LINEARS.items():
                a = flat[layer, at:at + RANK * inner].reshape(inner, RANK)
                b = flat[layer, at + RANK * inner:at + RANK * (inner + out)].reshape(RANK, out)
                adapter[layer, ours], at = (a.T, b), at + RANK * (inner + out)
        return adapter


def rms_norm(x, weight):
    return functional.rms_norm(x, (x.shape[-1],), weight, 1e-6)


def layer_norm(x, p, at):
    return functional.layer_norm(x, (x.shape[-1],), p[at + ".weight"], p[at + ".bias"])


class DocToLora(nn.Module):
    def __init__(self, base, p, iterative=False):
        super().__init__()
        self.base, self.p, self.iterative = base, p, iterative
        base.layers = base.layers[:LAYERS - 1]

    @staticmethod
    def weights():
        p = {}

        def glu(at, inner, width, out):
            for name, size in {"gate": (width, inner), "up": (width, inner), "down": (out, width)}.items():
                p[f"{at}.{name}.weight"] = uniform(*size)

        def resampler(at, latents, blocks):
            p[at + ".latents"], p[at + ".norm.weight"] = torch.randn(latents, LATENT), torch.ones(LATENT)
            for i in range(blocks):
                place = f"{at}.cross.{i}"
                for name in ("context_norm", "attention.norm", "attention.output_norm", "mlp.norm", "mlp.output_norm"):
                    p[f"{place}.{name}.weight"] = torch.ones(LATENT)
                for name, size in {"query": (HEADS * WIDTH, LATENT), "key": (KEY_HEADS * WIDTH, LATENT),
                                   "value": (KEY_HEADS * WIDTH, LATENT), "output": (LATENT, HEADS * WIDTH)}.items():
                    p[f"{place}.attention.{name}.weight"] = uniform(*size)
                glu(place + ".mlp", LATENT, 4 * LATENT, LATENT)

        glu("perceiver.projection", HIDDEN, 4 * HIDDEN, LATENT)
        resampler("perceiver.encoder", LATENTS, DOC_BLOCKS)
        resampler("perceiver.decoder", DOC_RANK, 1)
        for i in range(4):
            for place in ("0", "4"):
                p[f"heads.mlps.{i}.{place}.weight"], p[f"heads.mlps.{i}.{place}.bias"] = torch.ones(LATENT), torch.zeros(LATENT)
            for place, size in {"1": (4 * LATENT, LATENT), "3": (LATENT, 4 * LATENT)}.items():
                p[f"heads.mlps.{i}.{place}.weight"] = uniform(*size)
                p[f"heads.mlps.{i}.{place}.bias"] = torch.zeros(size[0])
        for layer in range(LAYERS):
            at = f"heads.layers.{layer}.mlp.down"
            p |= {at + ".a.weight": 0.02 * torch.randn(INNER, LATENT), at + ".b.weight": 0.02 * torch.randn(HIDDEN, LATENT),
                  at + ".scale_a": torch.ones(DOC_RANK), at + ".scale_b": torch.ones(DOC_RANK),
                  at + ".bias_a": 0.01 * torch.randn(DOC_RANK, INNER), at + ".bias_b": 0.01 * torch.randn(DOC_RANK, HIDDEN)}
        return p

    def glu(self, at, x):
        p = self.p
        return functional.linear(functional.silu(functional.linear(x, p[at + ".gate.weight"])) * functional.linear(x, p[at + ".up.weight"]),
                                 p[at + ".down.weight"])

    def resample(self, at, context, blocks):
        p, (count, length, _) = self.p, context.shape
        x = p[at + ".latents"].expand(count, -1, -1)
        for i in range(blocks):
            place = f"{at}.cross.{i}"
            read = rms_norm(context, p[place + ".context_norm.weight"])
            asked = rms_norm(x, p[place + ".attention.norm.weight"])
            query, key, value = (functional.linear(rows, p[f"{place}.attention.{name}.weight"]).unflatten(-1, (-1, WIDTH)).transpose(1, 2)
                                 for name, rows in (("query", asked), ("key", read), ("value", read)))
            mixed = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True).transpose(1, 2).flatten(-2)
            mixed = functional.linear(mixed, p[place + ".attention.output.weight"])
            x = x + rms_norm(mixed, p[place + ".attention.output_norm.weight"])
            x = x + rms_norm(self.glu(place + ".mlp", rms_norm(x, p[place + ".mlp.norm.weight"])), p[place + ".mlp.output_norm.weight"])
        return rms_norm(x, p[at + ".norm.weight"])

    def perceive(self, features):
        read = self.resample("perceiver.encoder", self.glu("perceiver.projection", features), DOC_BLOCKS)
        return self.resample("perceiver.decoder", read, 1)

    def forward(self, ids):
        p, pieces = self.p, ids.reshape(-1, min(PIECE, len(ids)))
        states = torch.stack(self.base(input_ids=pieces, attention_mask=torch.ones_like(pieces),
                                       position_ids=torch.arange(pieces.shape[1]).expand(len(pieces), -1), use_cache=False,
                                       output_hidden_states=True).hidden_states)  # (layers, pieces, tokens, hidden)
        if self.iterative:
            latents = torch.stack([self.perceive(x) for x in states])
        else:
            latents = self.perceive(states.flatten(0, 1)).unflatten(0, (LAYERS, -1))
        for i in range(4):
            at = f"heads.mlps.{i}."
            inner = functional.silu(functional.linear(layer_norm(latents, p, at + "0"), p[at + "1.weight"], p[at + "1.bias"]))
            latents = latents + layer_norm(functional.linear(inner, p[at + "3.weight"], p[at + "3.bias"]), p, at + "4")
        latents = (latents / latents.norm(dim=-1, keepdim=True)).flatten(1, 2)  # (layers, pieces * rank, latent)
        adapter = {}
        for layer in range(LAYERS):
            at = f"heads.layers.{layer}.mlp.down."
            a, b = latents[layer] @ p[at + "a.weight"].T, latents[layer] @ p[at + "b.weight"].T
            adapter[layer, "mlp.down"] = (torch.cat([a, p[at + "bias_a"]]), torch.cat([b, p[at + "bias_b"]]) * 2 * DOC_RANK**1.5)
        return adapter


class TextToLora(nn.Module):
    """Size L with a linear code, for queries and values."""

    def __init__(self, base, p):
        super().__init__()
        self.p = p
        self.heads = {name: tuple(torch.cat([p[f"heads.{name}.{side}.{kind}"] for side in "ab"]) for kind in ("weight", "bias"))
                      for name in ("attention.query", "attention.value")}

    @staticmethod
    def weights(latent, head_in):
        p, width = {}, latent // 2 + 2 * (latent // 4)

        def norm(at, size):
            p[at + ".weight"], p[at + ".bias"] = torch.ones(size), torch.zeros(size)

        def linear(at, out, inner):
            p[at + ".weight"], p[at + ".bias"] = uniform(out, inner), 0.1 * uniform(out, inner)[:, 0]

        linear("task.0", latent // 2, 1024), norm("task.1", latent // 2)
        for name, rows in (("depth", LAYERS), ("type", 2)):
            p[f"trunk.{name}.weight"] = torch.randn(rows, latent // 4)
            norm(f"trunk.{name}.norm", latent // 4)
        linear("trunk.mixer.0", 4 * width, width), linear("trunk.mixer.2", width, 4 * width)
        for name, out in (("mlp1", width), ("mlp2", width), ("mlp3", head_in)):
            norm(f"trunk.{name}.0", width), linear(f"trunk.{name}.1", 4 * width, width), linear(f"trunk.{name}.3", out, 4 * width)
        for name in ("attention.query", "attention.value"):
            for side, size in zip("ab", LINEARS[name][1:]):
                linear(f"heads.{name}.{side}", 8 * size, head_in)
        return p

    def mlp(self, at, x):
        return functional.silu(self.linear(at + ".3", functional.silu(self.linear(at + ".1", layer_norm(x, self.p, at + ".0")))))

    def linear(self, at, x):
        return functional.linear(x, self.p[at + ".weight"], self.p[at + ".bias"])

    def forward(self, _):
        p = self.p
        embedding = (torch.arange(1024) * 37 % 101 - 50) / 50
        embedding = embedding / embedding.norm() * 32
        code = layer_norm(self.linear("task.0", embedding), p, "task.1")
        depth, kind = (layer_norm(p[f"trunk.{name}.weight"], p, f"trunk.{name}.norm") for name in ("depth", "type"))
        x = torch.cat([code.expand(2, LAYERS, -1), depth.expand(2, -1, -1), kind[:, None].expand(-1, LAYERS, -1)], -1)
        x = functional.silu(self.linear("trunk.mixer.2", functional.silu(self.linear("trunk.mixer.0", x))))
        x = x + self.mlp("trunk.mlp1", x)
        x = x + self.mlp("trunk.mlp2", x)
        x = self.mlp("trunk.mlp3", x)
        adapter = {}
        for number, (name, (weight, bias)) in enumerate(self.heads.items()):
            inner, out = LINEARS[name][1:]
            rows = functional.linear(x[number], weight, bias)
            for layer in range(LAYERS):
                a, b = rows[layer].split([8 * inner, 8 * out])
                adapter[layer, name] = (a.reshape(8, inner), b.reshape(8, out) * 16 / 8**0.5)
        return adapter


TEXT_SIZES = {"text_to_lora_small": (128, 512), "text_to_lora_large": (512, 2048)}
SYSTEMS = {"shine": ("shine", Shine), "doc-to-lora": ("doc_to_lora", DocToLora),
           "doc-to-lora-iterative": ("doc_to_lora", lambda base, p: DocToLora(base, p, True)),
           "text-to-lora-small": ("text_to_lora_small", TextToLora), "text-to-lora-large": ("text_to_lora_large", TextToLora)}


def make(folder):
    torch.manual_seed(1)
    config = transformers.LlamaConfig(vocab_size=49152, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                                      num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
                                      rope_theta=100000.0, tie_word_embeddings=True, initializer_range=0.04, rms_norm_eps=1e-5)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / "base")
    systems = {"shine": Shine.weights(), "doc_to_lora": DocToLora.weights()}
    systems |= {name: TextToLora.weights(*sizes) for name, sizes in TEXT_SIZES.items()}
    for name, weights in systems.items():
        safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in weights.items()}, folder / f"{name}.safetensors")


def main():
    torch.set_num_threads(2)
    torch.cuda.is_current_stream_capturing = lambda: False  # where there is no driver it crashes
    folder = pathlib.Path(sys.argv[1])
    if sys.argv[2] == "make":
        folder.mkdir(parents=True, exist_ok=True)
        return make(folder)
    system, tokens, rounds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name, made = SYSTEMS[system]
    base = None if made is TextToLora else transformers.AutoModelForCausalLM.from_pretrained(folder / "base").float().eval().model
    net = made(base, safetensors.torch.load_file(folder / f"{name}.safetensors")).eval()
    run = torch.compile(net) if "compile" in sys.argv else net
    times = []
    with torch.inference_mode():
        adapter = run(torch.arange(tokens))
        for _ in range(rounds):
            begin = time.perf_counter()
            run(torch.arange(tokens))
            times.append(time.perf_counter() - begin)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imported) / 1e6
    print(f"{min(times):.4f} {statistics.median(times):.4f} {peak:.3f}")
    names = {place: LINEARS[place[1]][0] for place in adapter}
    tensors = {}
    for (layer, ours), (a, b) in adapter.items():
        at = f"base_model.model.model.layers.{layer}.{names[layer, ours]}."
        tensors[at + "lora_A.weight"], tensors[at + "lora_B.weight"] = a.contiguous(), b.T.contiguous()
    safetensors.torch.save_file(tensors, folder / f"torch_{system}.safetensors")


if __name__ == "__main__":
    main()
